"""Messages read and written: streams as they are on the wire, and whatever else can be said."""

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from byok.providers import PROVIDERS
from byok.providers.base import Endpoint
from megabrain.gateway import sse
from megabrain.gateway.dialects import CALLER_SIDES, PROVIDER_SIDES
from megabrain.gateway.dialects.base import Ask, read_fields
from megabrain.gateway.dialects.claude_schema import for_answers
from megabrain.gateway.dialects.neutral import (
    Answer,
    CallDelta,
    CallDone,
    CallStarted,
    Effort,
    Ended,
    Event,
    Failed,
    Finish,
    Format,
    Json,
    Origin,
    Prompt,
    Reasoning,
    ReasoningDelta,
    ReasoningDone,
    Started,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.dialects.translation import Target, Told
from megabrain.gateway.metering import Usage

SOME = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CALLER, PROVIDER = CALLER_SIDES[Endpoint.MESSAGES], PROVIDER_SIDES[Endpoint.MESSAGES]
ACCOUNT = UUID(int=1)
ORIGIN = Origin("anthropic", "key", "claude-opus-5-5")
TARGET = Target(
    provider=PROVIDERS["anthropic"],
    upstream_model="claude-opus-5",
    model="anthropic/claude-opus-5",
    origin=ORIGIN,
)
TOLD = Told(
    account_id=ACCOUNT,
    request_id=str(UUID(int=2)),
    model="openai/gpt-6-luna",
    created=1,
    origin=Origin("openai", "key", "gpt-6-luna"),
)


def wire(*events: Json) -> bytes:
    return b"".join(sse.Event(json.dumps(each), each["type"]).emit() for each in events)


def block(index: int, start: Json, *deltas: Json) -> list[Json]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": each} for each in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def started(**usage: int) -> Json:
    return {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": usage}}


def ended(reason: str, **usage: Any) -> list[Json]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


def call(call_id: str, name: str) -> Json:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}}


def argument(text: str) -> Json:
    return {"type": "input_json_delta", "partial_json": text}


def read(stream: bytes, size: int = 0) -> list[Event]:
    """What a reader makes of a stream that comes in pieces of this size."""
    splitter, reader = sse.Splitter(), PROVIDER.reader(TARGET)
    found: list[Event] = []
    for start in range(0, len(stream), size or len(stream)):
        for raw in sse.split(splitter.feed(stream[start : start + (size or len(stream))])):
            event = sse.Event.parse(raw)
            if event is not None:
                found += reader.read(event)
    return found


def answer_of(events: Iterable[Event]) -> Answer:
    """The events of a stream as an answer in one piece."""
    answer = Answer(blocks=[], finish=Finish.BROKEN)
    calls: dict[int, ToolCall] = {}
    for event in events:
        match event:
            case Started(id):
                answer.id = id
            case TextDelta(text):
                _last(answer, Text("")).text += text
            case ReasoningDelta(text):
                _last(answer, Reasoning()).text += text
            case ReasoningDone(maker, native):
                done = _last(answer, Reasoning())
                done.maker, done.native, done.origin = maker, native, ORIGIN
            case CallStarted(index, id, name):
                answer.blocks.append(calls.setdefault(index, ToolCall(id, name, "")))
            case CallDelta(index, arguments):
                calls[index].arguments += arguments
            case Ended(finish, stop, usage):
                answer.finish, answer.stop_sequence, answer.usage = finish, stop, usage
    return answer


def _last(answer: Answer, new: Any) -> Any:
    """The last block, if it is of this kind and not complete; else the new one, which is it now."""
    last = answer.blocks[-1] if answer.blocks else None
    if type(last) is type(new) and getattr(last, "native", None) is None:
        return last
    answer.blocks.append(new)
    return new


# Golden streams ---------------------------------------------------------------------------------

