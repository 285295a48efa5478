"""Responses read and written: what one side writes the other reads, whole or cut anywhere."""

import json
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byok.providers import PROVIDERS
from megabrain.gateway import sse
from megabrain.gateway.dialects.base import Ask, read_fields
from megabrain.gateway.dialects.neutral import (
    Answer,
    Block,
    CallDelta,
    CallDone,
    CallStarted,
    Choice,
    Document,
    Effort,
    Ended,
    Event,
    Failed,
    Finish,
    Format,
    Image,
    Origin,
    Prompt,
    Reasoning,
    ReasoningDelta,
    ReasoningDone,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.dialects.responses import CALLER, PROVIDER, RESPONSES
from megabrain.gateway.dialects.translation import Target, Told
from megabrain.gateway.metering import Usage

few = settings(max_examples=60, deadline=None)

ACCOUNT = UUID(int=7)
ORIGIN = Origin("openai", "key", "gpt-5.4")
TOLD = Told(
    account_id=ACCOUNT,
    request_id="5d88720f-d328-4c7e-97e8-5fb00bbf9e22",
    model="maker/model",
    created=1_790_000_000,
    origin=ORIGIN,
)
TARGET = Target(
    provider=PROVIDERS["openai"],
    upstream_model="gpt-5.4",
    model="openai/gpt-5.4",
    origin=ORIGIN,
    capabilities=("tools", "reasoning"),
)
USAGE = Usage(5, 4, 3, 9, reasoning_tokens=2)
ANY_FUNCTION = Tool("f", parameters={"type": "object", "properties": {}}, own_name="f")


def parsed(body: dict[str, Any]) -> Prompt:
    raw = json.dumps({"model": "m", "input": "hi", **body}).encode()
    return CALLER.parse(Ask(read_fields(raw), "m", stream=False, body=raw), ACCOUNT)


# Answers ----------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
objects = st.dictionaries(words, words, max_size=2).map(json.dumps)
said = st.one_of(
    st.builds(Text, words),
    st.builds(Refusal, words),
    st.builds(Reasoning, text=words),
    st.builds(ToolCall, id=st.uuids().map(str), name=st.just("f"), arguments=objects),
)


def events_of(blocks: Iterable[Block]) -> Iterator[Event]:
    """The blocks as a stream tells them, in pieces."""
    calls = 0
    for block in blocks:
        match block:
            case Text():
                yield from map(TextDelta, block.text)
            case Refusal():
                yield from map(RefusalDelta, block.text)
            case Reasoning():
                yield from map(ReasoningDelta, block.text)
                yield ReasoningDone("chat", {"reasoning_content": block.text})
            case ToolCall():
                yield CallStarted(calls, block.id, block.name)
                yield from (CallDelta(calls, piece) for piece in block.arguments)
                yield CallDone(calls)
                calls += 1


def blocks_of(events: Iterable[Event]) -> list[Block]:
    """What was told, neighbours of a kind put together, and reasoning by its text alone."""
    blocks: list[Block] = []
    calls: dict[int, ToolCall] = {}
    thought = ""
    for event in events:
        match event:
            case ReasoningDelta():
                thought += event.text
            case ReasoningDone():
                blocks.append(Reasoning(thought))
                thought = ""
            case TextDelta() | RefusalDelta():
                kind = Text if isinstance(event, TextDelta) else Refusal
                if blocks and type(blocks[-1]) is kind:
                    blocks[-1] = kind(blocks[-1].text + event.text)
                else:
                    blocks.append(kind(event.text))
            case CallStarted():
                calls[event.index] = ToolCall(event.id, event.name, "")
                blocks.append(calls[event.index])
            case CallDelta():
                calls[event.index].arguments += event.arguments
    return blocks


def read(stream: bytes, size: int = 0) -> list[Event]:
    """What a reader makes of a stream that comes in pieces of this size."""
    reader, splitter, found = PROVIDER.reader(TARGET), sse.Splitter(), []
    for at in range(0, len(stream), size or len(stream)):
        for raw in sse.split(splitter.feed(stream[at : at + (size or len(stream))])):
            event = sse.Event.parse(raw)
            assert event is not None
            found += reader.read(event)
    return found


def written(blocks: list[Block], finish: Finish = Finish.END, **options: Any) -> bytes:
    prompt = Prompt(tools=[ANY_FUNCTION], **options)
    writer = CALLER.writer(prompt, TOLD)
    return writer.write([*events_of(blocks), Ended(finish, usage=USAGE)])


@few
@given(st.lists(said, max_size=5))
def test_a_written_stream_reads_as_what_was_said(blocks):
    events = read(written(blocks))
    assert blocks_of(events) == blocks_of(events_of(blocks))
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert ended.usage == USAGE
    called = any(isinstance(block, ToolCall) for block in blocks)
    assert (ended.finish is Finish.TOOLS) == called


@few
@given(st.lists(said, max_size=4))
def test_an_answer_in_one_piece_has_the_items_of_the_stream(blocks):
    prompt = Prompt(tools=[ANY_FUNCTION])
    for block in blocks:
        if isinstance(block, Reasoning):
            block.maker, block.native = "chat", {"reasoning_content": block.text}
    whole = json.loads(CALLER.answer(prompt, Answer(blocks=blocks, finish=Finish.END), TOLD))
    last = json.loads(written(blocks).decode().rsplit("data: ", 1)[1])["response"]
    for item in (*whole["output"], *last["output"]):
        # No two envelopes are the same.
        item.pop("encrypted_content", None)
    assert whole["output"] == last["output"]
    answer = PROVIDER.answer(json.dumps(whole).encode(), TARGET)
    assert answer is not None
    assert [block.text for block in answer.blocks if isinstance(block, Text)] == [
        block.text for block in blocks_of(events_of(blocks)) if isinstance(block, Text)
    ]


def test_a_stream_may_be_cut_anywhere():
    blocks: list[Block] = [
        Reasoning("Höhe?"),
        Text("4 810 m – “Mont Blanc”"),
        ToolCall("c", "f", '{"a": "é"}'),
    ]
    stream = written(blocks)
    assert blocks_of(read(stream, 1)) == blocks_of(read(stream)) == blocks


def test_every_event_is_named_and_numbered_and_every_item_is_added_and_done():
    blocks: list[Block] = [Reasoning("hm"), Text("pong"), Refusal("no"), ToolCall("c", "f", "{}")]
    stream = written(blocks).decode()
    events = [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in (block.split("\n") for block in stream.split("\n\n")[:-1])
    ]
    assert [name for name, _ in events] == [data["type"] for _, data in events]
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    kinds = [name.removeprefix("response.") for name, _ in events]
    assert kinds == [
        *("created", "in_progress"),
        *("output_item.added", "reasoning_summary_part.added"),
        *["reasoning_summary_text.delta"] * 2,
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", *["output_text.delta"] * 4),
        *("output_text.done", "content_part.done"),
        *("content_part.added", *["refusal.delta"] * 2, "refusal.done", "content_part.done"),
        "output_item.done",
        *("output_item.added", *["function_call_arguments.delta"] * 2),
        *("function_call_arguments.done", "output_item.done", "completed"),
    ]
    done = [data["item"] for name, data in events if name == "response.output_item.done"]
    assert events[-1][1]["response"]["output"] == done


def test_calls_that_come_interleaved_keep_their_arguments_apart():
    events: list[Event] = [
        CallStarted(0, "one", "f"),
        CallStarted(1, "two", "f"),
        *(CallDelta(0, '{"a"'), CallDelta(1, '{"b"'), CallDelta(0, ":1}"), CallDelta(1, ":2}")),
        Ended(Finish.TOOLS),
    ]
    writer = CALLER.writer(Prompt(tools=[ANY_FUNCTION]), TOLD)
    assert blocks_of(read(writer.write(events))) == [
        ToolCall("one", "f", '{"a":1}'),
        ToolCall("two", "f", '{"b":2}'),
    ]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        (Finish.END, "completed", None),
        (Finish.STOP, "completed", None),
        (Finish.PAUSE, "completed", None),
        (Finish.LENGTH, "incomplete", "max_output_tokens"),
        (Finish.FILTERED, "incomplete", "content_filter"),
        (Finish.CONTEXT_FULL, "failed", "context_length_exceeded"),
        (Finish.BROKEN, "failed", "server_error"),
    ],
)
def test_an_answer_says_why_it_ended(finish, status, reason):
    whole = CALLER.answer(Prompt(), Answer(blocks=[Text("po")], finish=finish), TOLD)
    streamed = written([Text("po")], finish).decode().rsplit("data: ", 1)[1]
    for response in (json.loads(whole), json.loads(streamed)["response"]):
        assert response["status"] == status
        said = response["error"] or response["incomplete_details"] or {}
        assert said.get("code", said.get("reason")) == reason


