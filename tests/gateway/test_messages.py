"""Messages with the caller's own keys, through Anthropic's SDK."""

import json
from typing import Any

import pytest

MODELS = {
    "anthropic": "anthropic/claude-sonnet-5.5",
    "deepseek": "deepseek/deepseek-v4.1-flash",
}
CLAUDE = MODELS["anthropic"]
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
TWO_CITIES = 'call: get_weather {"city": "Paris"}\ncall: get_weather {"city": "Zürich"}'
PICTURE = {
    "type": "image",
    "source": {
        "type": "base64",
        "media_type": "image/png",
        "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
        "AABJRU5ErkJggg==",
    },
}


def asking(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.fixture(params=MODELS)
def provider(request, key) -> str:
    """Each provider that speaks Messages in turn, with a key of the owner."""
    key(request.param)
    return str(request.param)


@pytest.fixture
def claude(key) -> None:
    """A key for Anthropic."""
    key("anthropic")


def test_a_question_is_answered_by_the_provider_of_the_key(agent, provider):
    answer = agent.anthropic.messages.with_raw_response.create(
        model=MODELS[provider], max_tokens=500, messages=asking("A question about herons.")
    )
    message = answer.parse()
    assert answer.headers["x-megabrain-provider"] == provider
    assert "A question about herons." in message.content[-1].text
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 5


def test_a_stream_adds_up_to_the_answer_in_one_piece(agent, provider):
    question: dict[str, Any] = {
        "model": MODELS[provider],
        "max_tokens": 500,
        "messages": asking("A question about herons."),
    }
    whole = agent.anthropic.messages.create(**question)
    with agent.anthropic.messages.stream(**question) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert final.content[-1].text == whole.content[-1].text
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert kinds.count("content_block_delta") > 5


def test_thinking_comes_with_its_signature_and_may_go_back(agent, claude, simulator):
    question: dict[str, Any] = {
        "model": CLAUDE,
        "max_tokens": 500,
        "thinking": {"type": "adaptive"},
    }
    with agent.anthropic.messages.stream(**question, messages=asking("say: once")) as stream:
        first = stream.get_final_message()
    thought, said = first.content
    assert (thought.type, said.text) == ("thinking", "once")
    # The simulator refuses a signature that is not its own.
    again = agent.anthropic.messages.create(
        **question,
        messages=[
            *asking("say: once"),
            {"role": "assistant", "content": [block.to_dict() for block in first.content]},
            *asking("say: twice"),
        ],
    )
    assert again.content[-1].text == "twice"


def test_tools_are_called_in_parallel_and_their_results_come_back(agent, provider):
    messages = asking(TWO_CITIES)
    question: dict[str, Any] = {"model": MODELS[provider], "max_tokens": 500, "tools": [WEATHER]}
    message = agent.anthropic.messages.create(**question, messages=messages)
    calls = [block for block in message.content if block.type == "tool_use"]
    assert message.stop_reason == "tool_use"
    assert [call.input for call in calls] == [{"city": "Paris"}, {"city": "Zürich"}]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"{number} degrees"}
        for number, call in enumerate(calls, 20)
    ]
    messages += [
        {"role": "assistant", "content": [block.to_dict() for block in message.content]},
        {"role": "user", "content": results},
    ]
    final = agent.anthropic.messages.create(**question, messages=messages)
    assert "20 degrees; 21 degrees" in final.content[-1].text


def test_tool_calls_are_streamed_in_pieces_one_after_the_other(agent, provider):
    pieces: dict[int, list[str]] = {}
    with agent.anthropic.messages.stream(
        model=MODELS[provider], max_tokens=500, tools=[WEATHER], messages=asking(TWO_CITIES)
    ) as stream:
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                pieces.setdefault(event.index, []).append(event.delta.partial_json)
        final = stream.get_final_message()
    arguments = [json.loads("".join(parts)) for parts in pieces.values()]
    assert arguments == [{"city": "Paris"}, {"city": "Zürich"}]
    assert all(len(parts) > 1 for parts in pieces.values())
    assert final.stop_reason == "tool_use"


@pytest.mark.parametrize("in_a_tool_result", [False, True])
def test_a_picture_reaches_the_model(agent, claude, simulator, in_a_tool_result):
    picture: Any = PICTURE
    messages: list[Any] = []
    if in_a_tool_result:
        call = {"type": "tool_use", "id": "toolu_01", "name": "get_weather", "input": {"city": "x"}}
        messages = [*asking("look"), {"role": "assistant", "content": [call]}]
        picture = {"type": "tool_result", "tool_use_id": "toolu_01", "content": [PICTURE]}
    content = [picture, {"type": "text", "text": "say: a picture"}]
    answer = agent.anthropic.messages.create(
        model=CLAUDE,
        max_tokens=500,
        tools=[WEATHER],
        messages=[*messages, {"role": "user", "content": content}],
    )
    assert answer.type == "message"
    assert simulator.calls[-1].json["messages"][-1]["content"] == content


def test_tokens_are_counted_and_nothing_is_used_by_it(agent, claude, usage_row):
    question: dict[str, Any] = {"model": CLAUDE, "messages": asking("herons " * 200)}
    counted = agent.anthropic.messages.with_raw_response.count_tokens(**question)
    answered = agent.anthropic.messages.create(**question, max_tokens=500)
    assert counted.parse().input_tokens == answered.usage.input_tokens > 300
    row = usage_row(counted.headers["x-request-id"])
    assert (row.endpoint, row.status, row.payer) == ("messages/count_tokens", 200, "byok")
    assert (row.usage_source, row.input_tokens, row.market_micros) == ("none", 0, 0)


def test_a_stop_sequence_ends_the_answer_and_is_named(agent, claude):
    answer = agent.anthropic.messages.create(
        model=CLAUDE,
        max_tokens=500,
        stop_sequences=["three"],
        messages=asking("say: one two three four"),
    )
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "three")
    assert answer.content[0].text == "one two "


def test_the_version_and_the_betas_of_the_client_go_to_anthropic(agent, claude, simulator):
    agent.anthropic.messages.create(
        model=CLAUDE,
        max_tokens=500,
        messages=asking("say: pong"),
        extra_headers={"anthropic-beta": "context-management-2025-06-27"},
        extra_body={"context_management": {"edits": []}},
    )
    headers = simulator.calls[-1].headers
    # The version of the SDK itself, not the older one that is sent for whoever sends none.
    assert headers["anthropic-version"] == "2026-10-21"
    assert headers["anthropic-beta"] == "context-management-2025-06-27"


def test_whoever_names_no_version_gets_the_one_that_everybody_speaks(agent, claude, simulator):
    answer = agent.post(
        "messages", {"model": CLAUDE, "max_tokens": 500, "messages": asking("say: pong")}
    )
    assert answer.json()["content"][0]["text"] == "pong"
    assert simulator.calls[-1].headers["anthropic-version"] == "2023-06-01"
