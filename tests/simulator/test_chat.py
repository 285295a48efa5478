"""Chat Completions of every provider that has it, through OpenAI's own SDK."""

import json
from typing import Any

import openai
import pytest

from tests.simulator.conftest import OpenAIClient
from tests.simulator_fixture import RunningSimulator

MODELS = {
    "openai": "gpt-4.1",
    "deepseek": "deepseek-flash",
    "fireworks": "accounts/fireworks/models/gpt-oss-120b",
    "novita": "openai/gpt-oss-120b",
    "inception": "mercury-2.5",
    "xiaomi": "mimo-v2.6-flash",
    "zai": "glm-5.3",
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def asking(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("provider", MODELS)
def test_an_answer_repeats_the_prompt_and_names_the_provider(
    openai_client: OpenAIClient, provider: str
):
    answer = openai_client(provider).chat.completions.create(
        model=MODELS[provider], messages=asking("A question about herons.")
    )
    text = answer.choices[0].message.content
    assert "A question about herons." in text
    assert MODELS[provider] in text
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_file_is_written_in_a_fence_below_its_name(openai_client: OpenAIClient):
    prompt = "write: a.txt one\nwrite: b.txt two\nwrite: a.txt three"
    answer = openai_client().chat.completions.create(model="gpt-4.1", messages=asking(prompt))
    assert answer.choices[0].message.content == (
        "a.txt\n```\none\nthree\n```\n\nb.txt\n```\ntwo\n```\n"
    )


@pytest.mark.parametrize("provider", MODELS)
def test_a_stream_says_the_same_and_ends_with_usage_when_asked(
    openai_client: OpenAIClient, provider: str
):
    chunks = list(
        openai_client(provider).chat.completions.create(
            model=MODELS[provider],
            messages=asking("say: one two three"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "one two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens >= 3


def test_a_stream_has_no_usage_unless_asked(openai_client: OpenAIClient):
    chunks = openai_client().chat.completions.create(
        model="gpt-4.1", messages=asking("hello"), stream=True
    )
    assert all(chunk.usage is None for chunk in chunks)


def test_open_models_show_their_reasoning_and_openai_only_counts_it(openai_client: OpenAIClient):
    shown = openai_client("deepseek").chat.completions.create(
        model="deepseek-flash", messages=asking("hello")
    )
    hidden = openai_client().chat.completions.create(model="gpt-6-luna", messages=asking("hello"))
    assert shown.choices[0].message.reasoning_content
    assert not hasattr(hidden.choices[0].message, "reasoning_content")
    assert hidden.usage.completion_tokens_details.reasoning_tokens > 0


def test_a_tool_is_called_and_its_result_quoted(openai_client: OpenAIClient):
    client = openai_client()
    messages = asking('call: get_weather {"city": "Oslo"}')
    first = client.chat.completions.create(model="gpt-4.1", messages=messages, tools=[WEATHER])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "get_weather",
        {"city": "Oslo"},
    )
    messages += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "Rain, 4 degrees"},
    ]
    second = client.chat.completions.create(model="gpt-4.1", messages=messages, tools=[WEATHER])
    assert "Rain, 4 degrees" in second.choices[0].message.content
    assert second.choices[0].finish_reason == "stop"


def test_parallel_calls_stream_each_under_its_own_index(openai_client: OpenAIClient):
    prompt = 'call: get_weather {"city": "Oslo"}\ncall: get_weather {"city": "Rome"}'
    arguments = {0: "", 1: ""}
    for chunk in openai_client().chat.completions.create(
        model="gpt-4.1", messages=asking(prompt), tools=[WEATHER], stream=True
    ):
        for call in chunk.choices[0].delta.tool_calls or []:
            arguments[call.index] += call.function.arguments or ""
    assert [json.loads(text)["city"] for text in arguments.values()] == ["Oslo", "Rome"]


def test_calls_come_one_at_a_time_when_parallel_ones_are_off(openai_client: OpenAIClient):
    answer = openai_client().chat.completions.create(
        model="gpt-4.1",
        messages=asking("call: get_weather\ncall: get_weather"),
        tools=[WEATHER],
        parallel_tool_calls=False,
    )
    assert len(answer.choices[0].message.tool_calls) == 1


def test_a_forced_tool_is_called_whatever_the_prompt(openai_client: OpenAIClient):
    answer = openai_client().chat.completions.create(
        model="gpt-4.1", messages=asking("hello"), tools=[WEATHER], tool_choice="required"
    )
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"


def test_a_schema_gets_json_that_fits(openai_client: OpenAIClient):
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    answer = openai_client().chat.completions.create(
        model="gpt-4.1",
        messages=asking("Herons"),
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    assert json.loads(answer.choices[0].message.content) == {"title": "Herons"}


def test_the_token_limit_cuts_the_answer(openai_client: OpenAIClient):
    answer = openai_client().chat.completions.create(
        model="gpt-4.1", messages=asking("say: one two three"), max_tokens=2
    )
    assert answer.choices[0].message.content == "one two"
    assert answer.choices[0].finish_reason == "length"


def test_a_stop_sequence_cuts_the_answer(openai_client: OpenAIClient):
    answer = openai_client().chat.completions.create(
        model="gpt-4.1", messages=asking("say: one two three"), stop=["three"]
    )
    assert answer.choices[0].message.content == "one two "


def test_a_long_prompt_is_cached_the_second_time(openai_client: OpenAIClient):
    client, messages = openai_client(), asking("herons " * 1000)
    first = client.chat.completions.create(model="gpt-4.1", messages=messages)
    second = client.chat.completions.create(model="gpt-4.1", messages=messages)
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert second.usage.prompt_tokens_details.cached_tokens > 1000


def test_deepseek_counts_cache_hits_and_misses(openai_client: OpenAIClient):
    usage = (
        openai_client("deepseek")
        .chat.completions.create(model="deepseek-flash", messages=asking("hi"))
        .usage
    )
    assert usage.prompt_cache_hit_tokens + usage.prompt_cache_miss_tokens == usage.prompt_tokens


@pytest.mark.parametrize(
    ("model", "extra", "code"),
    [
        ("gpt-6-luna", {"max_tokens": 5}, "unsupported_parameter"),
        ("gpt-6-luna", {"temperature": 0}, "unsupported_value"),
        ("gpt-6.1-sol", {"reasoning_effort": "none"}, "unsupported_value"),
        ("gpt-4.1", {"extra_body": {"thinking": {}}}, None),
        ("gpt-4.1", {"extra_body": {"stream_options": {"include_usage": True}}}, None),
        ("gpt-5.5", {"tools": [WEATHER]}, None),
        ("gpt-4.1", {"messages": []}, "empty_array"),
        ("gpt-4.1", {"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}, None),
    ],
)
def test_openai_refuses_what_its_models_do_not_take(
    openai_client: OpenAIClient, model: str, extra: dict[str, Any], code: str | None
):
    request = {"model": model, "messages": asking("hello"), **extra}
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client().chat.completions.create(**request)
    assert refused.value.code == code
    assert refused.value.type == "invalid_request_error"


def test_a_responses_only_model_is_not_found_on_chat(openai_client: OpenAIClient):
    with pytest.raises(openai.NotFoundError, match="v1/responses"):
        openai_client().chat.completions.create(model="gpt-5.3-codex", messages=asking("hi"))


def test_deepseek_wants_its_reasoning_back_with_tool_calls(openai_client: OpenAIClient):
    messages = [
        *asking("hi"),
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
    ]
    with pytest.raises(openai.BadRequestError, match="reasoning_content"):
        openai_client("deepseek").chat.completions.create(
            model="deepseek-flash", messages=messages, tools=[WEATHER]
        )


@pytest.mark.parametrize(
    ("provider", "status", "words"),
    [
        ("openai", 404, "does not exist"),
        ("deepseek", 400, "supported API model names"),
        ("fireworks", 404, "not deployed"),
        ("novita", 404, "model not found"),
    ],
)
def test_an_unknown_model_is_refused_in_the_provider_s_own_words(
    openai_client: OpenAIClient, provider: str, status: int, words: str
):
    with pytest.raises(openai.APIStatusError, match=words) as refused:
        openai_client(provider).chat.completions.create(model="nope", messages=asking("hi"))
    assert refused.value.status_code == status


def test_broken_json_is_a_bad_request(simulator: RunningSimulator, openai_client: OpenAIClient):
    with pytest.raises(openai.BadRequestError, match="not valid JSON"):
        openai_client().post("/chat/completions", cast_to=object, content=b'{"model":')
