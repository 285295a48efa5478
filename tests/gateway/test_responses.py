"""Responses with the caller's own OpenAI key, through OpenAI's SDK and as Codex calls it."""

import json
from typing import Any

import pytest

MODEL = "openai/gpt-6-luna"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
    "strict": False,
}
TWO_CITIES = 'call: get_weather {"city": "Paris"}\ncall: get_weather {"city": "Zürich"}'
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(autouse=True)
def openai_key(key):
    return key("openai")


def test_a_question_is_answered_with_the_callers_key(agent, openai_key):
    answer = agent.openai.responses.with_raw_response.create(
        model=MODEL, input="A question about herons."
    )
    response = answer.parse()
    assert answer.headers["x-megabrain-key"] == str(openai_key.pk)[:8]
    assert "A question about herons." in response.output_text
    assert response.status == "completed"
    assert response.usage.output_tokens > response.usage.output_tokens_details.reasoning_tokens > 0


def test_a_stream_adds_up_to_the_answer_in_one_piece(agent):
    whole = agent.openai.responses.create(model=MODEL, input="A question about herons.")
    with agent.openai.responses.stream(model=MODEL, input="A question about herons.") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert final.usage.total_tokens == whole.usage.total_tokens
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_tools_are_called_in_parallel_and_their_results_come_back(agent):
    items: list[Any] = [{"role": "user", "content": TWO_CITIES}]
    question: dict[str, Any] = {
        "model": MODEL,
        "tools": [WEATHER],
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    first = agent.openai.responses.create(**question, input=items)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"city": "Paris"}, {"city": "Zürich"}]
    items += [item.to_dict() for item in first.output]
    items += [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"{number} degrees"}
        for number, call in enumerate(calls, 20)
    ]
    final = agent.openai.responses.create(**question, input=items)
    assert "20 degrees; 21 degrees" in final.output_text


def test_tool_calls_are_streamed_in_pieces(agent):
    pieces: dict[str, list[str]] = {}
    done: dict[str, str] = {}
    for event in agent.openai.responses.create(
        model=MODEL, input=TWO_CITIES, tools=[WEATHER], stream=True
    ):
        if event.type == "response.function_call_arguments.delta":
            pieces.setdefault(event.item_id, []).append(event.delta)
        elif event.type == "response.function_call_arguments.done":
            done[event.item_id] = event.arguments
    assert {id_: "".join(parts) for id_, parts in pieces.items()} == done
    assert [json.loads(text) for text in done.values()] == [{"city": "Paris"}, {"city": "Zürich"}]
    assert all(len(parts) > 1 for parts in pieces.values())


def test_a_free_form_tool_gets_its_input_as_text(agent):
    response = agent.openai.responses.create(
        model=MODEL,
        input="call: apply_patch *** Begin Patch",
        tools=[{"type": "custom", "name": "apply_patch", "description": "Changes files."}],
    )
    call = response.output[-1]
    assert (call.type, call.input) == ("custom_tool_call", "*** Begin Patch")


def test_a_picture_reaches_the_model(agent, simulator):
    content = [
        {"type": "input_text", "text": "say: a picture"},
        {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
    ]
    response = agent.openai.responses.create(
        model=MODEL, input=[{"role": "user", "content": content}]
    )
    assert response.output_text == "a picture"
    assert simulator.calls[-1].json["input"][0]["content"] == content


def test_reasoning_is_passed_on_sealed_and_summarised(agent):
    question: dict[str, Any] = {
        "model": MODEL,
        "input": "say: pong",
        "store": False,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }
    with agent.openai.responses.stream(**question) as stream:
        thought, said = stream.get_final_response().output
    assert thought.encrypted_content
    assert "The user wrote" in thought.summary[0].text
    assert said.content[0].text == "pong"


def test_an_answer_that_reaches_its_limit_is_incomplete(agent, usage_row):
    answer = agent.openai.responses.with_raw_response.create(
        model=MODEL, input="stream: 50 events", max_output_tokens=16, stream=True
    )
    *_, last = answer.parse()
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    row = usage_row(answer.headers["x-request-id"])
    assert (row.outcome, row.usage_source) == ("ok", "provider")
    assert row.output_tokens == last.response.usage.output_tokens


def test_a_model_that_is_only_there_for_responses_is_served(agent):
    response = agent.openai.responses.create(model="openai/gpt-5.3-codex", input="say: pong")
    assert response.output_text == "pong"


def test_a_turn_of_codex_is_answered_with_its_tools_in_their_namespace(agent, simulator):
    """What Codex sends for a model it does not know: no instructions, a namespace of tools."""
    shell = {"type": "object", "properties": {"command": {"type": "string"}}}
    body = {
        "model": MODEL,
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "019aa000-0000-7000-8000-000000000000",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "reasoning": {"summary": "auto"},
        "client_metadata": {"x-codex-installation-id": "1"},
        "tools": [
            {
                "type": "namespace",
                "name": "local",
                "description": "Tools of this machine.",
                "tools": [{"type": "function", "name": "shell", "parameters": shell}],
            }
        ],
        "input": [
            {"type": "message", "role": "developer", "content": "You are Codex.", "id": "msg_1"},
            {"type": "message", "role": "user", "content": "run: ls", "id": "msg_2"},
        ],
    }
    codex = {
        "accept": "text/event-stream",
        "originator": "codex_exec",
        "session-id": "019aa000-0000-7000-8000-000000000001",
        "x-codex-turn-metadata": '{"turn":1}',
        "x-openai-internal-codex-responses-lite": "true",
    }
    answer = agent.post("responses", body, headers=codex)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line[:6] == "data: "]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert (done[-1]["name"], done[-1]["namespace"]) == ("shell", "local")
    assert json.loads(done[-1]["arguments"]) == {"command": "ls"}
    assert simulator.calls[-1].json["input"] == body["input"]
    assert {name: simulator.calls[-1].headers.get(name) for name in list(codex)[1:]} == {
        name: codex[name] for name in list(codex)[1:]
    }
