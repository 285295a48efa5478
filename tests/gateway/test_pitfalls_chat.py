"""What goes wrong most between Chat Completions and the rest (dialects.md § 14), through the
gateway to providers who speak something else, or Chat in their own way."""

import json
from contextlib import closing
from typing import Any

import pytest

from tests.gateway.raw_upstream import RawUpstream

Json = dict[str, Any]
CLAUDE = "anthropic/claude-sonnet-5"
GLM = "z-ai/glm-5.3-flash"
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
TWO_CITIES = 'call: get_weather {"city": "Paris"}\ncall: get_weather {"city": "Rome"}'
CITIES = [{"city": "Paris"}, {"city": "Rome"}]


def asking(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_1_and_2_parallel_calls_end_the_turn_as_calls(agent, key):
    key("anthropic")
    tools = [{"type": "function", "function": WEATHER}]
    question: Json = {"model": CLAUDE, "messages": asking(TWO_CITIES), "tools": tools}
    whole = agent.openai.chat.completions.create(**question).choices[0]
    assert [json.loads(call.function.arguments) for call in whole.message.tool_calls] == CITIES
    assert (whole.finish_reason, len({call.id for call in whole.message.tool_calls})) == (
        "tool_calls",
        2,
    )
    calls: dict[int, str] = {}
    for chunk in agent.openai.chat.completions.create(**question, stream=True):
        for piece in chunk.choices[0].delta.tool_calls or ():
            calls[piece.index] = calls.get(piece.index, "") + piece.function.arguments
        reason = chunk.choices[0].finish_reason
    assert ([json.loads(calls[index]) for index in (0, 1)], reason) == (CITIES, "tool_calls")


def test_3_and_4_cached_tokens_are_counted_once_and_at_the_end(agent, key, usage_row):
    key("anthropic")
    long = "A long instruction that is worth caching. " * 400
    system = {"role": "system", "content": long, "cache_control": {"type": "ephemeral"}}
    question: Json = {"model": CLAUDE, "messages": [system, *asking("say: pong")]}
    first = agent.openai.chat.completions.create(**question).usage
    assert first.cache_creation_input_tokens > 0
    options = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = agent.openai.chat.completions.create(**question, **options)
    assert last.choices == []
    assert last.usage.prompt_tokens_details.cached_tokens == first.cache_creation_input_tokens
    assert last.usage.prompt_tokens == first.prompt_tokens
    assert all(chunk.usage is None for chunk in chunks)
    row = usage_row(last.id.removeprefix("chatcmpl-"))
    assert row.cache_read_tokens == last.usage.cache_read_input_tokens
    assert row.input_tokens == last.usage.prompt_tokens - row.cache_read_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_5_signed_thinking_returns_to_the_key_that_made_it(agent, key, simulator, stream):
    key("anthropic")
    question: Json = {
        "model": CLAUDE,
        "tools": [{"type": "function", "function": WEATHER}],
        "reasoning_effort": "high",
        "max_tokens": 8000,
    }
    messages = asking('call: get_weather {"city": "Paris"}')
    answer = agent.post("chat/completions", {**question, "messages": messages, "stream": stream})
    message = _collected(answer.text) if stream else answer.json()["choices"][0]["message"]
    assert message["reasoning_content"] == message["reasoning"] != ""
    (call,) = message["tool_calls"]
    messages += [message, {"role": "tool", "tool_call_id": call["id"], "content": "20 degrees"}]
    final = agent.openai.chat.completions.create(**question, messages=messages)
    assert "20 degrees" in final.choices[0].message.content
    thinking, *_, used = simulator.calls[-1].json["messages"][1]["content"]
    assert (thinking["type"], thinking["thinking"]) == ("thinking", message["reasoning"])
    assert not thinking["signature"].startswith("mb1.")
    assert used["id"] == call["id"]


def _collected(wire: str) -> Json:
    """The message of a stream, as clients of OpenRouter put it together."""
    message: Json = {"role": "assistant", "content": "", "reasoning_details": []}
    calls: dict[int, Json] = {}
    for line in wire.split("\n\n"):
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line[6:])["choices"]:
            delta = choice["delta"]
            for name in ("content", "reasoning", "reasoning_content"):
                message[name] = message.get(name, "") + (delta.get(name) or "")
            message["reasoning_details"] += delta.get("reasoning_details", [])
            for piece in delta.get("tool_calls", ()):
                call = calls.setdefault(piece["index"], {**piece, "function": {"arguments": ""}})
                call["function"]["name"] = call["function"].get("name") or piece["function"]["name"]
                call["function"]["arguments"] += piece["function"]["arguments"]
    return {**message, "tool_calls": list(calls.values())}


def test_6_and_7_instructions_stay_where_they_are_and_the_attribution_goes(agent, key, simulator):
    key("zai")
    agent.anthropic.messages.create(
        model=GLM,
        max_tokens=500,
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=1;"},
            {"type": "text", "text": "You are an agent."},
        ],
        messages=[
            *asking("say: one"),
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "one"},
            *asking("say: two"),
        ],
    )
    sent = simulator.calls[-1].json["messages"]
    assert [(message["role"], message["content"]) for message in sent] == [
        ("system", "You are an agent."),
        ("user", "say: one"),
        ("system", "Be brief."),
        ("assistant", "one"),
        ("user", "say: two"),
    ]


