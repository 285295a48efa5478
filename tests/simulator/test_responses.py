"""Responses, through OpenAI's own SDK."""

import json
from typing import Any

import openai
import pytest

from tests.simulator.conftest import OpenAIClient

SHELL = {
    "type": "function",
    "name": "exec_command",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {"cmd": {"type": "string"}, "workdir": {"type": "string"}},
        "required": ["cmd"],
    },
}


def test_an_answer_repeats_the_prompt(openai_client: OpenAIClient):
    answer = openai_client().responses.create(model="gpt-6-luna", input="Herons?")
    assert "Herons?" in answer.output_text
    assert answer.status == "completed"
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_stream_events_are_numbered_paired_and_terminated(openai_client: OpenAIClient):
    with openai_client().responses.stream(model="gpt-4.1", input="say: one two") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    for opened, closed in [("output_item.added", "output_item.done"), ("content_part.added",) * 2]:
        assert f"response.{opened}" in kinds
        assert f"response.{closed}" in kinds
    assert final.output_text == "one two"


def test_reasoning_comes_as_a_summary_and_encrypted_when_asked(openai_client: OpenAIClient):
    answer = openai_client().responses.create(
        model="gpt-6-luna",
        input="hi",
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        store=False,
    )
    reasoning = answer.output[0]
    assert reasoning.type == "reasoning"
    assert reasoning.summary[0].text
    assert reasoning.encrypted_content
    assert answer.usage.output_tokens_details.reasoning_tokens > 0


def test_a_shell_command_becomes_a_call_and_its_output_is_quoted(openai_client: OpenAIClient):
    client = openai_client()
    conversation = [{"role": "user", "content": "run: echo hello"}]
    first = client.responses.create(model="gpt-4.1", input=conversation, tools=[SHELL])
    call = next(item for item in first.output if item.type == "function_call")
    assert json.loads(call.arguments) == {"cmd": "echo hello"}
    conversation += [item.model_dump(exclude_none=True) for item in first.output]
    conversation += [{"type": "function_call_output", "call_id": call.call_id, "output": "hello"}]
    second = client.responses.create(model="gpt-4.1", input=conversation, tools=[SHELL])
    assert second.output_text == "Done. The tool answered: hello"


def test_namespaced_and_custom_tools_come_back_under_their_own_names(openai_client: OpenAIClient):
    extra = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [
            {
                "type": "namespace",
                "name": "functions",
                "tools": [{"type": "custom", "name": "exec"}],
            }
        ],
    }
    with openai_client().responses.stream(
        model="gpt-6-luna", input=[extra, {"role": "user", "content": "run: ls"}]
    ) as stream:
        done = [event.item for event in stream if event.type == "response.output_item.done"]
    call = done[-1]
    assert (call.type, call.name, call.namespace) == ("custom_tool_call", "exec", "functions")
    assert 'tools.exec_command({"cmd": "ls"})' in call.input


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"max_output_tokens": 15}, "integer_below_min_value"),
        ({"previous_response_id": "resp_1"}, "previous_response_not_found"),
        ({"extra_body": {"messages": []}}, "unknown_parameter"),
        ({"model": "gpt-6-luna", "temperature": 0.1}, "unsupported_value"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": ""}]}, None),
    ],
)
def test_requests_that_break_a_rule_are_refused(
    openai_client: OpenAIClient, extra: dict[str, Any], code: str | None
):
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client().responses.create(**{"model": "gpt-4.1", "input": "hi", **extra})
    assert refused.value.code == code


def test_a_token_limit_leaves_the_answer_incomplete(openai_client: OpenAIClient):
    words = "say: " + "word " * 40
    answer = openai_client().responses.create(model="gpt-4.1", input=words, max_output_tokens=16)
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"
