"""A streamed answer, from the provider to the caller.

Up to its first event it may still turn out to be a failure, and another key be tried. From then on
it has one ending, whatever happens: the provider's own, or one error event.
"""

from collections.abc import Callable
from time import perf_counter

from megabrain.gateway.attempts import Failed, all_failed, broken, unavailable
from megabrain.gateway.call import Call
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.eventstream import FrameSplitter
from megabrain.gateway.exchange import Exchange
from megabrain.gateway.heard import MAX_ERROR, Heard
from megabrain.gateway.key_health import KeyHealth
from megabrain.gateway.keyholder import keyholder
from megabrain.gateway.sse import EventTooLong, Splitter
from megabrain.gateway.telling import Telling
from megabrain.gateway.upstream import Unreachable
from megabrain.gateway.watch import STOPPING, Interrupted

#: How long the end of an answer may take once all of it has been passed on.
LAST_CHUNK_SECONDS = 1.0


class Stream:
    """One stream. `settle` writes down a call whose answer is complete."""

    def __init__(
        self,
        heard: Heard,
        exchanged: Exchange,
        telling: Telling,
        health: KeyHealth,
        *,
        settle: Callable[[Call], None],
    ) -> None:
        self._heard = heard
        self._exchanged = exchanged
        self._telling = telling
        self._reply = telling.reply
        self._health = health
        self._settle = settle
        self._splitter: Splitter | FrameSplitter = exchanged.splitter()
        self._events = exchanged.events()

    async def pass_on(self, until: float) -> Failed | None:
        """Pass it on, or say why it failed before its first event, which has until then."""
        first = await self._first(until)
        if isinstance(first, Failed):
            return first
        try:
            await self._from(first)
        finally:
            # However it ends, the provider is paid for what it has said.
            self._count()
        await self._end()
        return None

    async def _first(self, until: float) -> bytes | Failed:
        """What the caller gets first, if it comes."""
        heard, events = self._heard, self._events
        media_type = heard.answer.headers.get("content-type", "").lower()
        if not media_type.startswith(self._exchanged.content_type):
            return heard.not_an_answer(await heard.body(MAX_ERROR, until=until))
        self._telling.events = events
        block = b""
        while not block:
            piece = await heard.piece(until=until)
            if not piece:
                return unavailable(heard.candidate, "ended its stream before the first event")
            block = events.forward(self._splitter.feed(piece))
            if events.error is not None and not block:
                return heard.failed(200, events.error)
        return block

    async def _from(self, block: bytes) -> None:
        """From the first event to the last. Whatever happens, the caller gets one ending."""
        heard, events, telling = self._heard, self._events, self._telling
        call, attempt = heard.call, heard.attempt
        call.served_by = heard.candidate
        call.status = 200
        call.first_byte_at = perf_counter()
        self._health.worked(heard.candidate.key)
        if not self._reply.started:
            await telling.send(self._reply.start(heard.returned()))
        ending = await self._pump(block)
        if events.error is not None:
            ending = self._reported(events.error)
        elif not events.finished:
            missing = events.ending() if ending is None else None
            if missing is not None:
                events.finished = True
                await telling.send(self._reply.write(missing))
        if events.finished:
            call.outcome = "ok"
            attempt.end("ok", heard.answer.status)
        else:
            problem = ending or broken(heard.candidate, "ended its answer in the middle")
            attempt.end(attempt.outcome or "unavailable", heard.answer.status)
            await telling.break_off(problem)

    def _count(self) -> None:
        """What it used, as far as its events say."""
        events = self._events
        complete = events.finished or events.usage_is_final
        self._telling.count(events.usage, events.tokens, complete=complete)

    async def _pump(self, block: bytes) -> Problem | None:
        """Pass events on until they end; what went wrong on the way, if anything did."""
        events, candidate = self._events, self._heard.candidate
        try:
            while True:
                if block:
                    await self._telling.send(self._reply.write(block))
                if events.finished or events.error is not None:
                    return None
                piece = await self._heard.piece()
                if not piece:
                    return None
                block = events.forward(self._splitter.feed(piece))
        except Unreachable as error:
            return broken(candidate, error.message)
        except EventTooLong as error:
            return broken(candidate, error.why)
        except Interrupted as interrupted:
            if interrupted.stopping:
                return Problem(Code.SERVICE_UNAVAILABLE, STOPPING)
            return broken(candidate, "took too long over its answer")

    def _reported(self, error: bytes) -> Problem:
        """What an error event in mid-stream means, for the key and for the caller."""
        heard, call = self._heard, self._heard.call
        failed = heard.failed(200, error)
        heard.attempt.outcome = failed.outcome
        self._health.failed(failed, call.model)
        if failed.refusal is not None:
            return failed.refusal
        assert call.caller is not None
        return all_failed([failed], call.asked, keyholder(call.caller))

    async def _end(self) -> None:
        await self._telling.send(self._reply.end())
        # Whoever has the whole answer may ask for its record at once.
        self._settle(self._heard.call)
        # An answer that is read to its end leaves a connection for the next call.
        try:
            while self._events.finished:
                if not await self._heard.piece(within=LAST_CHUNK_SECONDS):
                    return
        except (Unreachable, Interrupted):
            return
