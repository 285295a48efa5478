"""Converse as its reader and writer know it: what HTTP to the simulator alone does not show."""

import json
from typing import Any

import pytest

from byok.catalogue import version
from byok.models import Offering
from megabrain.gateway import sse
from megabrain.gateway.dialects.converse.answers import ConverseReader, read_answer
from megabrain.gateway.dialects.neutral import (
    CallDelta,
    CallDone,
    CallStarted,
    Ended,
    Event,
    Failed,
    Finish,
    Reasoning,
    ReasoningDelta,
    ReasoningDone,
    Started,
    Text,
    TextDelta,
    ToolCall,
)
from megabrain.gateway.metering import Usage

CLAUDE = "anthropic/claude-sonnet-4.6"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
USAGE: dict[str, Any] = {"inputTokens": 8, "outputTokens": 5, "totalTokens": 21}
USAGE |= {"cacheReadInputTokens": 6, "cacheWriteInputTokens": 3}
USAGE["cacheDetails"] = [{"ttl": "5m", "inputTokens": 1}, {"ttl": "1h", "inputTokens": 2}]
USED = Usage(8, 6, 3, 5, cache_write_long_tokens=2)


def read(*told: tuple[str, object]) -> list[Event]:
    """What a stream of these events says, up to its end."""
    reader, found = ConverseReader(), []
    for name, body in told:
        data = body if isinstance(body, str) else json.dumps(body)
        found += reader.read(sse.Event(data, name))
        if found and isinstance(found[-1], Ended | Failed):
            return found
    return found + reader.end()


def delta(at: int, **inner: object) -> tuple[str, object]:
    return "contentBlockDelta", {"contentBlockIndex": at, "delta": inner, "p": "abcd"}


def thought(at: int, **inner: object) -> tuple[str, object]:
    return delta(at, reasoningContent=inner)


def stop(at: int) -> tuple[str, object]:
    return "contentBlockStop", {"contentBlockIndex": at}


START = ("messageStart", {"role": "assistant"})
METADATA = ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}})


def stopped(reason: str, **more: object) -> tuple[str, object]:
    return "messageStop", {"stopReason": reason, **more}


def test_reasoning_text_and_calls_in_one_stream():
    tool = {"toolUse": {"toolUseId": "t1", "name": "get_weather"}}
    assert read(
        START,
        thought(0, text="Let "),
        thought(0, text="me."),
        thought(0, signature="c2ln"),
        stop(0),
        delta(1, text="Well"),
        stop(1),
        ("contentBlockStart", {"contentBlockIndex": 2, "start": tool}),
        delta(2, toolUse={"input": ""}),
        delta(2, toolUse={"input": '{"city":'}),
        delta(2, toolUse={"input": '"Paris"}'}),
        stop(2),
        stopped("end_turn"),
        METADATA,
    ) == [
        Started(),
        ReasoningDelta("Let "),
        ReasoningDelta("me."),
        ReasoningDone("bedrock", {"reasoningText": {"text": "Let me.", "signature": "c2ln"}}),
        TextDelta("Well"),
        CallStarted(0, "t1", "get_weather"),
        CallDelta(0, '{"city":'),
        CallDelta(0, '"Paris"}'),
        CallDone(0),
        Ended(Finish.TOOLS, None, USED),
    ]


def test_the_end_is_held_back_until_the_usage_is_told():
    """Pitfall 4."""
    reader = ConverseReader()
    assert reader.read(sse.Event('{"stopReason":"end_turn"}', "messageStop")) == []
    assert reader.read(sse.Event(json.dumps(METADATA[1]), "metadata")) == [
        Ended(Finish.END, None, USED)
    ]


def test_an_answer_is_whole_without_its_usage_and_broken_without_its_stop():
    assert read(START, delta(0, text="a"), stopped("end_turn"))[-1] == Ended(Finish.END)
    assert read(START, delta(0, text="a"), stop(0)) == [Started(), TextDelta("a")]
    assert read(START, delta(0, text="a"), METADATA) == [Started(), TextDelta("a")]


def test_reasoning_that_nothing_ends_ends_with_what_comes_next():
    assert read(thought(0, text="a"), delta(1, text="b"))[1:] == [ReasoningDone(), TextDelta("b")]
    redacted = {"redactedContent": "cmVk"}
    assert read(thought(0, **redacted), stopped("end_turn"))[:1] == [
        ReasoningDone("bedrock", redacted)
    ]


def test_what_is_not_known_is_passed_over():
    """Pitfall 14, of a provider."""
    assert read(
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}),
        delta(0, image={"source": {}}),
        delta(0, citation={}),
        delta(7, toolUse={"input": "of no call"}),
        ("contentBlockDelta", {"delta": {"text": "of no block"}}),
        ("contentBlockDelta", "no JSON"),
        ("messageStop", "[]"),
        ("somethingNew", {}),
        stop(9),
    ) == [Ended(Finish.END)]