def test_before_the_first_event_a_sign_of_life_takes_no_number():
    writer = CALLER.writer(Prompt(), TOLD)
    assert writer.keep_alive() == b": keep-alive\n\n"
    assert b'"sequence_number":0' in writer.write([TextDelta("p")])
    assert b"event: keepalive" in writer.keep_alive()


def test_a_call_without_arguments_has_an_empty_object():
    events = read(written([ToolCall("c", "f", "")]))
    assert blocks_of(events) == [ToolCall("c", "f", "{}")]


def test_a_call_that_was_cut_keeps_what_it_has():
    writer = CALLER.writer(Prompt(tools=[ANY_FUNCTION]), TOLD)
    events: list[Event] = [
        CallStarted(0, "c", "f"),
        CallDelta(0, '{"city": "Par'),
        Ended(Finish.LENGTH),
    ]
    last = json.loads(writer.write(events).decode().rsplit("data: ", 1)[1])["response"]
    (call,) = last["output"]
    assert (call["arguments"], call["status"]) == ('{"city": "Par', "incomplete")
    answer = PROVIDER.answer(json.dumps(last).encode(), TARGET)
    assert answer is not None
    assert answer.finish is Finish.LENGTH


# Streams of providers ---------------------------------------------------------------------------


def wire(*events: dict[str, Any], named: bool = True) -> bytes:
    out = b""
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        out += f"{name}data: {json.dumps(event)}\n\n".encode()
    return out


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress"}
PONG = {"type": "output_text", "text": "pong", "annotations": []}
DONE = {**MESSAGE, "status": "completed", "content": [PONG]}


