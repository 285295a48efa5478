"""The route of a request: its model, the keys that are tried for it, and what is said if none is.

Pure: it sees values and decides. Which keys, and in which order, is byok/routing.py's to say;
`Cooling` is what recent answers have taught this process.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from byok.balance import falls_back, sold
from byok.catalogue.memory import Catalogue, Model, Offer
from byok.catalogue.own import find_own
from byok.catalogue.spelling import near_matches
from byok.providers import PROVIDERS, name_of
from byok.providers.base import Endpoint, Provider
from byok.providers.endpoints import SERVED, TRANSLATED
from byok.routing import Skip, Stop, best_offers, plan
from megabrain.gateway.callers import Caller, Organization
from megabrain.gateway.cooling import Cooling
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.keyholder import Keyholder, keyholder, settings_page
from megabrain.gateway.snapshot import Key

#: How many models a message names.
SOME = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key that can serve the request, and as what its provider knows the model."""

    key: Key
    provider: Provider
    offer: Offer
    #: The dialect spoken there, which need not be the caller's.
    endpoint: Endpoint
    #: The limit of output tokens there, where it is known.
    max_output: int | None = None
    #: Whether the key is the caller's account's, and not MegaBrain's, for which its balance pays.
    own: bool = True

    @property
    def named(self) -> str:
        """Its key, as messages name it. Which of MegaBrain's own it was is nobody else's."""
        if self.own:
            return f"{self.provider.name} (key {self.key.shown})"
        return f"MegaBrain's own {self.provider.name} key"


@dataclass(frozen=True, slots=True)
class Route:
    """The keys to try, best first, and the others with the reason they are left out."""

    model: Model
    stops: tuple[Stop[Key, Offer], ...]
    skipped: tuple[tuple[Key, Skip], ...]
    own: bool = True

    @property
    def falls_back(self) -> bool:
        """Whether the balance may pay when all its keys have failed, or there is none."""
        return falls_back(self)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(
                stop.key,
                PROVIDERS[stop.key.provider],
                stop.offer,
                stop.endpoint,
                stop.offer.max_output,
                self.own,
            )
            for stop in self.stops
        )


def find_model(catalogue: Catalogue, keys: Sequence[Key], caller: Caller, name: str) -> Model:
    """The model that the caller means and may use. Raises Problem."""
    model = model_named(catalogue, keys, caller, name)
    allow(model, caller)
    return model


def model_named(catalogue: Catalogue, keys: Sequence[Key], caller: Caller, name: str) -> Model:
    """The model that the caller means: of the catalogue, or else an own entry of one of the keys,
    which are those of the caller's account. Raises Problem."""
    model = catalogue.find(name) or find_own(name, keys, catalogue)
    if model is None:
        raise unknown_model(catalogue, name, _never_asked(name, keys, caller))
    return model


def allow(model: Model, caller: Caller) -> None:
    """Raises Problem if the caller may not use it."""
    if caller.allowed_models is not None and model.id not in caller.allowed_models:
        raise _not_allowed(model.id, caller.organization)


def _not_allowed(model: str, organization: Organization | None) -> Problem:
    """Where both forbid it, the organization is named: no other token would help."""
    allowed = organization.allowed_models if organization else None
    if organization is None or allowed is None or model in allowed:
        message = f"This API token may not use {model}. Use one of its models, or another token."
    else:
        message = (
            f"The organization {organization.name} allows only {_listed(allowed)}, and not "
            f"{model}; its owners decide at {settings_page(organization)}."
        )
    return Problem(Code.MODEL_NOT_ALLOWED, message, param="model")


def _never_asked(name: str, keys: Iterable[Key], caller: Caller) -> str:
    """Of a key that may know more models than the catalogue: that nobody knows yet which."""
    prefix = name.strip().partition("/")[0].lower()
    held = any(key.provider == prefix and not key.own for key in keys)
    if not held or prefix not in PROVIDERS or not PROVIDERS[prefix].direct:
        return ""
    holder = keyholder(caller)
    return (
        f" Which other models {name_of(prefix)} has for {holder.whose} key is not known. "
        f"{holder.advise('test the key')}"
    )


def unknown_model(catalogue: Catalogue, name: str, more: str = "") -> Problem:
    close = near_matches(name, catalogue.known, catalogue.direct)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    # Claude Code looks for "model:" in a message before it tells people how to choose another.
    return Problem(
        Code.MODEL_NOT_FOUND,
        f"model: {_shortened(name)} is not in the catalogue.{hint} GET /v1/models lists all.{more}",
        param="model",
    )


def route(
    model: Model,
    keys: Iterable[Key],
    endpoint: Endpoint,
    cooling: Cooling,
    now: datetime,
    *,
    with_tools: bool = False,
) -> Route:
    """The route of a request for `model`. It may have no candidate: `no_candidate` says why."""
    found = plan(model.id, model.offers, keys, endpoint, now, knows=cooling, with_tools=with_tools)
    return Route(model, found.stops, found.skipped)


def balance_route(
    model: Model,
    catalogue: Catalogue,
    keys: Iterable[Key],
    endpoint: Endpoint,
    cooling: Cooling,
    now: datetime,
    *,
    with_tools: bool = False,
) -> Route:
    """The route of the same request over MegaBrain's own keys, for which the balance pays."""
    offers = sold(model, catalogue, now)
    found = plan(model.id, offers, keys, endpoint, now, knows=cooling, with_tools=with_tools)
    return Route(model, found.stops, found.skipped, own=False)


