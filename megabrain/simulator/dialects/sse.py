"""Server-sent events and the JSON in them."""

import msgspec

from megabrain.simulator.turn import Json

encode = msgspec.json.encode
decode = msgspec.json.decode


def data(body: Json) -> bytes:
    """An event without a name."""
    return b"data: " + encode(body) + b"\n\n"


def event(body: Json) -> bytes:
    """An event named by the type in its body."""
    return b"event: %b\ndata: %b\n\n" % (body["type"].encode(), encode(body))
