"""The proxy views: one coroutine per endpoint."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import structlog

from billing.models import UsageRecord
from byok.providers.base import Endpoint
from byok.providers.endpoints import SERVED
from megabrain.gateway.auth import authenticate
from megabrain.gateway.balance import Balance
from megabrain.gateway.call import CLIENT_CLOSED, CLIENT_CLOSED_STATUS, Call
from megabrain.gateway.callers import Caller
from megabrain.gateway.dialects import DIALECTS, Dialect, parsed
from megabrain.gateway.dialects.base import Ask, Unreadable
from megabrain.gateway.dialects.counting import count_tokens
from megabrain.gateway.dialects.translation import Inexpressible
from megabrain.gateway.errors import Code, Problem, internal_error
from megabrain.gateway.explain import explained
from megabrain.gateway.keyholder import keyholder
from megabrain.gateway.relay import Relay
from megabrain.gateway.reply import Reply
from megabrain.gateway.request import ClientGone, Request
from megabrain.gateway.routing import (
    Candidate,
    allow,
    balance_route,
    find_model,
    model_named,
    nobody_serves,
    route,
    usable_now,
)
from megabrain.gateway.snapshot import FRESH_SECONDS, SnapshotUnavailable
from megabrain.gateway.telling import Telling
from megabrain.gateway.turns import in_turns
from megabrain.gateway.watch import Watch
from orgs.permissions import Permission

if TYPE_CHECKING:
    from megabrain.gateway.app import Gateway

log = structlog.get_logger(__name__)

BYOK = UsageRecord.Payer.BYOK
_ENCODER = msgspec.json.Encoder()


# Calls of a model -------------------------------------------------------------------------------


async def generate(gateway: "Gateway", request: Request, endpoint: Endpoint) -> None:
    """Serve one call with the account's own provider keys, or else with MegaBrain's, and settle it
    whatever happens."""
    call = Call(endpoint, request.headers)
    dialect = DIALECTS[endpoint]
    reply = Reply(request.send, call)
    try:
        caller = await known_caller(gateway, request, call)
        # Before the body is read, so that a flood is refused at the price of its headers.
        await gateway.limits.enter(caller)
        call.caller = caller
        try:
            with gateway.watch(request.receive, reply) as watch:
                body = await _read_body(gateway, request, call, watch)
                with gateway.bodies.held_while(len(body)):
                    await _relay(gateway, call, dialect, reply, body, watch)
        finally:
            gateway.limits.leave(caller)
    except ClientGone:
        call.outcome = CLIENT_CLOSED
    except Exception as error:  # noqa: BLE001 -- whatever it is, the caller gets an answer in its dialect.
        await answer_error(error, reply, dialect, call)
    finally:
        call.status = call.status or CLIENT_CLOSED_STATUS
        gateway.settlement.record(call)


async def known_caller(gateway: "Gateway", request: Request, call: Call) -> Caller:
    """Who calls; every reply from here on says for which organization, if for any."""
    caller = await authenticate(request.headers, gateway.snapshot)
    call.organization = caller.organization
    return caller


async def _read_body(gateway: "Gateway", request: Request, call: Call, watch: Watch) -> bytes:
    before = perf_counter()
    body = await request.body(gateway.bodies, watch)
    call.reading = perf_counter() - before
    if call.reading >= FRESH_SECONDS:
        # The token may have been revoked while its request trickled in.
        call.caller = await known_caller(gateway, request, call)
    return body


async def _relay(
    gateway: "Gateway", call: Call, dialect: Dialect, reply: Reply, body: bytes, watch: Watch
) -> None:
    assert call.caller is not None
    ask = _read(dialect, body)
    call.asked, call.streamed = ask.model, ask.stream
    catalogue = await gateway.snapshot.catalogue.get(None)
    keys = await gateway.snapshot.keys.get(call.caller.account_id)
    # Known before it is refused: the record names the model, and not what was sent for it.
    call.model = model_named(catalogue, keys, call.caller, ask.model)
    allow(call.model, call.caller)
    endpoint, now = dialect.asked_at(ask), datetime.now(UTC)
    found = route(call.model, keys, endpoint, gateway.cooling, now, with_tools=ask.with_tools)
    counted_here = not found.stops and endpoint is Endpoint.COUNT_TOKENS
    if counted_here:
        endpoint = Endpoint.MESSAGES
        found = route(call.model, keys, endpoint, gateway.cooling, now)
    balance = Balance(gateway, call, ask, endpoint, watch)
    if not found.stops:
        paid = await balance.route()
        if not (found.falls_back and paid.stops):
            raise nobody_serves(found, paid, endpoint, keyholder(call.caller))
        found = paid
    if counted_here:
        await _count(call, ask, reply)
        return
    account_id = call.caller.account_id

    async def still(candidate: Candidate) -> Candidate | None:
        with suppress(SnapshotUnavailable, Problem):
            # Nor does whoever has left the account meanwhile call with its keys again.
            caller = await authenticate(call.headers, gateway.snapshot)
            if caller.account_id == account_id:
                holder = candidate.key.account_id
                return usable_now(candidate, await gateway.snapshot.keys.get(holder))
        return None

    telling = Telling(call, ask, dialect, reply, watch)
    watch.attend(telling.silence)
    relay = Relay(
        call,
        ask,
        dialect,
        telling,
        watch,
        gateway.upstream,
        gateway.health,
        balance,
        still=still,
        settle=gateway.settlement.record,
    )
    await relay.run(found)


async def _count(call: Call, ask: Ask, reply: Reply) -> None:
    """Count the tokens here, for a provider that does not count ahead of a call."""
    assert call.caller is not None
    account_id = call.caller.account_id

    def count() -> int:
        return count_tokens(parsed(Endpoint.COUNT_TOKENS, ask, account_id))

    try:
        counted = await in_turns(count, len(ask.body))
    except Unreadable as error:
        raise Problem(Code.INVALID_REQUEST, str(error), param=error.field) from None
    except Inexpressible as error:
        raise Problem(Code.UNSUPPORTED_PARAMETER, str(error), param=error.field) from None
    call.status, call.outcome = 200, "ok"
    await reply.whole(200, _ENCODER.encode({"input_tokens": counted}))


def _read(dialect: Dialect, body: bytes) -> Ask:
    try:
        return dialect.read(body)
    except Unreadable as error:
        raise Problem(Code.INVALID_REQUEST, str(error), param=error.field) from None


# Looking things up ------------------------------------------------------------------------------


async def explain(gateway: "Gateway", request: Request) -> None:
    """GET /v1/route?model=…: the route of such a call, without calling.

    `endpoint` says at which endpoint, Chat Completions unless told otherwise; `tools=true` that the
    call would have tools.
    """
    call, reply, dialect = look_up(request)
    try:
        caller = await known_caller(gateway, request, call)
        async with gateway.limits.within(caller):
            asked = request.query
            endpoint = _endpoint(asked.get("endpoint", Endpoint.CHAT))
            name = asked.get("model", "")
            if not name:
                raise Problem(
                    Code.INVALID_REQUEST, "Say which model: /v1/route?model=…", param="model"
                )
            catalogue = await gateway.snapshot.catalogue.get(None)
            keys, now = await gateway.snapshot.keys.get(caller.account_id), datetime.now(UTC)
            model = find_model(catalogue, keys, caller, name)
            tools = asked.get("tools") in {"true", "1"}
            found = route(model, keys, endpoint, gateway.cooling, now, with_tools=tools)
            served, called = found, endpoint
            if not found.stops and endpoint is Endpoint.COUNT_TOKENS:
                # Then tokens are counted here, for whoever can also call the model.
                called = Endpoint.MESSAGES
                served = route(model, keys, called, gateway.cooling, now)
            paid = balance_route(
                model,
                catalogue,
                await gateway.snapshot.platform_keys(),
                called,
                gateway.cooling,
                now,
                with_tools=tools,
            )
        callable_ = served.stops or (served.falls_back and paid.stops)
        holder = keyholder(caller)
        problem = None if callable_ else nobody_serves(served, paid, endpoint, holder)
        await reply.whole(200, _ENCODER.encode(explained(found, paid, endpoint, problem)))
    except Exception as error:  # noqa: BLE001 -- as above.
        await answer_error(error, reply, dialect, call)


def _endpoint(name: str) -> Endpoint:
    name = name.removeprefix("/v1/")
    for endpoint in SERVED:
        if name == endpoint:
            return endpoint
    known = ", ".join(SERVED)
    raise Problem(Code.INVALID_REQUEST, f"endpoint must be one of {known}.", param="endpoint")


async def record(gateway: "Gateway", request: Request, request_id: str) -> None:
    """GET /v1/requests/{id}: everything known of a call of the caller's account.

    Members of an organization find their own calls, those who see all its usage everybody's.
    """
    call, reply, dialect = look_up(request)
    try:
        caller = await known_caller(gateway, request, call)
        async with gateway.limits.within(caller):
            found = await _find_record(gateway, caller, request_id)
        if found is None:
            raise Problem(Code.NOT_FOUND, _no_record(caller))
        await reply.whole(200, _ENCODER.encode(found))
    except Exception as error:  # noqa: BLE001 -- as above.
        await answer_error(error, reply, dialect, call)


async def _find_record(
    gateway: "Gateway", caller: Caller, request_id: str
) -> dict[str, object] | None:
    try:
        id_ = UUID(request_id)
    except ValueError:
        return None
    found = await gateway.snapshot.run(_load_record, caller, id_)
    if found is None:
        # Whoever asks at once may be quicker than the thread that writes.
        await gateway.settlement.written(5.0)
        found = await gateway.snapshot.run(_load_record, caller, id_)
    return found


def _load_record(caller: Caller, request_id: UUID) -> dict[str, object] | None:
    rows = UsageRecord.objects.filter(account_id=caller.account_id, request_id=request_id)
    if Permission.SEE_ALL_USAGE not in caller.permissions:
        rows = rows.filter(user_id=caller.user_id)
    row = rows.first()
    if row is None:
        return None
    return {
        "id": str(row.request_id),
        "object": "request",
        "created_at": row.created_at.isoformat(),
        "endpoint": f"/v1/{row.endpoint}",
        "stream": row.streamed,
        "model": row.model,
        "upstream_model": row.upstream_model,
        "provider": row.provider,
        # MegaBrain's own keys are no affair of the account's.
        "key": str(row.provider_key_id) if row.provider_key_id and row.payer == BYOK else None,
        "payer": row.payer,
        "status": row.status,
        "outcome": row.outcome,
        "attempts": row.told_attempts,
        "usage": {
            "input_tokens": row.input_tokens,
            "cache_read_tokens": row.cache_read_tokens,
            "cache_write_tokens": row.cache_write_tokens,
            "cache_write_long_tokens": row.cache_write_long_tokens,
            "output_tokens": row.output_tokens,
            "reasoning_tokens": row.reasoning_tokens,
            "source": row.usage_source,
        },
        "cost": {"charged_micros": row.charged_micros, "market_micros": row.market_micros},
        "latency_ms": row.latency_ms,
        "first_byte_ms": row.first_byte_ms,
        "overhead_ms": None if row.overhead_us is None else row.overhead_us / 1000,
        "client": row.client,
    }


def _no_record(caller: Caller) -> str:
    if caller.organization is None:
        return "Your account has no request with this id."
    return f"{caller.organization.name} has no request with this id that you may see."


# Everything else --------------------------------------------------------------------------------


async def refuse(request: Request, problem: Problem, endpoint: Endpoint) -> None:
    """An error that needs to know nobody, in the dialect that the caller seems to speak."""
    call = Call(endpoint, request.headers)
    await Reply(request.send, call).problem(problem, DIALECTS[endpoint])


async def hello(request: Request) -> None:
    """HEAD /api/hello: Claude Code looks whether anybody is there."""
    await Reply(request.send, Call(Endpoint.MESSAGES, request.headers)).whole(200, b"{}")


def spoken_at(path: str, headers: Mapping[str, str]) -> Endpoint:
    """The dialect for an error where no endpoint says which."""
    if "anthropic-version" in headers or "/messages" in path:
        return Endpoint.MESSAGES
    return Endpoint.RESPONSES if "/responses" in path else Endpoint.CHAT


def look_up(request: Request) -> tuple[Call, Reply, Dialect]:
    endpoint = spoken_at(request.path, request.headers)
    call = Call(endpoint, request.headers)
    return call, Reply(request.send, call), DIALECTS[endpoint]


async def answer_error(error: Exception, reply: Reply, dialect: Dialect, call: Call) -> None:
    """Tell the caller, if there is still a way to."""
    if isinstance(error, Problem):
        problem = error
    elif isinstance(error, SnapshotUnavailable):
        problem = Problem(
            Code.SERVICE_UNAVAILABLE,
            "MegaBrain cannot reach its database just now. Try again in a moment.",
            retry_after=2,
        )
    else:
        log.error(
            "gateway.broken",
            request_id=call.request_id,
            endpoint=str(call.endpoint),
            exc_info=error,
        )
        problem = internal_error(call.request_id)
    if reply.started:
        call.outcome = call.outcome or problem.code.value
    else:
        await reply.problem(problem, dialect)
