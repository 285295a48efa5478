"""How a list of models goes wrong: the answer that it becomes."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from megabrain.simulator.faults import HUGE_BYTES, REDIRECTED, ListFault
from megabrain.simulator.provider import Answer
from megabrain.simulator.turn import Json

_HTML = b"<!doctype html><html><head><title>Welcome</title></head><body>Models</body></html>"
_IDS = ("id", "name", "modelId", "inferenceProfileId")
#: Bytes a second of an answer that drips, and how many of them come at once.
DRIPS, DRIP = 20.0, b" "


def answer(body: Json, fault: ListFault | None) -> Answer:
    """A list of models, spoilt as the fault says where that is a matter of what is answered."""
    match fault:
        case ListFault.HTML:
            return Answer(200, _HTML, {"content-type": "text/html; charset=utf-8"})
        case ListFault.REDIRECT:
            return Answer(302, b"", {"location": REDIRECTED})
        case ListFault.BAD:
            return Answer(200, msgspec.json.encode(body)[:-2] + b",,")
        case ListFault.HUGE:
            body = _lists(body, lambda entries: [_endless(entries[0]), *entries[1:]])
        case ListFault.EMPTY:
            body = _lists(body, lambda entries: [])
        case ListFault.TENTH:
            body = _lists(body, lambda entries: entries[: max(1, (len(entries) - 1) // 10)])
        case ListFault.TYPES:
            body = _lists(body, lambda entries: [_mistyped(entry) for entry in entries])
        case ListFault.PRICES:
            body = _lists(body, lambda entries: [_dearer(entry) for entry in entries])
    return Answer(200, msgspec.json.encode(body))


# Any: entries and what is in them are whatever JSON the provider lists.


def _lists(body: Json, change: Callable[[list[Any]], list[Any]]) -> Json:
    """The body with its list changed, and without a word of further pages."""
    return {
        name: change(value) if isinstance(value, list) else value for name, value in body.items()
    }


def _mistyped(entry: Json) -> Json:
    return {name: [value] for name, value in entry.items()}


def _endless(entry: Json) -> Json:
    return {name: "x" * HUGE_BYTES if name in _IDS else value for name, value in entry.items()}


def _dearer(value: Any, *, priced: bool = False) -> Any:
    """A hundred times what is told under a name with `pric` in it, at any depth."""
    if isinstance(value, dict):
        return {
            name: _dearer(each, priced=priced or "pric" in name) for name, each in value.items()
        }
    if not priced or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return f"{value[: value.startswith('$')]}{Decimal(value.lstrip('$')) * 100:f}"
    return value * 100