def test_typed_events_as_openai_sends_them():
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    usage = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 11,
    }
    stream = wire(
        {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1"}},
        {"type": "response.output_item.added", "output_index": 0, "item": MESSAGE},
        {"type": "response.content_part.added", **at, "part": {**PONG, "text": ""}},
        {"type": "response.output_text.delta", **at, "delta": "pong"},
        {"type": "response.output_text.done", **at, "text": "pong"},
        {"type": "response.completed", "response": {"output": [DONE], "usage": usage}},
    )
    events = read(stream, 7)
    assert blocks_of(events) == [Text("pong")]
    assert events[-1] == Ended(Finish.END, usage=Usage(9, output_tokens=2))


def test_events_without_names_items_and_end_marks_as_perplexity_sends_them():
    stream = wire(
        {"type": "response.created", "response": {"id": "r1", "status": "in_progress"}},
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {"type": "search_results", "results": []},
        },
        {
            "type": "response.output_text.delta",
            "item_id": "m1",
            "output_index": 0,
            "content_index": 0,
            "delta": "pong",
        },
        {
            "type": "response.completed",
            "response": {
                "id": "r1",
                "status": "completed",
                "usage": {
                    "input_tokens": 5,
                    "output_tokens": 1,
                    "total_tokens": 6,
                    "cost": {"total_cost": 4e-06},
                },
            },
        },
        named=False,
    )
    events = read(stream)
    assert blocks_of(events) == [Text("pong")]
    assert events[-1] == Ended(Finish.END, usage=Usage(5, output_tokens=1))


