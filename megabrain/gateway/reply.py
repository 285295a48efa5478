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
_NEVER_KEPT = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)


class Reply:
    """The reply to one request. `gone` is set when the caller has hung up."""

    __slots__ = ("_call", "_keeping", "_send", "ended", "gone", "last_sent", "started")

    def __init__(self, send: Send, call: Call) -> None:
        self._send = send
        self._call = call
        self._keeping: asyncio.Task[None] | None = None
        self.started = False
        self.ended = False
        self.gone = False
        self.last_sent = monotonic()

    async def whole(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """An answer in one piece."""
        self.started = self.ended = True
        length = (b"content-length", b"%d" % len(body))
        await self._out(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [JSON, length, *_NEVER_KEPT, *headers, *self._call.receipt()],
            }
        )
        await self._out({"type": "http.response.body", "body": body})

    async def problem(self, problem: Problem, dialect: Dialect) -> None:
        """An error before anything else was sent."""
        status = dialect.status(problem)
        self._call.failed(problem, status)
        body = dialect.error(problem, self._call.request_id)
        await self.whole(status, body, problem.headers())

    async def start(self, headers: Headers = ()) -> None:
        """The headers of a stream."""
        self.started = True
        await self._out(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*_EVENT_STREAM, *headers, *self._call.receipt()],
            }
        )

    async def write(self, events: bytes) -> None:
        """Whole events of the stream, never a part of one."""
        if self._keeping is not None:
            await asyncio.wait({self._keeping})
            self._keeping = None
        await self._out({"type": "http.response.body", "body": events, "more_body": True})

    async def end(self) -> None:
        self.ended = True
        await self._out({"type": "http.response.body", "body": b""})

    def keep_alive(self, events: bytes) -> None:
        """Send a sign of life beside what the relay is waiting for."""
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.ensure_future(self._sign_of_life(events))

    async def _sign_of_life(self, events: bytes) -> None:
        if self.ended:
            return
        if not self.started:
            await self.start()
        await self._out({"type": "http.response.body", "body": events, "more_body": True})

    async def _out(self, message: Message) -> None:
        if self.gone:
            return
        self.last_sent = monotonic()
        try:
            await self._send(message)
        except OSError:
            self.gone = True
