"""Amazon's binary event stream, cut into frames and told as server-sent events.

A frame is prelude (total length, length of the headers, CRC), headers, payload, CRC. Each becomes
one event named by its `:event-type`; a `chunk` of InvokeModel holds an event of the model's own,
which takes its place, so that whatever reads Messages reads these. An exception becomes an event
`error` whose data is `{"type": "error", "error": {"type": <its name>, "message": …}}`. What is left
over at the end of the connection belonged to a frame that was cut, and tells nothing.
Source: botocore's eventstream, whose decoder this is, and providers.md § 4.7.
"""

import base64
import re
import struct
from typing import Any

import msgspec
from botocore.eventstream import EventStreamBuffer, ParserError

from megabrain.gateway import sse
from megabrain.gateway.sse import MAX_EVENT, EventTooLong

_ENCODER = msgspec.json.Encoder()
#: What may stand in the line that names an event; anything else could begin another line.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: Amazon's own figures on the last event of a model; they are for its bill.
_METRICS = "amazon-bedrock-invocationMetrics"
#: How a decoder fails of which every length was a lie; CRCs make that unlikely, not impossible.
_UNDECODABLE = (ParserError, struct.error, KeyError, IndexError, ValueError, msgspec.DecodeError)
#: JSON that is none, or is nested without end.
_NO_JSON = (msgspec.DecodeError, RecursionError)
#: The decoder copies all that it holds for each frame that it finds.
_AT_ONCE = 64 * 1024


class BadFrame(EventTooLong):
    """The bytes are no event stream: a checksum, a length or a header is wrong."""

    why = "sent a stream that could not be read"


class FrameSplitter:
    """Cuts a stream of bytes into its complete frames; the rest waits for more."""

    __slots__ = ("_buffer", "_waiting")

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()
        self._waiting = 0

    def feed(self, data: bytes) -> bytes:
        """All frames that are complete by now, as server-sent events. Raises EventTooLong."""
        if len(data) > _AT_ONCE:
            starts = range(0, len(data), _AT_ONCE)
            return b"".join(self.feed(data[at : at + _AT_ONCE]) for at in starts)
        self._buffer.add_data(data)
        self._waiting += len(data)
        out = []
        # Any: the stubs have other types for the parts of a message.
        message: Any
        try:
            for message in self._buffer:
                length = message.prelude.total_length
                if length > MAX_EVENT:
                    raise EventTooLong
                self._waiting -= length
                out.append(_told(message.headers, message.payload))
        except (*_UNDECODABLE, RecursionError):
            raise BadFrame from None
        if self._waiting > MAX_EVENT:
            raise EventTooLong
        return b"".join(out)


# Any: the values of headers are whatever types the format has.
def _told(headers: dict[str, Any], payload: bytes) -> bytes:
    kind = headers.get(":message-type")
    if kind in ("exception", "error"):
        name = str(headers.get(":exception-type") or headers.get(":error-code") or "")
        message = str(headers.get(":error-message") or "") or _message(payload)
        error = {"type": name, "message": message}
        return _event(_ENCODER.encode({"type": "error", "error": error}).decode(), "error")
    name = str(headers.get(":event-type") or "")
    if name != "chunk":
        return _event(payload.decode("utf-8", "replace"), name)
    data = _inside(payload)
    return _event(_without_metrics(data) if _METRICS in data else data, _type(data))


def _event(data: str, name: str) -> bytes:
    """The event, or b"" without data. A CR is blank space in JSON, and a line's end in an event."""
    if not data:
        return b""
    return sse.Event(data.replace("\r", " "), name if _NAME.fullmatch(name) else "").emit()


class _Chunk(msgspec.Struct):
    bytes: str


class _Typed(msgspec.Struct):
    type: str = ""


class _Worded(msgspec.Struct):
    message: str = ""
    capital: str = msgspec.field(default="", name="Message")
    original: str = msgspec.field(default="", name="originalMessage")


def _inside(payload: bytes) -> str:
    chunk = msgspec.json.decode(payload, type=_Chunk)
    return base64.b64decode(chunk.bytes, validate=True).decode("utf-8", "replace")


def _without_metrics(data: str) -> str:
    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except _NO_JSON:
        return data
    fields.pop(_METRICS, None)
    return _ENCODER.encode(fields).decode()


def _type(data: str) -> str:
    try:
        return msgspec.json.decode(data, type=_Typed).type
    except _NO_JSON:
        return ""


def _message(payload: bytes) -> str:
    try:
        said = msgspec.json.decode(payload, type=_Worded)
    except _NO_JSON:
        return ""
    return said.message or said.capital or said.original