def test_8_marks_on_messages_calls_and_tools_reach_the_provider(agent, key, simulator):
    key("anthropic")
    mark = {"cache_control": {"type": "ephemeral"}}
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather"}, **mark}
    agent.post(
        "chat/completions",
        {
            "model": CLAUDE,
            "messages": [
                {"role": "system", "content": "Be brief.", **mark},
                *asking("say: pong"),
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "20 degrees", **mark},
            ],
            "tools": [{"type": "function", "function": WEATHER, **mark}],
        },
    )
    sent = simulator.calls[-1].json
    _, asked, answered = sent["messages"]
    marked = [sent["system"][-1], asked["content"][-1], answered["content"][-1], sent["tools"][-1]]
    assert [part["cache_control"]["type"] for part in marked] == ["ephemeral"] * 4


def test_16_reasoning_of_turns_with_calls_is_passed_back_to_the_host(agent, key, simulator):
    key("zai")
    tool = {
        "name": "get_weather",
        "description": "The weather.",
        "input_schema": WEATHER["parameters"],
    }
    question: Json = {"model": GLM, "max_tokens": 4000, "tools": [tool]}
    messages = asking('call: get_weather {"city": "Paris"}')
    answer = agent.anthropic.messages.create(**question, messages=messages)
    *_, call = answer.content
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "20 degrees"}]
    messages += [
        {"role": "assistant", "content": [block.to_dict() for block in answer.content]},
        {"role": "user", "content": results},
    ]
    final = agent.anthropic.messages.create(**question, messages=messages)
    assert "20 degrees" in final.content[-1].text
    _, spoken, result = simulator.calls[-1].json["messages"]
    assert spoken["reasoning_content"] == answer.content[0].thinking != ""
    assert result == {"role": "tool", "tool_call_id": call.id, "content": "20 degrees"}


def test_20_a_stream_that_is_cut_ends_with_an_error_of_chat(agent, key, settings):
    key("anthropic")
    start = {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1}}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}
    delta = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "po"},
    }
    events = [
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in (start, block, delta)
    ]
    with closing(RawUpstream(lambda wire: wire.stream(*events))) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": upstream.url}
        body = {"model": CLAUDE, "messages": asking("hi"), "stream": True}
        wire = agent.post("chat/completions", body).text
    *_, said, last = wire.strip().split("\n\n")
    assert json.loads(said[6:])["choices"][0]["delta"] == {"content": "po"}
    assert set(json.loads(last[6:])) == {"error"}


@pytest.mark.parametrize(
    ("provider", "model"), [("zai", GLM), ("anthropic", CLAUDE), ("openai", "openai/gpt-6-luna")]
)
def test_23_cursors_requests_of_responses_are_answered_in_chat(agent, key, provider, model):
    key(provider)
    tools = [
        {"type": "function", **WEATHER},
        {
            "type": "custom",
            "name": "ApplyPatch",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: WORD"},
        },
    ]
    body: Json = {
        "model": model,
        "input": [
            {"role": "system", "content": "You are an agent."},
            {"role": "user", "content": [{"type": "input_text", "text": TWO_CITIES}]},
        ],
        "tools": tools,
        "stream": True,
        "stream_options": {"include_usage": True},
        "store": False,
        "max_tokens": 900,
    }
    message = _collected(agent.post("chat/completions", body).text)
    assert [json.loads(call["function"]["arguments"]) for call in message["tool_calls"]] == CITIES
    body |= {"stream": False, "input": 'call: ApplyPatch {"input": "*** Begin"}'}
    body.pop("stream_options")
    choice = agent.post("chat/completions", body).json()["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["custom"]) == (
        "custom",
        {"name": "ApplyPatch", "input": "*** Begin"},
    )


@pytest.mark.parametrize(
    ("provider", "model"), [("fireworks", GLM), ("openai", "openai/gpt-6-luna")]
)
def test_23_tools_beside_input_are_understood_by_their_shape(
    agent, key, simulator, provider, model
):
    key(provider)
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: WORD"}}
    body = {
        "model": model,
        "input": TWO_CITIES,
        "tools": [
            {"type": "function", "function": WEATHER},
            {"name": "read_file", "input_schema": {"type": "object"}},
            {"type": "custom", "custom": {"name": "ApplyPatch", "format": grammar}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    }
    choice = agent.post("chat/completions", body).json()["choices"][0]
    calls = [call["function"] for call in choice["message"]["tool_calls"]]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
        ("get_weather", city) for city in CITIES
    ]
    sent = [tool.get("function", tool) for tool in simulator.calls[-1].json["tools"]]
    assert [tool["name"] for tool in sent] == ["get_weather", "read_file", "ApplyPatch"]
    assert sent[0]["parameters"] == WEATHER["parameters"]
    assert "start: WORD" in sent[2]["description"]


def test_23_anthropics_tools_and_blocks_on_chat_are_understood(agent, key, simulator):
    key("zai")
    tool = {"name": "get_weather", "input_schema": WEATHER["parameters"]}
    used = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": CITIES[0]}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "20 degrees"}
    answer = agent.post(
        "chat/completions",
        {
            "model": GLM,
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [
                *asking("get_weather of Paris"),
                {"role": "assistant", "content": [used]},
                {"role": "user", "content": [result]},
            ],
            "tools": [tool],
        },
    )
    assert "20 degrees" in answer.json()["choices"][0]["message"]["content"]
    sent = simulator.calls[-1].json
    assert [message["role"] for message in sent["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    assert sent["tools"][0]["function"]["name"] == "get_weather"


def test_custom_tools_reach_hosts_that_know_functions_only(agent, key, simulator):
    key("fireworks")
    custom = {"type": "custom", "custom": {"name": "patch_file", "description": "Patches."}}
    body = {
        "model": GLM,
        "messages": asking('call: patch_file {"input": "*** Begin"}'),
        "tools": [custom],
    }
    choice = agent.post("chat/completions", body).json()["choices"][0]
    assert choice["message"]["tool_calls"][0]["custom"]["input"] == "*** Begin"
    assert simulator.calls[-1].json["tools"][0]["type"] == "function"
