"""Messages between callers and providers who do not share a dialect."""

import json
from typing import Any

import pytest

from tests.gateway.test_messages import PICTURE, TWO_CITIES, WEATHER, asking

Json = dict[str, Any]

GPT = "openai/gpt-6-luna"
MISTRAL = "mistralai/mistral-medium-3-5"
CLAUDE = "anthropic/claude-sonnet-5.5"
HAIKU = "anthropic/claude-haiku-4.5"
ATTRIBUTION = "x-anthropic-billing-header: cc_version=2.1.330; cch=1f2e3;"
USER = '{"device_id":"d1","account_uuid":"","session_id":"6c1f0a52-7c6e-4f0e-9f0f-1d2c3b4a5968"}'
MARK: Json = {"cache_control": {"type": "ephemeral"}}


@pytest.fixture(params=[("openai", GPT), ("mistral", MISTRAL)], ids=["responses", "chat"])
def model(request, key) -> str:
    """A model of a provider that does not speak Messages, with a key of the owner."""
    provider, name = request.param
    key(provider)
    return str(name)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_question_is_answered_by_a_provider_of_another_dialect(agent, model, usage_row, stream):
    messages = agent.anthropic.messages
    asked = {"model": model, "max_tokens": 500, "messages": asking("say: pöng pong")}
    if stream:
        with messages.stream(**asked) as events:
            message = events.get_final_message()
    else:
        message = messages.create(**asked)
    assert message.content[-1].text == "pöng pong"
    assert (message.stop_reason, message.model, message.role) == ("end_turn", model, "assistant")
    row = usage_row()
    assert (row.input_tokens, row.output_tokens) == (
        message.usage.input_tokens,
        message.usage.output_tokens,
    )
    assert row.input_tokens > 5


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tools_are_called_together_and_their_results_understood(agent, model, stream):
    messages = agent.anthropic.messages
    asked: Json = {"model": model, "max_tokens": 900, "tools": [WEATHER]}
    question = asking(TWO_CITIES)
    if stream:
        with messages.stream(**asked, messages=question) as events:
            first = events.get_final_message()
    else:
        first = messages.create(**asked, messages=question)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Paris"}, {"city": "Zürich"}]
    assert first.stop_reason == "tool_use"

    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"{call.input['city']}: 12"}
        for call in reversed(calls)
    ]
    said = {"role": "assistant", "content": [block.model_dump() for block in first.content]}
    answer = messages.create(
        **asked, messages=[*question, said, {"role": "user", "content": results}]
    )
    assert "Paris: 12" in answer.content[-1].text
    assert "Zürich: 12" in answer.content[-1].text


def test_pictures_and_json_go_along(agent, model, simulator):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    answer = agent.anthropic.messages.create(
        model=model,
        max_tokens=500,
        messages=[{"role": "user", "content": [PICTURE, {"type": "text", "text": "Who is it?"}]}],
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert json.loads(answer.content[-1].text) == {"name": "Who is it?"}
    source: Any = PICTURE["source"]
    assert source["data"].encode() in simulator.calls[-1].body


def test_reasoning_comes_back_to_whoever_made_it_and_to_nobody_else(agent, key, simulator):
    key("openai")
    key("anthropic")
    asked: Json = {
        "model": GPT,
        "max_tokens": 900,
        "tools": [WEATHER],
        "output_config": {"effort": "high"},
    }
    question = asking('call: get_weather {"city": "Paris"}')
    first = agent.anthropic.messages.create(**asked, messages=question)
    assert first.content[0].type == "thinking"
    thinking = first.content[0].model_dump()
    assert thinking["signature"].startswith("mb1.")
    call = first.content[-1]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "12"}
    said = {"role": "assistant", "content": [block.model_dump() for block in first.content]}
    messages = [*question, said, {"role": "user", "content": [result]}]

    agent.anthropic.messages.create(**asked, messages=messages)
    assert b'"encrypted_content"' in simulator.calls[-1].body
    agent.anthropic.messages.create(**{**asked, "model": CLAUDE}, messages=messages)
    assert b'"thinking","thinking"' not in simulator.calls[-1].body
    assert b"mb1." not in simulator.calls[-1].body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_openais_callers_are_served_by_anthropic(agent, key, stream):
    key("anthropic")
    function = {"name": "get_weather", "parameters": WEATHER["input_schema"]}
    asked = {
        "model": CLAUDE,
        "messages": asking(TWO_CITIES),
        "tools": [{"type": "function", "function": function}],
        "reasoning_effort": "high",
    }
    if not stream:
        choice = agent.openai.chat.completions.create(**asked).choices[0]
        calls = [call.function.arguments for call in choice.message.tool_calls]
        assert [json.loads(call) for call in calls] == [{"city": "Paris"}, {"city": "Zürich"}]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.reasoning_content
        return
    with agent.openai.responses.stream(
        model=CLAUDE,
        input=TWO_CITIES,
        tools=[{"type": "function", **function, "strict": False}],
        reasoning={"effort": "high"},
    ) as events:
        final = events.get_final_response()
    calls = [item.arguments for item in final.output if item.type == "function_call"]
    assert [json.loads(call) for call in calls] == [{"city": "Paris"}, {"city": "Zürich"}]


