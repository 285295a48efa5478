"""S30: an event is the same event however it was cut, and a stream has exactly one end."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megabrain.gateway.sse import Event, Splitter, split
from tests.guarantees.wire import RawUpstream, stream_head

LINES = [
    *(b"data: a", b"data:", b"data", b"event: n", b"id: 1", b": c", b"retry: 5", b"", b" ", b":"),
    *(b"data: \0", b"id: \0", b"data: \xff", b"\xef\xbb\xbf", "data: é𝄞\u2028\x85".encode()),
]
ENDS = [b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b""]
LINE = st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS)).map(b"".join)
STREAMS = st.lists(LINE, max_size=8).map(b"".join)
CHARACTERS = 'ab :é𝄞\t\x0b\x1c\x85\u2028\ufeff\uffff{}"\\'

few = settings(max_examples=300, deadline=None, derandomize=True)


def events_of(blocks: Iterable[bytes]) -> list[Event]:
    found = [Event.parse(raw) for block in blocks for raw in split(block)]
    return [event for event in found if event is not None]


def events_in(raw: bytes) -> list[Event]:
    """The events of a whole stream, found in the simplest way: without any care for its bytes."""
    plain = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found = [Event.parse(block) for block in plain.split(b"\n\n")[:-1]]
    return [event for event in found if event is not None]


def fed(splitter: Splitter, pieces: list[bytes]) -> Iterator[bytes]:
    return (splitter.feed(piece) for piece in pieces)


@few
@given(
    st.builds(
        Event,
        data=st.text([*CHARACTERS, "\n", "\0"]),
        name=st.text([*CHARACTERS, "\0"]),
        id=st.none() | st.text([*CHARACTERS]),
    )
)
def test_an_event_is_read_as_it_was_written(event):
    assert Event.parse(event.emit()) == event
    assert split(event.emit()) == [event.emit()]


@few
@given(STREAMS)
def test_what_was_read_is_written_so_that_it_is_read_again(raw):
    event = Event.parse(raw)
    assert event is None or Event.parse(event.emit()) == event


@few
@given(STREAMS)
def test_a_stream_cut_anywhere_is_the_same_events(raw):
    whole, expected = Splitter(), events_in(raw)
    assert events_of(fed(whole, [raw])) == expected
    rest = events_of([whole.feed(b"\n\n")])
    for cut in range(len(raw) + 1):
        parts = Splitter()
        assert events_of(fed(parts, [raw[:cut], raw[cut:]])) == expected
        assert events_of([parts.feed(b"\n\n")]) == rest
    single = [raw[place : place + 1] for place in range(len(raw))]
    assert events_of(fed(Splitter(), single)) == expected


@few
@given(STREAMS)
def test_nothing_is_lost_or_added_between_events(raw):
    sent = raw + b"\n\n"
    single = [sent[place : place + 1] for place in range(len(sent))]
    told = b"".join(fed(Splitter(), single))
    ended = sent.removeprefix(b"\xef\xbb\xbf")
    assert ended.startswith(told)
    assert ended[len(told) :].strip(b"\n") == b"", "but for line breaks that end no event"


CHAT = (
    'data: {"choices":[{"index":0,"delta":{"content":"é𝄞"},"finish_reason":null}]}\n\n'
    ": comment\r\n\r\n"
    'data: {"choices":[{"index":0,"delta":{"content":"a\\u0000"},"finish_reason":null}]}\r\r'
    'data: {"choices":[{"index":0,"delta":{},\ndata: "finish_reason":"stop"}]}\r\n\r\n'
    "data: [DONE]\n\n"
)
RESPONSES = (
    'event: response.created\r\ndata: {"type":"response.created","sequence_number":0,'
    '"response":{"id":"resp_1"}}\r\n\r\n'
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"é𝄞",'
    '"sequence_number":1}\n\n'
    'event: response.completed\rdata: {"type":"response.completed","sequence_number":2,'
    '"response":{"id":"resp_1","status":"completed"}}\r\r'
)
MESSAGES = (
    'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":1}}}'
    "\n\n"
    'event: content_block_delta\r\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"é𝄞"}}\r\n\r\n'
    'event: ping\rdata: {"type": "ping"}\r\r'
    'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":2}}\n\n'
    'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
CALLS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "chat": (CHAT, "openai", "chat/completions", {"model": "openai/gpt-6-luna", "messages": []}),
    "responses": (RESPONSES, "openai", "responses", {"model": "openai/gpt-6-luna", "input": "a"}),
    "messages": (
        MESSAGES,
        "anthropic",
        "messages",
        {"model": "anthropic/claude-haiku-4.5", "messages": [], "max_tokens": 9},
    ),
}
TERMINAL = {
    "chat": ("[DONE]", '"error"'),
    "responses": ("response.completed", "response.incomplete", "response.failed", '"error"'),
    "messages": ("message_stop", '"error"'),
}


@pytest.fixture(params=CALLS)
def dialect(request, agent, key, settings) -> Iterator["Streaming"]:
    """A dialect and an upstream of it that sends what the test wants."""
    text, provider, endpoint, body = CALLS[request.param]
    key(provider)
    with RawUpstream() as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {provider: upstream.url}
        yield Streaming(request.param, text.encode(), upstream, agent, endpoint, body)


class Streaming:
    def __init__(self, name, text, upstream, agent, endpoint, body) -> None:
        self.name: str = name
        self.text: bytes = text
        self._upstream: RawUpstream = upstream
        self._agent = agent
        self._endpoint = endpoint
        self._body = body

    def events(self, *pieces: bytes, pause: float = 0.0) -> list[Event]:
        """What the caller gets when the provider sends these pieces, apart from each other."""
        self._upstream.answers = lambda _: self._paced(pieces, pause)
        return self._ask()

    def events_at_cuts(self, cuts: range) -> list[list[Event]]:
        """The same for the text in two pieces, cut at each of these places, some at a time."""
        waiting = iter(cuts)
        self._upstream.answers = lambda _: self._paced(self._cut(next(waiting)), 0.004)
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda _: self._ask(), cuts))

    def _cut(self, place: int) -> list[bytes]:
        return [self.text[:place], self.text[place:]]

    def _paced(self, pieces: Any, pause: float) -> Iterator[bytes]:
        yield stream_head()
        for piece in pieces:
            time.sleep(pause)  # Or the network would join them again.
            yield piece

    def _ask(self) -> list[Event]:
        answer = self._agent.post(self._endpoint, {**self._body, "stream": True})
        assert answer.status_code == 200, answer.text
        assert answer.content.endswith((b"\n\n", b"\r\r", b"\r\n\r\n"))
        return events_in(answer.content)

    def terminal(self, events: list[Event]) -> list[Event]:
        words = TERMINAL[self.name]
        return [event for event in events if any(word in event.data for word in words)]


def test_a_stream_cut_at_any_byte_arrives_the_same(dialect):
    expected = events_in(dialect.text)
    assert dialect.events(dialect.text) == expected
    assert dialect.terminal(expected) == expected[-1:]
    for number, events in enumerate(dialect.events_at_cuts(range(1, len(dialect.text)))):
        assert events == expected, number
    single = [dialect.text[place : place + 1] for place in range(len(dialect.text))]
    assert dialect.events(*single, pause=0.0005) == expected


def test_nothing_comes_after_the_end(dialect):
    expected = events_in(dialect.text)
    error = b'event: error\ndata: {"type":"error","error":{"message":"late"}}\n\n'
    for more in (
        dialect.text,
        dialect.text[-60:],
        error,
        b"data: [DONE]\n\n" * 3,
        b": comment\n\n",
        b"data: half an event",
        b"\xff\xfe\0\n\n",
    ):
        assert dialect.events(dialect.text, more, pause=0.01) == expected
        assert dialect.events(dialect.text + more) == expected


def test_a_stream_that_breaks_off_anywhere_ends_once(dialect):
    whole = events_in(dialect.text)
    first = len(dialect.text) // 2
    for cut in range(first, len(dialect.text), 5):
        events = dialect.events(dialect.text[:cut])
        assert len(dialect.terminal(events)) == 1, cut
        assert dialect.terminal(events) == events[-1:], cut
        assert events[:-1] == whole[: len(events) - 1], cut


def test_no_bytes_make_two_ends(dialect):
    head = dialect.text[: len(dialect.text) // 2]
    for odd in (
        b"\0",
        b"\xff\xfe",
        b"\r",
        b"data: {\n\n",
        b"data: []\n\n",
        b"data: 1\n\n",
        b"event",
    ):
        events = dialect.events(head + b"\n\n" + odd + b"\n\n" + dialect.text)
        assert len(dialect.terminal(events)) == 1, odd
        assert dialect.terminal(events) == events[-1:], odd
