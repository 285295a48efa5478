"""What the caller receives: headers once, whole events, and an end. Nothing once they are gone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import Any

from megabrain.gateway.call import Call
from megabrain.gateway.dialects import Dialect
from megabrain.gateway.errors import Problem

Message = dict[str, Any]  # ASGI's own types are open mappings.
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
NOSNIFF = (b"x-content-type-options", b"nosniff")
NEVER_KEPT = b"no-store"
#: Kept by the caller alone, and used again only after asking.
ASKED_AGAIN = b"private, no-cache"
_EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
    NOSNIFF,
)


class Reply:
    """The reply to one request. `gone` is set when the caller has hung up."""

    __slots__ = (
        "_answering",
        "_call",
        "_keeping",
        "_send",
        "ended",
        "gone",
        "last_sent",
        "started",
    )

    def __init__(self, send: Send, call: Call) -> None:
        self._send = send
        self._call = call
        self._keeping: asyncio.Task[None] | None = None
        #: A part of the answer is on its way; whatever is made now would have to come after it.
        self._answering = False
        self.started = False
        self.ended = False
        self.gone = False
        self.last_sent = monotonic()

    async def whole(
        self, status: int, body: bytes, headers: Headers = (), *, kept: bytes = NEVER_KEPT
    ) -> None:
        """An answer in one piece; `kept` says how long a cache may keep it."""
        await self._head(status, len(body), headers, kept)
        self.ended = True
        await self._out({"type": "http.response.body", "body": body})

    async def start_whole(self, status: int, length: int, headers: Headers = ()) -> None:
        """The headers of an answer of known length, which is then written piece by piece."""
        await self._head(status, length, headers, NEVER_KEPT)

    async def _head(self, status: int, length: int, headers: Headers, kept: bytes) -> None:
        self.started = True
        # With a 304 it would be the length of what the caller has.
        measured = [] if status == 304 else [(b"content-length", b"%d" % length)]
        await self._out(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    JSON,
                    *measured,
                    (b"cache-control", kept),
                    NOSNIFF,
                    *headers,
                    *self._call.receipt(),
                ],
            }
        )

    async def problem(self, problem: Problem, dialect: Dialect) -> None:
        """An error before anything else was sent."""
        status = dialect.status(problem)
        self._call.failed(problem, status)
        body = dialect.error(problem, self._call.request_id)
        await self.whole(status, body, problem.headers())

    async def start(self, headers: Headers = ()) -> None:
        """The headers of a stream."""
        self._answering = True
        try:
            await self._start(headers)
        finally:
            self._answering = False

    async def write(self, events: bytes) -> None:
        """Whole events of the stream, never a part of one."""
        self._answering = True
        try:
            if self._keeping is not None:
                await asyncio.wait({self._keeping})
                self._keeping = None
            await self._out({"type": "http.response.body", "body": events, "more_body": True})
        finally:
            self._answering = False

    async def end(self) -> None:
        self.ended = True
        await self._out({"type": "http.response.body", "body": b""})

    def keep_alive(self, sign: Callable[[], bytes]) -> None:
        """Send a sign of life beside what the relay is waiting for.

        It is asked for only when it will be sent, and next: it may have a number.
        """
        if not self._answering and (self._keeping is None or self._keeping.done()):
            self._keeping = asyncio.ensure_future(self._sign_of_life(sign()))

    async def _sign_of_life(self, events: bytes) -> None:
        if self.ended:
            return
        if not self.started:
            await self._start()
        await self._out({"type": "http.response.body", "body": events, "more_body": True})

    async def _start(self, headers: Headers = ()) -> None:
        self.started = True
        await self._out(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*_EVENT_STREAM, *headers, *self._call.receipt()],
            }
        )

    async def _out(self, message: Message) -> None:
        if self.gone:
            return
        self.last_sent = monotonic()
        try:
            await self._send(message)
        except OSError:
            self.gone = True
