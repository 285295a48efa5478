"""What goes wrong between OpenAI's Responses and other dialects, each thing once.

The numbers are those of the list of pitfalls that people ran into elsewhere. Those that Codex runs
into are beside its turns, in test_responses_translated.py.
"""

import json
from contextlib import closing
from typing import Any

import pytest

from byok.actions import delete_key
from orgs.origin import Origin
from tests.gateway.dialect import MESSAGES, RESPONSES
from tests.gateway.raw_upstream import RawUpstream

Json = dict[str, Any]

GPT = "openai/gpt-5.4"
CLAUDE = "anthropic/claude-haiku-5.5"
WEATHER: Json = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"name": "get_weather", "description": "The weather.", "input_schema": WEATHER}
FUNCTION = {"type": "function", "name": "get_weather", "parameters": WEATHER}
PARIS = 'call: get_weather {"city": "Paris"}'
THINKING = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}


@pytest.fixture
def messages(agent, key, simulator):
    """Asks OpenAI in Messages; returns the answer's content, and the items that OpenAI got."""
    key("openai")

    def ask(turns: list[Json], model: str = GPT, **more: Any) -> tuple[list[Json], list[Json]]:
        body = {"model": model, "max_tokens": 999, "messages": turns, "tools": [TOOL], **more}
        answer = agent.post("messages", body)
        assert answer.status_code == 200, answer.text
        assert simulator.calls[-1].path == "/openai/v1/responses"
        return answer.json()["content"], simulator.calls[-1].json["input"]

    return ask


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def result(block: Json) -> Json:
    return user([{"type": "tool_result", "tool_use_id": block["id"], "content": "12 degrees"}])


def kinds(items: list[Json]) -> list[str]:
    return [item["type"] for item in items]


def test_pitfall_1_a_turn_that_calls_a_tool_ends_so_for_every_caller(agent, messages):
    content, _ = messages([user(PARIS)])
    assert [block["type"] for block in content][-2:] == ["text", "tool_use"]
    answer = agent.post(
        "chat/completions",
        {
            "model": GPT,
            "messages": [user(PARIS)],
            "tools": [{"type": "function", "function": {"name": "get_weather"}}],
        },
    )
    assert answer.json()["choices"][0]["finish_reason"] == "tool_calls"


def test_pitfall_3_tokens_from_a_cache_are_counted_once(agent, key, settings, usage_row):
    key("openai")
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {
            "cached_tokens": 64,
            "cache_write_tokens": 16,
            "cache_write_tokens_details": {"ttl_30m_tokens": 4, "ttl_12h_tokens": 12},
        },
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 109,
    }
    body = json.dumps({"id": "r", "status": "completed", "output": [], "usage": usage})
    with closing(RawUpstream(lambda wire: wire.whole(200, body.encode()))) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        # With tools, for this model asks for them at Responses alone.
        answer = agent.post("messages", {**MESSAGES.body(model=GPT), "tools": [TOOL]})
    assert answer.status_code == 200, answer.text
    told = answer.json()["usage"]
    assert (told["input_tokens"], told["cache_read_input_tokens"]) == (20, 64)
    lasting = {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 12}
    assert (told["cache_creation_input_tokens"], told["cache_creation"]) == (16, lasting)
    row = usage_row(answer.headers["x-request-id"])
    assert (row.input_tokens, row.cache_read_tokens, row.cache_write_tokens) == (20, 64, 16)
    assert (row.output_tokens, row.reasoning_tokens, row.cache_write_long_tokens) == (9, 4, 12)


def test_pitfall_5_reasoning_goes_back_in_place_and_without_its_id(messages):
    first, _ = messages([user(PARIS)], **THINKING)
    thought, said, call = first
    assert (thought["type"], thought["signature"][:4]) == ("thinking", "mb1.")
    turns = [user(PARIS), {"role": "assistant", "content": first}, result(call)]
    _, items = messages(turns, **THINKING)
    assert kinds(items[1:]) == ["reasoning", "message", "function_call", "function_call_output"]
    assert items[1]["encrypted_content"]
    assert "id" not in items[1]

    # What it led to is gone, and alone it would be refused.
    turns[1]["content"] = [said, call, thought]
    _, items = messages(turns, **THINKING)
    assert "reasoning" not in kinds(items)


