"""Gemini's answers as they come over the wire, and as the simulator writes them, read back."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from byok.providers import PROVIDERS
from megabrain.gateway import sse
from megabrain.gateway.dialects.gemini import GEMINI
from megabrain.gateway.dialects.neutral import (
    Answer,
    CallDelta,
    CallDone,
    CallStarted,
    Ended,
    Event,
    Failed,
    Finish,
    Origin,
    Reasoning,
    ReasoningDelta,
    ReasoningDone,
    Refusal,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    ToolCall,
)
from megabrain.gateway.dialects.translation import Target
from megabrain.gateway.metering import Usage
from megabrain.simulator import turn as simulated
from megabrain.simulator.dialects import gemini as simulator
from megabrain.simulator.providers import PROVIDERS as SIMULATED

GOOGLE = SIMULATED["google"]
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
MODEL = "gemini-3.8-flash"
TARGET = Target(
    provider=PROVIDERS["google"],
    upstream_model=MODEL,
    model=f"google/{MODEL}",
    origin=Origin("google", "k1", MODEL),
)
#: A thought, then text, and with it all that was used.
SEEN = (
    b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"hm","thought":true}]},'
    b'"index":0}],"usageMetadata":{"promptTokenCount":12,"thoughtsTokenCount":30,'
    b'"totalTokenCount":42}}\n\n'
    b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"p\xc3\xb6ng",'
    b'"thoughtSignature":"c2ln"}]},"finishReason":"STOP","index":0}],"usageMetadata":'
    b'{"promptTokenCount":12,"candidatesTokenCount":2,"thoughtsTokenCount":30,'
    b'"cachedContentTokenCount":8,"totalTokenCount":44},"modelVersion":"gemini-3.8-flash"}\n\n'
)


def heard(wire: bytes, *, at_once: int = 2**20) -> list[Event]:
    """What a stream says that comes in pieces of so many bytes."""
    reader, splitter = GEMINI.reader(TARGET), sse.Splitter()
    events: list[Event] = []
    for start in range(0, len(wire), at_once):
        for raw in sse.split(splitter.feed(wire[start : start + at_once])):
            if (event := sse.Event.parse(raw)) is not None:
                events += reader.read(event)
    return events + reader.end()


def said(*parts: Any, finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    first = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        first["finishReason"] = finish
    return {"candidates": [first], "responseId": "r1", **more}


def streamed(*bodies: dict[str, Any]) -> list[Event]:
    return heard(b"".join(b"data: %b\r\n\r\n" % json.dumps(body).encode() for body in bodies))


def whole(body: dict[str, Any]) -> Answer:
    answer = GEMINI.answer(json.dumps(body).encode(), TARGET)
    assert answer is not None
    return answer


def test_a_stream_seen_in_practice_is_understood_however_it_is_cut():
    expected = [
        Started("", Usage(12, output_tokens=30, reasoning_tokens=30)),
        ReasoningDelta("hm"),
        ReasoningDone("google", {"text": "c2ln"}),
        TextDelta("pöng"),
        Ended(Finish.END, usage=Usage(4, 8, 0, 32, 30)),
    ]

    assert heard(SEEN) == expected
    for at_once in (1, 7, 100):
        assert heard(SEEN, at_once=at_once) == expected
    assert heard(SEEN.replace(b"\n", b"\r\n"), at_once=1) == expected


def test_usage_is_what_was_said_last_field_by_field():
    first = {"promptTokenCount": 100, "cachedContentTokenCount": 64, "candidatesTokenCount": 1}
    last = {"candidatesTokenCount": 9, "toolUsePromptTokenCount": 7, "promptTokenCount": None}

    *_, ended = streamed(
        said({"text": "a"}, finish=None, usageMetadata=first),
        said({"text": "b"}, usageMetadata=last),
    )

    assert ended == Ended(Finish.END, usage=Usage(107 - 64, 64, 0, 9, 0))


def test_an_end_without_a_reason_is_none():
    assert not isinstance(streamed(said({"text": "a"}, finish=None))[-1], Ended)
    assert heard(SEEN[:-2])[-1] == ReasoningDelta("hm")
    assert streamed() == []


FINISHES = {
    "STOP": Finish.END,
    "MAX_TOKENS": Finish.LENGTH,
    "CONTINUATION": Finish.LENGTH,
    "SAFETY": Finish.FILTERED,
    "RECITATION": Finish.FILTERED,
    "BLOCKLIST": Finish.FILTERED,
    "PROHIBITED_CONTENT": Finish.FILTERED,
    "SPII": Finish.FILTERED,
    "LANGUAGE": Finish.FILTERED,
    "IMAGE_SAFETY": Finish.FILTERED,
    "OF_NEXT_YEAR": Finish.END,
}


@pytest.mark.parametrize("reason", FINISHES)
def test_each_reason_to_finish_is_known(reason):
    assert whole(said({"text": "a"}, finish=reason)).finish is FINISHES[reason]
    assert streamed(said({"text": "a"}, finish=reason))[-1] == Ended(FINISHES[reason])


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "OTHER"])
def test_what_the_model_broke_off_is_no_answer_and_keeps_its_usage(reason):
    body = said({"text": "a"}, finish=reason, usageMetadata={"candidatesTokenCount": 3})
    assert GEMINI.answer(json.dumps(body).encode(), TARGET) is None
    text, failed, *_ = streamed(body)
    assert text == TextDelta("a")
    assert isinstance(failed, Failed)
    assert (failed.usage, failed.usage_is_final) == (Usage(output_tokens=3), True)


CALL = {"functionCall": {"name": "f", "args": {"a": [1, "ö"]}}}


@pytest.mark.parametrize("reason", ["STOP", "OTHER", "MALFORMED_FUNCTION_CALL", "OF_NEXT_YEAR"])
def test_pitfall_1_a_turn_with_calls_ends_with_tools_whatever_is_said(reason):
    assert whole(said({"text": "a"}, CALL, finish=reason)).finish is Finish.TOOLS
    events = streamed(said({"text": "a"}, CALL, finish=None), said({"text": ""}, finish=reason))
    assert events[-1] == Ended(Finish.TOOLS)


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "SAFETY"])
def test_a_turn_with_calls_that_was_cut_or_filtered_says_so(reason):
    assert whole(said(CALL, finish=reason)).finish is FINISHES[reason]


def test_calls_get_ids_that_no_other_answer_has_and_keep_their_own():
    own = {"functionCall": {"id": "own-1", "name": "g"}}
    odd = {"functionCall": {"id": "a b/c", "name": "h", "args": None}}
    signed = {**CALL, "thoughtSignature": "AA=="}

    first = whole(said(signed, CALL, own, odd))
    other = whole(said(CALL, responseId="r2") | {"responseId": "r2"})

    calls = [block for block in first.blocks if isinstance(block, ToolCall)]
    assert [call.arguments for call in calls] == ['{"a":[1,"ö"]}', '{"a":[1,"ö"]}', "{}", "{}"]
    ids = [call.id for call in (*calls, *other.blocks) if isinstance(call, ToolCall)]
    assert len(set(ids)) == 5
    assert ids[2] == "own-1"
    assert all(id_.replace("-", "").replace("_", "").isalnum() and len(id_) <= 64 for id_ in ids)
    assert first.blocks[0] == Reasoning("", "google", {"calls": {ids[0]: "AA=="}})
    again = whole(said(signed, CALL, own, odd)).blocks
    assert [call.id for call in again if isinstance(call, ToolCall)] == ids[:4]
    nameless = [whole(said(CALL) | {"responseId": ""}).blocks for _ in range(2)]
    assert nameless[0] != nameless[1]


def test_pitfall_2_parallel_calls_are_counted():
    events = streamed(said(CALL, finish=None), said(CALL, CALL))

    assert [event.index for event in events if isinstance(event, CallStarted)] == [0, 1, 2]
    assert [event.index for event in events if isinstance(event, CallDelta)] == [0, 1, 2]
    assert [event.index for event in events if isinstance(event, CallDone)] == [0, 1, 2]


def test_no_answer_ends_with_reasoning_because_of_a_late_signature():
    events = streamed(
        said({"text": "a"}, finish=None), said({"text": "", "thoughtSignature": "AA=="})
    )

    assert events[1:] == [TextDelta("a"), Ended(Finish.END)]


@pytest.mark.parametrize(
    ("feedback", "words"),
    [
        ({"blockReason": "SAFETY"}, "Google blocked the prompt: SAFETY."),
        ({"blockReason": "OTHER", "blockReasonMessage": "Not this."}, "Not this."),
    ],
)
def test_a_blocked_prompt_is_a_refusal(feedback, words):
    body = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 3}}

    assert streamed(body)[1:] == [
        RefusalDelta(words),
        Ended(Finish.FILTERED, usage=Usage(3)),
    ]
    assert whole(body).blocks == [Refusal(words)]
    assert whole(body).finish is Finish.FILTERED


def test_why_an_answer_was_filtered_is_told():
    body = said(finish="SAFETY")
    body["candidates"][0]["finishMessage"] = "Not this."

    assert whole(body).blocks == [Refusal("Not this.")]


def test_an_error_among_the_events_is_an_error():
    error = {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}

    reader = GEMINI.reader(TARGET)
    (failed,) = reader.read(sse.Event(json.dumps(error)))

    assert isinstance(failed, Failed)
    assert json.loads(failed.data) == error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"<html>",
        b'{"error":{"code":500}}',
        b'{"error":{"code":500},"candidates":[{}]}',
        b'{"candidates":[]}',
        b'{"usageMetadata":{}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_none(body):
    assert GEMINI.answer(body, TARGET) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                """candidates content parts text thought thoughtSignature functionCall name args id
                finishReason index promptFeedback blockReason usageMetadata promptTokenCount
                responseId""".split()  # noqa: SIM905 (one name a line would fill the page)
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@UNHURRIED
@given(json_values)
def test_nothing_that_is_sent_makes_reading_fail(body):
    heard(b"data: %b\n\n" % json.dumps(body).encode())
    GEMINI.answer(json.dumps(body).encode(), TARGET)


words = st.lists(st.text(min_size=1, max_size=8), max_size=4)
calls = st.lists(
    st.tuples(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True),
        st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(), max_size=3),
    ),
    max_size=3,
)


@UNHURRIED
@given(words, words, calls, st.sampled_from(["gemini-2.5-pro", MODEL, "gemini-4-neon"]))
def test_a_stream_and_a_whole_answer_say_the_same(thoughts, text, called, model):
    reply = simulated.Reply(
        thinking=tuple(thoughts),
        text=tuple(text),
        calls=tuple(
            simulated.Call(simulated.Tool(name), json.dumps(arguments))
            for name, arguments in called
        ),
        finish=simulated.Finish.TOOL_CALLS if called else simulated.Finish.STOP,
    )
    turn = simulated.Turn(model=GOOGLE.model(model), stream=True, parts=[], cacheable=0)
    told = (turn, reply, simulated.Usage(input=9, output=7, reasoning=2, cache_read=4), 1, GOOGLE)

    events = heard(b"".join(simulator.stream(*told)))
    answer = whole(simulator.whole(*told))

    assert told_by(events) == answer
    texts = [block.text for block in answer.blocks if isinstance(block, Text)]
    assert "".join(texts) == "".join(text)
    found = [block for block in answer.blocks if isinstance(block, ToolCall)]
    assert [(call.name, json.loads(call.arguments)) for call in found] == called
    signatures = [
        block.native["calls"]
        for block in answer.blocks
        if isinstance(block, Reasoning) and block.native and block.native.get("calls")
    ]
    signed = called and model != "gemini-2.5-pro"
    assert signatures == ([{found[0].id: simulator.signature(*called[0])}] if signed else [])


def told_by(events: list[Event]) -> Answer:
    """The answer that the events of a stream add up to."""
    blocks: list[Any] = []
    thought = ""
    for event in events:
        match event:
            case ReasoningDelta(text):
                thought += text
            case ReasoningDone(maker, native):
                blocks.append(Reasoning(thought, maker, native))
                thought = ""
            case TextDelta(text):
                if not (blocks and isinstance(blocks[-1], Text)):
                    blocks.append(Text(""))
                blocks[-1].text += text
            case CallStarted(_, id_, name):
                blocks.append(ToolCall(id_, name, ""))
            case CallDelta(_, arguments):
                blocks[-1].arguments += arguments
    started, ended = events[0], events[-1]
    assert isinstance(started, Started)
    assert isinstance(ended, Ended)
    return Answer(blocks=blocks, finish=ended.finish, usage=ended.usage, id=started.id)
