"""When a call goes on to MegaBrain's own provider keys, and the balance of its account pays.

Pure but for the last two, which ask for those keys: like byok/routing.py, which plans over them as
over any, it sees values and decides. The gateway goes by it; pages and GET /v1/route tell it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from byok.catalogue.held import keys_of_megabrain
from byok.catalogue.memory import Catalogue, Model, Offer
from byok.models import ProviderKey
from byok.providers import PROVIDERS
from byok.providers.base import Endpoint
from byok.routing import Skip


class When(StrEnum):
    """At which point of a call the balance pays."""

    FIRST = "first"
    AFTER = "after"
    NEVER = "never"


class FallsBack(Protocol):
    """A key of the account: whether MegaBrain's own may take over when it fails."""

    @property
    def falls_back(self) -> bool: ...


class Stop(Protocol):
    @property
    def key(self) -> FallsBack: ...


class Route(Protocol):
    """A plan over the account's keys."""

    @property
    def stops(self) -> Sequence[Stop]: ...
    @property
    def skipped(self) -> Sequence[tuple[FallsBack, Skip]]: ...


def sold(model: Model, catalogue: Catalogue, at: datetime) -> list[Offer]:
    """The offers that a balance can pay for.

    What nobody knows the price of is not sold, and neither is what costs more than its tokens, or
    is offered directly: these are there for whoever has a key of their own.
    """
    if model.id in catalogue.direct:
        return []
    return [
        offer
        for offer in model.offers
        if not PROVIDERS[offer.provider].direct
        and PROVIDERS[offer.provider].fees.isdisjoint(offer.endpoints)
        and offer.is_priced(at)
    ]


def falls_back(route: Route) -> bool:
    """Whether all its keys, one that cannot be opened included, are to fall back on the balance
    when they fail; as they do where there is none."""
    failing = [key for key, skip in route.skipped if skip is Skip.UNSEALABLE]
    return all(key.falls_back for key in (*failing, *(stop.key for stop in route.stops)))


def when(route: Route, endpoint: Endpoint, *, served: bool) -> tuple[When, str]:
    """When the balance pays for a call with this route, and why; `served` says whether MegaBrain's
    own keys would serve it."""
    if endpoint is Endpoint.COUNT_TOKENS:
        return When.NEVER, "Tokens are counted without charge."
    if not served:
        return When.NEVER, "None of MegaBrain's own keys serves this call."
    if falls_back(route):
        if route.stops:
            return When.AFTER, "If every key fails, as chosen for these keys under On failure."
        return When.FIRST, "No enabled key of the account serves this call, so the balance pays."
    if not route.stops:
        return When.NEVER, "A key that cannot be opened is to fail, and not to fall back on it."
    return When.NEVER, "A key of the account serves this call, and if it fails, so does the call."


def own_keys_serve() -> bool:
    """Whether there is anything to be had for a balance here: MegaBrain has an enabled key."""
    return ProviderKey.objects.of_megabrain().enabled().exists()


def served_by_megabrain(models: Iterable[Model], catalogue: Catalogue, at: datetime) -> set[str]:
    """The ids of those that a balance pays for where no key of the account serves them: they are
    sold, and one of MegaBrain's own enabled keys serves them. In at most one query."""
    offers = {model.id: sold(model, catalogue, at) for model in models}
    keys = keys_of_megabrain() if any(offers.values()) else []
    return {
        id_
        for id_, offered in offers.items()
        if any(key.serves(offer) for key in keys for offer in offered)
    }