THINKING = {"type": "thinking", "thinking": "hm, ü", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "b3BhcXVl"}
UNSEEN = {"type": "thinking", "thinking": "", "signature": "bm8="}
ALL = wire(
    started(
        input_tokens=10,
        cache_creation_input_tokens=2000,
        cache_read_input_tokens=500,
        output_tokens=1,
    ),
    {"type": "ping"},
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm, "},
        {"type": "thinking_delta", "thinking": "ü"},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    *block(1, REDACTED),
    *block(
        2,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "signature_delta", "signature": "bm8="},
    ),
    {"type": "some_new_event", "delta": "of another shape", "index": None},
    *block(3, {"type": "server_tool_use", "id": "s", "name": "web_search"}, argument("{}")),
    *block(4, {"type": "web_search_tool_result", "content": []}),
    *block(
        5,
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "pö"},
        {"type": "citations_delta", "citation": {}},
        {"type": "text_delta", "text": "ng"},
    ),
    *block(6, call("toolu_1", "ls"), argument(""), argument('{"p":'), argument("1}")),
    *block(7, call("toolu_2", "pwd")),
    *ended("tool_use", output_tokens=60, output_tokens_details={"thinking_tokens": 20}),
)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_stream_of_everything_is_read_wherever_it_is_cut(size):
    answer = answer_of(read(ALL, size))
    assert answer.blocks == [
        Reasoning("hm, ü", "anthropic", THINKING, ORIGIN),
        Reasoning("", "anthropic", REDACTED, ORIGIN),
        Reasoning("", "anthropic", UNSEEN, ORIGIN),
        Text("pöng"),
        ToolCall("toolu_1", "ls", '{"p":1}'),
        ToolCall("toolu_2", "pwd", ""),
    ]
    assert (answer.id, answer.finish) == ("msg_1", Finish.TOOLS)
    assert answer.usage == Usage(10, 500, 2000, 60, 20)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", Finish.END),
        ("stop_sequence", Finish.STOP),
        ("max_tokens", Finish.LENGTH),
        ("refusal", Finish.FILTERED),
        ("pause_turn", Finish.PAUSE),
        ("model_context_window_exceeded", Finish.CONTEXT_FULL),
        ("some_new_reason", Finish.END),
    ],
)
def test_why_an_answer_ended_is_read_alike_of_both_kinds(reason, finish):
    assert answer_of(read(wire(started(), *ended(reason)))).finish is finish
    whole = PROVIDER.answer(json.dumps({"content": [], "stop_reason": reason}).encode(), TARGET)
    assert whole is not None
    assert whole.finish is finish


def test_an_error_after_the_beginning_is_told_with_what_was_used():
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    (first, failed) = read(wire(started(input_tokens=10, output_tokens=1), error))
    assert isinstance(first, Started)
    assert isinstance(failed, Failed)
    assert json.loads(failed.data) == error
    assert failed.usage == Usage(10, output_tokens=1)
    assert not isinstance(read(wire(started()))[-1], Ended)
    assert PROVIDER.answer(json.dumps(error).encode(), TARGET) is None


def test_json_that_came_by_a_tool_is_text():
    asked = {"type": "tool_use", "id": "toolu_1", "name": "mb__json", "input": {}}
    stream = wire(
        started(), *block(0, asked, argument('{"a":'), argument("1}")), *ended("tool_use")
    )
    streamed = answer_of(read(stream))
    body = {"content": [{**asked, "input": {"a": 1}}], "stop_reason": "tool_use"}
    whole = PROVIDER.answer(json.dumps(body).encode(), TARGET)
    assert whole is not None
    assert whole.blocks == streamed.blocks == [Text('{"a":1}')]
    assert whole.finish is streamed.finish is Finish.END


# Answers that callers get -----------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
OBJECTS = st.dictionaries(WORDS, st.integers(-9, 9) | WORDS, max_size=2)
#: What is said, in pieces.
SAID = st.one_of(
    st.tuples(st.just("text"), st.lists(WORDS, min_size=1, max_size=3)),
    st.tuples(st.just("reasoning"), st.lists(WORDS, max_size=3)),
    st.tuples(st.just("call"), OBJECTS),
)


