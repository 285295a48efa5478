"""A rich answer in each dialect that providers speak, streamed and whole, and ways to spoil it."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from byok.providers.base import Endpoint
from megabrain.gateway.sse import Event

Json = Any  # Whatever JSON a provider may send.

_ANSWERS = json.loads((Path(__file__).parent / "provider_answers.json").read_text())
#: Name and data of each event; Amazon's frames as they are once they are told as events.
STREAMS: dict[Endpoint, list[tuple[str, Json]]] = {
    Endpoint(dialect): [(name, data) for name, data in each["events"]]
    for dialect, each in _ANSWERS.items()
}
WHOLES: dict[Endpoint, Json] = {
    Endpoint(dialect): each["whole"] for dialect, each in _ANSWERS.items()
}

#: What may stand in the place of anything.
ODD: list[Json] = [
    *(None, 1, -1, 1e300, True, 10**30, "", "x", "\0\r\n", [], [None], [[]], ["x"], {}, {"a": 1}),
    *([{"type": []}], {"type": {}}, {"type": "text"}),
]


def wire(events: list[tuple[str, Json]]) -> bytes:
    texts = ((name, data if isinstance(data, str) else json.dumps(data)) for name, data in events)
    return b"".join(Event(text, name).emit() for name, text in texts)


def places(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is a value, from the whole to its innermost parts."""
    yield path
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for name, each in inner:
            yield from places(each, (*path, name))


def spoiled(value: Json, path: tuple[Any, ...], new: Json) -> Json:
    """The value with something else at this place."""
    if not path:
        return new
    value = holder = copy.deepcopy(value)
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = new
    return value


def spoiled_each(value: Json) -> Iterator[Json]:
    """The value with each of ODD at each place."""
    for path in places(value):
        for new in ODD:
            yield spoiled(value, path, new)
