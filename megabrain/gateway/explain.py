"""A route in words: which keys would be tried for a model, in which order, and why not others."""

from typing import Any

from byok.balance import When, when
from byok.catalogue.memory import Offer
from byok.providers import name_of
from byok.providers.bedrock.regions import GEO
from byok.providers.endpoints import ALIKE, Endpoint
from byok.routing import Stop, why_here, why_skipped
from megabrain.gateway.errors import Problem
from megabrain.gateway.routing import Route
from megabrain.gateway.snapshot import Key

Json = dict[str, Any]


def explained(found: Route, paid: Route, endpoint: Endpoint, problem: Problem | None) -> Json:
    """The answer of GET /v1/route. `paid` is the route over MegaBrain's own keys, and `problem`
    what a call is told that nobody serves."""
    balance = _balance(found, paid, endpoint)
    payer = "byok" if found.stops else "balance" if balance["when"] is When.FIRST else "none"
    return {
        "object": "route",
        "model": found.model.id,
        "endpoint": f"/v1/{endpoint}",
        "payer": payer,
        "keys": [
            {
                "position": position,
                "key": str(stop.key.id),
                **_asked(stop, endpoint),
                "on_failure": stop.key.on_failure,
                "standing": stop.standing.name.lower(),
                "reason": why_here(stop, position),
            }
            for position, stop in enumerate(found.stops, 1)
        ],
        "skipped": [
            {
                "key": str(key.id),
                "provider": key.provider,
                "provider_name": name_of(key.provider),
                "code": str(skip),
                "reason": why_skipped(key, skip, found.model.id),
            }
            for key, skip in found.skipped
        ],
        "balance": balance,
        "error": None
        if problem is None
        else {"code": problem.code_for(endpoint), "message": problem.message},
    }


def _asked(stop: "Stop[Key, Offer]", endpoint: Endpoint) -> Json:
    """Whom a call would go to, and in which dialect."""
    return {
        "provider": stop.key.provider,
        "provider_name": name_of(stop.key.provider),
        "upstream_model": stop.offer.upstream_id.removeprefix(GEO),
        "upstream_dialect": str(stop.endpoint),
        "translated": stop.endpoint is not endpoint and (endpoint, stop.endpoint) not in ALIKE,
    }


def _balance(found: Route, paid: Route, endpoint: Endpoint) -> Json:
    """Whether MegaBrain's own keys would serve, and the balance pay. Nothing is told of those keys
    but whose they are."""
    at, reason = when(found, endpoint, served=bool(paid.stops))
    stops = paid.stops if at is not When.NEVER else ()
    return {
        "holder": "MegaBrain",
        "when": at,
        "reason": reason,
        "route": [
            {"position": position, **_asked(stop, endpoint)}
            for position, stop in enumerate(stops, 1)
        ],
    }
