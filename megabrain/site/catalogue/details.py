"""What a model's own page tells beyond its line in the list."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from byok.catalogue.held import OwnKey
from byok.catalogue.memory import Model, Offer
from byok.models import Offering
from byok.providers import PROVIDERS, name_of
from byok.providers.bedrock.regions import GEO
from byok.providers.endpoints import SERVED, Endpoint
from megabrain.site.catalogue.cards import Card
from megabrain.site.catalogue.prices import Era, Figure, eras
from megabrain.site.templatetags.ui import listed
from orgs.access import account_url
from orgs.connect import Example, Examples
from orgs.models import Account


@dataclass(frozen=True, slots=True)
class Way:
    """A way to call a model, ready to copy: `template` takes base_url, token, models and model."""

    name: str
    endpoint: Endpoint
    template: str


WAYS = (
    Way("curl", Endpoint.CHAT, "components/connect/curl.html"),
    Way("OpenAI SDK", Endpoint.CHAT, "components/connect/openai_sdk.html"),
    Way("Anthropic SDK", Endpoint.MESSAGES, "components/connect/anthropic_sdk.html"),
    Way("Embeddings", Endpoint.EMBEDDINGS, "components/connect/embeddings.html"),
    Way("Fill-in-the-middle", Endpoint.FIM, "components/connect/fim.html"),
)


@dataclass(frozen=True, slots=True)
class Served:
    """An offering as the page tells it; `cached` are the columns of prices for what is cached."""

    offer: Offer
    eras: list[Era]
    cached: list[str]

    @classmethod
    def of(cls, offer: Offer, at: datetime) -> "Served":
        found = eras(offer.prices, at)
        return cls(offer, found, [label for label, _ in found[0].lines[0].cached] if found else [])

    @property
    def name(self) -> str:
        return name_of(self.offer.provider)

    @property
    def upstream_id(self) -> str:
        # Of which part of the world the profile is, the region in the key decides.
        return self.offer.upstream_id.removeprefix(GEO)

    @property
    def dialects(self) -> str:
        spoken = (each for each in self.offer.endpoints if each is not Endpoint.COUNT_TOKENS)
        return ", ".join(each.label for each in spoken)

    @property
    def confidence(self) -> str:
        return Offering.Confidence(self.offer.confidence).label

    @property
    def uncertain(self) -> bool:
        return self.offer.confidence == Offering.Confidence.UNCERTAIN


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A key of the viewer's account whose provider serves the model, and what comes of it."""

    name: str
    hint: str
    url: str
    word: str
    tone: str
    why: str = ""


def details(card: Card, now: datetime) -> dict[str, Any]:
    """What the template tells. Any: it goes to a template."""
    model, asked = card.model, asked_at(card.model)
    moment = now.astimezone(UTC)
    example = Example(model.id)
    return {
        "about": about(card),
        "direct_text": f"Choose {model.id} in your agent: no other name leads here. {_takes(card)}",
        "context_note": _tokens(card.context),
        "output_note": _tokens(card.max_output),
        "input_note": _a_million(card.input),
        "price_note": _a_million(card.output),
        "served": [Served.of(offer, moment) for offer in model.offers],
        "released_on": datetime.fromtimestamp(model.created, UTC).date() if model.created else None,
        "aliases": [] if card.direct else sorted({*model.aliases} - {model.id}),
        "examples": Examples(chat=example, responses=example, messages=example, small=example),
        "ways": [way for way in WAYS if way.endpoint in asked],
        "endpoints": [each.label for each in asked],
    }


def asked_at(model: Model) -> list[Endpoint]:
    """Where an agent can ask us for it, in its provider's own dialect or translated."""
    return [
        endpoint
        for endpoint in SERVED
        if endpoint is not Endpoint.COUNT_TOKENS
        and any(
            PROVIDERS[offer.provider].spoken_for(endpoint, offer.upstream_id, offer.endpoints)
            for offer in model.offers
        )
    ]


def _takes(card: Card) -> str:
    provider = listed(card.provider_names)
    if card.own:
        return f"It is known from the list of the {provider} key, which alone can call it."
    return f"It takes a key of {provider}, which bills the calls or has a plan for them."


def _tokens(limit: int | None) -> str:
    return "not known" if limit is None else f"{limit:,} tokens"


def _a_million(figure: Figure) -> str:
    return "not known" if figure.amount is None else "a million tokens"


def about(card: Card) -> str:
    """The model in a sentence or two."""
    does = {
        "tools": "calls tools",
        "vision": "sees images",
        "reasoning": "reasons before it answers",
        "search": "searches the web",
        "fim": "completes code between two pieces of it",
        "embeddings": "turns text into vectors",
    }
    can = [does[each] for each in card.capabilities if each in does]
    sentence = f"{card.model.name} is served by {listed(card.provider_names)}"
    if can:
        sentence += f". It {listed(can)}"
    return f"{sentence}."


def routes(model: Model, account: Account, keys: Iterable[OwnKey]) -> dict[str, Any]:
    """Which of the account's keys would serve it. Any: it goes to a template."""
    lines = []
    for key in keys:
        offers = [offer for offer in model.offers if offer.provider == key.provider]
        if offers:
            word, tone, why = _standing(key, offers)
            url = account_url("byok:details", account, key_id=key.id)
            lines.append(KeyLine(name_of(key.provider), key.hint, url, word, tone, why))
    offering = {offer.provider for offer in model.offers} - {key.provider for key in keys}
    wanted = sorted(((id_, name_of(id_)) for id_ in offering), key=lambda each: each[1].lower())
    endpoint = next(iter(asked_at(model)), Endpoint.CHAT)
    query = urlencode({"model": model.id, "endpoint": endpoint})
    whose = f"{account}’s" if account.is_organization else "my"
    allowed = account.allowed_models
    return {
        "keys_title": f"Which of {whose} keys would serve it?",
        "key_lines": lines,
        "wanted": wanted,
        "wanted_names": " or ".join(name for _, name in wanted),
        "route_url": f"{account_url('byok:route', account)}?{query}",
        "add_url": account_url("byok:add", account),
        "forbidden": allowed is not None and model.id not in allowed,
    }


def _standing(key: OwnKey, offers: list[Offer]) -> tuple[str, str, str]:
    """A word, its tone, and why it is not so good as it could be."""
    name = name_of(key.provider)
    if not any(key.takes(offer) for offer in offers):
        return "Other models", "neutral", f"Keys of this kind do not serve it at {name}."
    if not any(key.serves(offer) for offer in offers):
        return "No access", "warning", f"{name} does not list it for this key."
    if not key.enabled:
        return "Switched off", "neutral", "Enabled, it would serve the model."
    return "Would serve it", "success", ""