def test_pitfall_6_an_instruction_in_the_middle_stays_there(messages):
    turns = [
        user("say: pong"),
        {"role": "assistant", "content": "pong"},
        user("Again."),
        {"role": "system", "content": "Be brief."},
    ]
    _, items = messages(turns, system="Be kind.")
    assert [item["role"] for item in items] == [
        *("developer", "user"),
        *("assistant", "user", "developer"),
    ]


def test_pitfall_8_cache_marks_arrive_at_models_that_take_them(messages):
    mark = {"type": "ephemeral", "ttl": "1h"}
    system = [{"type": "text", "text": "Be kind.", "cache_control": mark}]
    for model in (GPT, "openai/gpt-5.6-sol"):
        _, items = messages([user("hi")], model, system=system)
        part = items[0]["content"][0]
        wanted = {"mode": "explicit", "ttl": "12h"} if model != GPT else None
        assert part.get("prompt_cache_breakpoint") == wanted


def test_pitfall_12_sealed_reasoning_returns_to_no_other_key(
    agent, key, messages, owner, simulator
):
    first, _ = messages([user(PARIS)], **THINKING)
    turns = [user(PARIS), {"role": "assistant", "content": first}, result(first[-1])]
    _, items = messages(turns, **THINKING)
    assert "reasoning" in kinds(items)

    delete_key(actor=owner, key=agent.record.account.provider_keys.get(), origin=Origin())
    key("openai")
    _, items = messages(turns, **THINKING)
    assert "reasoning" not in kinds(items)
    assert "The user wrote" not in json.dumps(items)


def test_pitfall_12_what_we_sealed_reaches_no_provider_that_cannot_open_it(agent, key, simulator):
    """A conversation begun with Claude goes on with OpenAI, and passes through."""
    key("anthropic")
    key("openai")
    body: Json = {
        "model": CLAUDE,
        "input": [user(PARIS)],
        "tools": [FUNCTION],
        "reasoning": {"effort": "high"},
        "store": False,
    }
    output = agent.post("responses", body).json()["output"]
    thought, said, call = output
    assert thought["encrypted_content"].startswith("mb1.")
    body["input"] += [
        *output,
        {"type": "function_call_output", "call_id": call["call_id"], "output": "12 degrees"},
    ]
    answer = agent.post("responses", {**body, "model": GPT})
    assert answer.status_code == 200, answer.text
    assert len(simulator.calls) == 2, "It was sent, and refused."
    items = simulator.calls[-1].json["input"]
    assert items == [body["input"][0], said, call, body["input"][-1]]


def test_pitfall_12_an_envelope_that_does_not_open_is_left_out(agent, key, simulator):
    key("anthropic")
    sealed = {"type": "reasoning", "summary": [], "encrypted_content": "mb1.AAAA"}
    said = {"role": "assistant", "content": "hi"}
    body = {"model": CLAUDE, "input": [user("hi"), sealed, said, user("say: pong")]}
    assert RESPONSES.text(agent.post("responses", body).json()) == "pong"
    assert len(simulator.calls) == 1
    assert "mb1." not in json.dumps(simulator.calls[-1].json)