def call_item(number: int, arguments: str = "") -> dict[str, Any]:
    return {
        "id": f"fc_{number}",
        "type": "function_call",
        "call_id": f"call_{number}",
        "name": "f",
        "arguments": arguments,
    }


def test_what_was_never_streamed_is_read_from_the_item_that_is_done():
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "sealed"}
    items = [thought, DONE, call_item(1, '{"a":1}')]
    done = [
        {"type": "response.output_item.done", "output_index": index, "item": item}
        for index, item in enumerate(items)
    ]
    events = read(wire(*done, {"type": "response.completed", "response": {"output": items}}))
    assert ReasoningDone("openai", thought) in events
    assert blocks_of(events) == [Reasoning(), Text("pong"), ToolCall("call_1", "f", '{"a":1}')]
    # And where even those are left out, from the answer itself.
    assert read(wire({"type": "response.completed", "response": {"output": items}})) == events


def test_items_that_overlap_are_told_one_after_the_other():
    def arguments(number: int, delta: str) -> dict[str, Any]:
        place = {"item_id": f"fc_{number}", "output_index": number}
        return {"type": "response.function_call_arguments.delta", **place, "delta": delta}

    added = "response.output_item.added"
    stream = wire(
        {"type": added, "output_index": 0, "item": MESSAGE},
        {"type": added, "output_index": 1, "item": call_item(1)},
        {"type": added, "output_index": 2, "item": call_item(2)},
        arguments(2, '{"b"'),
        arguments(1, '{"a"'),
        {"type": "response.output_text.delta", "output_index": 0, "delta": "po"},
        {"type": "response.output_item.done", "output_index": 0, "item": DONE},
        arguments(2, ":2}"),
        arguments(1, ":1}"),
        {"type": "response.completed", "response": {}},
    )
    events = read(stream)
    assert blocks_of(events) == [
        Text("pong"),
        ToolCall("call_1", "f", '{"a":1}'),
        ToolCall("call_2", "f", '{"b":2}'),
    ]
    starts = [event.index for event in events if isinstance(event, CallStarted)]
    assert starts == [0, 1]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "no"},
        {"type": "response.failed", "response": {"status": "failed", "error": {"message": "no"}}},
        {"type": "response.cancelled", "response": {"status": "cancelled"}},
        {"error": {"message": "no", "type": "server_error"}},
    ],
    ids=["error", "failed", "cancelled", "without a type"],
)
def test_a_failure_is_not_the_end_of_an_answer(event):
    data = json.dumps(event)
    assert read(f"data: {data}\n\n".encode()) == [Failed(data.encode())]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_run_that_failed_is_no_answer(status):
    body = {"object": "response", "status": status, "output": [], "error": None}
    assert PROVIDER.answer(json.dumps(body).encode(), TARGET) is None


def test_the_input_of_a_custom_tool_comes_as_its_one_argument():
    item = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c", "name": "f", "input": ""}
    text = 'say "hi"\nüber'
    deltas = [
        {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": piece}
        for piece in text
    ]
    stream = wire(
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        *deltas,
        {"type": "response.output_item.done", "output_index": 0, "item": {**item, "input": text}},
        {"type": "response.completed", "response": {}},
    )
    (call,) = blocks_of(read(stream))
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"input": text}


# Requests ---------------------------------------------------------------------------------------

