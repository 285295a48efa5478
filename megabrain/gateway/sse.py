"""Server-sent events: where one ends, what it says, and how to write one.

The relay forwards the bytes of events as they came. What must be read is read here, by lines over
a byte buffer: a line ends with LF, CR or CRLF, and an event with an empty line, wherever the
network may have cut them.
"""

import re
from dataclasses import dataclass
from typing import Self

MAX_EVENT = 1024 * 1024

# Atomic groups: a CRLF must not be taken for two line ends.
_EVENT_END = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_LONGEST_END = 4
_BOM = b"\xef\xbb\xbf"


class EventTooLong(Exception):
    """An event has no end within MAX_EVENT bytes."""

    #: What that is called of the provider that did it.
    why = "sent an event that is too long"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` has LF as its only line break: emitting anything else would change it."""

    data: str
    name: str = ""
    id: str | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Self | None:
        """The event in these bytes, or None when they dispatch none: comments, or no data."""
        name, event_id, data = "", None, []
        # Of bytes, splitlines splits at LF, CR and CRLF, and at nothing else.
        for line in raw.splitlines():
            field, _, value = line.decode("utf-8", "replace").partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id" and "\0" not in value:
                event_id = value
        return cls("\n".join(data), name, event_id) if data else None

    def emit(self) -> bytes:
        """Its bytes; `parse` of them is the event again."""
        lines = [f"data: {line}" for line in self.data.split("\n")]
        if self.id is not None:
            lines.insert(0, f"id: {self.id}")
        if self.name:
            lines.insert(0, f"event: {self.name}")
        return ("\n".join(lines) + "\n\n").encode()


class Splitter:
    """Cuts a stream of bytes after its last complete event; the rest waits for more."""

    __slots__ = ("_begun", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """All events that are complete by now, as they came. Raises EventTooLong."""
        if self._rest:
            # What waits has been searched, but for an end of which the last byte comes now.
            searched = max(0, len(self._rest) - _LONGEST_END + 1)
            self._rest += data
            if self._begun:
                return self._cut(searched)
            data = bytes(self._rest)
            self._rest.clear()
        if not self._begun:
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._rest += data
                return b""
            self._begun = True
            data = data.removeprefix(_BOM)
        end = _last_end(data)
        self._keep(data[end:])
        return data[:end]

    def _cut(self, searched: int) -> bytes:
        """What is complete of all that waits, of which the first bytes have been searched."""
        end = _last_end(bytes(self._rest[searched:]))
        if not end:
            self._keep(b"")
            return b""
        block = bytes(self._rest[: searched + end])
        del self._rest[: searched + end]
        self._keep(b"")
        return block

    def _keep(self, more: bytes) -> None:
        self._rest += more
        if len(self._rest) > MAX_EVENT:
            raise EventTooLong


def split(block: bytes) -> list[bytes]:
    """The events of a block that `Splitter.feed` returned, each with its end."""
    if b"\r" not in block:
        return [event + b"\n\n" for event in block.split(b"\n\n")[:-1]]
    events, start = [], 0
    for end in _EVENT_END.finditer(block):
        events.append(block[start : end.end()])
        start = end.end()
    return events


def _last_end(data: bytes) -> int:
    """Where the last complete event ends; 0 where none does."""
    if b"\r" not in data:
        return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
    end = 0
    for match in _EVENT_END.finditer(data):
        end = match.end()
    return end