def test_pitfall_14_whatever_is_missing_or_null_is_taken(agent, key, simulator):
    key("anthropic")
    body = {
        "model": CLAUDE,
        "previous_response_id": None,
        "background": False,
        "instructions": None,
        "reasoning": None,
        "text": {"format": None, "verbosity": None},
        "tools": [{"type": "function", "name": "look", "parameters": None, "description": None}],
        "tool_choice": None,
        "input": [
            {"role": "user", "content": "look"},
            {"type": "reasoning", "summary": None, "content": None},
            # Legal without an id and a status, and a call may lack even its own.
            {"role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "name": "look", "arguments": ""},
            {"type": "function_call_output", "output": None},
            {"role": "user", "content": [{"type": "input_text", "text": "And?"}]},
        ],
    }
    answer = agent.post("responses", body)
    assert answer.status_code == 200, answer.text
    _, said, results = simulator.calls[-1].json["messages"]
    assert said["content"][-1]["id"] == results["content"][0]["tool_use_id"]
    assert said["content"][-1]["input"] == {}


@pytest.mark.parametrize("stream", [False, True])
def test_pitfall_15_tools_for_a_model_that_reasons_go_to_responses(agent, key, simulator, stream):
    key("openai")
    body = {
        "model": GPT,
        "messages": [user(PARIS)],
        "tools": [{"type": "function", "function": {"name": "get_weather", "strict": True}}],
        "reasoning_effort": "low",
        "stream": stream,
    }
    answer = agent.post("chat/completions", body)
    assert answer.status_code == 200, answer.text
    assert "get_weather" in answer.text
    assert simulator.calls[-1].path == "/openai/v1/responses"
    # A schema that is not strict cannot be demanded to be.
    assert simulator.calls[-1].json["tools"][0]["strict"] is False


@pytest.mark.parametrize("word", ["cut", "end", "lateerror"])
def test_pitfall_20_a_stream_that_breaks_does_not_end_well(agent, key, word):
    key("anthropic", word)
    prompt = "say: one two three four five six seven eight"
    answer = agent.post("responses", RESPONSES.body(prompt, stream=True, model=CLAUDE))
    stream = RESPONSES.stream(answer.content)
    assert stream.names[0] == "response.created"
    assert stream.error.code == "server_is_overloaded"


def test_pitfall_22_results_and_calls_without_each_other_are_made_fit(agent, key, simulator):
    key("openai")
    function = {"name": "get_weather", "arguments": "{}"}
    calls = [
        {"id": name, "type": "function", "function": function} for name in ("a", "b", "c" * 90)
    ]
    body = {
        "model": GPT,
        "tools": [{"type": "function", "function": function}],
        "messages": [
            user("hi"),
            {"role": "tool", "tool_call_id": "x", "content": "of nobody"},
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "a", "content": "first"},
            {"role": "tool", "tool_call_id": "a", "content": "second"},
            {"role": "tool", "tool_call_id": "c" * 90, "content": "third"},
            user("say: pong"),
        ],
    }
    answer = agent.post("chat/completions", body)
    assert answer.json()["choices"][0]["message"]["content"] == "pong"
    items = simulator.calls[-1].json["input"]
    results = [(i["call_id"], i["output"]) for i in items if i["type"] == "function_call_output"]
    assert [output for _, output in sorted(results)] == [
        *("second", "Error: no result recorded"),
        "third",
    ]
    assert "of nobody" in json.dumps(items[:2])


@pytest.mark.parametrize("stream", [False, True])
def test_perplexity_takes_a_conversation_with_tools_and_its_bare_events_are_read(
    agent, key, stream
):
    """It refuses every field it does not know, and names no events."""
    key("perplexity")
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
    body: Json = {
        "model": "perplexity/sonar",
        "max_tokens": 999,
        "system": "Be kind.",
        "tools": [TOOL],
        "messages": [
            user("The weather in Paris?"),
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, call]},
            result(call),
        ],
    }
    client = agent.anthropic.messages
    if stream:
        with client.stream(**body) as events:
            message = events.get_final_message()
    else:
        message = client.create(**body)
    assert "12 degrees" in message.content[0].text
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_reasoning_that_came_without_its_encrypted_part_is_not_sent_back(
    agent, messages, settings, stream
):
    """It stands for something that OpenAI has not kept, and a reference to that is refused."""
    thought = {"type": "summary_text", "text": "Hm."}
    reasoning = {"id": "rs_1", "type": "reasoning", "summary": [thought]}
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "get_weather"}
    call |= {"arguments": "{}"}
    usage = {"input_tokens": 1, "output_tokens": 1}
    whole = {"id": "resp_1", "status": "completed", "output": [reasoning, call], "usage": usage}
    done = [
        {"type": "response.output_item.done", "output_index": index, "item": item}
        for index, item in enumerate((reasoning, call))
    ]
    events = [*done, {"type": "response.completed", "response": whole}]
    body: Json = {"model": GPT, "max_tokens": 999, "messages": [user("hi")], "tools": [TOOL]}
    simulated = settings.MEGABRAIN_UPSTREAM_URLS

    def answer(wire: Any) -> None:
        if stream:
            wire.stream(*(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events))
        else:
            wire.whole(200, json.dumps(whole).encode(), "content-type: application/json")

    with closing(RawUpstream(answer)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        if stream:
            with agent.anthropic.messages.stream(**body) as answered:
                content = answered.get_final_message().content
        else:
            content = agent.anthropic.messages.create(**body).content
    settings.MEGABRAIN_UPSTREAM_URLS = simulated
    said = [block.model_dump(mode="json") for block in content]
    assert [block["type"] for block in said] == ["thinking", "tool_use"]
    assert said[0]["thinking"] == "Hm."
    _, items = messages([user("hi"), {"role": "assistant", "content": said}, result(said[1])])
    assert kinds(items) == ["message", "function_call", "function_call_output"]
