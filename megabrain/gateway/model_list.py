"""The list of models, in shapes that every client's model picker can read."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from billing.prices import price_in_force
from byok.providers.endpoints import SERVED
from megabrain.gateway.callers import Caller
from megabrain.gateway.routing import reachable
from megabrain.gateway.snapshot import Catalogue, Key, Model

MAX_LISTS = 256
ANTHROPIC_PAGE = 20
ANTHROPIC_MOST = 1000

_ENCODER = msgspec.json.Encoder()
Json = dict[str, Any]  # What a reader of the list wants is JSON of many shapes.


@dataclass(frozen=True, slots=True)
class Listing:
    """The models of a caller, by id, as entries with the fields of every reader together."""

    entries: dict[str, Json]
    openai: bytes
    etag: str


class ModelLists:
    """The lists made so far. Callers whose keys are of the same providers see the same."""

    def __init__(self) -> None:
        self._made: OrderedDict[object, tuple[Catalogue, Listing]] = OrderedDict()

    def listing(self, catalogue: Catalogue, keys: Iterable[Key], caller: Caller) -> Listing:
        own = frozenset(key.provider for key in keys if key.enabled and key.trouble is None)
        who = (own, caller.allowed_models)
        made = self._made.get(who)
        if made is not None and made[0] is catalogue:
            return made[1]
        listing = _listing(catalogue, own, caller)
        self._made[who] = (catalogue, listing)
        if len(self._made) > MAX_LISTS:
            self._made.popitem(last=False)
        return listing


def _listing(catalogue: Catalogue, own: frozenset[str], caller: Caller) -> Listing:
    now = datetime.now(UTC)
    entries = {
        model.id: _entry(model, own, now)
        for model in sorted(catalogue.models.values(), key=lambda model: model.id)
        if caller.allowed_models is None or model.id in caller.allowed_models
    }
    body = _ENCODER.encode(
        {"object": "list", "data": list(entries.values()), "total_count": len(entries)}
    )
    return Listing(entries, body, f'"{sha256(body).hexdigest()[:32]}"')


def _entry(model: Model, own: frozenset[str], now: datetime) -> Json:
    """Everything that some reader wants to know of a model, in one object."""
    served = [offer for offer in model.offers if offer.provider in own]
    endpoints = sorted(str(endpoint) for endpoint in SERVED if reachable(model, endpoint))
    sees = ["text", "image"] if "vision" in model.capabilities else ["text"]
    created = datetime.fromtimestamp(model.created, UTC)
    return {
        "id": model.id,
        "object": "model",
        "type": "model",
        "created": model.created,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "owned_by": model.id.partition("/")[0],
        "name": model.name,
        "display_name": model.name,
        "description": "",
        "canonical_slug": model.id,
        "context_length": model.context or 0,
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
        "architecture": {
            "modality": f"{'+'.join(sees)}->text",
            "input_modalities": sees,
            "output_modalities": ["text"],
            "tokenizer": "Other",
        },
        "pricing": _pricing(model, own, now),
        "top_provider": {
            "context_length": model.context,
            "max_completion_tokens": model.max_output,
            "is_moderated": False,
        },
        "supported_parameters": _parameters(model),
        "capabilities": list(model.capabilities),
        "per_request_limits": None,
        "byok": {
            "available": bool(served),
            "providers": [offer.provider for offer in served],
        },
        "providers": [offer.provider for offer in model.offers],
        "endpoints": [f"/v1/{endpoint}" for endpoint in endpoints],
    }


def _pricing(model: Model, own: frozenset[str], now: datetime) -> dict[str, str]:
    """In dollars a token, as decimal strings; of a provider whose key the caller has, if any."""
    offers = sorted(model.offers, key=lambda offer: offer.provider not in own)
    for offer in offers:
        price = price_in_force(offer.prices, now, 0)
        if price is None:
            continue
        found = {"prompt": _dollars(price.input), "completion": _dollars(price.output)}
        if price.cache_read is not None:
            found["input_cache_read"] = _dollars(price.cache_read)
        if price.cache_write is not None:
            found["input_cache_write"] = _dollars(price.cache_write)
        return {**found, "request": "0", "image": "0"}
    return {"prompt": "0", "completion": "0", "request": "0", "image": "0"}


def _dollars(units: int) -> str:
    """10⁻¹² dollars as a plain decimal, without the rounding of a float."""
    whole, rest = divmod(units, 10**12)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".")


def _parameters(model: Model) -> list[str]:
    found = ["max_tokens", "stop", "temperature", "top_p"]
    if "tools" in model.capabilities:
        found += ["tools", "tool_choice"]
    if "reasoning" in model.capabilities:
        found += ["reasoning", "include_reasoning"]
    return sorted(found)


def anthropic_page(listing: Listing, query: dict[str, str]) -> bytes | None:
    """One page in Anthropic's shape, or None for a cursor or a limit that makes no sense."""
    ids = list(listing.entries)
    limit = query.get("limit", str(ANTHROPIC_PAGE))
    # Python refuses to read a number of thousands of digits.
    if not limit.isdecimal() or len(limit) > 9 or not 1 <= int(limit) <= ANTHROPIC_MOST:
        return None
    size = int(limit)
    after, before = query.get("after_id"), query.get("before_id")
    if any(cursor is not None and cursor not in listing.entries for cursor in (after, before)):
        return None
    if before is not None:
        earlier = ids[: ids.index(before)]
        page, more = earlier[-size:], len(earlier) > size
    else:
        later = ids[ids.index(after) + 1 :] if after is not None else ids
        page, more = later[:size], len(later) > size
    return _ENCODER.encode(
        {
            "data": [listing.entries[id_] for id_ in page],
            "has_more": more,
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
        }
    )


def one(listing: Listing, id_: str) -> bytes | None:
    entry = listing.entries.get(id_)
    return _ENCODER.encode(entry) if entry else None
