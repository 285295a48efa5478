"""Small changes to a request body, for the `adapt` of providers.

A body comes as its top-level fields, their values undecoded. Each function here looks at a value
only where its field is there, and gives back the very fields it got when nothing is to change. A
value of another kind than the dialect's is left for the provider to refuse in its own words.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from byok.providers.base import Fields

_DEVELOPER, _SYSTEM = b'"developer"', b'"system"'
_OBJECTS = msgspec.json.Decoder(list[Fields])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


# Any: a value is whatever JSON the caller sent, or is to be sent.


def value(fields: Fields, name: str) -> Any:
    """The decoded value of a field; None where it is absent, null or unreadable."""
    if name not in fields:
        return None
    try:
        return msgspec.json.decode(fields[name])
    except _UNREADABLE:
        return None


def raw(wanted: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(wanted))


def put(fields: Fields, name: str, wanted: Any) -> Fields:
    return {**fields, name: raw(wanted)}


def only(fields: Fields, known: Collection[str]) -> Fields:
    """The fields of these names."""
    if all(name in known for name in fields):
        return fields
    return {name: found for name, found in fields.items() if name in known}


def without(fields: Fields, *names: str) -> Fields:
    """The fields but those of these names."""
    if not any(name in fields for name in names):
        return fields
    return {name: found for name, found in fields.items() if name not in names}


def renamed(fields: Fields, old: str, new: str) -> Fields:
    """The fields with one under its other name; where both are there, `old` is what counts."""
    if old not in fields:
        return fields
    return {**without(fields, old), new: fields[old]}


def within(fields: Fields, name: str, low: float | None, high: float | None) -> Fields:
    """The fields with a number brought between two bounds, of which either may be unknown."""
    number = value(fields, name)
    if not isinstance(number, int | float) or isinstance(number, bool):
        return fields
    if low is not None and number < low:
        return put(fields, name, low)
    if high is not None and number > high:
        return put(fields, name, high)
    return fields


def said(fields: Fields, name: str, words: Mapping[str, str]) -> Fields:
    """The fields with a word replaced by the provider's own for it."""
    word = value(fields, name)
    return put(fields, name, words[word]) if isinstance(word, str) and word in words else fields


def objects(fields: Fields, name: str) -> list[Fields]:
    """The objects in a list, such as the messages; none where it is anything else."""
    try:
        return _OBJECTS.decode(fields[name]) if name in fields else []
    except _UNREADABLE:
        return []


def put_changed(fields: Fields, name: str, found: list[Fields], changed: list[Fields]) -> Fields:
    """The fields with a list in which some of the objects were changed, or none."""
    if all(new is old for new, old in zip(changed, found, strict=True)):
        return fields
    return put(fields, name, changed)


def each(fields: Fields, name: str, change: Callable[[Fields], Fields]) -> Fields:
    """The fields with every object of a list changed."""
    found = objects(fields, name)
    return put_changed(fields, name, found, [change(item) for item in found])


def role(message: Fields) -> bytes:
    """The role of a message as it is on the wire, in quotation marks."""
    return bytes(message.get("role", b""))


def system_for_developer(message: Fields) -> Fields:
    """The message for companies that know the older name of this role alone."""
    if role(message) != _DEVELOPER:
        return message
    return {**message, "role": msgspec.Raw(_SYSTEM)}


def no_developer(fields: Fields) -> Fields:
    """A Chat body without messages of developers; cheap where the word does not occur."""
    if _DEVELOPER not in bytes(fields.get("messages", b"")):
        return fields
    return each(fields, "messages", system_for_developer)
