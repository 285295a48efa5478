"""The views that list models: all of a caller's, or one with those that serve it."""

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from byok.providers.endpoints import SERVED, Endpoint
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.keyholder import keyholder
from megabrain.gateway.model_entries import Json, Seen, endpoints, whole
from megabrain.gateway.model_list import LEAST_PACKED, Viewer, tagged, usable
from megabrain.gateway.reply import ASKED_AGAIN, Reply
from megabrain.gateway.request import Request
from megabrain.gateway.routing import find_model, no_candidate, reachable, route
from megabrain.gateway.views import answer_error, known_caller, look_up

if TYPE_CHECKING:
    from megabrain.gateway.app import Gateway
    from megabrain.gateway.callers import Caller

#: What OpenRouter's readers put behind the id of a model, to learn who serves it.
_ENDPOINTS = "/endpoints"
_VARY = (b"vary", b"accept-encoding, anthropic-version, x-megabrain-organization")
_ENCODER = msgspec.json.Encoder()
_TAG = re.compile(r'(?:W/)?("[^"]*")')
_GZIP = re.compile(r"(?:^|,)\s*(?:x-)?gzip\s*(?:;\s*q=([\d.]+)\s*)?(?=,|$)", re.IGNORECASE)


async def models(gateway: "Gateway", request: Request) -> None:
    """GET /v1/models: OpenAI's list, or Anthropic's for whoever says which version of it.

    Codex asks with `client_version` and gets the same. Its own form would have to bring a system
    prompt for each model, in place of the one that Codex has itself.
    """
    call, reply, dialect = look_up(request)
    try:
        who = await known_caller(gateway, request, call)
        async with gateway.limits.within(who):
            catalogue = await gateway.snapshot.catalogue.get(None)
            keys = await gateway.snapshot.keys.get(who.account_id)
            listing = await gateway.model_lists.listing(catalogue, Viewer.of(keys, who))
            page = listing.openai
            if "anthropic-version" in request.headers:
                asked = listing.anthropic(request.query)
                if asked is None:
                    raise Problem(
                        Code.INVALID_REQUEST,
                        "limit must be 1 to 1000, and after_id and before_id ids of the list.",
                    )
                page = asked
            packed = page.size >= LEAST_PACKED and _takes_gzip(request)
            tag = tagged(page, packed=packed)
            # Whichever of the two forms a caller has, it has the list.
            both = {tagged(page, packed=each) for each in (True, False)}
            if _has(request, both):
                await _unchanged(reply, tag)
                return
            body = await gateway.model_lists.answer(page, packed=packed)
        headers = [(b"etag", tag.encode()), _VARY]
        if packed:
            headers.append((b"content-encoding", b"gzip"))
        await reply.whole(200, body, headers, kept=ASKED_AGAIN)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the caller gets an answer.
        await answer_error(error, reply, dialect, call)


async def model(gateway: "Gateway", request: Request, name: str) -> None:
    """GET /v1/models/{id}, under any spelling that a call would accept; with /endpoints behind it,
    in OpenRouter's form for who serves it."""
    call, reply, dialect = look_up(request)
    try:
        who = await known_caller(gateway, request, call)
        async with gateway.limits.within(who):
            found = await _found(gateway, who, name)
        body = _ENCODER.encode(found)
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        if _has(request, {tag}):
            await _unchanged(reply, tag)
        else:
            await reply.whole(200, body, [(b"etag", tag.encode()), _VARY], kept=ASKED_AGAIN)
    except Exception as error:  # noqa: BLE001 -- as above.
        await answer_error(error, reply, dialect, call)


async def _found(gateway: "Gateway", who: "Caller", name: str) -> Json:
    catalogue = await gateway.snapshot.catalogue.get(None)
    keys = await gateway.snapshot.keys.get(who.account_id)
    found = find_model(catalogue, keys, who, name.removesuffix(_ENDPOINTS))
    seen = Viewer.of(keys, who).sees(found, known=found.id in catalogue.models)
    now = datetime.now(UTC)
    if not seen.own and (not seen.known or found.id in catalogue.direct):
        # A call would be told the same: which key is missing, or what is wrong with it.
        asked = next((each for each in SERVED if reachable(found, each)), Endpoint.CHAT)
        raise no_candidate(route(found, keys, asked, gateway.cooling, now), asked, keyholder(who))
    if name.endswith(_ENDPOINTS):
        return endpoints(seen, now)
    able = [key for key in usable(keys) if _is_for(key.provider, seen)]
    return whole(seen, able, now)


def _is_for(provider: str, seen: Seen) -> bool:
    return any(offer.provider == provider for offer in seen.own)


# Whether an answer is needed --------------------------------------------------------------------


def _has(request: Request, tags: set[str]) -> bool:
    """Whether the caller says that it has one of these already."""
    said = request.headers.get("if-none-match", "")
    return said.strip() == "*" or not tags.isdisjoint(_TAG.findall(said))


async def _unchanged(reply: Reply, tag: str) -> None:
    await reply.whole(304, b"", [(b"etag", tag.encode()), _VARY], kept=ASKED_AGAIN)


def _takes_gzip(request: Request) -> bool:
    found = _GZIP.search(request.headers.get("accept-encoding", ""))
    # Nothing but noughts after q= means that it is not taken.
    return found is not None and (found[1] is None or bool(found[1].strip("0.")))