class _Answers:
    """An answer, and a stream of it in which the pieces of calls are mixed; `turns` draws how."""

    def __init__(self, said: list[Any], turns: Any) -> None:
        self.events: list[Event] = [Started("x")]
        self.whole: list[Any] = []
        pending: list[list[Event]] = []
        calls = 0
        for kind, what in said:
            if kind == "text":
                self.events += [TextDelta(piece) for piece in what]
                self.whole.append(Text("".join(what)))
            elif kind == "reasoning":
                native = {"encrypted": "".join(what)}
                self.events += [ReasoningDelta(piece) for piece in what]
                self.events.append(ReasoningDone("openai", native))
                self.whole.append(Reasoning("".join(what), "openai", native, TOLD.origin))
            else:
                text = json.dumps(what, ensure_ascii=False) if what else ""
                self.events.append(CallStarted(calls, f"call_{calls}", "ls"))
                half = len(text) // 2
                pieces: list[Event] = [
                    CallDelta(calls, part) for part in (text[:half], text[half:])
                ]
                pending.append([*pieces, CallDone(calls)] if calls % 2 else pieces)
                self.whole.append(ToolCall(f"call_{calls}", "ls", text))
                calls += 1
            while pending and turns.draw(st.booleans()):
                self._next(pending, turns)
        while pending:
            self._next(pending, turns)
        self.finish = Finish.TOOLS if calls else Finish.END
        self.usage = Usage(1, 2, 3, 4, 1)
        self.events.append(Ended(self.finish, None, self.usage))

    def _next(self, pending: list[list[Event]], turns: Any) -> None:
        at = turns.draw(st.integers(0, len(pending) - 1))
        self.events.append(pending[at].pop(0))
        if not pending[at]:
            pending.pop(at)


def checked(stream: bytes) -> None:
    """Blocks one after another, numbered from 0, between the one beginning and the one end."""
    events = [json.loads(sse.Event.parse(raw).data) for raw in sse.split(stream)]  # type: ignore[union-attr]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    opened: int | None = None
    count = 0
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert opened is None
            assert event["index"] == count
            opened, count = count, count + 1
        else:
            assert event["index"] == opened
            if event["type"] == "content_block_stop":
                opened = None
    assert opened is None


def plain(answer: Answer) -> list[Any]:
    """The blocks with thinking as what is sealed in it, which is never sealed the same way."""
    found: list[Any] = []
    for each in answer.blocks:
        if isinstance(each, Reasoning) and each.native is not None:
            asked = Ask(
                read_fields(
                    json.dumps(
                        {"messages": [{"role": "assistant", "content": [each.native]}]}
                    ).encode()
                ),
                "m",
                False,
            )
            found += CALLER.parse(asked, ACCOUNT).turns[0].blocks
        elif isinstance(each, ToolCall):
            found.append((each.id, each.name, json.loads(each.arguments or "{}")))
        else:
            found.append(each)
    return found


@SOME
@given(st.lists(SAID, max_size=5), st.data())
def test_a_caller_gets_the_same_answer_streamed_and_in_one_piece(said, turns):
    answers = _Answers(said, turns)
    writer, prompt = CALLER.writer(Prompt(), TOLD), Prompt()
    stream = b"".join(writer.write([event]) for event in answers.events)
    checked(stream)
    streamed = answer_of(read(stream))
    body = CALLER.answer(
        prompt, Answer(blocks=answers.whole, finish=answers.finish, usage=answers.usage), TOLD
    )
    whole = PROVIDER.answer(body, TARGET)
    assert whole is not None
    assert plain(whole) == plain(streamed)
    assert (whole.finish, whole.usage) == (streamed.finish, streamed.usage)
    assert whole.usage == answers.usage
    texts = [each.text for each in answers.whole if isinstance(each, Text)]
    assert "".join(texts) == "".join(each.text for each in whole.blocks if isinstance(each, Text))


def test_a_call_without_arguments_has_an_empty_object_for_them_in_the_stream():
    writer = CALLER.writer(Prompt(), TOLD)
    events: list[Event] = [CallStarted(0, "call_1", "ls"), CallDone(0), Ended(Finish.END)]
    (delta,) = [raw for raw in sse.split(writer.write(events)) if b"input_json_delta" in raw]
    assert b'"partial_json":"{}"' in delta


def test_before_the_message_begins_a_comment_says_that_it_will_and_then_a_ping():
    writer = CALLER.writer(Prompt(), TOLD)
    assert writer.keep_alive().startswith(b":")
    writer.write([Started()])
    assert writer.keep_alive() == b'event: ping\ndata: {"type": "ping"}\n\n'


# Requests ---------------------------------------------------------------------------------------

