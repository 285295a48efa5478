"""The load: connections that call again and again, and streams that follow one another.

Both open their connections first, come to rest, and then count what happens within a window. What
has begun is let end, so that nothing is cut off and every failure is the other side's.
"""

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar, cast

from tests.bench import wire

#: Who has not answered for so long never will.
PATIENCE = 60.0

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_OK = b"HTTP/1.1 200"
#: It has no body and does not say so: what the caller has is still right.
_UNCHANGED = b"HTTP/1.1 304"

C = TypeVar("C", bound="Connection")


@dataclass
class Window:
    """When it counts, and what the measured process cost from its beginning to its end."""

    cpu: Callable[[], float]
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    open: bool = False

    async def keep(self, seconds: float) -> None:
        before, began = self.cpu(), monotonic()
        self.open = True
        await asyncio.sleep(seconds)
        self.open = False
        self.seconds = monotonic() - began
        self.cpu_seconds = self.cpu() - before


@dataclass
class Calls:
    """What came of calls in one piece. `latencies` are of the window, the rest of all."""

    window: Window
    latencies: list[float] = field(default_factory=list)
    answered: int = 0
    errors: list[str] = field(default_factory=list)


@dataclass
class Streams:
    """What came of streams. Delays and events are of the window, the rest of all."""

    window: Window
    #: From asking to the first event, also of those that began before the window.
    first_bytes: list[float] = field(default_factory=list)
    #: Of an event on its way from the upstream's hands to ours.
    delays: list[float] = field(default_factory=list)
    #: The same, of the last event of each stream.
    late: list[float] = field(default_factory=list)
    events: int = 0
    ended: int = 0
    errors: list[str] = field(default_factory=list)
    rss: int = 0


