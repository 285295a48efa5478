"""Answers and requests that translations lose most easily, from and to every dialect."""

import json
import time
from typing import Any

import pytest

from billing.models import UsageRecord
from tests.gateway.dialect import DIALECTS, MESSAGES, RESPONSES
from tests.gateway.matrix.callers import CALLERS, PICTURE, Asked, Caller, Told
from tests.gateway.matrix.test_every_dialect_onto_every_other import UPSTREAMS
from tests.gateway.raw_upstream import Wire, raw_upstream
from tests.gateway.strict import check

Json = dict[str, Any]
CLAUDE = "anthropic/claude-haiku-5.5"
CALL = 'call: get_weather {"city": "Paris"}'


def events(*said: Json) -> bytes:
    """Named events, as Messages and Responses have them; only the latter read the number."""
    numbered = [{**each, "sequence_number": number} for number, each in enumerate(said)]
    wire = [
        f"event: {each['type']}\ndata: {json.dumps(each, ensure_ascii=False)}\n\n"
        for each in numbered
    ]
    return "".join(wire).encode()


def chunks(*said: Json) -> bytes:
    lines = [
        f"data: {json.dumps({'id': 'c1', 'created': 1, 'model': 'm', **each})}\n\n" for each in said
    ]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


# Requests ---------------------------------------------------------------------------------------


def pictured(caller: Caller, told: Told) -> list[Json]:
    """The results of two calls, of which the first is a picture."""
    history = caller.results(told, ["", "4 degrees"])
    data_url = f"data:image/png;base64,{PICTURE}"
    if caller.name == "responses":
        history[-2]["output"] = [{"type": "input_image", "image_url": data_url, "detail": "auto"}]
    elif caller.name == "chat":
        history[-2]["content"] = [{"type": "image_url", "image_url": {"url": data_url}}]
    else:
        source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
        history[-1]["content"][0]["content"] = [{"type": "image", "source": source}]
    return history


@pytest.mark.parametrize("upstream", UPSTREAMS, ids=str)
def test_a_picture_from_a_tool_reaches_the_model(agent, key, simulator, upstream):
    key(upstream.provider)
    for caller in CALLERS:
        asked = Asked(f"{CALL}\n{CALL}", tools=True)
        told = caller.ask(agent, upstream.model, asked, stream=False)
        asked = Asked(tools=True, history=pictured(caller, told))
        after = caller.ask(agent, upstream.model, asked, stream=True)
        assert "4 degrees" in after.text
        # Once; whoever takes pictures from users alone gets it right behind the results.
        assert simulator.calls[-1].body.count(PICTURE.encode()) == 1


@pytest.mark.parametrize("upstream", UPSTREAMS, ids=str)
def test_tokens_from_a_cache_are_counted_once(agent, key, usage_row, upstream):
    key(upstream.provider)
    for number, caller in enumerate(CALLERS, 1):
        # Long enough to be kept, and new to each.
        asked = Asked(f"say: {caller.name}\n" + f"Of {caller.name} and herons. " * 600)
        first = caller.ask(agent, upstream.model, asked, stream=False)
        again = caller.ask(agent, upstream.model, asked, stream=True)
        assert (again.text, again.input_tokens) == (caller.name, first.input_tokens)
        until = time.monotonic() + 5
        while UsageRecord.objects.count() < 2 * number:
            assert time.monotonic() < until
            time.sleep(0.02)
        row = usage_row()
        cached = row.cache_read_tokens + row.cache_write_tokens
        assert row.input_tokens + cached == again.input_tokens
        assert row.output_tokens == again.output_tokens


# Answers ----------------------------------------------------------------------------------------

USAGE = {
    "input_tokens": 5,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 1,
}


def block(index: int, content: Json, *deltas: Json) -> list[Json]:
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


