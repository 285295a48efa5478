"""One HTTP exchange: the request as it arrived, and what goes back, at what pace."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from megabrain.simulator.refusals import Case, Refused

Message = dict[str, Any]  # ASGI's own types are open mappings.
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY = 32 * 1024 * 1024


@dataclass(slots=True)
class Call:
    """One request as it arrived, and how its answer ended."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    #: As they stood on the wire, where escapes matter.
    raw_path: str = ""
    raw_query: str = ""
    #: Of AWS, as the caller signed it.
    region: str = ""
    provider: str = ""
    operation: str = ""
    body: bytes = b""
    status: int = 0
    events: int = 0
    #: complete, cut, or gone when the caller hung up; empty while it goes on
    end: str = ""
    at: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @classmethod
    def of(cls, scope: Message) -> "Call":
        return cls(
            method=scope["method"],
            path=scope["path"],
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"))),
            raw_path=scope["raw_path"].decode("latin-1"),
            raw_query=scope["query_string"].decode("latin-1"),
            headers={
                name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
            },
        )


class Connection:
    """Reads the body of a call and sends its answer, keeping `call` up to date."""

    def __init__(self, call: Call, receive: Receive, send: Send) -> None:
        self.call = call
        self._receive = receive
        self._send = send

    async def read(self) -> bytes:
        """The whole body. Raises Refused when it is too large."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return b""
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > MAX_BODY:
                raise Refused(Case.TOO_LARGE)
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.call.status = status
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, body: bytes) -> None:
        """One event, or any part of an answer."""
        self.call.events += 1
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self, body: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        self.call.end = self.call.end or "complete"

    def drop(self) -> None:
        """Ends the call here: the server closes a connection whose answer is not finished."""
        self.call.end = self.call.end or "cut"

    async def pace(self, events: Iterator[bytes], per_second: float) -> None:
        """Sends events, evenly spaced by the clock, until they end or the caller hangs up."""
        if not per_second:
            for event in events:
                await self.write(event)
            return
        async with self.hang_up() as gone:
            due = time.monotonic()
            for event in events:
                if gone.done():
                    return
                await self.write(event)
                due += 1 / per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def wait(self, seconds: float, keep_alive: bytes = b"") -> bool:
        """Lets the caller wait, sending `keep_alive` each second. False when it hung up."""
        until = time.monotonic() + seconds
        async with self.hang_up() as gone:
            while (left := until - time.monotonic()) > 0 and not gone.done():
                if keep_alive:
                    await self.write(keep_alive)
                await asyncio.wait({gone}, timeout=min(1.0, left))
            return not gone.done()

    async def silence(self) -> None:
        """Nothing at all, until the caller hangs up."""
        async with self.hang_up() as gone:
            await gone

    @asynccontextmanager
    async def hang_up(self) -> AsyncIterator["asyncio.Task[None]"]:
        """A task that is done when the caller hangs up."""
        task = asyncio.create_task(self._until_gone())
        try:
            yield task
        finally:
            task.cancel()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.call.end = "gone"
