"""A provider's answer to one attempt: read within bounds, and judged where it is an error."""

from time import monotonic

from django.conf import settings

from byok.vault import Secret
from megabrain.gateway.attempts import Failed, classified, unavailable
from megabrain.gateway.call import Attempt, Call
from megabrain.gateway.reply import Headers
from megabrain.gateway.upstream import Answer, Unreachable
from megabrain.gateway.watch import Watch

#: Enough to classify an error and to quote it; the rest is not waited for.
MAX_ERROR = 64 * 1024


class Heard:
    """What came back. Reading it raises Unreachable and Interrupted."""

    def __init__(
        self,
        call: Call,
        attempt: Attempt,
        answer: Answer,
        asked: bytes,
        secret: Secret,
        watch: Watch,
    ) -> None:
        """`asked` is the caller's request, of which an error may quote; the secret is masked."""
        self.call = call
        self.attempt = attempt
        self.candidate = attempt.candidate
        self.answer = answer
        self._asked = asked
        self._secret = secret
        self._watch = watch

    async def piece(self, *, until: float | None = None, within: float | None = None) -> bytes:
        """The next piece, b"" at the end. It may take as long as a silence may, or as told."""
        if until is None:
            until = monotonic() + (settings.MEGABRAIN_IDLE_SECONDS if within is None else within)
        return await self._watch.wait_until(self.answer.read(), until)

    async def body(self, limit: int, *, until: float | None = None) -> bytes:
        """The body, or as much of it as is more than the limit."""
        pieces: list[bytes] = []
        size = 0
        while size <= limit:
            piece = await self.piece(until=until)
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def error(self, until: float) -> Failed:
        """What an answer with the status of an error means."""
        try:
            body = await self.body(MAX_ERROR, until=until)
        except Unreachable:
            # Broken off, it still has the status that it began with.
            body = b""
        return self.failed(self.answer.status, body)

    def not_an_answer(self, body: bytes) -> Failed:
        """A 200 that is none: an error in disguise, or something broken."""
        failed = self.failed(200, body[:MAX_ERROR])
        if failed.outcome == "unavailable":
            return unavailable(self.candidate, "sent an answer that could not be read")
        return failed

    def failed(self, status: int, body: bytes) -> Failed:
        """What an error with this body means."""
        call, candidate = self.call, self.candidate
        return classified(
            candidate,
            candidate.provider.classify(status, self.answer.headers, body),
            status,
            body,
            call.endpoint,
            self._secret,
            self._asked,
            call.model.context if call.model else None,
        )

    def returned(self) -> Headers:
        """The headers of the answer that the caller may see."""
        own = self.candidate.own
        found = self.candidate.provider.returned(self.answer.headers, own_key=own)
        # The ids of an answer are ours, and x-should-retry goes with errors.
        return [
            (name.encode(), value.encode())
            for name, value in found.items()
            if name not in {"request-id", "x-request-id"}
        ]
