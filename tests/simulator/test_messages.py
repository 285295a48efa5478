"""Messages, through Anthropic's own SDK, and its older version through plain headers."""

import json
from typing import Any

import anthropic
import pytest
import requests

from tests.simulator.conftest import AnthropicClient
from tests.simulator_fixture import RunningSimulator

BASH = {
    "name": "Bash",
    "description": "Runs a command",
    "input_schema": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
    },
}


def asking(text: str) -> dict[str, Any]:
    return {
        "model": "claude-sonnet-4-6",
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": text}],
    }


def post(simulator: RunningSimulator, body: object, **headers: str) -> requests.Response:
    """A call in the version of the API that Claude Code still speaks."""
    return requests.post(
        simulator.url("anthropic") + "/v1/messages",
        data=body if isinstance(body, bytes) else json.dumps(body),
        headers={
            "x-api-key": "sk-ant-api03-sim-ok",
            "anthropic-version": "2023-06-01",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        timeout=20,
    )


def test_an_answer_repeats_the_prompt(anthropic_client: AnthropicClient):
    answer = anthropic_client().messages.create(**asking("Herons?"))
    assert "Herons?" in answer.content[0].text
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 5


def test_a_stream_adds_up_to_the_same_message(anthropic_client: AnthropicClient):
    with anthropic_client().messages.stream(**asking("say: one two three")) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert pieces == ["one", " two", " three"]
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == 3


def test_thinking_is_signed_and_accepted_back(anthropic_client: AnthropicClient):
    client, request = anthropic_client(), asking("hi")
    request["thinking"] = {"type": "adaptive"}
    with client.messages.stream(**request) as stream:
        final = stream.get_final_message()
    thinking = final.content[0]
    assert thinking.type == "thinking"
    assert thinking.thinking
    assert thinking.signature
    request["messages"] += [
        {"role": "assistant", "content": [block.model_dump() for block in final.content]},
        {"role": "user", "content": "and?"},
    ]
    assert client.messages.create(**request).stop_reason == "end_turn"
    request["messages"][1]["content"][0]["signature"] = "Zm9yZWlnbg=="
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature` in `thinking` block"):
        client.messages.create(**request)


def test_thinking_can_be_left_out_of_sight(anthropic_client: AnthropicClient):
    answer = anthropic_client().messages.create(
        **asking("hi"), thinking={"type": "adaptive", "display": "omitted"}
    )
    assert answer.content[0].thinking == ""
    assert answer.content[0].signature


def test_tools_are_called_in_parallel_and_their_results_quoted(anthropic_client: AnthropicClient):
    client, request = anthropic_client(), asking("run: echo a\nrun: echo b")
    request["tools"] = [BASH]
    with client.messages.stream(**request) as stream:
        first = stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert [call.input["command"] for call in calls] == ["echo a", "echo b"]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"said {number}"}
        for number, call in enumerate(calls)
    ]
    reminder = {"type": "text", "text": "<system-reminder>run: nothing</system-reminder>"}
    request["messages"] += [
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": [*results, reminder]},
    ]
    second = client.messages.create(**request)
    assert second.content[0].text == "Done. The tool answered: said 0; said 1"


def test_marked_prompts_are_written_to_the_cache_and_read_from_it(
    anthropic_client: AnthropicClient,
):
    request = asking("hi")
    request["system"] = [
        {"type": "text", "text": "Be brief. " * 500, "cache_control": {"type": "ephemeral"}}
    ]
    client = anthropic_client()
    first, second = (client.messages.create(**request).usage for _ in range(2))
    assert first.cache_creation_input_tokens > 1000
    assert first.cache_read_input_tokens == 0
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    assert second.cache_creation_input_tokens == 0
    assert first.input_tokens == second.input_tokens < 50


def test_tokens_are_counted_as_the_call_would(anthropic_client: AnthropicClient):
    client, request = anthropic_client(), asking("Herons " * 50)
    used = client.messages.create(**request).usage.input_tokens
    request.pop("max_tokens")
    assert client.messages.count_tokens(**request).input_tokens == used


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"messages": []}, "at least one message"),
        ({"max_tokens": 500_000}, "500000 > 128000"),
        ({"seed": 1}, "seed: Extra inputs are not permitted"),
        ({"context_management": {}}, "context_management: Extra inputs are not permitted"),
        ({"model": "claude-opus-5-5", "temperature": 0.2}, "`temperature` is deprecated"),
        (
            {"model": "claude-opus-5-5", "tools": [BASH], "tool_choice": {"type": "any"}},
            "forced tool use",
        ),
        (
            {"model": "claude-opus-5-5", "thinking": {"type": "enabled", "budget_tokens": 2000}},
            "thinking.type.adaptive",
        ),
        ({"messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
        ({"messages": [{"role": "user", "content": ""}]}, "must be non-empty"),
        ({"messages": [{"role": "assistant", "content": "{"}]}, "prefill"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}],
                    }
                ]
            },
            "unexpected `tool_use_id`",
        ),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {}}] * 5},
            "maximum of 4 blocks",
        ),
        ({"messages": [{"role": "user", "content": "x" * 5_000_000}]}, "prompt is too long: "),
    ],
)
def test_requests_that_break_a_rule_are_refused(
    simulator: RunningSimulator, change: dict[str, Any], words: str
):
    body = {name: value for name, value in {**asking("hi"), **change}.items() if value is not None}
    answer = post(simulator, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert words in answer.json()["error"]["message"]


def test_a_beta_field_is_taken_with_its_flag(simulator: RunningSimulator):
    body = {**asking("hi"), "context_management": {"edits": []}}
    assert post(simulator, body, anthropic_beta="context-management-2025-06-27").ok


def test_the_newer_version_refuses_sampling_even_at_its_default(simulator: RunningSimulator):
    body = {**asking("hi"), "temperature": 1}
    assert post(simulator, body).ok
    assert post(simulator, body, anthropic_version="2026-10-21").status_code == 400


def test_a_call_without_a_version_is_refused(simulator: RunningSimulator):
    answer = post(simulator, asking("hi"), anthropic_version="")
    assert "anthropic-version: header is required" in answer.text


def test_an_unknown_model_is_named_in_the_refusal(anthropic_client: AnthropicClient):
    with pytest.raises(anthropic.NotFoundError, match="model: claude-nope"):
        anthropic_client().messages.create(**{**asking("hi"), "model": "claude-nope"})


def test_broken_json_and_huge_bodies_are_refused(simulator: RunningSimulator):
    assert "not valid JSON" in post(simulator, b"{").text
    assert post(simulator, b"[]").status_code == 400
    assert post(simulator, b" " * (33 * 1024 * 1024)).status_code == 413


def test_deepseek_answers_messages_with_its_own_key_header(simulator: RunningSimulator):
    url = simulator.url("deepseek") + "/anthropic/v1/messages"
    body = {**asking("hi"), "model": "deepseek-flash"}
    # It ignores anthropic-version, so it does not miss it either.
    good = requests.post(url, json=body, headers={"x-api-key": "sk-simok"}, timeout=20)
    bearer = {"authorization": "Bearer sk-simok"}
    bad = requests.post(url, json=body, headers=bearer, timeout=20)
    assert good.json()["content"][0]["type"] == "text"
    assert (bad.status_code, bad.json()["type"]) == (401, "error")


def test_the_list_of_models_has_pages(anthropic_client: AnthropicClient):
    page = anthropic_client().models.list(limit=4)
    assert (len(page.data), page.has_more, page.last_id) == (4, True, page.data[-1].id)
    assert len({model.id for model in anthropic_client().models.list(limit=4)}) == 10
    assert anthropic_client().models.retrieve("claude-sonnet-5").id == "claude-sonnet-5"