class Connection(asyncio.Protocol):
    """A connection to whoever is measured. Subclasses say what follows an answer."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(4 * 1024 * 1024)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.busy:
            self.failed(f"the connection was closed: {error or 'without a word'}")
        self.finish()

    def failed(self, why: str) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        self.busy = False
        if not self.over.done():
            self.over.set_result(None)
        if self.transport is not None:
            self.transport.close()
            self.transport = None


# Calls in one piece ------------------------------------------------------------------------------


class Caller(Connection):
    """Sends the same request whenever the last one has been answered."""

    def __init__(self, request: bytes, calls: Calls, going: asyncio.Event) -> None:
        super().__init__()
        self._request = request
        self._calls = calls
        self._going = going
        self._begun = bytearray()
        self._asked_at = 0.0

    def ask(self) -> None:
        if self.transport is not None:
            self.busy = True
            self._asked_at = monotonic()
            self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        # An answer of megabytes comes in many pieces.
        self._begun += data
        if not _complete(self._begun):
            return
        answer, self._begun = self._begun, bytearray()
        self.busy = False
        calls = self._calls
        if not answer.startswith((_OK, _UNCHANGED)):
            self.failed(answer[:300].decode("utf-8", "replace"))
            self.finish()
            return
        calls.answered += 1
        if calls.window.open:
            calls.latencies.append(monotonic() - self._asked_at)
        if self._going.is_set():
            self.ask()
        else:
            self.finish()

    def failed(self, why: str) -> None:
        self._calls.errors.append(why)


def _complete(data: bytearray) -> bool:
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return False
    if data.startswith(_UNCHANGED):
        return True
    found = _LENGTH.search(data, 0, end)
    if found is None:
        return len(data) > end and data.endswith(b"0\r\n\r\n")
    return len(data) >= end + int(found[1])


async def call(
    port: int,
    request: bytes,
    connections: int,
    seconds: float,
    cpu: Callable[[], float],
    settle: float = 0.5,
) -> Calls:
    """So many connections call for so long, after they have settled."""
    calls = Calls(Window(cpu))
    going = asyncio.Event()
    going.set()
    callers = [await _open(port, Caller(request, calls, going)) for _ in range(connections)]
    for caller in callers:
        caller.ask()
    await asyncio.sleep(settle)
    await calls.window.keep(seconds)
    going.clear()
    await _let_end(callers)
    return calls


# Streams -----------------------------------------------------------------------------------------


class Reader(Connection):
    """A slot: reads one stream after another, the first one shorter, so that ends are spread."""

    def __init__(
        self,
        first: tuple[int, bytes],
        others: tuple[int, bytes],
        streams: Streams,
        going: asyncio.Event,
        spoken: wire.Spoken,
    ) -> None:
        super().__init__()
        self._spoken = spoken
        self._asked, request = first
        self._first = request
        self._others = others
        self._streams = streams
        self._going = going
        self._begun = b""
        self._seen = 0
        self._asked_at = 0.0
        self._last = 0.0
        self._done = False
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ask(self, request: bytes | None = None) -> None:
        if self.transport is not None:
            self.busy = True
            self._begun, self._seen, self._done = b"", 0, False
            self._asked_at = monotonic()
            self.transport.write(request or self._first)

    def data_received(self, data: bytes) -> None:
        now = monotonic()
        streams = self._streams
        if self._begun:
            data = self._begun + data
            self._begun = b""
        if not self._seen and not data.startswith(_OK):
            self.failed(data[:300].decode("utf-8", "replace"))
            self.finish()
            return
        if not data.endswith(b"\r\n"):
            # Cut in the middle of an event, or of the frame around it.
            end = data.rfind(b"\n\n") + 2
            self._begun, data = (data, b"") if end < 2 else (data[end:], data[:end])
        new = data.count(self._spoken.event)
        if new:
            if not self._seen:
                if not self.started.done():
                    self.started.set_result(None)
                streams.first_bytes.append(now - self._asked_at)
            self._seen += new
            at = data.rfind(self._spoken.event) + len(self._spoken.event)
            self._last = now - float(data[at : at + wire.TIMESTAMP_LENGTH])
            if streams.window.open:
                streams.events += new
                streams.delays.append(self._last)
        elif not self._seen:
            # The headers alone. They are looked at again with what follows.
            self._begun = data + self._begun
        self._done = self._done or self._spoken.end in data
        if self._seen and data.endswith(b"0\r\n\r\n"):
            self._ended()

    def _ended(self) -> None:
        self.busy = False
        streams = self._streams
        streams.late.append(self._last)
        if self._seen == self._asked and self._done:
            streams.ended += 1
        else:
            self.failed(f"a stream of {self._asked} events ended after {self._seen}")
        if self._going.is_set():
            self._asked, request = self._others
            self.ask(request)
        else:
            self.finish()

    def failed(self, why: str) -> None:
        self._streams.errors.append(why)


@dataclass(frozen=True)
class Pace:
    """So many streams at a time, so many events a second in each, each so many seconds long."""

    slots: int
    per_second: float
    length: float
    ramp: float


async def stream(
    port: int,
    request: Callable[[bytes], bytes],
    pace: Pace,
    seconds: float,
    cpu: Callable[[], float],
    rss: Callable[[], int],
    settle: float = 0.5,
    spoken: wire.Spoken = wire.CHAT,
) -> Streams:
    """Keep so many streams open for so long, after they have all begun."""
    streams = Streams(Window(cpu))
    going = asyncio.Event()
    going.set()
    full = max(1, round(pace.length * pace.per_second))
    least = round((pace.ramp + settle) * pace.per_second)

    def asking(events: int) -> tuple[int, bytes]:
        return events, request(wire.stream_body(events, pace.per_second, spoken))

    lengths = [least + round(full * slot / pace.slots) for slot in range(pace.slots)]
    random.Random(0).shuffle(lengths)
    readers = []
    began = monotonic()
    for slot, length in enumerate(lengths):
        await asyncio.sleep(max(0.0, began + pace.ramp * slot / pace.slots - monotonic()))
        reader = await _open(port, Reader(asking(length), asking(full), streams, going, spoken))
        reader.ask()
        readers.append(reader)
    await asyncio.sleep(settle)
    await asyncio.wait([reader.started for reader in readers], timeout=PATIENCE / 2)
    await streams.window.keep(seconds)
    streams.rss = rss()
    going.clear()
    await _let_end(readers)
    return streams


# Both --------------------------------------------------------------------------------------------


async def _open(port: int, connection: C) -> C:
    await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)
    return connection


async def _let_end(connections: list[Caller] | list[Reader]) -> None:
    waiting = [connection.over for connection in connections]
    _, unanswered = await asyncio.wait(waiting, timeout=PATIENCE)
    for connection in connections:
        if connection.over in unanswered:
            connection.failed(f"no answer within {PATIENCE:.0f} seconds")
            connection.finish()
