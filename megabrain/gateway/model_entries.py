"""What the list of models says of one: the fields of every reader together (clients.md § 8).

A field that nobody knows is left out, where its readers let it be. So is a price: readers take "0"
for a model that is free, and a price that is missing for one that is not known.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from billing.prices import price_in_force
from byok.catalogue.memory import Model, Offer, Rate
from byok.providers import PROVIDERS, name_of
from byok.providers.bedrock.regions import GEO
from byok.providers.endpoints import SERVED, Endpoint
from megabrain.gateway.parameters import taken
from megabrain.gateway.snapshot import Key

Json = dict[str, Any]  # What a reader of the list wants is JSON of many shapes.

#: Who makes the models of a prefix, where that is no provider whose name would say it.
_MAKERS = {
    **{each.vendor: each.name for each in PROVIDERS.values() if each.vendor and not each.direct},
    "amazon": "Amazon",
    "google": "Google",
    "meta-llama": "Meta",
    "nvidia": "NVIDIA",
    "qwen": "Alibaba",
}
_ABILITIES = {
    "tools": "calls tools",
    "vision": "sees images",
    "reasoning": "reasons",
    "search": "searches the web",
    "fim": "fills in the middle",
    "embeddings": "turns text into vectors",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A model as one caller sees it: `own` are the offers that his keys can use.

    `known` says that the catalogue has it. Of any other nothing but the id is told, lest a reader
    take what nobody knows for something that it cannot do.
    """

    model: Model
    own: tuple[Offer, ...]
    known: bool = True

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Those that may serve him: of his own providers, or of all where he has none."""
        return self.own or self.model.offers

    @property
    def context(self) -> int | None:
        """What fits whichever of his providers serves."""
        return _least((offer.context for offer in self.own), self.model.context)

    @property
    def max_output(self) -> int | None:
        return _least((offer.max_output for offer in self.own), self.model.max_output)

    @property
    def retires_on(self) -> date | None:
        """The day on which the last of them ends, once all have said one."""
        days = [offer.retires_on for offer in self.offers]
        return max(filter(None, days)) if days and all(days) else None


def entry(seen: Seen, now: datetime) -> Json:
    """An entry of the list, as of `now`."""
    model, price = seen.model, _first_price(seen.offers, now)
    created = datetime.fromtimestamp(model.created, UTC)
    ends = seen.retires_on.isoformat() if seen.retires_on else None
    served_at = {endpoint for offer in model.offers for endpoint in _served_at(offer)}
    return {
        "id": model.id,
        "object": "model",
        "type": "model",
        "created": model.created,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "owned_by": model.id.partition("/")[0],
        "name": model.name,
        "display_name": model.name,
        "description": described(seen),
        "canonical_slug": model.id,
        # A number for all readers; the others say null where it is not known.
        "context_length": seen.context or 0,
        "max_input_tokens": seen.context,
        "max_tokens": seen.max_output,
        "architecture": _architecture(model),
        **({"pricing": pricing(price)} if price else {}),
        "top_provider": {
            "context_length": seen.context,
            "max_completion_tokens": seen.max_output,
            "is_moderated": False,
        },
        **({"supported_parameters": _parameters(seen)} if seen.known else {}),
        "per_request_limits": None,
        "lifecycle": "deprecated" if ends else "active",
        "expiration_date": ends,
        "shutdown_date": ends,
        "byok": {
            "available": bool(seen.own),
            "providers": _providers(seen.own),
        },
        "providers": _providers(model.offers),
        "endpoints": sorted(f"/v1/{endpoint}" for endpoint in served_at),
    }


def whole(seen: Seen, keys: Sequence[Key], now: datetime) -> Json:
    """The answer about one model: its entry, and each of its offerings with the keys for it."""
    found = entry(seen, now)
    byok = {**found["byok"], "keys": [str(key.id) for key in keys]}
    offerings = [_offering(seen, offer, keys, now) for offer in _own_first(seen)]
    return {**found, "byok": byok, "offerings": offerings}


def endpoints(seen: Seen, now: datetime) -> Json:
    """The answer about who serves a model, as OpenRouter's readers ask for it."""
    model = seen.model
    return {
        "data": {
            "id": model.id,
            "name": model.name,
            "created": model.created,
            "description": described(seen),
            "architecture": _architecture(model),
            "endpoints": [
                {
                    "name": f"{name_of(offer.provider)} | {model.id}",
                    "model_id": model.id,
                    "model_name": model.name,
                    "provider_name": name_of(offer.provider),
                    "tag": offer.provider,
                    "context_length": offer.context or 0,
                    "max_completion_tokens": offer.max_output,
                    "max_prompt_tokens": None,
                    **({"pricing": pricing(price)} if price else {}),
                    **({"supported_parameters": _taken(seen, [offer])} if seen.known else {}),
                }
                for offer in _own_first(seen)
                for price in (price_in_force(offer.prices, now, 0),)
            ],
        }
    }