texts = st.builds(Text, words)
contents = st.one_of(
    texts,
    st.builds(Image, media_type=st.just("image/png"), data=st.just("iVBO"), detail=st.none()),
    st.builds(Image, url=st.just("https://example.com/a.png")),
    st.builds(Document, name=words, media_type=st.just("application/pdf"), data=st.just("JVBE")),
    st.builds(Document, url=st.just("https://example.com/a.pdf")),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    """Turns as they follow each other, each call with its result."""
    turns: list[Turn] = []

    def say(role: Any, blocks: list[Any]) -> None:
        if turns and turns[-1].role == role:
            turns[-1].blocks += blocks
        elif blocks:
            turns.append(Turn(role, blocks))

    for number in range(draw(st.integers(1, 3))):
        say("user", draw(st.lists(contents, min_size=1, max_size=2)))
        say("system", draw(st.lists(texts, max_size=1)))
        say("assistant", draw(st.lists(st.one_of(texts, st.builds(Refusal, words)), max_size=2)))
        calls = [
            ToolCall(f"call_{number}_{index}", "f", draw(objects))
            for index in range(draw(st.integers(0, 2)))
        ]
        say("assistant", calls)
        say("tool", [ToolResult(call.id, [draw(contents)]) for call in calls])
    return turns


@few
@given(
    st.lists(texts, max_size=2),
    conversations(),
    st.sampled_from([Choice(), Choice("none"), Choice("required"), Choice("tool", "f")]),
    st.sampled_from([None, Format(), Format({"type": "object"}, "an-answer", "Says.", False)]),
    st.sampled_from([None, *Effort]),
)
def test_a_written_request_reads_as_what_was_asked(system, turns, choice, form, effort):
    prompt = Prompt(
        system=system,
        turns=turns,
        tools=[Tool("f", "Does.", {"type": "object", "properties": {}}, False, own_name="f")],
        choice=choice,
        parallel=False,
        max_output=64,
        temperature=0.5,
        top_p=0.25,
        effort=effort,
        format=form,
        verbosity="low",
        user="somebody",
        service_tier="flex",
        cache_key="conversation",
    )
    body = PROVIDER.request(prompt, TARGET)
    assert body["store"] is False
    found = parsed(body)
    expected = msgspec.structs.asdict(prompt)
    assert {name: getattr(found, name) for name in expected} == expected


@few
@given(conversations())
def test_a_longer_conversation_begins_as_the_shorter_one_did(turns):
    items = PROVIDER.request(Prompt(turns=turns), TARGET)["input"]
    for at, turn in enumerate(turns):
        if turn.role == "assistant":
            before = PROVIDER.request(Prompt(turns=turns[:at]), TARGET)["input"]
            assert items[: len(before)] == before


def test_a_conversation_keeps_the_word_by_which_its_cache_is_found():
    first = Turn("user", [Text("A question.", cache="5m")])
    begun = Prompt(system=[Text("Be kind.")], turns=[first])
    later = Prompt(
        system=[Text("x-anthropic-billing-header: cch=2;"), Text("Be kind.", cache="5m")],
        turns=[
            Turn("user", [Text("A question.")]),
            Turn("assistant", [Text("An answer.")]),
            Turn("user", [Text("Another.", cache="5m")]),
        ],
    )
    other = Prompt(system=[Text("Be kind.")], turns=[Turn("user", [Text("Another.")])])
    keys = [PROVIDER.request(each, TARGET)["prompt_cache_key"] for each in (begun, later, other)]
    assert keys[0] == keys[1] != keys[2]


def test_the_reasoning_of_another_key_is_taken_out_and_nothing_else():
    def thought(sealed: str | None) -> dict[str, Any]:
        return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}

    ours, theirs, stored = thought("mb1.AAAA"), thought("gAAAA"), thought(None)
    said = {"role": "user", "content": 'Not "reasoning", and not mb1.'}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'}
    body = json.dumps({"model": "m", "input": [said, ours, theirs, stored, call]}).encode()

    def left(*, only_ours: bool) -> Any:
        fields = RESPONSES.without_reasoning(read_fields(body), only_ours=only_ours)
        return msgspec.json.decode(fields["input"])

    assert left(only_ours=True) == [said, theirs, stored, call]
    assert left(only_ours=False) == [said, call]
