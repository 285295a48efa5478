"""S31: whatever is translated takes time in proportion to its size, and holds nobody else up.

Each of these bodies and answers is well within the limits, and took minutes where anything was
looked for in a list once for each of its items. A caller waits for half a minute here.
"""

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from megabrain.gateway.dialects.base import MAX_DEPTH
from megabrain.gateway.dialects.claude_schema import for_answers, for_tools
from megabrain.gateway.eventstream import FrameSplitter
from megabrain.gateway.sse import MAX_EVENT, Splitter
from tests.gateway.test_eventstream import event
from tests.gateway_fixture import Agent
from tests.guarantees.test_s31_every_size_has_a_bound import ROOM, memory
from tests.guarantees.wire import RawUpstream, Received, json_answer, stream_head

N = 20_000
WITHIN = 30
MIB = 1024 * 1024
HI = {"role": "user", "content": "hi"}
MODELS = {
    "anthropic": "anthropic/claude-haiku-4.5",
    "google": "google/gemini-3.5-flash",
    "bedrock": "amazon/nova-pro-v1",
}
ANSWERS: dict[str, Any] = {
    "anthropic": {"content": [{"type": "text", "text": "pong"}], "stop_reason": "end_turn"},
    "google": {"candidates": [{"content": {"parts": [{"text": "pong"}]}, "finishReason": "STOP"}]},
    "bedrock": {"output": {"message": {"content": [{"text": "pong"}]}}, "stopReason": "end_turn"},
}


def chat_calls(number: int, call_id: str = "c{}", result: Any = None) -> dict[str, Any]:
    """A turn of so many calls, and their results."""
    function = {"name": "get", "arguments": "{}"}
    calls = [{"id": call_id.format(at), "function": function} for at in range(number)]
    named = result if result is not None else [{"tool_call_id": call["id"]} for call in calls]
    results = [{"role": "tool", "content": "r", **each} for each in named]
    return {"messages": [HI, {"role": "assistant", "tool_calls": calls}, *results]}


def unnamed(number: int, name: str) -> list[dict[str, str]]:
    return [{"name": name}] * number


def files(number: int) -> dict[str, Any]:
    source = {"type": "text", "data": "a"}
    file = {"type": "document", "title": "a.txt", "source": source}
    return {"messages": [{"role": "user", "content": [file] * number}], "max_tokens": 99}


def pictures(number: int) -> dict[str, Any]:
    """A result with many pictures, no two alike."""
    kind = {"type": "base64", "media_type": "image/png"}
    shown = [{"type": "image", "source": {**kind, "data": f"{at:08}"}} for at in range(number)]
    call = {"type": "tool_use", "id": "t", "name": "get", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": shown}
    said = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    return {"messages": [HI, *said], "max_tokens": 99}


BODIES: dict[str, tuple[str, str, Callable[[], dict[str, Any]]]] = {
    "calls": ("chat/completions", "anthropic", lambda: chat_calls(N)),
    "calls that share an id": ("chat/completions", "google", lambda: chat_calls(N, "c")),
    "results without ids": (
        "chat/completions",
        "anthropic",
        lambda: chat_calls(N, result=unnamed(N, "get")),
    ),
    "results of no tool": (
        "chat/completions",
        "bedrock",
        lambda: chat_calls(N, result=unnamed(N, "other")),
    ),
    "files of one name": ("messages", "bedrock", lambda: files(N)),
    "pictures": ("messages", "google", lambda: pictures(N)),
}


@pytest.mark.parametrize("name", BODIES)
def test_many_of_anything_are_translated(agent, key, settings, name):
    endpoint, provider, body = BODIES[name]
    key(provider)
    with RawUpstream.saying(json_answer(json.dumps(ANSWERS[provider]).encode())) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {provider: upstream.url}
        answer = agent.post(endpoint, {"model": MODELS[provider], **body()}, timeout=WITHIN)
    assert answer.status_code == 200, answer.text[:500]
    assert "pong" in answer.text


def test_others_are_answered_while_a_large_body_is_translated(agent, key, settings):
    key("anthropic")
    body = json.dumps({"model": MODELS["anthropic"], **chat_calls(33_000)}).encode()
    place = urlsplit(agent.gateway.address)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {agent.token}\r\n\r\n"
    )
    served = 0
    with RawUpstream.saying(json_answer(json.dumps(ANSWERS["anthropic"]).encode())) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": upstream.url}
        with socket.create_connection((place.hostname, place.port)) as connection:
            connection.sendall(head.encode() + body[:-1])
            for _ in range(20):
                agent.get("nothing", timeout=WITHIN)  # Until then all but the last byte is read.
            connection.sendall(body[-1:])
            while not upstream.connections:
                assert agent.get("nothing", timeout=WITHIN).status_code == 404
                served += 1
            assert connection.recv(12) == b"HTTP/1.1 200"
    # Without a thread for it, those that come between its last byte and its translation.
    assert served > 50


# Schemas ----------------------------------------------------------------------------------------


