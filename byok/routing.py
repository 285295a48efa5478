"""Which of an account's keys are tried for a model, in which order, and why each other one is not.

Pure: it sees values and decides. The gateway routes by it, with what its process has learnt from
recent answers on top; the page that explains a route shows what everybody knows.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from byok.models import ProviderKey
from byok.models.keys import COOLING
from byok.providers import PROVIDERS, name_of
from byok.providers.base import Endpoint

Health = ProviderKey.Health


class Skip(StrEnum):
    """Why a key is not tried."""

    DISABLED = "disabled"
    UNSEALABLE = "unsealable"
    OTHER_MODELS = "other_models"
    OTHER_DIALECT = "other_dialect"
    #: The provider lists the model, and not for this key.
    NOT_LISTED = "not_listed"


class Standing(IntEnum):
    """How likely a key is to serve the request; the lower, the earlier it is tried."""

    READY = 0
    PAUSING = 1
    FAILING = 2
    LACKING = 3


class Offered(Protocol):
    """A provider serves a model under this id, at these endpoints."""

    @property
    def provider(self) -> str: ...
    @property
    def upstream_id(self) -> str: ...
    @property
    def endpoints(self) -> Sequence[Endpoint]: ...


class Held(Protocol):
    """A provider key of the account. `trouble` says why it cannot be opened, if it cannot, and
    `lacking` which upstream ids its provider does not list for it although it lists them."""

    @property
    def id(self) -> UUID: ...
    @property
    def provider(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def trouble(self) -> object | None: ...
    @property
    def health(self) -> str: ...
    @property
    def health_at(self) -> datetime | None: ...
    @property
    def lacking(self) -> Set[str]: ...


O = TypeVar("O", bound=Offered)  # noqa: E741 - an offering
K = TypeVar("K", bound=Held)


class Knows(Protocol):
    """What a process has learnt of keys and providers from recent answers."""

    def cools(self, key: UUID) -> bool | None: ...
    def lacks(self, key: UUID, model: str) -> bool: ...
    def out_of_order(self, key: Held) -> bool: ...


@dataclass(frozen=True, slots=True)
class Stop(Generic[K, O]):
    """A key on a route: as what its provider knows the model, and the dialect spoken there."""

    key: K
    offer: O
    endpoint: Endpoint
    standing: Standing


@dataclass(frozen=True, slots=True)
class Plan(Generic[K, O]):
    """The stops, best first, and the other keys with the reason they are left out."""

    stops: tuple[Stop[K, O], ...]
    skipped: tuple[tuple[K, Skip], ...]


def plan(
    model: str,
    offers: Iterable[O],
    keys: Iterable[K],
    endpoint: Endpoint,
    now: datetime,
    *,
    knows: Knows | None = None,
    with_tools: bool = False,
) -> Plan[K, O]:
    """The route of a request for `model` at `endpoint`, with the account's keys in their order."""
    offers = tuple(offers)
    best = best_offers(offers, endpoint, with_tools=with_tools)
    stops: list[Stop[K, O]] = []
    skipped: list[tuple[K, Skip]] = []
    for key in keys:
        offer, spoken = best.get(key.provider, (None, None))
        if offer is not None and offer.upstream_id in key.lacking:
            # Perhaps the provider has the model under another id, which it lists.
            listed = (each for each in offers if each.upstream_id not in key.lacking)
            others = best_offers(listed, endpoint, with_tools=with_tools)
            offer, spoken = others.get(key.provider, (offer, spoken))
        reason = _skip(key, offer, spoken)
        if reason is not None or offer is None or spoken is None:
            skipped.append((key, reason or Skip.OTHER_MODELS))
        else:
            stops.append(Stop(key, offer, spoken, _standing(key, model, knows, now)))
    # Sorting is stable, so among equals the key added first stays first from call to call, and
    # with it the provider's prompt cache.
    stops.sort(key=lambda stop: stop.standing)
    return Plan(tuple(stops), tuple(skipped))


def best_offers(
    offers: Iterable[O], endpoint: Endpoint, *, with_tools: bool = False
) -> Mapping[str, tuple[O, Endpoint | None]]:
    """By provider, what it offers and the dialect it would be asked in: the first offering that
    has one, or else the first."""
    found: dict[str, tuple[O, Endpoint | None]] = {}
    for offer in offers:
        spoken = PROVIDERS[offer.provider].spoken_for(
            endpoint, offer.upstream_id, offer.endpoints, with_tools=with_tools
        )
        known = found.get(offer.provider)
        if known is None or (known[1] is None and spoken is not None):
            found[offer.provider] = (offer, spoken)
    return found


def _skip(key: Held, offer: Offered | None, spoken: Endpoint | None) -> Skip | None:
    if offer is None:
        return Skip.OTHER_MODELS
    if not key.enabled:
        return Skip.DISABLED
    if key.trouble is not None:
        return Skip.UNSEALABLE
    if not PROVIDERS[key.provider].serves(offer.upstream_id, key.host):
        return Skip.OTHER_MODELS
    if offer.upstream_id in key.lacking:
        return Skip.NOT_LISTED
    return Skip.OTHER_DIALECT if spoken is None else None


def _standing(key: Held, model: str, knows: Knows | None, now: datetime) -> Standing:
    if knows is not None and knows.lacks(key.id, model):
        return Standing.LACKING
    if key.health == Health.FAILING:
        return Standing.FAILING
    cools = knows.cools(key.id) if knows is not None else None
    if cools is None and key.health == Health.COOLING:
        # Another process has met the limit, and wrote down only when.
        cools = key.health_at is not None and now - key.health_at < COOLING
    broken = knows is not None and knows.out_of_order(key)
    return Standing.PAUSING if cools or broken else Standing.READY


# Words ------------------------------------------------------------------------------------------


def why_skipped(key: Held, skip: Skip, model: str) -> str:
    """A sentence for whoever asks why this key is not tried."""
    name = name_of(key.provider)
    match skip:
        case Skip.DISABLED:
            return f"The {name} key is switched off. Enable it to let it serve {model}."
        case Skip.UNSEALABLE:
            return f"The stored {name} key can no longer be opened. Enter it again with Update."
        case Skip.OTHER_DIALECT:
            return f"{name} serves {model} at another endpoint than this request's."
        case Skip.OTHER_MODELS:
            return f"{name} does not serve {model} to this key."
        case Skip.NOT_LISTED:
            return (
                f"{name} does not list {model} for this key. If that has changed there, test the "
                "key again."
            )


def why_here(stop: "Stop[K, O]", position: int) -> str:
    """A sentence for whoever asks why this key has its place; positions count from 1."""
    name = name_of(stop.key.provider)
    match stop.standing:
        case Standing.READY if position == 1:
            return f"{name} is asked first."
        case Standing.READY:
            return f"{name} is asked if every key before it fails."
        case Standing.PAUSING:
            return f"{name} asked for a pause or was out of order a moment ago, so it comes later."
        case Standing.FAILING:
            return f"The last call with this key failed, so {name} comes after those that work."
        case Standing.LACKING:
            return f"{name} said a moment ago that this key may not use the model, so it is last."
