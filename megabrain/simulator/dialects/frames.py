"""Amazon's binary event stream: frames with headers, a payload and two checksums."""

import base64
import struct
from binascii import crc32

from megabrain.simulator.dialects.sse import encode
from megabrain.simulator.turn import Json

STREAM_HEADERS = {"content-type": "application/vnd.amazon.eventstream"}
#: A frame whose checksum is wrong.
GARBAGE = b"\0\0\0\x20\0\0\0\0\0\0\0\0" + b"no frame at all, really"

_STRING = 7


def event(name: str, body: Json) -> bytes:
    """An event of a stream. Amazon pads its payloads, so that their length tells nothing."""
    return _frame({":event-type": name, ":message-type": "event"}, {**body, "p": "abcdefgh"})


def chunk(inner: bytes) -> bytes:
    """An event that holds one of the model's own."""
    body = {"bytes": base64.b64encode(inner).decode(), "p": "abcdefgh"}
    return _frame({":event-type": "chunk", ":message-type": "event"}, body)


def exception(name: str, body: Json) -> bytes:
    return _frame({":exception-type": name, ":message-type": "exception"}, body)


def _frame(headers: dict[str, str], body: Json) -> bytes:
    named = {**headers, ":content-type": "application/json"}
    head = b"".join(_header(name, value) for name, value in named.items())
    payload = encode(body)
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return message + struct.pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    text = value.encode()
    return (
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(text)) + text
    )