def described(seen: Seen) -> str:
    """One sentence for a model picker: who makes it, how much it takes and gives, what it can."""
    model = seen.model
    prefix = model.id.partition("/")[0]
    if prefix in PROVIDERS and PROVIDERS[prefix].direct:
        said = f"{model.name}, served only with a key of {name_of(prefix)}"
    else:
        said = f"{model.name} by {_MAKERS.get(prefix, prefix)}"
    limits = []
    if seen.context:
        limits.append(f"{seen.context:,} tokens of context")
    if seen.max_output:
        limits.append(f"up to {seen.max_output:,} of output")
    if limits:
        said += f", with {_listed(limits)}"
    able = [words for each, words in _ABILITIES.items() if each in model.capabilities]
    return f"{said}; it {_listed(able)}." if able else f"{said}."


# Parts ------------------------------------------------------------------------------------------


def _architecture(model: Model) -> Json:
    sees = ["text", "image"] if "vision" in model.capabilities else ["text"]
    gives = ["embeddings"] if "embeddings" in model.capabilities else ["text"]
    return {
        "modality": f"{'+'.join(sees)}->{'+'.join(gives)}",
        "input_modalities": sees,
        "output_modalities": gives,
        "tokenizer": "Other",
    }


def _parameters(seen: Seen) -> list[str]:
    """What some provider that may serve the caller takes: the readers' word for it is supported."""
    return _taken(seen, seen.offers)


def _taken(seen: Seen, offers: Iterable[Offer]) -> list[str]:
    return sorted({name for offer in offers for name in taken(seen.model, offer)})


def _offering(seen: Seen, offer: Offer, keys: Sequence[Key], now: datetime) -> Json:
    price = price_in_force(offer.prices, now, 0)
    provider, own = PROVIDERS[offer.provider], offer in seen.own
    return {
        "provider": offer.provider,
        "provider_name": provider.name,
        "upstream_id": offer.upstream_id.removeprefix(GEO),
        "direct": provider.direct,
        "dialects": [str(endpoint) for endpoint in _spoken(offer)],
        "endpoints": [f"/v1/{endpoint}" for endpoint in _served_at(offer)],
        "context_length": offer.context,
        "max_output_tokens": offer.max_output,
        **({"supported_parameters": _taken(seen, [offer])} if seen.known else {}),
        **({"pricing": pricing(price)} if price else {}),
        "prices": [_priced(rate) for rate in _in_force_or_coming(offer.prices, now)],
        "byok": {
            "available": own,
            "keys": [str(key.id) for key in keys if own and key.provider == offer.provider],
        },
        "retires_on": offer.retires_on.isoformat() if offer.retires_on else None,
    }


def _spoken(offer: Offer) -> list[Endpoint]:
    """The dialects in which the provider takes this model's requests as they are."""
    provider = PROVIDERS[offer.provider]
    return [
        endpoint
        for endpoint in offer.endpoints
        if provider.speaks(offer.upstream_id, endpoint, with_tools=False)
    ]


def _served_at(offer: Offer) -> list[Endpoint]:
    """Our endpoints at which the offer can be asked for, translated or not."""
    provider = PROVIDERS[offer.provider]
    return [
        endpoint
        for endpoint in SERVED
        if provider.spoken_for(endpoint, offer.upstream_id, offer.endpoints)
    ]


def _own_first(seen: Seen) -> list[Offer]:
    return sorted(seen.model.offers, key=lambda offer: offer not in seen.own)


def _providers(offers: Iterable[Offer]) -> list[str]:
    return list(dict.fromkeys(offer.provider for offer in offers))


def _least(limits: Iterable[int | None], otherwise: int | None) -> int | None:
    return min((limit for limit in limits if limit), default=otherwise)


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


# Prices -----------------------------------------------------------------------------------------


def _first_price(offers: Iterable[Offer], now: datetime) -> Rate | None:
    prices = (price_in_force(offer.prices, now, 0) for offer in offers)
    return next(filter(None, prices), None)


def pricing(price: Rate) -> dict[str, str]:
    """In dollars a token, as decimal strings. Readers take a price of cached tokens for the news
    that prompts are cached, so there is none where they cost what others do."""
    found = {"prompt": dollars(price.input), "completion": dollars(price.output)}
    if price.cache_read is not None:
        found["input_cache_read"] = dollars(price.cache_read)
    if price.cache_write is not None:
        found["input_cache_write"] = dollars(price.cache_write)
    return found


def _priced(price: Rate) -> Json:
    long = price.cache_write_long
    return {
        "starts_at": price.starts_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "above_tokens": price.above_tokens,
        "hours": price.hours,
        **pricing(price),
        **({"input_cache_write_long": dollars(long)} if long is not None else {}),
    }


def _in_force_or_coming(prices: Sequence[Rate], now: datetime) -> list[Rate]:
    """Without those that one for all prompts at all hours has ended."""
    always = [
        price.starts_at
        for price in prices
        if price.starts_at <= now and not price.above_tokens and price.hours is None
    ]
    since = max(always, default=None)
    return sorted(
        (price for price in prices if since is None or price.starts_at >= since),
        key=lambda price: (price.starts_at, price.above_tokens, price.hours is not None),
    )


def dollars(units: int) -> str:
    """10⁻¹² dollars as a plain decimal, without the rounding of a float."""
    dollars, rest = divmod(units, 10**12)
    return f"{dollars}.{rest:012d}".rstrip("0").rstrip(".")
