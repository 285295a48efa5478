"""Amazon's frames, told as events: cut anywhere, and never trusted."""

import base64
import json
import struct
from binascii import crc32
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megabrain.gateway import sse
from megabrain.gateway.eventstream import BadFrame, FrameSplitter
from megabrain.gateway.sse import MAX_EVENT, Event, EventTooLong

VECTORS = json.loads((Path(__file__).parent / "bedrock_vectors.json").read_text())
FRAMES = {each["name"]: bytes.fromhex(each["hex"]) for each in VECTORS["event_stream"]}
STREAM = b"".join(FRAMES.values())
TOLD = [
    Event('{"role":"assistant"}', "messageStart"),
    Event('{"contentBlockIndex":0,"delta":{"text":"pong"}}', "contentBlockDelta"),
    Event('{"contentBlockIndex":0}', "contentBlockStop"),
    Event('{"stopReason":"end_turn"}', "messageStop"),
    Event(
        '{"usage":{"inputTokens":8,"outputTokens":1,"totalTokens":9},"metrics":{"latencyMs":120}}',
        "metadata",
    ),
    Event(
        '{"type":"error","error":{"type":"throttlingException","message":"Too many requests"}}',
        "error",
    ),
]


def events(block: bytes) -> list[Event | None]:
    return [Event.parse(raw) for raw in sse.split(block)]


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    head = b"".join(
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", 7, len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    return sealed(head, payload)


def sealed(head: bytes, payload: bytes, total: int | None = None) -> bytes:
    prelude = struct.pack("!II", total or 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return message + struct.pack("!I", crc32(message))


def event(name: str, payload: bytes) -> bytes:
    return frame({":message-type": "event", ":event-type": name}, payload)


def test_every_frame_becomes_an_event():
    assert events(FrameSplitter().feed(STREAM)) == TOLD


def test_frames_are_cut_wherever_the_network_cuts():
    splitter = FrameSplitter()
    block = b"".join(splitter.feed(STREAM[at : at + 1]) for at in range(len(STREAM)))
    assert events(block) == TOLD


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_frames_are_cut_at_any_places_at_once(cuts):
    splitter = FrameSplitter()
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(places)]
    assert events(b"".join(map(splitter.feed, pieces))) == TOLD


def test_what_is_left_over_at_the_end_tells_nothing():
    assert FrameSplitter().feed(FRAMES["messageStop"][:-1]) == b""


@pytest.mark.parametrize("place", [0, 4, 8, 20, 100, -1])
def test_a_flipped_bit_is_no_frame(place):
    broken = bytearray(FRAMES["contentBlockDelta"])
    broken[place] ^= 1
    splitter = FrameSplitter()
    with pytest.raises(BadFrame):
        # A wrong length may be waited for, if its own checksum is right, but it is not.
        splitter.feed(bytes(broken))


@pytest.mark.parametrize(
    "raw",
    [
        sealed(b"", b"", total=4),
        sealed(b"", b"", total=1),
        sealed(b"\x03abc\x63", b""),  # a header of a type that does not exist
        sealed(b"\x09ab", b""),
        sealed(b"\x02\xff\xfe\x00", b""),  # whose name is no text
        sealed(2 * (b"\x01a\x00"), b""),  # that is there twice
        event("chunk", b"{}"),
        event("chunk", b'{"bytes":"%%%"}'),
        b"data: this is no frame at all\n\n",
    ],
)
def test_what_is_no_event_stream_is_refused_as_such(raw):
    with pytest.raises(BadFrame):
        FrameSplitter().feed(raw)


def test_a_frame_that_is_too_long_is_refused_before_and_after_it_is_complete():
    long = event("contentBlockDelta", b"{" + b" " * MAX_EVENT + b"}")
    with pytest.raises(EventTooLong):
        FrameSplitter().feed(long[:-1])
    with pytest.raises(EventTooLong):
        FrameSplitter().feed(long)


def test_a_chunk_gives_way_to_the_models_own_event():
    own = '{"type":"content_block_stop","index":0}'
    wrapped = json.dumps({"bytes": base64.b64encode(own.encode()).decode(), "p": "abcd"}).encode()
    assert events(FrameSplitter().feed(event("chunk", wrapped))) == [
        Event(own, "content_block_stop")
    ]


def test_amazons_figures_stay_behind():
    own = b'{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":9}}'
    wrapped = json.dumps({"bytes": base64.b64encode(own).decode()}).encode()
    assert events(FrameSplitter().feed(event("chunk", wrapped))) == [
        Event('{"type":"message_stop"}', "message_stop")
    ]


@pytest.mark.parametrize("name", ["x\ndata: y\n\nevent: z", "x\r\n\r\n", "é", "x" * 100])
def test_no_name_of_an_event_begins_another_one(name):
    assert events(FrameSplitter().feed(event(name, b'{"a":\r\n1}'))) == [Event('{"a": \n1}', "")]
    inner = json.dumps({"type": name}).encode()
    wrapped = json.dumps({"bytes": base64.b64encode(inner).decode()}).encode()
    assert events(FrameSplitter().feed(event("chunk", wrapped))) == [Event(inner.decode(), "")]


@pytest.mark.parametrize(
    ("headers", "payload", "error"),
    [
        (
            {":message-type": "exception", ":exception-type": "modelStreamErrorException"},
            b'{"originalStatusCode":500,"originalMessage":"It broke."}',
            {"type": "modelStreamErrorException", "message": "It broke."},
        ),
        (
            {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "Oh."},
            b"",
            {"type": "InternalFailure", "message": "Oh."},
        ),
        ({":message-type": "exception"}, b"<html>", {"type": "", "message": ""}),
    ],
)
def test_exceptions_of_every_form_are_error_events(headers, payload, error):
    [told] = events(FrameSplitter().feed(frame(headers, payload)))
    assert told is not None
    assert told.name == "error"
    assert json.loads(told.data) == {"type": "error", "error": error}
