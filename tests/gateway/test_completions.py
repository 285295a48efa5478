"""Plain prompts: text completions and fill-in-the-middle, at every host that has them."""

import json
from typing import Any

import pytest

PROMPT = {"prompt": "say: pong", "suffix": "\n", "max_tokens": 64}
#: Mistral AI answers in the shape of Chat, the others in that of text completions.
FILLS_IN = [
    ("mistral", "mistralai/codestral-2508"),
    ("deepseek", "deepseek/deepseek-v4-pro-0813"),
    ("inception", "inception/mercury-edit-2"),
]


def chunks(content: bytes) -> list[dict[str, Any]]:
    lines = [line for line in content.decode().split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


@pytest.mark.parametrize(("provider", "model"), FILLS_IN)
def test_filling_in_answers_in_the_shape_of_chat_whoever_does_it(
    agent, key, usage_row, simulator, provider, model
):
    key(provider)
    answer = agent.post("fim/completions", {"model": model, **PROMPT})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["choices"][0]["message"]["content"] == "pong"
    assert body["object"] == "chat.completion"
    assert simulator.calls[-1].json["suffix"] == "\n"
    row = usage_row(answer.headers["x-request-id"])
    assert (row.provider, row.usage_source) == (provider, "provider")
    assert row.output_tokens > 0


@pytest.mark.parametrize(("provider", "model"), FILLS_IN)
def test_every_streamed_chunk_of_filling_in_has_a_first_choice(agent, key, provider, model):
    key(provider)
    answer = agent.post("fim/completions", {"model": model, **PROMPT, "stream": True})
    found = chunks(answer.content)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in found) == "pong"
    assert found[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(("provider", "model"), FILLS_IN)
def test_a_completion_with_a_suffix_is_filled_in_and_told_as_text(agent, key, provider, model):
    key(provider)
    completion = agent.openai.completions.create(model=model, **PROMPT)
    assert completion.object == "text_completion"
    assert completion.choices[0].text == "pong"
    streamed = agent.openai.completions.create(model=model, **PROMPT, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == "pong"


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("fireworks", "openai/gpt-oss-20b"),
        ("openai", "openai/gpt-4.1"),
        ("anthropic", "anthropic/claude-haiku-5.5"),
    ],
)
def test_a_completion_without_a_suffix_is_served_by_any_model(agent, key, provider, model):
    key(provider)
    completion = agent.openai.completions.create(model=model, prompt="say: pong", max_tokens=64)
    assert (completion.object, completion.choices[0].text) == ("text_completion", "pong")
    assert completion.usage.completion_tokens > 0
    streamed = list(
        agent.openai.completions.create(
            model=model,
            prompt="say: pong",
            max_tokens=64,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == "pong"
    assert streamed[-1].usage.prompt_tokens > 0


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("fim/completions", {"prompt": ["a", "b"]}, "prompt"),
        ("completions", {"prompt": ["a", "b"]}, "prompt"),
        ("completions", {"prompt": "a", "n": 2}, "n"),
        ("completions", {"prompt": "a", "echo": True}, "echo"),
        ("completions", {}, "prompt"),
        ("fim/completions", {"prompt": "a", "n": 2}, "n"),
        ("fim/completions", {"prompt": "a", "suffix": "b", "best_of": 2}, "best_of"),
    ],
)
def test_what_cannot_be_completed_is_refused_with_the_name_of_the_field(
    agent, key, simulator, path, body, names
):
    key("mistral"), key("anthropic")
    model = "mistralai/codestral-2508" if path.startswith("fim") else "anthropic/claude-haiku-5.5"
    answer = agent.post(path, {"model": model, **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == names
    assert simulator.calls == []


def test_a_suffix_needs_a_model_that_fills_in(agent, key, simulator):
    key("anthropic")
    for path in ("completions", "fim/completions"):
        answer = agent.post(path, {"model": "anthropic/claude-haiku-5.5", **PROMPT})
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("endpoint_not_supported", "suffix")
        assert "leave the suffix out" in error["message"]
    assert simulator.calls == []


@pytest.mark.parametrize(("provider", "model"), FILLS_IN)
def test_a_list_of_one_prompt_is_filled_in_like_the_prompt(agent, key, provider, model):
    """LangChain sends nothing but lists."""
    key(provider)
    completion = agent.openai.completions.create(
        model=model, prompt=[PROMPT["prompt"]], suffix="\n", max_tokens=64
    )
    assert completion.choices[0].text == "pong"


def test_of_several_prompts_none_is_filled_in(agent, key, simulator):
    key("inception")
    body = {"model": "inception/mercury-edit-2", "prompt": ["a", "b"], "suffix": "c"}
    answer = agent.post("completions", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")
    assert simulator.calls == []


def test_a_failing_host_is_told_in_the_callers_shape(agent, key):
    key("deepseek", "lateerror")
    body = {"model": "deepseek/deepseek-v4-pro-0813", **PROMPT, "stream": True}
    body["prompt"] = "stream: 20 events"
    answer = agent.post("fim/completions", body)
    last = answer.content.decode().strip().split("\n\n")[-1]
    assert "choices" not in json.loads(last.removeprefix("data: "))
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_unavailable"