MAYBE_BLANK = WORDS | st.just(" \n")
TEXTS = st.builds(Text, MAYBE_BLANK, st.none() | st.just("5m"))
CALLS = st.builds(
    ToolCall, st.sampled_from(["a", "b", "c:1"]), st.sampled_from(["ls", "pwd"]), st.just('{"a":1}')
)
RESULTS = st.builds(
    ToolResult,
    st.sampled_from(["a", "b", "c:1"]),
    st.lists(st.builds(Text, MAYBE_BLANK), max_size=2),
    st.booleans(),
)
SIGNED = st.builds(
    Reasoning,
    WORDS,
    st.just("anthropic"),
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, WORDS),
)
TURNS = st.lists(
    st.one_of(
        st.builds(Turn, st.just("user"), st.lists(TEXTS, max_size=2)),
        st.builds(Turn, st.just("system"), st.lists(TEXTS, min_size=1, max_size=2)),
        st.builds(Turn, st.just("assistant"), st.lists(TEXTS | CALLS | SIGNED, max_size=4)),
        st.builds(Turn, st.just("tool"), st.lists(RESULTS, min_size=1, max_size=3)),
    ),
    max_size=8,
)


#: A model that gives all of its calls the same id, and says nothing between them.
REPEATED = [
    Turn("user", [Text(" \n"), Text("hi")]),
    Turn("assistant", [ToolCall("a", "ls", "")]),
    Turn("tool", [ToolResult("a", [Text("one"), Text(" ")])]),
    Turn("assistant", [Text("\n"), ToolCall("a", "ls", "")]),
    Turn("tool", [ToolResult("a", [Text("two")])]),
]


def asked(body: Json) -> Ask:
    raw = json.dumps(body).encode()
    return Ask(read_fields(raw), "m", False, body=raw)


@pytest.mark.parametrize("model", ["claude-opus-5", "claude-haiku-4-5", "deepseek-flash"])
@SOME
@example(REPEATED)
@given(TURNS)
def test_any_conversation_is_written_as_anthropic_takes_it_and_read_again(model, turns):
    target = Target(**{**_fields(TARGET), "upstream_model": model, "model": model})
    body = PROVIDER.request(Prompt(turns=turns), target)
    open_calls: list[str] = []
    seen: set[str] = set()
    marks = 0
    before = ""
    for message in body["messages"]:
        role, blocks = message["role"], message["content"]
        assert blocks
        assert role != before
        assert role != "system" or (before == "user" and model == "claude-opus-5")
        marks += sum("cache_control" in each for each in blocks)
        results = [each["tool_use_id"] for each in blocks if each["type"] == "tool_result"]
        if role == "user":
            assert results == open_calls
            assert all(each["type"] == "tool_result" for each in blocks[: len(results)])
        open_calls = [each["id"] for each in blocks if each["type"] == "tool_use"]
        assert not seen.intersection(open_calls)
        seen.update(open_calls)
        inside = [part for each in blocks for part in each.get("content", [])]
        assert all(each["text"].strip() for each in [*blocks, *inside] if each["type"] == "text")
        before = role
    assert body["messages"][0]["role"] == "user"
    assert not open_calls
    assert marks <= 4
    # Nothing is left to repair.
    again = PROVIDER.request(CALLER.parse(asked(body), ACCOUNT), target)
    assert again["messages"] == body["messages"]


def _fields(target: Target) -> dict[str, Any]:
    return {name: getattr(target, name) for name in target.__struct_fields__}


@SOME
@given(TURNS, TURNS)
def test_what_was_said_is_written_the_same_way_in_every_later_turn(turns, later):
    def messages(said: list[Turn]) -> list[Json]:
        body = PROVIDER.request(Prompt(turns=said), TARGET)
        return [json.loads(json.dumps(each), object_hook=_unmarked) for each in body["messages"]]

    # An answer of the assistant's ends what was said before it.
    first = [*turns, Turn("user", [Text("Go on.")])]
    longer = [*first, Turn("assistant", [Text("Done.")]), *later]
    short = messages(first)
    assert messages(longer)[: len(short)] == short


def _unmarked(block: Json) -> Json:
    return {name: value for name, value in block.items() if name != "cache_control"}


def test_a_schema_is_put_into_the_subset_that_answers_can_have():
    fit = for_answers(
        {
            "type": "object",
            "properties": {
                "n": {"type": "integer", "minimum": 1, "description": "A number."},
                "when": {"type": "string", "format": "date"},
                "how": {"type": "string", "format": "color"},
                "one": {"oneOf": [{"type": "string"}, {"type": "null"}]},
                "list": {"type": "array", "items": {"$ref": "#/$defs/item"}},
            },
            "$defs": {"item": {"type": "object", "properties": {"a": {"const": 1}}}},
        }
    )
    assert fit is not None
    assert fit["additionalProperties"] is False
    assert fit["$defs"]["item"]["additionalProperties"] is False
    assert fit["properties"] == {
        "n": {"type": "integer", "description": "A number. (minimum: 1)"},
        "when": {"type": "string", "format": "date"},
        "how": {"type": "string", "description": "format: color"},
        "one": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "list": {"type": "array", "items": {"$ref": "#/$defs/item"}},
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"me": {"$ref": "#"}}},
        {"type": "object", "properties": {"a": {"$ref": "https://example.com/schema"}}},
        {"type": "array", "items": {"type": "string"}},
    ],
)
def test_a_schema_that_would_mean_something_else_there_is_not(schema):
    assert for_answers(schema) is None


