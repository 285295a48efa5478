"""Streams as the strictest of their readers take them: clients.md § 5, field by field.

The AI SDK validates every event of its three dialects; Zed wants each line of Chat to parse and to
have choices; Codex takes the items of Responses from `output_item.done` alone.
"""

from typing import Any

from tests.gateway.dialect import CHAT, MESSAGES, RESPONSES, Dialect, Event, Stream

Json = dict[str, Any]


def check(dialect: Dialect, stream: Stream, *, usage_asked: bool = False) -> None:
    """Whether all of them would take the stream, whose end must be a good one."""
    assert stream.complete or stream.events[-1].name == "response.incomplete"
    if dialect is CHAT:
        _chat(stream, usage_asked=usage_asked)
    else:
        {MESSAGES: _messages, RESPONSES: _responses}[dialect](stream)


def _chat(stream: Stream, *, usage_asked: bool) -> None:
    *events, done = stream.events
    assert done.data is None
    chunks = [event.data or {} for event in events]
    counted = [chunk["usage"] for chunk in chunks if chunk.get("usage") is not None]
    assert bool(counted) == usage_asked
    for usage in counted:
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert isinstance(usage[name], int)
    # One chunk of usage, after all others, and only for whom it was asked.
    spoken = chunks[:-1] if usage_asked else chunks
    assert not usage_asked or chunks[-1]["choices"] == []
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert spoken[0]["choices"][0]["delta"]["role"] == "assistant"
    reasons = []
    for chunk in spoken:
        (choice,) = chunk["choices"]
        assert choice["index"] == 0
        assert choice["delta"].get("role", "assistant") == "assistant"
        reasons += [choice["finish_reason"]] if choice.get("finish_reason") else []
        for call in choice["delta"].get("tool_calls") or ():
            assert isinstance(call["index"], int)
            assert isinstance(call["function"].get("arguments", ""), str)
    assert len(reasons) == 1
    _calls_begin_with_their_names(spoken)


def _calls_begin_with_their_names(chunks: list[Json]) -> None:
    known: set[int] = set()
    for chunk in chunks:
        for call in chunk["choices"][0]["delta"].get("tool_calls") or ():
            if call["index"] not in known:
                assert call["index"] == len(known)
                assert call["id"]
                assert call["type"] == "function"
                assert call["function"]["name"]
                known.add(call["index"])


def _messages(stream: Stream) -> None:
    opened: int | None = None
    begun = 0
    for event in stream.events:
        data = event.data or {}
        match event.name:
            case "message_start":
                assert begun == 0
                assert isinstance(data["message"]["usage"]["input_tokens"], int)
                assert data["message"]["content"] == []
            case "content_block_start":
                assert (opened, data["index"]) == (None, begun)
                opened, begun = begun, begun + 1
                _block(data["content_block"])
            case "content_block_delta":
                assert data["index"] == opened
                _delta(data["delta"])
            case "content_block_stop":
                assert data["index"] == opened
                opened = None
            case "message_delta":
                assert opened is None
                assert isinstance(data["usage"]["output_tokens"], int)
                assert isinstance(data["usage"]["input_tokens"], int)
                assert data["delta"]["stop_reason"]
            case name:
                assert name in {"message_stop", "ping"}
    assert stream.names[0] == "message_start"
    assert stream.names.count("message_delta") == 1


def _block(block: Json) -> None:
    match block["type"]:
        case "text":
            assert block["text"] == ""
        case "thinking":
            assert (block["thinking"], block["signature"]) == ("", "")
        case "redacted_thinking":
            assert isinstance(block["data"], str)
        case kind:
            assert kind == "tool_use"
            assert block["id"]
            assert block["name"]
            assert block["input"] == {}


def _delta(delta: Json) -> None:
    field = {
        "text_delta": "text",
        "thinking_delta": "thinking",
        "signature_delta": "signature",
        "input_json_delta": "partial_json",
    }[delta["type"]]
    assert isinstance(delta[field], str)


def _responses(stream: Stream) -> None:
    first, second, *rest = [event for event in stream.events if event.name != "keepalive"]
    assert (first.name, second.name) == ("response.created", "response.in_progress")
    assert first.data
    for name, kind in (("id", str), ("created_at", int), ("model", str)):
        assert isinstance(first.data["response"][name], kind)
    _items(rest)
    last = rest[-1].data or {}
    response = last["response"]
    assert response["id"] == first.data["response"]["id"]
    _counts(response["usage"])
    done = [(event.data or {})["item"] for event in rest if event.name.endswith("item.done")]
    assert response["output"] == done


def _items(events: list[Event]) -> None:
    """Each is added and done, in its place, and named by all that belongs to it."""
    added: dict[int, Json] = {}
    parts: set[tuple[str, int]] = set()
    open_items: set[str] = set()
    for event in events:
        data = event.data or {}
        if event.name == "response.output_item.added":
            assert data["output_index"] == len(added)
            added[data["output_index"]] = data["item"]
            open_items.add(data["item"]["id"])
        elif event.name == "response.output_item.done":
            item = data["item"]
            assert added[data["output_index"]]["id"] == item["id"]
            open_items.remove(item["id"])
            if item["type"] == "function_call":
                assert all(isinstance(item[name], str) for name in ("call_id", "name", "arguments"))
        elif "item_id" in data:
            assert data["item_id"] in open_items
            assert added[data["output_index"]]["id"] == data["item_id"]
            _part(event.name, data, parts)
    assert not open_items
    assert not parts


def _part(name: str, data: Json, parts: set[tuple[str, int]]) -> None:
    if "content_index" not in data:
        return
    place = (data["item_id"], data["content_index"])
    if name.endswith("content_part.added"):
        parts.add(place)
    elif name.endswith("content_part.done"):
        parts.remove(place)
    else:
        assert place in parts


def _counts(usage: Json) -> None:
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        assert isinstance(usage[name], int)
    assert isinstance(usage["input_tokens_details"]["cached_tokens"], int)
    assert isinstance(usage["output_tokens_details"]["reasoning_tokens"], int)
