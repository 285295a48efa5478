"""A route in words: which keys would be tried for a model, in which order, and why not others."""

from typing import Any

from byok.providers import name_of
from byok.providers.bedrock.regions import GEO
from byok.providers.endpoints import ALIKE, Endpoint
from byok.routing import why_here, why_skipped
from megabrain.gateway.errors import Problem
from megabrain.gateway.routing import Route

Json = dict[str, Any]


def explained(found: Route, endpoint: Endpoint, problem: Problem | None) -> Json:
    """The answer of GET /v1/route. `problem` is what a call is told where no key serves it."""
    return {
        "object": "route",
        "model": found.model.id,
        "endpoint": f"/v1/{endpoint}",
        "payer": "byok" if found.stops else "none",
        "keys": [
            {
                "position": position,
                "key": str(stop.key.id),
                "provider": stop.key.provider,
                "provider_name": name_of(stop.key.provider),
                "upstream_model": stop.offer.upstream_id.removeprefix(GEO),
                "upstream_dialect": str(stop.endpoint),
                "translated": stop.endpoint is not endpoint
                and (endpoint, stop.endpoint) not in ALIKE,
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
        "error": None
        if problem is None
        else {"code": problem.code_for(endpoint), "message": problem.message},
    }