@pytest.mark.parametrize(
    ("schema", "arrives"),
    [
        ({}, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        (
            {
                "anyOf": [
                    {"properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
                    {"properties": {"b": {"type": "string"}}, "required": ["b"]},
                ],
            },
            {
                "type": "object",
                "properties": {"b": {"type": "string"}, "a": {"type": "string"}},
                "required": ["b"],
            },
        ),
    ],
)
def test_the_arguments_of_a_tool_are_an_object_whatever_was_given(schema, arrives):
    body = PROVIDER.request(Prompt(tools=[Tool(name="ls", parameters=schema)]), TARGET)
    assert body["tools"][0]["input_schema"] == arrives


SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("provider", "model", "way"),
    [
        ("anthropic", "claude-sonnet-5-5", "format"),
        ("anthropic", "claude-haiku-4-5-20251001", "format"),
        ("anthropic", "claude-sonnet-4-20250514", "tool"),
        ("bedrock", "us.anthropic.claude-opus-5", "tool"),
        ("bedrock", "us.anthropic.claude-sonnet-5-5", "words"),
        ("bedrock", "eu.anthropic.claude-fable-5", "tool"),
        ("deepseek", "deepseek-flash", "tool"),
    ],
)
def test_json_is_demanded_in_the_way_that_a_model_knows(provider, model, way):
    target = Target(provider=PROVIDERS[provider], upstream_model=model, model=model, origin=ORIGIN)
    body = PROVIDER.request(Prompt(format=Format(SCHEMA)), target)
    assert ("output_config" in body) == (way == "format")
    assert ("tools" in body) == (way == "tool")
    if way == "tool":
        assert body["tool_choice"] == {"type": "tool", "name": body["tools"][0]["name"]}
    # Without a schema words do.
    assert "JSON" in PROVIDER.request(Prompt(format=Format()), target)["system"][-1]["text"]


def test_json_is_asked_for_in_words_where_thinking_forbids_to_demand_a_call():
    target = Target(**{**_fields(TARGET), "upstream_model": "claude-sonnet-4-20250514"})
    body = PROVIDER.request(Prompt(format=Format(SCHEMA), thinking_budget=2000), target)
    assert body["thinking"]["budget_tokens"] == 2000
    assert "tools" not in body
    assert '"required":["a"]' in body["system"][-1]["text"]


@pytest.mark.parametrize(
    ("model", "effort", "asked"),
    [
        ("claude-sonnet-5-5", Effort.MINIMAL, ("adaptive", "low")),
        ("claude-sonnet-5-5", Effort.NONE, ("between_tools", None)),
        ("claude-opus-5-5", Effort.NONE, (None, "low")),
        ("claude-opus-5", Effort.NONE, ("disabled", None)),
        ("claude-opus-5", Effort.MAX, ("adaptive", "max")),
        ("claude-sonnet-4-6", Effort.XHIGH, ("adaptive", "high")),
        ("claude-sonnet-4-5", Effort.MEDIUM, ("enabled", None)),
        ("claude-3-haiku-20240307", Effort.HIGH, (None, None)),
        ("claude-of-next-year", Effort.HIGH, ("adaptive", "high")),
        ("claude-opus-5", None, (None, None)),
    ],
)
def test_an_effort_is_asked_for_in_the_way_that_a_model_knows(model, effort, asked):
    target = Target(
        provider=PROVIDERS["anthropic"], upstream_model=model, model=model, origin=ORIGIN
    )
    body = PROVIDER.request(Prompt(effort=effort, max_output=8000, temperature=0.5), target)
    thinking, config = body.get("thinking", {}), body.get("output_config", {})
    assert (thinking.get("type"), config.get("effort")) == asked
    if asked[0] == "enabled":
        assert thinking["budget_tokens"] == 4000 < body["max_tokens"]
    assert not ("temperature" in body and asked[0] in ("enabled", "adaptive"))
