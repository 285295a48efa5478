"""What the caller of a model is told: pieces of an answer, signs of life, and exactly one ending.

Every way in which a call ends without the rest of its answer is here: an error while it still has a
status, one event of a stream after that, and the last words of a process that stops.
"""

from collections.abc import Awaitable

from django.conf import settings

from megabrain.gateway.call import CLIENT_CLOSED, Call
from megabrain.gateway.dialects import Dialect
from megabrain.gateway.dialects.base import Ask, Events
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.metering import BYTES_PER_TOKEN, Usage, estimate
from megabrain.gateway.reply import Reply
from megabrain.gateway.watch import STOPPING, Interrupted, Watch

#: For the last words, once the time for everything else is over.
GOODBYE_SECONDS = 2.0


class Telling:
    """The caller's side of one call. `events` follows the stream that is being passed on."""

    def __init__(self, call: Call, ask: Ask, dialect: Dialect, reply: Reply, watch: Watch) -> None:
        self.reply = reply
        self.events: Events = dialect.events(ask)
        self._call = call
        self._ask = ask
        self._dialect = dialect
        self._watch = watch
        self._silences = 0

    async def send(self, sending: Awaitable[None]) -> None:
        """Send, and take a caller who does not read for as long as the idle limit as gone."""
        try:
            await self._watch.wait(sending, settings.MEGABRAIN_IDLE_SECONDS)
        except Interrupted as interrupted:
            self.reply.gone = True
            if interrupted.stopping:
                raise

    def silence(self) -> None:
        """Nothing has been sent for a while: say that the answer is still coming.

        A first silence before the headers is left alone, so that an error can keep its status.
        """
        self._silences += 1
        due = self.reply.started or self._silences > 1
        if due and self._ask.stream and not self.reply.ended:
            self.reply.keep_alive(self.events.keep_alive)

    def count(self, said: Usage | None, output_tokens: int, *, complete: bool = True) -> None:
        """Write down what the call used: what its provider said, or a guess where that is nothing
        or not all of it."""
        call = self._call
        call.usage = said
        if self._dialect.uses_tokens and not (complete and said and said.total):
            context = call.model.context if call.model else None
            prompt = call.prompt_guess
            if prompt is None:
                prompt = -(-len(self._ask.body) // BYTES_PER_TOKEN)
            call.usage = estimate(prompt, output_tokens, said, context)

    # Ends ------------------------------------------------------------------------------------

    async def refuse(self, problem: Problem) -> None:
        """Tell of an error before the first byte of an answer."""
        reply = self.reply
        if not reply.started:
            await self.send(reply.problem(problem, self._dialect))
        elif not reply.ended:
            # Headers went out early, in a long silence: too late for a status.
            problem.request_id = self._call.request_id
            self._call.failed(problem, 200)
            if not self._ask.stream:
                return  # A part of its answer has no place for an error.
            await self.send(reply.write(self.events.failure(problem)))
            await self.send(reply.end())

    async def break_off(self, problem: Problem) -> None:
        """Tell of an error in the middle of a stream."""
        problem.request_id = self._call.request_id
        self._call.outcome = CLIENT_CLOSED if self.reply.gone else problem.code.value
        self._watch.extend(GOODBYE_SECONDS)
        await self.send(self.reply.write(self.events.failure(problem)))

    async def cut_off(self, interrupted: Interrupted) -> None:
        """The whole call is out of time, or the process is."""
        self._watch.extend(GOODBYE_SECONDS)
        if self.reply.gone:
            self._call.outcome = CLIENT_CLOSED
            if self._was_begun():
                self.count(self._call.usage, 0, complete=False)
        elif interrupted.stopping:
            await self.refuse(Problem(Code.SERVICE_UNAVAILABLE, STOPPING))
        else:
            late = Problem(Code.UPSTREAM_UNAVAILABLE, "The call took too long.", status=504)
            await self.refuse(late)

    def _was_begun(self) -> bool:
        """Whether a provider may have worked for the caller who hung up.

        A stream begins with its headers, and the provider has had time for these. An answer in one
        piece sends nothing until it is complete. Where the balance pays, that is waited for as long
        as if its caller were there (Watch.read_on); what has not come by then is charged at a
        guess of its prompt, as is one that the process has no more time for.
        """
        attempt = self._call.attempts[-1] if self._call.attempts else None
        if attempt is None or attempt.outcome != CLIENT_CLOSED:
            return False
        return not self._ask.stream if attempt.status is None else attempt.status < 300

    async def goodbye(self) -> None:
        """The server ends this task. Its last words still go out, and the call is settled."""
        problem = Problem(Code.SERVICE_UNAVAILABLE, STOPPING)
        problem.request_id = self._call.request_id
        reply = self.reply
        if not reply.started:
            await reply.problem(problem, self._dialect)
        elif not reply.ended:
            self._call.failed(problem, 200)
            if not self._ask.stream:
                return
            await reply.write(self.events.failure(problem))
            await reply.end()
