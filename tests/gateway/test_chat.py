"""Chat Completions with the caller's own keys, through OpenAI's SDK, for every provider of them."""

import json
from typing import Any

import pytest

MODELS = {
    "openai": "openai/gpt-6-luna",
    "deepseek": "deepseek/deepseek-v4.1-flash",
    "fireworks": "z-ai/glm-5.3-flash",
    "novita": "z-ai/glm-5.3-flash",
}
#: As which the simulator of each provider knows these models, and says so in its answers.
UPSTREAM = {
    "openai": "gpt-6-luna",
    "deepseek": "deepseek-flash",
    "fireworks": "accounts/fireworks/models/glm-5p3-flash",
    "novita": "zai-org/glm-5.3-flash",
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
TWO_CITIES = 'call: get_weather {"city": "Paris"}\ncall: get_weather {"city": "Zürich"}'
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)


def asking(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.fixture(params=MODELS)
def provider(request, key) -> str:
    """Each provider in turn, with a key of the owner."""
    key(request.param)
    return str(request.param)


def test_the_provider_of_the_key_answers_in_one_piece_and_streamed(agent, provider):
    question = {"model": MODELS[provider], "messages": asking("A question about herons.")}
    answer = agent.openai.chat.completions.with_raw_response.create(**question)
    choice = answer.parse().choices[0]
    assert answer.headers["x-megabrain-provider"] == provider
    assert "A question about herons." in choice.message.content
    assert UPSTREAM[provider] in choice.message.content
    assert choice.finish_reason == "stop"

    chunks = list(agent.openai.chat.completions.create(**question, stream=True))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == choice.message.content
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(chunks) > 5


def test_usage_comes_at_the_end_of_a_stream_that_asks_for_it(agent, provider):
    question = {"model": MODELS[provider], "messages": asking("say: one two three")}
    whole = agent.openai.chat.completions.create(**question)
    *chunks, last = agent.openai.chat.completions.create(
        **question, stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == []
    assert last.usage.prompt_tokens == whole.usage.prompt_tokens > 5
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks)


def test_no_usage_comes_in_a_stream_that_does_not_ask_for_it(agent, provider, simulator, usage_row):
    body = {"model": MODELS[provider], "messages": asking("say: one two three"), "stream": True}
    for options in ({}, {"stream_options": None}, {"stream_options": {"include_usage": False}}):
        answer = agent.post("chat/completions", {**body, **options})
        assert '"prompt_tokens"' not in answer.text
        assert '"choices":[]' not in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")
        # The provider was asked for it all the same, so that it can be written down.
        assert simulator.calls[-1].json["stream_options"]["include_usage"] is True
        row = usage_row(answer.headers["x-request-id"])
        assert (row.usage_source, row.output_tokens > 0) == ("provider", True)


def test_openrouters_way_of_asking_for_usage_is_understood(agent, key):
    key("novita")
    *_, last = agent.openai.chat.completions.create(
        model=MODELS["novita"],
        messages=asking("say: pong"),
        stream=True,
        extra_body={"usage": {"include": True}},
    )
    assert last.usage.completion_tokens > 0


def test_reasoning_is_passed_on_where_the_provider_shows_it(agent, key):
    key("deepseek")
    question = {"model": MODELS["deepseek"], "messages": asking("say: pong")}
    whole = agent.openai.chat.completions.create(**question)
    chunks = list(agent.openai.chat.completions.create(**question, stream=True))
    streamed = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in chunks]
    assert "The user wrote" in whole.choices[0].message.reasoning_content
    assert "".join(filter(None, streamed)) == whole.choices[0].message.reasoning_content


def test_tools_are_called_in_parallel_and_their_results_come_back(agent, provider):
    messages = asking(TWO_CITIES)
    question: dict[str, Any] = {"model": MODELS[provider], "tools": [WEATHER]}
    message = agent.openai.chat.completions.create(**question, messages=messages).choices[0].message
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == [
        {"city": "Paris"},
        {"city": "Zürich"},
    ]
    messages.append(message.to_dict())
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": f"{number} degrees"}
        for number, call in enumerate(message.tool_calls, 20)
    ]
    final = agent.openai.chat.completions.create(**question, messages=messages)
    assert "20 degrees; 21 degrees" in final.choices[0].message.content


def test_tool_calls_are_streamed_in_pieces_side_by_side(agent, provider):
    chunks = agent.openai.chat.completions.create(
        model=MODELS[provider], messages=asking(TWO_CITIES), tools=[WEATHER], stream=True
    )
    calls: dict[int, str] = {}
    pieces = 0
    for chunk in chunks:
        for piece in chunk.choices[0].delta.tool_calls or ():
            calls[piece.index] = calls.get(piece.index, "") + (piece.function.arguments or "")
            pieces += 1
        reason = chunk.choices[0].finish_reason
    assert {index: json.loads(text) for index, text in calls.items()} == {
        0: {"city": "Paris"},
        1: {"city": "Zürich"},
    }
    assert (pieces > 4, reason) == (True, "tool_calls")


def test_a_picture_reaches_the_model(agent, key, simulator):
    key("openai")
    content = [
        {"type": "text", "text": "say: a picture"},
        {"type": "image_url", "image_url": {"url": PICTURE}},
    ]
    answer = agent.openai.chat.completions.create(
        model=MODELS["openai"], messages=[{"role": "user", "content": content}]
    )
    assert answer.choices[0].message.content == "a picture"
    assert simulator.calls[-1].json["messages"][0]["content"] == content


def test_an_answer_in_json_follows_the_schema(agent, key):
    key("openai")
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
        "required": ["city", "degrees"],
        "additionalProperties": False,
    }
    answer = agent.openai.chat.completions.create(
        model=MODELS["openai"],
        messages=asking("Paris"),
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "weather", "strict": True, "schema": schema},
        },
    )
    assert json.loads(answer.choices[0].message.content) == {"city": "Paris", "degrees": 1}


def test_an_answer_that_reaches_its_limit_says_so(agent, key):
    key("openai")
    question: dict[str, Any] = {
        "model": MODELS["openai"],
        "messages": asking("stream: 50 events"),
        "max_completion_tokens": 5,
    }
    whole = agent.openai.chat.completions.create(**question)
    *_, last = agent.openai.chat.completions.create(**question, stream=True)
    assert whole.choices[0].finish_reason == "length"
    assert last.choices[0].finish_reason == "length"
