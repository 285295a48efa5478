"""Responses to models whose providers speak something else, as Codex and the SDKs ask for them.

What Codex sends and what it refuses is as it was recorded of Codex 0.169.
"""

import json
from typing import Any

import pytest
import requests
from pydantic import BaseModel

from tests.gateway.dialect import RESPONSES
from tests.gateway.test_responses import PICTURE, TWO_CITIES, WEATHER

CLAUDE = "anthropic/claude-haiku-5.5"
MODELS = {"anthropic": CLAUDE, "deepseek": "deepseek/deepseek-v4-pro-0813"}
THINKING: dict[str, Any] = {"reasoning": {"effort": "high", "summary": "auto"}, "store": False}
SHELL = {
    "type": "object",
    "properties": {"command": {"type": "string"}},
    "required": ["command"],
}
GRAMMAR = 'start: "*** Begin Patch" LF'


@pytest.fixture(params=MODELS)
def model(request, key):
    """A model of a provider that speaks Messages, and of one that speaks Chat."""
    key(request.param)
    return MODELS[request.param]


@pytest.fixture(params=["anthropic", "deepseek", "perplexity", "xai"])
def elsewhere(request, key):
    """A model of anyone but OpenAI: of the last two, Responses are spoken without Codex's tools."""
    key(request.param)
    return {**MODELS, "perplexity": "perplexity/sonar", "xai": "x-ai/grok-4.7"}[request.param]


@pytest.fixture
def claude(key):
    key("anthropic")
    return CLAUDE


def events_of(answer: requests.Response) -> list[Any]:
    """The events of a stream as they came, checked to be named and numbered."""
    return [event.data for event in RESPONSES.stream(answer.content).events]


def items_of(answer: requests.Response) -> list[Any]:
    """The items as Codex takes them, which looks at nothing else."""
    assert answer.status_code == 200, answer.text
    return [
        event["item"] for event in events_of(answer) if event["type"] == "response.output_item.done"
    ]


def described(body: Any) -> str:
    """The description of the one tool that a provider was offered."""
    (tool,) = body["tools"]
    return str(tool.get("function", tool)["description"])


def test_a_stream_adds_up_to_the_answer_in_one_piece(agent, model, usage_row):
    question: dict[str, Any] = {"model": model, "input": "A question about herons.", **THINKING}
    whole = agent.openai.responses.create(**question)
    with agent.openai.responses.stream(**question) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert "A question about herons." in final.output_text == whole.output_text
    assert [item.type for item in final.output] == [item.type for item in whole.output]
    assert final.output[0].summary == whole.output[0].summary
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (final.model, final.store, final.status) == (model, False, "completed")
    assert usage_row().output_tokens == final.usage.output_tokens


def test_a_turn_with_tools_goes_on_with_the_reasoning_that_led_to_it(agent, model, simulator):
    items: list[Any] = [{"role": "user", "content": TWO_CITIES}]
    question: dict[str, Any] = {"model": model, "tools": [WEATHER], **THINKING}
    with agent.openai.responses.stream(**question, input=items) as stream:
        first = stream.get_final_response()
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"city": "Paris"}, {"city": "Zürich"}]
    items += [item.to_dict() for item in first.output]
    items += [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"{number} degrees"}
        for number, call in enumerate(calls, 20)
    ]
    final = agent.openai.responses.create(**question, input=items)
    assert "20 degrees; 21 degrees" in final.output_text
    said = next(m for m in simulator.calls[-1].json["messages"] if m["role"] == "assistant")
    if model == CLAUDE:
        assert [block["type"] for block in said["content"]] == [
            *("thinking", "text"),
            *("tool_use", "tool_use"),
        ]
        assert said["content"][0]["signature"]
    else:
        assert said["reasoning_content"]
        assert len(said["tool_calls"]) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("prompt", {"id": "pmpt_1"}),
        ("background", True),
        ("input", [{"type": "item_reference", "id": "msg_1"}]),
    ],
)
def test_pitfall_13_what_perplexity_does_not_keep_is_refused_by_name(
    agent, key, simulator, field, value
):
    key("perplexity")
    answer = agent.post("responses", RESPONSES.body(model="perplexity/sonar") | {field: value})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, field)
    assert simulator.calls == []