def test_an_exception_ends_the_stream():
    error = '{"type":"error","error":{"type":"throttlingException","message":"No."}}'
    assert read(START, METADATA, ("error", error)) == [Started(), Failed(error.encode(), USED)]


FINISHES = [
    ("end_turn", Finish.END),
    ("tool_use", Finish.TOOLS),
    ("max_tokens", Finish.LENGTH),
    ("guardrail_intervened", Finish.FILTERED),
    ("content_filtered", Finish.FILTERED),
    ("model_context_window_exceeded", Finish.CONTEXT_FULL),
    ("something_new", Finish.END),
]


@pytest.mark.parametrize(("reason", "finish"), FINISHES)
def test_reasons_to_stop_are_the_same_whole_and_streamed(reason, finish):
    whole = {"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": reason}
    answer = read_answer(json.dumps(whole).encode())
    assert answer is not None
    assert answer.finish is finish
    assert read(delta(0, text="a"), stopped(reason))[-1] == Ended(finish)


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_what_the_model_broke_off_is_no_answer_and_keeps_its_usage(reason):
    tool = {"toolUse": {"toolUseId": "t1", "name": "get_weather", "input": {}}}
    whole = {"output": {"message": {"content": [tool]}}, "stopReason": reason}
    assert read_answer(json.dumps(whole).encode()) is None
    *_, last = read(START, delta(0, text="a"), stopped(reason), METADATA)
    assert isinstance(last, Failed)
    assert (last.usage, last.usage_is_final) == (USED, True)


def test_a_whole_answer():
    content = [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"text": "Well"},
        {"citationsContent": {"content": [{"text": "cited"}], "citations": []}},
        {"toolUse": {"toolUseId": "t1", "name": "get_weather", "input": {"city": "Paris"}}},
        {"image": {}},
    ]
    body = {"output": {"message": {"content": content}}, "stopReason": "end_turn", "usage": USAGE}
    answer = read_answer(json.dumps(body).encode())
    assert answer is not None
    assert answer.blocks == [
        Reasoning("Hm.", "bedrock", {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}),
        Reasoning("", "bedrock", {"redactedContent": "cmVk"}),
        Text("Well"),
        Text("cited"),
        ToolCall("t1", "get_weather", '{"city":"Paris"}'),
    ]
    assert (answer.finish, answer.usage) == (Finish.TOOLS, USED)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"message":"No."}', b'{"output":{}}'])
def test_anything_else_is_no_answer(body):
    assert read_answer(body) is None


# Claude over Converse, where an operator has it so ------------------------------------------------


@pytest.fixture
def claude(gateway, key):
    offers = Offering.objects.filter(provider="bedrock", model_id=CLAUDE)
    assert offers.update(endpoints=["converse"]) == 1
    version.changed()
    return key("bedrock")


def test_signed_reasoning_goes_back_as_it_came(agent, simulator, claude):
    """Pitfall 5: the simulator refuses a signature that it did not give."""
    tools = [{"name": "get_weather", "description": "Weather.", "input_schema": WEATHER}]
    asked = [{"role": "user", "content": 'call: get_weather {"city": "Paris"}'}]
    body = {"model": CLAUDE, "max_tokens": 3000, "tools": tools}
    body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    for stream in (False, True):
        if stream:
            with agent.anthropic.messages.stream(**body, messages=asked) as events:
                answer = events.get_final_message()
        else:
            answer = agent.anthropic.messages.create(**body, messages=asked)
        assert [block.type for block in answer.content] == ["thinking", "text", "tool_use"]
        result = {"type": "tool_result", "tool_use_id": answer.content[-1].id, "content": "mild"}
        said = [block.model_dump(exclude_none=True) for block in answer.content]
        history = [
            *asked,
            {"role": "assistant", "content": said},
            {"role": "user", "content": [result]},
        ]
        last = agent.anthropic.messages.create(**body, messages=history)
        assert "mild" in last.content[-1].text
        went = simulator.calls[-1].json["messages"][1]["content"][0]["reasoningContent"]
        assert went["reasoningText"]["text"] == answer.content[0].thinking


def test_claudes_own_parameters_have_a_place_of_their_own(agent, simulator, claude):
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    answer = agent.anthropic.messages.create(
        model=CLAUDE,
        max_tokens=99,
        system=[{"type": "text", "text": "Be brief.", **mark}],
        messages=[{"role": "user", "content": "say: one STOP two"}],
        tools=[{"name": "get_weather", "input_schema": WEATHER, **mark}],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        stop_sequences=["STOP"],
        extra_body={"top_k": 5, "temperature": 0.5},
    )
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "STOP")
    went = simulator.calls[-1].json
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert went["system"] == [{"text": "Be brief."}, point]
    assert went["toolConfig"]["tools"][1] == point
    assert went["additionalModelRequestFields"] == {
        "top_k": 5,
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    }
    assert went["inferenceConfig"]["stopSequences"] == ["STOP"]
