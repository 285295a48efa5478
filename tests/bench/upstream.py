"""A provider that costs next to nothing: canned answers, and streams at a set pace.

    python -m tests.bench.upstream PORT

It reads no more of a request than its length and, in a short body, whether it asks for a stream.
"""

import asyncio
import re
import sys
from time import monotonic
from typing import cast

import uvloop

from tests.bench import wire

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
#: The body of a request for a stream is short; of a longer one nothing is read.
_SHORT = 2048
_LENGTH_REQUIRED = b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Provider(asyncio.Protocol):
    """One connection. Requests come one after another."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun = b""
        self._missing = 0
        self._left = 0
        self._period = 0.0
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
            if self._missing <= 0:
                self._missing = 0
                self._answer(b"")
            return
        if self._begun:
            data = self._begun + data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._begun = data
            return
        found = _LENGTH.search(data, 0, end)
        if found is None:
            self._write(_LENGTH_REQUIRED)
            return
        length = int(found[1])
        missing = end + length - len(data)
        if missing <= 0:
            self._begun = b""
            self._answer(data[end:] if length <= _SHORT else b"")
        elif length <= _SHORT:
            self._begun = data
        else:
            self._begun = b""
            self._missing = missing

    def _answer(self, body: bytes) -> None:
        asked = wire.asked_stream(body)
        if asked is None:
            self._write(wire.ANSWER)
            return
        events, pace = asked
        self._left = events - 1
        self._period = 1 / pace
        self._due = self._loop.time() + self._period
        self._write(wire.STREAM_HEAD + wire.framed_event(monotonic()))
        self._timer = self._loop.call_at(self._due, self._next)

    def _next(self) -> None:
        if self._left <= 0:
            self._write(wire.STREAM_END)
            return
        self._write(wire.framed_event(monotonic()))
        self._left -= 1
        # From when it was due: a busy machine makes a stream bumpy, not slow.
        self._due += self._period
        self._timer = self._loop.call_at(self._due, self._next)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def listen(port: int) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port, backlog=4096)


async def _serve(port: int) -> None:
    async with await listen(port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