EVERYTHING = events(
    {
        "type": "message_start",
        "message": {"id": "msg_1", "role": "assistant", "content": [], "usage": USAGE},
    },
    {"type": "ping"},
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Grüße "},
        {"type": "thinking_delta", "thinking": "世界"},
        {"type": "signature_delta", "signature": "c2lnbmVk"},
    ),
    *block(1, {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="}),
    {"type": "of_tomorrow", "index": 1},
    *block(2, {"type": "of_tomorrow", "x": 1}, {"type": "tomorrow_delta", "x": "y"}),
    *block(3, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Ich rufe 🌍."}),
    *block(4, {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}}),
    *block(
        5,
        {"type": "tool_use", "id": "toolu_2", "name": "get_weather", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"city": "Zür'},
        {"type": "input_json_delta", "partial_json": 'ich"}'},
    ),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {**USAGE, "output_tokens": 40},
    },
    {"type": "message_stop"},
)


@pytest.mark.parametrize("caller", CALLERS, ids=str)
def test_everything_that_claude_says_arrives_and_goes_back(agent, key, settings, usage_row, caller):
    """Signed and hidden thinking, parallel calls, one of them without arguments, kinds of events
    and blocks that nobody knows yet, and characters cut in two on the way."""

    def speak(wire: Wire) -> None:
        wire.stream()
        for at in range(0, len(EVERYTHING), 37):
            wire.send(EVERYTHING[at : at + 37])

    with raw_upstream(speak) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": upstream.url}
        key("anthropic")
        asked = Asked("hello", tools=True, effort="high")
        told = caller.ask(agent, CLAUDE, asked, stream=True)
        assert (told.text, told.reasoning) == ("Ich rufe 🌍.", "Grüße 世界")
        assert told.called == [("now", {}), ("get_weather", {"city": "Zürich"})]
        assert told.finish == "tools"
        assert (told.input_tokens, told.output_tokens) == (135, 40)
        row = usage_row()
        counted = (row.input_tokens, row.cache_read_tokens, row.cache_write_tokens)
        assert (*counted, row.output_tokens) == (5, 100, 30, 40)
        assert row.cache_write_long_tokens == 20
        history = caller.results(told, ["noon", "21 degrees"])
        caller.ask(agent, CLAUDE, Asked(tools=True, effort="high", history=history), stream=True)
        said = json.loads(upstream.requests[-1])["messages"][1]["content"]
    thinking, hidden, *rest = said
    assert (thinking["thinking"], thinking["signature"]) == ("Grüße 世界", "c2lnbmVk")
    assert hidden == {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="}
    assert [(each["id"], each["input"]) for each in rest if each["type"] == "tool_use"] == [
        ("toolu_1", {}),
        ("toolu_2", {"city": "Zürich"}),
    ]


CUT = '{"city": "Par'
FUNCTION = {"index": 0, "id": "call_1", "type": "function"}
CUT_SHORT: dict[str, tuple[str, bytes]] = {
    "novita": (
        "moonshotai/kimi-k3",
        chunks(
            {
                "choices": [
                    {
                        "index": 0,
                        "delta": {
                            "role": "assistant",
                            "tool_calls": [
                                {**FUNCTION, "function": {"name": "f", "arguments": CUT}}
                            ],
                        },
                        "finish_reason": None,
                    }
                ]
            },
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]},
            # After the end, as OpenAI and most others send it.
            {
                "choices": [],
                "usage": {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16},
            },
        ),
    ),
    "anthropic": (
        CLAUDE,
        events(
            {
                "type": "message_start",
                "message": {"id": "msg_1", "usage": {"input_tokens": 7, "output_tokens": 1}},
            },
            *block(
                0,
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
                {"type": "input_json_delta", "partial_json": CUT},
            ),
            {
                "type": "message_delta",
                "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
                "usage": {"output_tokens": 9},
            },
            {"type": "message_stop"},
        ),
    ),
    "openai": (
        "openai/gpt-5.3-codex",
        events(
            {"type": "response.created", "response": {"id": "resp_1"}},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"},
            },
            {
                "type": "response.function_call_arguments.delta",
                "output_index": 0,
                "item_id": "fc_1",
                "delta": CUT,
            },
            {
                "type": "response.incomplete",
                "response": {
                    "id": "resp_1",
                    "status": "incomplete",
                    "incomplete_details": {"reason": "max_output_tokens"},
                    "output": [],
                    "usage": {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16},
                },
            },
        ),
    ),
}


@pytest.mark.parametrize("provider", CUT_SHORT)
def test_a_call_that_the_limit_cut_is_no_call(agent, key, settings, provider):
    """Its arguments are left as they are: mended, they would be run."""
    model, wire = CUT_SHORT[provider]
    native = {"novita": "chat", "anthropic": "messages", "openai": "responses"}[provider]
    ends = {"chat": '"length"', "messages": '"max_tokens"', "responses": '"max_output_tokens"'}
    with raw_upstream(lambda each: each.stream(wire)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {provider: upstream.url}
        key(provider)
        for dialect in DIALECTS:
            body = dialect.body("hello", stream=True, model=model)
            answer = agent.post(dialect.path, body)
            assert answer.status_code == 200, answer.text
            stream = dialect.stream(answer.content)
            assert ends[dialect.name] in answer.text.replace(": ", ":")
            assert json.dumps(CUT)[1:-1] in answer.text
            if dialect.name != native:
                check(dialect, stream)
                assert stream.names.count("message_stop") == (dialect is MESSAGES)
                assert stream.names.count("response.incomplete") == (dialect is RESPONSES)
