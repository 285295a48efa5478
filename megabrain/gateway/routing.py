"""Which provider keys are tried for a request, in which order, and why each other one is not.

Pure: it sees values and decides. `Cooling` is what recent answers have taught this process.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from byok.catalogue import near_matches
from byok.models import ProviderKey
from byok.models.keys import COOLING
from byok.providers import PROVIDERS, name_of
from byok.providers.base import Endpoint, Provider
from megabrain.gateway.callers import Caller, Organization
from megabrain.gateway.cooling import Cooling
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.keyholder import Keyholder, settings_page
from megabrain.gateway.snapshot import Catalogue, Key, Model, Offer

#: How many models a message names.
SOME = 5

_Health = ProviderKey.Health


class Skip(StrEnum):
    """Why a key is not tried."""

    DISABLED = "disabled"
    UNSEALABLE = "unsealable"
    OTHER_MODELS = "other_models"
    OTHER_DIALECT = "other_dialect"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key that can serve the request, and as what its provider knows the model."""

    key: Key
    provider: Provider
    offer: Offer


@dataclass(frozen=True, slots=True)
class Route:
    """The keys to try, best first, and the others with the reason they are left out."""

    model: Model
    candidates: tuple[Candidate, ...]
    skipped: tuple[tuple[Key, Skip], ...]


def find_model(catalogue: Catalogue, caller: Caller, name: str) -> Model:
    """The model that the caller means and may use. Raises Problem."""
    model = catalogue.find(name)
    if model is None:
        raise unknown_model(catalogue, name)
    if caller.allowed_models is not None and model.id not in caller.allowed_models:
        raise _not_allowed(model.id, caller.organization)
    return model


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


def unknown_model(catalogue: Catalogue, name: str) -> Problem:
    close = near_matches(name, catalogue.known)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    # Claude Code looks for "model:" in a message before it tells people how to choose another.
    return Problem(
        Code.MODEL_NOT_FOUND,
        f"model: {_shortened(name)} is not in the catalogue.{hint} GET /v1/models lists all.",
        param="model",
    )


def route(
    model: Model, keys: Iterable[Key], endpoint: Endpoint, cooling: Cooling, now: datetime
) -> Route:
    """The route of a request for `model`. It may have no candidate: `no_candidate` says why."""
    offers = _offers(model, endpoint)
    candidates: list[tuple[int, Candidate]] = []
    skipped: list[tuple[Key, Skip]] = []
    for key in keys:
        offer = offers.get(key.provider)
        reason = _reason_to_skip(key, offer, endpoint)
        if reason is not None or offer is None:
            skipped.append((key, reason or Skip.OTHER_MODELS))
            continue
        found = Candidate(key, PROVIDERS[key.provider], offer)
        candidates.append((_rank(key, model.id, cooling, now), found))
    # Sorting is stable, so among equals the key added first stays first from call to call, and
    # with it the provider's prompt cache.
    candidates.sort(key=lambda ranked: ranked[0])
    return Route(model, tuple(found for _, found in candidates), tuple(skipped))


def usable_now(candidate: Candidate, keys: Iterable[Key]) -> Candidate | None:
    """The candidate with its key as it is by now, or None if that is gone, off or unreadable."""
    for key in keys:
        if key.id == candidate.key.id and key.enabled and key.trouble is None:
            return replace(candidate, key=key)
    return None


def _offers(model: Model, endpoint: Endpoint) -> dict[str, Offer]:
    """What each provider offers: the first that has the endpoint, or else the first."""
    found: dict[str, Offer] = {}
    for offer in model.offers:
        known = found.get(offer.provider)
        if known is None or (endpoint in offer.endpoints and endpoint not in known.endpoints):
            found[offer.provider] = offer
    return found


def _reason_to_skip(key: Key, offer: Offer | None, endpoint: Endpoint) -> Skip | None:
    if offer is None:
        return Skip.OTHER_MODELS
    if not key.enabled:
        return Skip.DISABLED
    if key.trouble is not None:
        return Skip.UNSEALABLE
    if endpoint not in offer.endpoints:
        return Skip.OTHER_DIALECT
    return None


def _rank(key: Key, model: str, cooling: Cooling, now: datetime) -> int:
    """0 for a key that ought to work, more for one that is likely not to. All are tried."""
    if cooling.lacks(key.id, model):
        return 3
    if key.health == _Health.FAILING:
        return 2
    cools = cooling.cools(key.id)
    if cools is None and key.health == _Health.COOLING:
        # Another process has met the limit, and wrote down only when.
        cools = key.health_at is not None and now - key.health_at < COOLING
    return 1 if cools else 0


def no_candidate(found: Route, endpoint: Endpoint, holder: Keyholder) -> Problem:
    """Why no key of the account can serve the request, and what to do about it."""
    reasons = {skip: key for key, skip in reversed(found.skipped)}
    model = found.model
    if not any(endpoint in offer.endpoints for offer in model.offers):
        served = {served for offer in model.offers for served in offer.endpoints}
        return _elsewhere(model.id, f"{model.id} is served", served, endpoint)
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
        return _elsewhere(model.id, with_keys, served, endpoint)
    if Skip.UNSEALABLE in reasons:
        key = reasons[Skip.UNSEALABLE]
        return Problem(
            Code.BYOK_KEY_REQUIRED,
            f"The stored {name_of(key.provider)} key {key.shown} can no longer be opened, so it "
            f"cannot serve {model.id}. {holder.advise('enter it again')}",
        )
    names = " or ".join(name_of(offer.provider) for offer in model.offers)
    if Skip.DISABLED in reasons:
        key = reasons[Skip.DISABLED]
        return Problem(
            Code.BYOK_KEY_REQUIRED,
            f"{model.id} needs a provider key, and {holder.whose} {name_of(key.provider)} key "
            f"{key.shown} is disabled. {holder.advise(f'enable it, or add a key of {names}')}",
        )
    if holder.organization is None:
        needed = f"{model.id} needs a provider key of your own."
    else:
        needed = f"{holder.organization.name} has no enabled provider key that serves {model.id}."
    return Problem(Code.BYOK_KEY_REQUIRED, f"{needed} {holder.advise(f'add one of {names}')}")


def _elsewhere(model: str, subject: str, served: set[Endpoint], asked: Endpoint) -> Problem:
    """The model is to be had, in another dialect."""
    if asked is Endpoint.COUNT_TOKENS:
        message = f"The providers of {model} do not count tokens ahead of a call."
    else:
        message = (
            f"{subject} at {_places(served - {Endpoint.COUNT_TOKENS})}, not at /v1/{asked}. "
            "Send the request there, or choose another model."
        )
    return Problem(Code.ENDPOINT_NOT_SUPPORTED, message)


def _listed(ids: Iterable[str]) -> str:
    """Some of them, so that a long list does not hide what else the message says."""
    names = sorted(ids)
    more = len(names) - SOME
    if more > 1:
        names = [*names[:SOME], f"{more} more"]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:]))) or "no model"


def _places(endpoints: set[Endpoint]) -> str:
    return " and ".join(f"/v1/{endpoint}" for endpoint in Endpoint if endpoint in endpoints)


def _shortened(name: str) -> str:
    return name if len(name) <= 200 else name[:199] + "…"