@pytest.mark.parametrize(
    ("model", "thinking"), [("anthropic/claude-sonnet-4.6", "adaptive"), (HAIKU, "enabled")]
)
@pytest.mark.parametrize(
    "said", [{"reasoning": {"enabled": True}}, {"thinking": {"type": "adaptive"}}]
)
def test_reasoning_that_is_only_switched_on_is_asked_for(
    agent, key, simulator, model, thinking, said
):
    key("anthropic")
    body = {"model": model, "messages": asking("say: pong"), **said}
    message = agent.post("chat/completions", body).json()["choices"][0]["message"]
    assert message["reasoning_content"]
    assert simulator.calls[-1].json["thinking"]["type"] == thinking


def test_a_jpeg_under_a_wrong_name_is_sent_under_its_own(agent, key, simulator):
    key("anthropic")
    url = f"data:image/jpg;base64,{PICTURE}"
    said = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    answer = agent.post("chat/completions", {"model": CLAUDE, "messages": [said]})
    assert answer.status_code == 200, answer.text
    (picture,) = simulator.calls[-1].json["messages"][0]["content"]
    assert picture["source"]["media_type"] == "image/jpeg"


# Claude Code ------------------------------------------------------------------------------------


def claude_code(model: str) -> Json:
    """The first request of Claude Code 2.1.330, shortened."""
    return {
        "model": model,
        "max_tokens": 128000,
        "stream": True,
        "thinking": {"type": "adaptive", "display": "omitted"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": USER},
        "system": [
            {"type": "text", "text": ATTRIBUTION},
            {"type": "text", "text": "You are Claude Code.", **MARK},
            {"type": "text", "text": "Help with software.", **MARK},
        ],
        "tools": [
            {
                "name": "Bash",
                "description": "Runs a command.",
                "input_schema": {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "type": "object",
                    "properties": {"command": {"type": "string"}},
                    "required": ["command"],
                    "additionalProperties": False,
                },
                "eager_input_streaming": True,
            },
            {"name": "Monitor", "input_schema": {"type": "object"}, "defer_loading": True},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "run: echo hello"}]},
            {
                "role": "system",
                "content": [{"type": "text", "text": "Today is Monday.", **MARK}],
                "output_config": {"effort": "high"},
            },
        ],
    }


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", GPT),
        ("mistral", MISTRAL),
        ("deepseek", "deepseek/deepseek-v4.1-flash"),
        ("anthropic", CLAUDE),
    ],
)
def test_claude_code_works_with_every_provider(agent, key, simulator, provider, model):
    key(provider)
    headers = {"anthropic-beta": "claude-code-20250219,context-management-2025-06-27"}
    body = claude_code(model)
    events = _events(agent, body, headers)
    assert events[-1]["type"] == "message_stop"
    content = _content(events)
    assert content[-1] == {"type": "tool_use", "name": "Bash", "input": {"command": "echo hello"}}
    sent = simulator.calls[-1].body
    assert (ATTRIBUTION.encode() in sent) == (provider == "anthropic")
    # Others who speak Messages are not given a role that is Anthropic's own.
    assert provider != "deepseek" or b'"role":"system"' not in sent.replace(b" ", b"")
    # The instruction is where it was, and not before the conversation.
    assert sent.index(b"Help with software.") < sent.index(b"Today is Monday.")
    assert sent.index(b"echo hello") < sent.index(b"Today is Monday.")

    (call_id,) = [each["content_block"]["id"] for each in events if _calls(each)]
    blocks = [*content[:-1], {**content[-1], "id": call_id}]
    result = {"type": "tool_result", "tool_use_id": call_id, "content": "hello"}
    # Only the last block of the last message is marked.
    del body["messages"][1]["content"][0]["cache_control"]
    body["messages"] += [
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [result]},
        {"role": "system", "content": [{"type": "text", "text": "It is late.", **MARK}]},
    ]
    content = _content(_events(agent, body, headers))
    assert "The tool answered: hello" in content[-1]["text"]
    before, after = sent, simulator.calls[-1].body
    assert after.index(b"Today is Monday.") == before.index(b"Today is Monday.")


def _events(agent, body: Json, headers: Json) -> list[Json]:
    answer = agent.post("messages?beta=true", body, headers=headers)
    assert answer.status_code == 200, answer.text
    lines = answer.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def _calls(event: Json) -> bool:
    return bool(event.get("content_block", {}).get("type") == "tool_use")


def _content(events: list[Json]) -> list[Json]:
    """The blocks of a streamed answer."""
    blocks: list[Json] = []
    arguments = ""
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append({name: event["content_block"][name] for name in event["content_block"]})
            arguments = ""
        elif event["type"] == "content_block_delta":
            match event["delta"]:
                case {"partial_json": piece}:
                    arguments += piece
                    continue
                case delta:
                    (name,) = delta.keys() - {"type"}
                    blocks[-1][name] += delta[name]
        elif event["type"] == "content_block_stop" and blocks[-1]["type"] == "tool_use":
            del blocks[-1]["id"]
            blocks[-1]["input"] = json.loads(arguments)
    return blocks
