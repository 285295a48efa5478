"""Try the attempts of a route and pass the answer on as it comes.

Until the first byte has reached the caller, a failed attempt is followed by another. After it there
is no second try: a stream that breaks ends with one error event in the caller's dialect. A caller
who hangs up is settled like any other: the provider's answer is read on for a while, to learn what
it used. One in one piece that the balance pays for is read to its end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic, perf_counter

import structlog
from django.conf import settings

from byok.providers.base import Endpoint, UnusableSecret, UpstreamRequest
from byok.vault import Secret, Unsealable
from megabrain.gateway.attempts import (
    TIMED_OUT,
    UNSEALABLE,
    Failed,
    all_failed,
    not_taken_over,
    refused,
    unavailable,
)
from megabrain.gateway.balance import Balance
from megabrain.gateway.call import CLIENT_CLOSED, Attempt, Call
from megabrain.gateway.dialects import Dialect
from megabrain.gateway.dialects.base import Ask, Unreadable
from megabrain.gateway.dialects.translation import Inexpressible
from megabrain.gateway.errors import Code, Problem, internal_error
from megabrain.gateway.exchange import Exchange, Strip, exchange, told
from megabrain.gateway.failover import Failover
from megabrain.gateway.heard import Heard
from megabrain.gateway.key_health import KeyHealth
from megabrain.gateway.keyholder import keyholder
from megabrain.gateway.routing import Candidate, Route
from megabrain.gateway.snapshot import SnapshotUnavailable
from megabrain.gateway.sold import sold
from megabrain.gateway.sold.headers import sold_headers
from megabrain.gateway.sse import EventTooLong
from megabrain.gateway.streaming import Stream
from megabrain.gateway.telling import Telling
from megabrain.gateway.turns import in_turns
from megabrain.gateway.upstream import Answer, Unreachable, Upstream
from megabrain.gateway.watch import Interrupted, Watch
from megabrain.gateway.whole import pass_on_whole

log = structlog.get_logger(__name__)

#: An answer in one piece begins when all of it has been written, and that may take so many times
#: as long as the first event of a stream: ten minutes by default, which is what SDKs wait for.
WHOLE_TAKES = 5
AT_ONCE_SECONDS = 1.0


class Unpaid(Exception):
    """Nothing could be set aside for a call with MegaBrain's own keys; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code.value)
        self.problem = problem


class NobodyWaits(Exception):
    """The caller hung up before anything was spent on the call."""