def test_pitfall_11_name_and_namespace_come_back_to_codex_apart(agent, elsewhere, simulator):
    """What Codex sends for a model it does not know: functions, a namespace, a hosted tool."""
    body = {
        "model": elsewhere,
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "019aa000-0000-7000-8000-000000000000",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "reasoning": {"summary": "auto"},
        "text": {"verbosity": "medium"},
        "client_metadata": {"x-codex-installation-id": "1"},
        "tools": [
            {"type": "function", "name": "update_plan", "parameters": SHELL, "strict": False},
            {
                "type": "namespace",
                "name": "local",
                "description": "Tools of this machine.",
                "tools": [
                    {"type": "function", "name": "shell", "parameters": SHELL, "strict": False}
                ],
            },
            {"type": "web_search", "external_web_access": True},
        ],
        "input": [
            {
                "type": "message",
                "role": "developer",
                "id": "msg_1",
                "content": [{"type": "input_text", "text": "You are Codex."}],
            },
            {
                "type": "message",
                "role": "user",
                "id": "msg_2",
                "content": [{"type": "input_text", "text": 'call: local__shell {"command": "ls"}'}],
            },
        ],
    }
    *_, call = items_of(agent.post("responses", body))
    assert (call["type"], call["name"], call["namespace"]) == ("function_call", "shell", "local")
    assert json.loads(call["arguments"]) == {"command": "ls"}
    offered = json.dumps(simulator.calls[-1].json["tools"])
    assert "local__shell" in offered
    assert "web_search" not in offered

    body["input"] += [
        call,
        {
            "type": "function_call_output",
            "call_id": call["call_id"],
            "output": [{"type": "input_text", "text": "a.txt"}],
        },
    ]
    *_, said = items_of(agent.post("responses", body))
    assert "a.txt" in said["content"][0]["text"]


def test_pitfall_11_additional_tools_of_codex_are_called_by_their_kind(agent, elsewhere, simulator):
    """What Codex sends for models whose names it knows: no tools, but an item that has them."""
    execute = {
        "type": "custom",
        "name": "exec",
        "description": "Runs JavaScript.",
        "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
    }
    tools = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [{"type": "namespace", "name": "code", "description": "", "tools": [execute]}],
    }
    script = 'text("ü");\n// done'
    said = f"call: code__exec {json.dumps({'input': script})}"
    body = {
        "model": elsewhere,
        "stream": True,
        "store": False,
        "input": [tools, {"role": "user", "content": said}],
    }
    answer = agent.post("responses", body)
    *_, call = items_of(answer)
    assert (call["type"], call["name"], call["namespace"]) == ("custom_tool_call", "exec", "code")
    assert call["input"] == script
    events = events_of(answer)
    deltas = [e for e in events if e["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(event["delta"] for event in deltas) == script
    (done,) = [e for e in events if e["type"] == "response.custom_tool_call_input.done"]
    assert done["input"] == script
    sent = simulator.calls[-1].json
    assert GRAMMAR in described(sent)

    result = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "it ran"}
    # Offered once more, as in each turn, with a newer description.
    again = json.loads(json.dumps(tools).replace("Runs JavaScript.", "Runs any JavaScript."))
    body["input"] += [call, result, again]
    *_, said = items_of(agent.post("responses", body))
    assert "it ran" in said["content"][0]["text"]
    assert "Runs any JavaScript." in described(simulator.calls[-1].json)


def test_a_client_that_searches_tools_gets_the_call_and_may_then_call_what_it_found(
    agent, claude, simulator
):
    search = {
        "type": "tool_search",
        "execution": "client",
        "description": "Finds tools.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
    }
    asked = {"role": "user", "content": 'call: tool_search {"query": "weather"}'}
    body = {"model": claude, "stream": True, "tools": [search], "input": [asked]}
    *_, call = items_of(agent.post("responses", body))
    assert (call["type"], call["execution"]) == ("tool_search_call", "client")
    assert call["arguments"] == {"query": "weather"}

    found = {
        "type": "tool_search_output",
        "call_id": call["call_id"],
        "execution": "client",
        "status": "completed",
        "tools": [{"type": "namespace", "name": "sky", "description": "", "tools": [WEATHER]}],
    }
    said = {"role": "assistant", "content": "Found it."}
    then = {"role": "user", "content": 'call: sky__get_weather {"city": "Paris"}'}
    *_, call = items_of(
        agent.post("responses", {**body, "input": [asked, call, found, said, then]})
    )
    assert (call["name"], call["namespace"]) == ("get_weather", "sky")
    result = simulator.calls[-1].json["messages"][2]["content"][0]["content"]
    assert "sky__get_weather" in json.dumps(result)


HINT = "set store:false and send full input"


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input", HINT),
        ({"input": [{"id": "rs_1"}]}, "input", HINT),
        ({"previous_response_id": "resp_1"}, "previous_response_id", HINT),
        ({"conversation": {"id": "conv_1"}}, "conversation", HINT),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "OpenAI"),
        ({"background": True}, "background", "OpenAI"),
        ({"input": [{"type": "compaction_trigger"}]}, "input", "compact"),
        (
            {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}},
            "tool_choice",
            "web_search",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input",
            "uploaded",
        ),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_pitfall_13_what_openai_keeps_is_refused_by_name(
    agent, claude, simulator, change, field, said
):
    answer = agent.post("responses", {"model": claude, "input": "hi", **change})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", field)
    assert said in error["message"]
    assert simulator.calls == []