def usable_now(candidate: Candidate, keys: Iterable[Key]) -> Candidate | None:
    """The candidate with its key as it is by now, or None if that is gone, off or unreadable."""
    for key in keys:
        if key.id == candidate.key.id and key.enabled and key.trouble is None:
            return replace(candidate, key=key)
    return None


def nobody_serves(found: Route, paid: Route, endpoint: Endpoint, holder: Keyholder) -> Problem:
    """Why neither a key of the account can serve the request nor, `paid`, one of MegaBrain's own,
    and what to do about it. What is wrong with these is not the caller's."""
    if found.falls_back and reachable(found.model, endpoint):
        for key, skip in paid.skipped:
            if skip is Skip.UNSEALABLE:
                return Problem(
                    Code.UPSTREAM_UNAVAILABLE,
                    f"MegaBrain's own {name_of(key.provider)} key could not serve this call. "
                    "Try again in a moment.",
                )
    return no_candidate(found, endpoint, holder)


def no_candidate(found: Route, endpoint: Endpoint, holder: Keyholder) -> Problem:
    """Why no key of the account can serve the request, and what to do about it."""
    reasons = {skip: key for key, skip in reversed(found.skipped)}
    model = found.model
    if not reachable(model, endpoint):
        served = {served for offer in model.offers for served in offer.endpoints}
        return _elsewhere(f"{model.id} is served", served, endpoint)
    if Skip.OTHER_DIALECT in reasons:
        served = {
            served
            for key, skip in found.skipped
            if skip is Skip.OTHER_DIALECT
            for offer in model.offers
            if offer.provider == key.provider
            for served in offer.endpoints
        }
        with_keys = f"With {holder.whose} provider keys {model.id} is served"
        return _elsewhere(with_keys, served, endpoint)
    if Skip.UNSEALABLE in reasons:
        key = reasons[Skip.UNSEALABLE]
        return Problem(
            Code.BYOK_KEY_REQUIRED,
            f"The stored {name_of(key.provider)} key {key.shown} can no longer be opened, so it "
            f"cannot serve {model.id}. {holder.advise('enter it again')}",
        )
    able = best_offers(model.offers, endpoint)
    names = " or ".join(name_of(provider) for provider, (_, spoken) in able.items() if spoken)
    if Skip.DISABLED in reasons:
        key = reasons[Skip.DISABLED]
        return Problem(
            Code.BYOK_KEY_REQUIRED,
            f"{model.id} needs a provider key, and {holder.whose} {name_of(key.provider)} key "
            f"{key.shown} is disabled. {holder.advise(f'enable it, or add a key of {names}')}",
        )
    if Skip.NOT_LISTED in reasons:
        key = reasons[Skip.NOT_LISTED]
        name = name_of(key.provider)
        others = [
            name_of(id_) for id_, (_, spoken) in able.items() if spoken and id_ != key.provider
        ]
        remedy = "let the key use it there and test it again"
        if others:
            remedy += f", or add one of {' or '.join(others)}"
        return Problem(
            Code.BYOK_NO_ACCESS,
            f"{name} does not list {model.id} for {holder.whose} key {key.shown}, so no call for "
            f"it goes there. {holder.advise(remedy)}",
        )
    if holder.organization is None:
        needed = f"{model.id} needs a provider key of your own."
    else:
        needed = f"{holder.organization.name} has no enabled provider key that serves {model.id}."
    return Problem(Code.BYOK_KEY_REQUIRED, f"{needed} {holder.advise(f'add one of {names}')}")


def reachable(model: Model, endpoint: Endpoint) -> bool:
    """Whether a request at this endpoint can reach the model at any provider."""
    return any(spoken for _, spoken in best_offers(model.offers, endpoint).values())


def _elsewhere(subject: str, served: set[Endpoint], asked: Endpoint) -> Problem:
    """The model is to be had, in another dialect."""
    places = _places(served - {Endpoint.COUNT_TOKENS})
    if asked is Endpoint.FIM:
        # It may have come as a completion with a suffix, to one of the places.
        return Problem(
            Code.ENDPOINT_NOT_SUPPORTED,
            f"{subject} at {places}, where nothing is filled in before a suffix. Choose a model "
            "that fills in, or leave the suffix out.",
            param="suffix",
        )
    return Problem(
        Code.ENDPOINT_NOT_SUPPORTED,
        f"{subject} at {places}, not at /v1/{asked}. "
        "Send the request there, or choose another model.",
    )


def _listed(ids: Iterable[str]) -> str:
    """Some of them, so that a long list does not hide what else the message says."""
    names = sorted(ids)
    more = len(names) - SOME
    if more > 1:
        names = [*names[:SOME], f"{more} more"]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:]))) or "no model"


def _places(endpoints: set[Endpoint]) -> str:
    """The endpoints of ours at which what is served there can be asked for."""
    able = [
        own for own in SERVED if own in endpoints or endpoints.intersection(TRANSLATED.get(own, ()))
    ]
    return " and ".join(f"/v1/{endpoint}" for endpoint in able)


def _shortened(name: str) -> str:
    return name if len(name) <= 200 else name[:199] + "…"