class Relay:
    """One call on its route. `run` ends with a complete reply, and never raises an error of it."""

    def __init__(
        self,
        call: Call,
        ask: Ask,
        dialect: Dialect,
        telling: Telling,
        watch: Watch,
        upstream: Upstream,
        health: KeyHealth,
        balance: Balance,
        *,
        still: Callable[[Candidate], Awaitable[Candidate | None]],
        settle: Callable[[Call], None],
    ) -> None:
        """`still` gives a candidate as it is now, or None if it may no longer be used; `settle`
        writes down a call whose answer is complete."""
        self._call = call
        self._ask = ask
        self._dialect = dialect
        self._telling = telling
        self._watch = watch
        self._upstream = upstream
        self._health = health
        self._balance = balance
        self._still = still
        self._settle = settle
        self._beyond_own = False

    async def run(self, route: Route) -> None:
        try:
            await self._serve(route)
        except Interrupted as interrupted:
            await self._telling.cut_off(interrupted)
        except asyncio.CancelledError:
            await self._telling.goodbye()
            raise
        except Exception:
            # An answer that nobody foresaw still gets its one ending.
            log.exception("gateway.broken", request_id=self._call.request_id)
            await self._telling.refuse(internal_error(self._call.request_id))

    async def _serve(self, route: Route) -> None:
        """Attempt after attempt, until one has answered or none is left."""
        plan = Failover(route.candidates, self._health.cooling.out_of_order)
        while (candidate := plan.next() or await self._beyond(route, plan)) is not None:
            # An attempt may take minutes, and meanwhile a key may have been switched off.
            current = await self._still(candidate) if plan.failures else candidate
            if current is None:
                continue
            try:
                failed = await self._attempt(current, plan.strips(current))
            except NobodyWaits:
                self._call.outcome = CLIENT_CLOSED
                return
            except Unpaid as unpaid:
                await self._telling.refuse(self._unpaid(route, plan, unpaid.problem))
                return
            if failed is None:
                return
            refusal = plan.failed(candidate, failed)
            if refusal is not None:
                await self._telling.refuse(refusal)
                return
            if self._telling.reply.gone:
                self._call.outcome = CLIENT_CLOSED
                return
        await self._telling.refuse(self._all_failed(route, plan))

    async def _beyond(self, route: Route, plan: Failover) -> Candidate | None:
        """The first of MegaBrain's own keys, once all of the account's have failed, if its owner
        chose so for each of them."""
        if self._beyond_own or not route.own or self._call.endpoint is Endpoint.COUNT_TOKENS:
            return None
        self._beyond_own = True
        if plan.waiting:
            # There were enough attempts, and still one of them might have served.
            return None
        try:
            if not await self._balance.is_wanted():
                return None
            beyond = await self._balance.route()
        except SnapshotUnavailable:
            # Nothing can be paid for then, either; what the keys said is told.
            return None
        if not beyond.stops:
            return None
        plan.go_on(beyond.candidates)
        return plan.next()

    def _all_failed(self, route: Route, plan: Failover) -> Problem:
        assert self._call.caller is not None
        return plan.refusal or all_failed(
            plan.failures, route.model.id, keyholder(self._call.caller)
        )

    def _unpaid(self, route: Route, plan: Failover, problem: Problem) -> Problem:
        """What a call is told that nothing could be set aside for."""
        if not plan.failures:
            return problem
        return not_taken_over(self._all_failed(route, plan), problem)

    async def _attempt(self, candidate: Candidate, strip: Strip) -> Failed | None:
        """Serve the call with this key, or say why not."""
        try:
            exchanged, body = await self._written(candidate, strip)
        except Unreadable as error:
            return refused(candidate, Code.INVALID_REQUEST, str(error), error.field)
        except Inexpressible as error:
            return refused(candidate, Code.UNSUPPORTED_PARAMETER, str(error), error.field)
        if not candidate.own:
            await self._reserve()
        attempt = Attempt(candidate)
        self._call.attempts.append(attempt)
        try:
            secret = await candidate.key.sealed.aunseal()
            request = candidate.provider.request(
                secret,
                candidate.endpoint,
                body,
                self._headers(candidate)[0],
                model=candidate.offer.upstream_id,
                stream=self._ask.stream,
                host=candidate.key.host,
            )
        except (Unsealable, UnusableSecret):
            failed = Failed(candidate, UNSEALABLE, "has a stored key that cannot be opened")
        else:
            found = await self._ask_provider(attempt, exchanged, request, secret)
            if found is None:
                return None
            failed = found
        attempt.end(failed.outcome, failed.status)
        self._health.failed(failed, self._call.model)
        return failed

    async def _reserve(self) -> None:
        """Have money set aside. Raises Unpaid, NobodyWaits and Interrupted."""
        try:
            await self._balance.reserve()
        except Problem as problem:
            raise Unpaid(problem) from None
        if self._telling.reply.gone:
            raise NobodyWaits

    async def _written(self, candidate: Candidate, strip: Strip) -> tuple[Exchange, bytes]:
        """An exchange and the body that it begins with. Raises Unreadable and Inexpressible."""

        at = self._call.endpoint

        def write() -> tuple[Exchange, bytes]:
            ask, left_out = (self._ask, []) if candidate.own else sold(self._ask, at)
            made = exchange(self._call, ask, self._dialect, candidate, strip=strip)
            body = made.body()
            self._call.dropped += told([*left_out, *self._headers(candidate)[1]])
            return made, body

        return await in_turns(write, len(self._ask.body))

    def _headers(self, candidate: Candidate) -> tuple[Mapping[str, str], list[str]]:
        """Those of the caller's headers that may go along, and what the provider would have got but
        for whose key it is."""
        headers = self._call.headers
        if candidate.own:
            return headers, []
        return sold_headers(headers)[0], sold_headers(candidate.provider.forwarded(headers))[1]

    async def _ask_provider(
        self, attempt: Attempt, exchanged: Exchange, request: UpstreamRequest, secret: Secret
    ) -> Failed | None:
        """Send the request and pass the answer on, or say why there is none."""
        call, ask, telling, watch = self._call, self._ask, self._telling, self._watch
        if call.sent_at is None:
            call.sent_at = perf_counter()
        seconds = settings.MEGABRAIN_FIRST_BYTE_SECONDS
        deadline = monotonic() + (seconds if ask.stream else seconds * WHOLE_TAKES)
        if not ask.stream and not attempt.candidate.own:
            # Only its end says what it used, and MegaBrain is billed for it, whoever has left.
            watch.read_on()
        answer: Answer | None = None
        try:
            answer = await watch.wait_until(self._upstream.send(request), deadline)
            heard = Heard(call, attempt, answer, ask.body, secret, watch)
            if not 200 <= answer.status < 300:
                return await heard.error(deadline)
            if not ask.stream:
                return await pass_on_whole(heard, exchanged, telling, self._health)
            stream = Stream(heard, exchanged, telling, self._health, settle=self._settle)
            return await stream.pass_on(deadline)
        except Unreachable as error:
            # What fails at once was a connection that could not be made, or a kept one that turned
            # out to be closed: nothing has been begun there. Anything later may have cost money.
            at_once = perf_counter() - attempt.began < AT_ONCE_SECONDS
            return unavailable(attempt.candidate, error.message, again=answer is None and at_once)
        except EventTooLong as error:
            return unavailable(attempt.candidate, error.why)
        except Interrupted as interrupted:
            if interrupted.stopping or telling.reply.gone or watch.expired:
                outcome = CLIENT_CLOSED if telling.reply.gone else TIMED_OUT
                attempt.end(outcome, answer.status if answer is not None else None)
                raise
            return Failed(attempt.candidate, TIMED_OUT, "did not answer in time")
        finally:
            if answer is not None:
                answer.close()
