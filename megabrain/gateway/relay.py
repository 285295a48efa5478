"""Try the attempts of a route and pass the answer on as it comes.

Until the first byte has reached the caller, a failed attempt is followed by another. After it there
is no second try: a stream that breaks ends with one error event in the caller's dialect. A caller
who hangs up is settled like any other: the provider's answer is read on for a while, to learn what
it used.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, perf_counter

import structlog
from django.conf import settings

from byok.providers.base import UnusableSecret, UpstreamRequest
from byok.vault import Secret, Unsealable
from megabrain.gateway.attempts import (
    TIMED_OUT,
    UNSEALABLE,
    Failed,
    all_failed,
    broken,
    classified,
    refused,
    unavailable,
)
from megabrain.gateway.call import CLIENT_CLOSED, Attempt, Call
from megabrain.gateway.dialects import Dialect
from megabrain.gateway.dialects.base import Ask, Events, Unreadable
from megabrain.gateway.dialects.translation import Inexpressible
from megabrain.gateway.errors import Code, Problem, internal_error
from megabrain.gateway.eventstream import FrameSplitter
from megabrain.gateway.exchange import Exchange, Strip, exchange
from megabrain.gateway.failover import Failover
from megabrain.gateway.key_health import KeyHealth
from megabrain.gateway.keyholder import keyholder
from megabrain.gateway.metering import BYTES_PER_TOKEN, estimate
from megabrain.gateway.reply import Headers, Reply
from megabrain.gateway.routing import Candidate, Route
from megabrain.gateway.sse import EventTooLong, Splitter
from megabrain.gateway.turns import in_turns
from megabrain.gateway.upstream import Answer, Unreachable, Upstream
from megabrain.gateway.watch import STOPPING, Interrupted, Watch

log = structlog.get_logger(__name__)

MAX_ANSWER = 32 * 1024 * 1024
#: Enough to classify an error and to quote it; the rest is not waited for.
MAX_ERROR = 64 * 1024
#: The server takes a piece whatever its size, and waits for its reader only between two.
IN_ONE_PIECE = 64 * 1024
#: An answer in one piece begins when all of it has been written, and that may take so many times
#: as long as the first event of a stream: ten minutes by default, which is what SDKs wait for.
WHOLE_TAKES = 5
AT_ONCE_SECONDS = 1.0
#: How long the end of an answer may take once all of it has been passed on.
LAST_CHUNK_SECONDS = 1.0
GOODBYE_SECONDS = 2.0


class Relay:
    """One call on its route. `run` ends with a complete reply, and never raises an error of it."""

    def __init__(
        self,
        call: Call,
        ask: Ask,
        dialect: Dialect,
        reply: Reply,
        upstream: Upstream,
        health: KeyHealth,
        *,
        still: Callable[[Candidate], Awaitable[Candidate | None]],
        settle: Callable[[Call], None],
    ) -> None:
        """`still` gives a candidate as it is now, or None if it may no longer be used; `settle`
        writes down a call whose answer is complete."""
        self._call = call
        self._ask = ask
        self._dialect = dialect
        self._reply = reply
        self._upstream = upstream
        self._health = health
        self._still = still
        self._settle = settle
        self._events: Events = dialect.events(ask)
        self._silences = 0

    async def run(self, route: Route, watch: Watch) -> None:
        plan = Failover(route.candidates, self._health.cooling.out_of_order)
        try:
            while (candidate := plan.next()) is not None:
                # An attempt may take minutes, and meanwhile a key may have been switched off.
                current = await self._still(candidate) if plan.failures else candidate
                if current is None:
                    continue
                failed = await self._attempt(current, watch, plan.strips(current))
                if failed is None:
                    return
                refusal = plan.failed(candidate, failed)
                if refusal is not None:
                    await self._refuse(refusal, watch)
                    return
                if self._reply.gone:
                    self._call.outcome = CLIENT_CLOSED
                    return
            last = plan.refusal or self._all_failed(plan.failures, route.model.id)
            await self._refuse(last, watch)
        except Interrupted as interrupted:
            await self._cut_off(interrupted, watch)
        except asyncio.CancelledError:
            await self._goodbye()
            raise
        except Exception:
            # An answer that nobody foresaw still gets its one ending.
            log.exception("gateway.broken", request_id=self._call.request_id)
            await self._refuse(internal_error(self._call.request_id), watch)

    def silence(self) -> None:
        """Nothing has been sent for a while: say that the answer is still coming.

        A first silence before the headers is left alone, so that an error can keep its status.
        """
        self._silences += 1
        due = self._reply.started or self._silences > 1
        if due and self._ask.stream and not self._reply.ended:
            self._reply.keep_alive(self._events.keep_alive)

    # One attempt -----------------------------------------------------------------------------

    async def _attempt(self, candidate: Candidate, watch: Watch, strip: Strip) -> Failed | None:
        """Serve the call with this key, or say why not."""
        try:
            exchanged, body = await self._written(candidate, strip)
        except (Unreadable, Inexpressible) as error:
            return refused(candidate, str(error), error.field)
        attempt = Attempt(candidate)
        self._call.attempts.append(attempt)
        try:
            secret = await candidate.key.sealed.aunseal()
            request = candidate.provider.request(
                secret,
                candidate.endpoint,
                body,
                self._call.headers,
                model=candidate.offer.upstream_id,
                stream=self._ask.stream,
                host=candidate.key.host,
            )
        except (Unsealable, UnusableSecret):
            failed = Failed(candidate, UNSEALABLE, "has a stored key that cannot be opened")
        else:
            seconds = settings.MEGABRAIN_FIRST_BYTE_SECONDS
            deadline = monotonic() + (seconds if self._ask.stream else seconds * WHOLE_TAKES)
            found = await self._ask_provider(attempt, exchanged, request, secret, watch, deadline)
            if found is None:
                return None
            failed = found
        attempt.end(failed.outcome, failed.status)
        self._health.failed(failed, self._call.model)
        return failed

    async def _written(self, candidate: Candidate, strip: Strip) -> tuple[Exchange, bytes]:
        """An exchange and the body that it begins with. Raises Unreadable and Inexpressible."""

        def write() -> tuple[Exchange, bytes]:
            made = exchange(self._call, self._ask, self._dialect, candidate, strip=strip)
            return made, made.body()

        return await in_turns(write, len(self._ask.body))

    async def _ask_provider(
        self,
        attempt: Attempt,
        exchanged: Exchange,
        request: UpstreamRequest,
        secret: Secret,
        watch: Watch,
        deadline: float,
    ) -> Failed | None:
        candidate = attempt.candidate
        if self._call.sent_at is None:
            self._call.sent_at = perf_counter()
        answer: Answer | None = None
        try:
            answer = await watch.wait_until(self._upstream.send(request), deadline)
            if not 200 <= answer.status < 300:
                body = await self._read_up_to(MAX_ERROR, answer, watch, deadline)
                return self._classified(candidate, answer, answer.status, body, secret)
            if self._ask.stream:
                return await self._stream(attempt, exchanged, answer, secret, watch, deadline)
            return await self._whole(attempt, exchanged, answer, secret, watch)
        except Unreachable as error:
            # What fails at once was a connection that could not be made, or a kept one that turned
            # out to be closed: nothing has been begun there. Anything later may have cost money.
            at_once = perf_counter() - attempt.began < AT_ONCE_SECONDS
            return unavailable(candidate, error.message, again=answer is None and at_once)
        except EventTooLong as error:
            return unavailable(candidate, error.why)
        except Interrupted as interrupted:
            if interrupted.stopping or self._reply.gone or watch.expired:
                attempt.end(CLIENT_CLOSED if self._reply.gone else TIMED_OUT)
                raise
            return Failed(candidate, TIMED_OUT, "did not answer in time")
        finally:
            if answer is not None:
                answer.close()

    def _classified(
        self, candidate: Candidate, answer: Answer, status: int, body: bytes, secret: Secret
    ) -> Failed:
        failure = candidate.provider.classify(status, answer.headers, body)
        context = self._call.model.context if self._call.model else None
        return classified(
            candidate,
            failure,
            status,
            body,
            self._call.endpoint,
            secret,
            self._ask.body,
            context,
        )

    async def _read_up_to(
        self, limit: int, answer: Answer, watch: Watch, deadline: float | None = None
    ) -> bytes:
        """The body, or as much of it as is more than the limit."""
        idle: float = settings.MEGABRAIN_IDLE_SECONDS
        chunks: list[bytes] = []
        size = 0
        while size <= limit:
            chunk = await watch.wait_until(answer.read(), deadline or monotonic() + idle)
            if not chunk:
                break
            chunks.append(chunk)
            size += len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    # An answer in one piece ------------------------------------------------------------------

    async def _whole(
        self,
        attempt: Attempt,
        exchanged: Exchange,
        answer: Answer,
        secret: Secret,
        watch: Watch,
    ) -> Failed | None:
        candidate = attempt.candidate
        said = await self._read_up_to(MAX_ANSWER, answer, watch)
        if len(said) > MAX_ANSWER:
            return unavailable(candidate, "sent an answer that is too long")
        whole = await in_turns(lambda: exchanged.whole(said), len(said))
        if whole is None:
            return self._not_an_answer(candidate, answer, said, secret)
        body = whole.body
        call = self._call
        call.served_by = candidate
        call.usage = whole.usage
        if call.usage is None:
            self._estimate(-(-len(body) // BYTES_PER_TOKEN))
        attempt.end("ok", answer.status)
        call.status, call.outcome = 200, "ok"
        call.first_byte_at = perf_counter()
        self._health.worked(candidate.key)
        headers = self._returned(candidate, answer)
        if len(body) <= IN_ONE_PIECE:
            await self._send(self._reply.whole(200, body, headers), watch)
        else:
            await self._in_pieces(body, headers, watch)
        return None

    async def _in_pieces(self, body: bytes, headers: Headers, watch: Watch) -> None:
        """A long answer, no quicker than its caller reads it."""
        await self._send(self._reply.start_whole(200, len(body), headers), watch)
        for at in range(0, len(body), IN_ONE_PIECE):
            await self._send(self._reply.write(body[at : at + IN_ONE_PIECE]), watch)
            if self._reply.gone:
                return
        await self._send(self._reply.end(), watch)

    def _not_an_answer(
        self, candidate: Candidate, answer: Answer, body: bytes, secret: Secret
    ) -> Failed:
        """A 200 that is none: an error in disguise, or something broken."""
        failed = self._classified(candidate, answer, 200, body[:MAX_ERROR], secret)
        if failed.outcome == "unavailable":
            return unavailable(candidate, "sent an answer that could not be read")
        return failed

    def _returned(self, candidate: Candidate, answer: Answer) -> Headers:
        """The headers of the provider's answer that the owner of the key may see."""
        found = candidate.provider.returned(answer.headers, own_key=True)
        # The ids of an answer are ours, and x-should-retry goes with errors.
        return [
            (name.encode(), value.encode())
            for name, value in found.items()
            if name not in {"request-id", "x-request-id"}
        ]

    # A stream --------------------------------------------------------------------------------

    async def _stream(
        self,
        attempt: Attempt,
        exchanged: Exchange,
        answer: Answer,
        secret: Secret,
        watch: Watch,
        deadline: float,
    ) -> Failed | None:
        candidate = attempt.candidate
        if not answer.headers.get("content-type", "").startswith(exchanged.content_type):
            body = await self._read_up_to(MAX_ERROR, answer, watch, deadline)
            return self._not_an_answer(candidate, answer, body, secret)
        events = self._events = exchanged.events()
        splitter = exchanged.splitter()
        block = b""
        while not block:
            data = await watch.wait_until(answer.read(), deadline)
            if not data:
                return unavailable(candidate, "ended its stream before the first event")
            block = events.forward(splitter.feed(data))
            if events.error is not None and not block:
                return self._classified(candidate, answer, 200, events.error, secret)
        await self._pass_on(attempt, answer, splitter, block, secret, watch)
        return None

    async def _pass_on(
        self,
        attempt: Attempt,
        answer: Answer,
        splitter: Splitter | FrameSplitter,
        block: bytes,
        secret: Secret,
        watch: Watch,
    ) -> None:
        """From the first event to the last. Whatever happens, the caller gets one ending."""
        call, events, candidate = self._call, self._events, attempt.candidate
        call.served_by = candidate
        call.status = 200
        call.first_byte_at = perf_counter()
        self._health.worked(candidate.key)
        if not self._reply.started:
            await self._send(self._reply.start(self._returned(candidate, answer)), watch)
        ending = await self._pump(answer, splitter, block, watch)
        if events.error is not None:
            ending = self._reported(attempt, answer, secret)
        elif not events.finished:
            missing = events.ending() if ending is None else None
            if missing is not None:
                events.finished = True
                await self._send(self._reply.write(missing), watch)
        if events.finished:
            call.outcome = "ok"
            attempt.end("ok", answer.status)
        else:
            problem = ending or broken(candidate, "ended its answer in the middle")
            attempt.end(attempt.outcome or "unavailable", answer.status)
            await self._say_broken(problem, watch)
        call.usage = events.usage
        if events.usage is None or not (events.finished or events.usage_is_final):
            self._estimate(events.seen)
        await self._end(answer, watch)

    async def _pump(
        self, answer: Answer, splitter: Splitter | FrameSplitter, block: bytes, watch: Watch
    ) -> Problem | None:
        """Pass events on until they end; what went wrong on the way, if anything did."""
        events, reply = self._events, self._reply
        candidate = self._call.served_by
        assert candidate is not None
        idle: float = settings.MEGABRAIN_IDLE_SECONDS
        try:
            while True:
                if block:
                    await self._send(reply.write(block), watch)
                if events.finished or events.error is not None:
                    return None
                data = await watch.wait(answer.read(), idle)
                if not data:
                    return None
                block = events.forward(splitter.feed(data))
        except Unreachable as error:
            return broken(candidate, error.message)
        except EventTooLong as error:
            return broken(candidate, error.why)
        except Interrupted as interrupted:
            if interrupted.stopping:
                return Problem(Code.SERVICE_UNAVAILABLE, STOPPING)
            return broken(candidate, "took too long over its answer")

    def _reported(self, attempt: Attempt, answer: Answer, secret: Secret) -> Problem:
        """What an error event in mid-stream means, for the key and for the caller."""
        candidate, events = attempt.candidate, self._events
        assert events.error is not None
        failed = self._classified(candidate, answer, 200, events.error, secret)
        attempt.outcome = failed.outcome
        self._health.failed(failed, self._call.model)
        if failed.refusal is not None:
            return failed.refusal
        return self._all_failed([failed], self._call.asked)

    def _all_failed(self, failures: list[Failed], model: str) -> Problem:
        assert self._call.caller is not None
        return all_failed(failures, model, keyholder(self._call.caller))

    # Ends ------------------------------------------------------------------------------------

    async def _send(self, sending: Awaitable[None], watch: Watch) -> None:
        """Send, and take a caller who does not read for as long as the idle limit as gone."""
        try:
            await watch.wait(sending, settings.MEGABRAIN_IDLE_SECONDS)
        except Interrupted as interrupted:
            self._reply.gone = True
            if interrupted.stopping:
                raise

    async def _say_broken(self, problem: Problem, watch: Watch) -> None:
        problem.request_id = self._call.request_id
        self._call.outcome = CLIENT_CLOSED if self._reply.gone else problem.code.value
        watch.extend(GOODBYE_SECONDS)
        await self._send(self._reply.write(self._events.failure(problem)), watch)

    async def _end(self, answer: Answer, watch: Watch) -> None:
        await self._send(self._reply.end(), watch)
        # Whoever has the whole answer may ask for its record at once.
        self._settle(self._call)
        # An answer that is read to its end leaves a connection for the next call.
        try:
            while self._events.finished:
                if not await watch.wait(answer.read(), LAST_CHUNK_SECONDS):
                    return
        except (Unreachable, Interrupted):
            return

    async def _refuse(self, problem: Problem, watch: Watch) -> None:
        """Tell the caller of an error before the first byte of an answer."""
        reply = self._reply
        if not reply.started:
            await self._send(reply.problem(problem, self._dialect), watch)
        elif not reply.ended:
            # Headers went out early, in a long silence: too late for a status.
            problem.request_id = self._call.request_id
            self._call.failed(problem, 200)
            if not self._ask.stream:
                return  # A part of its answer has no place for an error.
            await self._send(reply.write(self._events.failure(problem)), watch)
            await self._send(reply.end(), watch)

    async def _cut_off(self, interrupted: Interrupted, watch: Watch) -> None:
        """The whole call is out of time, or the process is."""
        watch.extend(GOODBYE_SECONDS)
        if self._reply.gone:
            self._call.outcome = CLIENT_CLOSED
            self._estimate(0)
        elif interrupted.stopping:
            await self._refuse(Problem(Code.SERVICE_UNAVAILABLE, STOPPING), watch)
        else:
            late = Problem(Code.UPSTREAM_UNAVAILABLE, "The call took too long.", status=504)
            await self._refuse(late, watch)

    async def _goodbye(self) -> None:
        """The server ends this task. Its last words still go out, and the call is settled."""
        problem = Problem(Code.SERVICE_UNAVAILABLE, STOPPING)
        problem.request_id = self._call.request_id
        reply = self._reply
        if self._call.attempts and not self._call.attempts[-1].outcome:
            self._call.attempts[-1].end(problem.code)
        if not reply.started:
            await reply.problem(problem, self._dialect)
        elif not reply.ended:
            self._call.failed(problem, 200)
            if not self._ask.stream:
                return
            self._call.usage = self._events.usage
            self._estimate(self._events.seen)
            await reply.write(self._events.failure(problem))
            await reply.end()

    def _estimate(self, output_tokens: int) -> None:
        call = self._call
        if not self._dialect.uses_tokens:
            return
        context = call.model.context if call.model else None
        call.usage = estimate(len(self._ask.body), output_tokens, call.usage, context)