def within(work: Any) -> Any:
    """What this gives, unless it takes for ever."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work).result(WITHIN)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def doubled(number: int) -> dict[str, Any]:
    """Definitions of which each refers to the next one twice."""
    definitions: dict[str, Any] = {str(number): {"type": "string"}}
    for at in range(number):
        both = {side: {"$ref": f"#/$defs/{at + 1}"} for side in ("left", "right")}
        definitions[str(at)] = {"type": "object", "properties": both}
    return {"type": "object", "properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": definitions}


def test_references_are_followed_once():
    assert within(lambda: for_answers(doubled(40))) is not None
    # A chain of any length would be followed to the end of the stack.
    assert for_answers(doubled(MAX_DEPTH + 10)) is None
    assert for_answers(doubled(100_000)) is None
    circle = doubled(2)
    circle["$defs"]["2"] = {"$ref": "#/$defs/0"}
    assert for_answers(circle) is None


def test_unions_are_merged_in_one_go():
    names = [f"q{at}" for at in range(N)]
    options = [{"properties": {f"p{at}": {"n": at}}, "required": [f"p{at}"]} for at in range(N)]
    wide = {"properties": {name: {} for name in names}, "required": names}
    merged = within(lambda: for_tools({"oneOf": options, "allOf": [wide, wide]}))
    assert len(merged["properties"]) == 2 * N
    assert len(merged["required"]) == N
    odd = {"anyOf": [{"properties": [], "required": [[], 1, "a"]}, 5], "properties": [], "allOf": 7}
    assert for_tools(odd)["required"] == ["a"]


# Answers ----------------------------------------------------------------------------------------


def call(at: int) -> dict[str, Any]:
    return {"id": f"c{at}", "type": "function", "function": {"name": "get", "arguments": "{}"}}


def ask(agent: Agent, **more: Any) -> Any:
    """A call in Responses, of a provider that speaks Chat."""
    body = {"model": "deepseek/deepseek-v4-pro", "input": "hi", **more}
    return agent.post("responses", body, timeout=WITHIN)


def test_many_calls_in_an_answer_are_translated(agent, key, settings):
    key("deepseek")
    message = {"content": [{"type": "text", "text": "x"}] * N, "tool_calls": [*map(call, range(N))]}
    said = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    with RawUpstream.saying(json_answer(json.dumps(said).encode())) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"deepseek": upstream.url}
        answer = ask(agent)
    assert len(answer.json()["output"]) == N + 1


@pytest.mark.parametrize("part", [b"[]", b"{}", b"1.5", b'""'])
def test_an_answer_of_too_many_parts_is_not_decoded(agent, key, settings, part):
    """It would take many times the room of its bytes."""
    key("deepseek")
    start, end = b'{"choices":[{"message":{"content":"a"}}],"x":[', b"]}"
    room = 30 * MIB - len(start) - len(end)
    said = start + b",".join([part] * (room // (len(part) + 1))) + end
    with RawUpstream.saying(json_answer(said)) as upstream, memory() as grown:
        settings.MEGABRAIN_UPSTREAM_URLS = {"deepseek": upstream.url}
        assert ask(agent).status_code == 503
    assert grown[0] < ROOM


def test_a_body_of_too_many_values_is_not_translated(agent, key, simulator):
    key("anthropic")
    numbers = b",".join([b"1.5"] * 1_100_000)
    body = b'{"model":"%s","messages":[],"metadata":[%s]}' % (MODELS["anthropic"].encode(), numbers)
    answer = agent.post("chat/completions", data=body)
    assert answer.status_code == 400
    assert "too many values" in answer.json()["error"]["message"]
    assert simulator.calls == []


def test_a_translated_stream_has_an_end(agent, key, settings):
    """Its text is remembered up to there."""
    key("deepseek")
    first = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    more = b'data: {"choices":[],"x":"' + b"x" * (MIB - 100) + b'"}\n\n'
    sent = [0]

    def answers(_: Received) -> Any:
        yield stream_head() + first
        while sent[0] < 400:
            yield more
            sent[0] += 1

    with RawUpstream(answers) as upstream, memory() as grown:
        settings.MEGABRAIN_UPSTREAM_URLS = {"deepseek": upstream.url}
        answer = ask(agent, stream=True)
    assert "sent an answer that is too long" in answer.text
    assert answer.text.count("event: response.failed") == 1
    assert sent[0] < 200
    assert grown[0] < ROOM


def test_reasoning_in_tiny_pieces_is_translated(agent, key, settings):
    key("deepseek")
    piece = b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"%s"}}]}\n\n' % (b"x" * 400)
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    with RawUpstream.saying(stream_head(), piece * 60_000, end) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"deepseek": upstream.url}
        answer = ask(agent, stream=True)
    assert answer.text.count("event: response.reasoning_summary_text.delta") == 60_000
    assert answer.text.count("event: response.completed") == 1


# Splitters --------------------------------------------------------------------------------------


def fed(splitter: Splitter | FrameSplitter, stream: bytes, size: int) -> bytes:
    return b"".join(splitter.feed(stream[at : at + size]) for at in range(0, len(stream), size))


@pytest.mark.parametrize("ends", [b"\r", b"\n", b"x"])
def test_a_long_event_in_small_pieces_is_searched_once(ends):
    line = b"data: xxxx" + ends
    stream = line * ((MAX_EVENT - 100) // len(line)) + ends + b"\n\n"
    assert within(lambda: fed(Splitter(), stream, 200)).startswith(b"data: xxxx")


def test_many_frames_at_once_are_cut_one_after_the_other():
    stream = event("contentBlockStop", b'{"contentBlockIndex":0}') * 80_000
    told = within(lambda: fed(FrameSplitter(), stream, len(stream)))
    assert told.count(b"event: contentBlockStop") == 80_000