def test_pitfall_14_hosted_tools_and_odd_items_are_left_out(agent, claude, simulator):
    """What Cline sends unasked, and items of tools that ran elsewhere."""
    body = {
        "model": claude,
        "truncation": "auto",
        "include": ["web_search_call.action.sources"],
        "tools": [{"type": "web_search"}, {"type": "image_generation"}],
        "input": [
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "compaction", "encrypted_content": "sealed"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "theirs"},
            {"type": "of tomorrow", "id": "x_1"},
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "say: pong"}, {"type": "?"}],
            },
        ],
    }
    answer = agent.post("responses", body)
    assert RESPONSES.text(answer.json()) == "pong"
    assert "tools" not in simulator.calls[-1].json
    assert answer.json()["tools"] == body["tools"]


class Heron(BaseModel):
    name: str
    wings: int


def test_an_answer_fits_the_schema_it_was_asked_for(agent, claude):
    response = agent.openai.responses.parse(model=claude, input="A heron.", text_format=Heron)
    assert isinstance(response.output_parsed, Heron)


def test_an_answer_that_reaches_its_limit_is_incomplete(agent, model):
    *_, last = agent.openai.responses.create(
        model=model, input="stream: 50 events", max_output_tokens=16, stream=True
    )
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.usage.output_tokens == 16


def test_a_model_that_declines_is_not_taken_for_one_that_broke(agent, model):
    response = agent.openai.responses.create(model=model, input="decline: not that")
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "content_filter")


def test_pictures_reach_the_model_also_from_a_tool(agent, claude, simulator):
    picture = {"type": "input_image", "image_url": PICTURE, "detail": "auto"}
    body = {
        "model": claude,
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "say: seen"}, picture]},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": [picture]},
        ],
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
    }
    assert agent.post("responses", body).status_code == 200
    first, _, result = simulator.calls[-1].json["messages"]
    source = first["content"][1]["source"]
    assert (source["type"], source["media_type"]) == ("base64", "image/png")
    assert result["content"][0]["content"][0]["source"] == source


def test_signs_of_life_are_numbered_with_the_events(agent, claude, settings):
    settings.MEGABRAIN_KEEPALIVE_SECONDS = 0.05
    answer = agent.post(
        "responses", RESPONSES.body("stream: 4 events at 4/s", stream=True, model=claude)
    )
    stream = RESPONSES.stream(answer.content)
    assert "keepalive" in stream.names
    assert stream.complete
    assert stream.text == "1 2 3 4 "


def test_a_tool_with_a_long_name_is_called_by_it(agent, claude, simulator):
    name = "a_tool_of_a_server_with_a_very_long_name_that_goes_on_and_on_for_ages"
    response = agent.openai.responses.create(
        model=claude,
        input="ls",
        tools=[{"type": "function", "name": name, "parameters": SHELL, "strict": False}],
        tool_choice={"type": "function", "name": name},
    )
    (sent,) = simulator.calls[-1].json["tools"]
    assert len(sent["name"]) == 64
    assert simulator.calls[-1].json["tool_choice"]["name"] == sent["name"]
    assert response.output[-1].name == name
