"""Reading a request that goes out at MegaBrain's expense: of that, nothing may stay unread.

Values are decoded no deeper than they are looked at, and what is sent is encoded anew from that. So
a field that is there twice counts once for whoever gets it, whichever of the two he would take.
"""

from typing import Any

import msgspec

from byok.providers.base import Fields
from megabrain.gateway.dialects.translation import Inexpressible

_ENCODER = msgspec.json.Encoder()
_ANYTHING = msgspec.json.Decoder()
_WORD = msgspec.json.Decoder(str | None)
_LIST = msgspec.json.Decoder(list[msgspec.Raw] | None)
_OBJECT = msgspec.json.Decoder(Fields)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def given(fields: Fields, name: str) -> bool:
    """Whether the field is there and not null."""
    return name in fields and bytes(fields[name]) != b"null"


# Any: whatever JSON the caller sent.
def read(fields: Fields, name: str) -> Any:
    """The decoded value of a field; None where it is absent or null. Raises Inexpressible."""
    return _decoded(_ANYTHING, fields[name], name) if name in fields else None


def word(fields: Fields, name: str, within: str) -> str:
    """A string, "" where it is absent or null; `within` is the field of the request that has it.
    Raises Inexpressible."""
    return _decoded(_WORD, fields[name], within) or "" if name in fields else ""


def items(raw: msgspec.Raw, within: str) -> list[msgspec.Raw]:
    """The items of a list, none of null. Raises Inexpressible."""
    return _decoded(_LIST, raw, within) or []


def opened(raw: msgspec.Raw, within: str) -> Fields:
    """The fields of an object. Raises Inexpressible."""
    found: Fields = _decoded(_OBJECT, raw, within)
    return found


def packed(value: object) -> msgspec.Raw:
    return msgspec.Raw(_ENCODER.encode(value))


def begins(raw: msgspec.Raw, mark: bytes) -> bool:
    """Whether the value is a string, a list or an object: it begins with `mark`."""
    return bytes(memoryview(raw)[:1]) == mark


def _decoded(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw, name: str) -> Any:
    try:
        return decoder.decode(raw)
    except _UNREADABLE:
        raise Inexpressible(
            f"MegaBrain cannot read {name}, and a balance pays for nothing that it cannot read.",
            name,
        ) from None
