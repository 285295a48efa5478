"""What goes wrong between Anthropic's Messages and other dialects, each thing once.

The numbers are those of the list of pitfalls that people ran into elsewhere.
"""

import json
from contextlib import closing
from typing import Any

import pytest

from tests.gateway.raw_upstream import RawUpstream

Json = dict[str, Any]

SONNET = "anthropic/claude-sonnet-5.5"
OPUS = "anthropic/claude-opus-5"
HAIKU = "anthropic/claude-haiku-4.5"
GPT = "openai/gpt-6-luna"
DEEPSEEK = "deepseek/deepseek-v4.1-flash"
MISTRAL = "mistralai/codestral-2508"
ATTRIBUTION = "x-anthropic-billing-header: cc_version=2.1.330; cch=1f2e3;"
WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
TOOL = {"name": "get_weather", "description": "The weather.", "input_schema": WEATHER}


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def calling(*ids: str, **more: Any) -> Json:
    """An assistant's turn of Chat Completions that calls a tool so many times."""
    function = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    calls = [{"id": each, "type": "function", "function": function} for each in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def result(call_id: str, content: Any = "12 degrees") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


@pytest.fixture
def chat(agent, key, simulator):
    """Asks Claude in Chat Completions, and returns what Anthropic was asked."""
    key("anthropic")

    def ask(messages: list[Json], model: str = SONNET, **more: Any) -> Json:
        answer = agent.post("chat/completions", {"model": model, "messages": messages, **more})
        assert answer.status_code == 200, answer.text
        return dict(json.loads(simulator.calls[-1].body))

    return ask


def kinds(message: Json) -> list[str]:
    return [block["type"] for block in message["content"]]


def chunks(*choices: Json, usage: Json | None = None) -> list[bytes]:
    """A stream of Chat Completions, its usage after the end."""
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    said = [{**base, "choices": [{"index": 0, **choice}]} for choice in choices]
    if usage is not None:
        said.append({**base, "choices": [], "usage": usage})
    return [b"data: " + json.dumps(each).encode() + b"\n\n" for each in said] + [
        b"data: [DONE]\n\n"
    ]


def streamed(agent, key, settings, *wire: bytes, tools: bool = True) -> list[Json]:
    """The events that a caller of Messages gets of a stream of Chat Completions."""
    key("mistral")
    with closing(RawUpstream(lambda line: line.stream(*wire))) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"mistral": upstream.url}
        body: Json = {"model": MISTRAL, "max_tokens": 99, "messages": [user("hi")], "stream": True}
        answer = agent.post("messages", {**body, "tools": [TOOL]} if tools else body)
    assert answer.status_code == 200, answer.text
    return [
        json.loads(line.removeprefix("data: "))
        for line in answer.text.splitlines()
        if line.startswith("data: ")
    ]


def test_pitfall_1_a_turn_that_calls_a_tool_never_ends_as_if_it_were_the_last(agent, key, settings):
    function = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    events = streamed(
        agent,
        key,
        settings,
        *chunks(
            {"delta": {"role": "assistant", "content": "Let me see."}, "finish_reason": None},
            {"delta": {"tool_calls": [call]}, "finish_reason": "stop"},
        ),
    )
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_pitfall_2_parallel_calls_in_turns_are_blocks_one_after_another(agent, key, settings):
    def piece(index: int, arguments: str, **more: Any) -> Json:
        call = {"index": index, "function": {"arguments": arguments}, **more}
        if "id" in more:
            call["function"]["name"] = "get_weather"
        return {"delta": {"tool_calls": [call]}, "finish_reason": None}

    events = streamed(
        agent,
        key,
        settings,
        *chunks(
            piece(0, '{"city":', id="call_a"),
            piece(1, '{"city":"Z', id="call_b"),
            piece(0, '"Paris"}'),
            piece(1, 'ürich"}'),
            {"delta": {}, "finish_reason": "tool_calls"},
        ),
    )
    opened: list[int] = []
    arguments: dict[int, str] = {}
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(arguments)
                opened.append(event["index"])
                arguments[event["index"]] = ""
            case "content_block_delta":
                assert opened == [event["index"]]
                arguments[event["index"]] += event["delta"]["partial_json"]
            case "content_block_stop":
                opened.remove(event["index"])
    assert list(arguments.values()) == ['{"city":"Paris"}', '{"city":"Zürich"}']


def test_pitfall_4_the_last_event_has_all_of_the_usage_that_came_after_the_end(
    agent, key, settings
):
    usage = {
        "prompt_tokens": 2006,
        "completion_tokens": 300,
        "total_tokens": 2306,
        "prompt_tokens_details": {"cached_tokens": 1920},
    }
    events = streamed(
        agent,
        key,
        settings,
        *chunks(
            {"delta": {"role": "assistant", "content": "pong"}, "finish_reason": None},
            {"delta": {}, "finish_reason": "stop"},
            usage=usage,
        ),
    )
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    said = events[-2]["usage"]
    assert (said["input_tokens"], said["cache_read_input_tokens"]) == (86, 1920)
    assert (said["cache_creation_input_tokens"], said["output_tokens"]) == (0, 300)


@pytest.mark.parametrize("model", [SONNET, HAIKU])
def test_pitfall_5_thinking_goes_back_as_it_came_in_a_loop_of_tools(chat, agent, model):
    question = user('call: get_weather {"city": "Paris"}')
    asked = {"model": model, "tools": [FUNCTION], "reasoning_effort": "low", "max_tokens": 4000}
    answer = agent.post("chat/completions", {**asked, "messages": [question]}).json()
    said = answer["choices"][0]["message"]
    assert said["reasoning_details"][0]["signature"].startswith("mb1.")

    # The simulator refuses a signature that is not its own.
    sent = chat([question, said, result(said["tool_calls"][0]["id"])], **asked)
    assert kinds(sent["messages"][1]) == ["thinking", "text", "tool_use"]
    assert sent["messages"][1]["content"][0]["thinking"] == said["reasoning_content"]


def test_pitfall_5_a_model_that_counts_its_thinking_does_without_when_it_was_lost(chat):
    messages = [user("hi"), calling("call_1"), result("call_1")]
    options: Json = {"tools": [FUNCTION], "reasoning_effort": "high", "max_tokens": 4000}
    assert "thinking" not in chat(messages, HAIKU, **options)
    assert chat(messages[:1], HAIKU, **options)["thinking"]["type"] == "enabled"
    assert chat(messages, SONNET, **options)["thinking"]["type"] == "adaptive"


def test_pitfall_5_a_conversation_that_passes_through_loses_only_what_we_sealed(
    agent, key, simulator
):
    key("anthropic")
    ours = {"type": "thinking", "thinking": "hm", "signature": "mb1.AAAA"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
    asked: Json = {
        "model": HAIKU,
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "tools": [TOOL],
        "messages": [
            user("hi"),
            {"role": "assistant", "content": [ours, call]},
            user([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "12 degrees"}]),
        ],
    }
    beta = {"anthropic-beta": "context-management-2025-06-27"}
    answer = agent.post("messages", asked, headers=beta)
    assert answer.status_code == 200, answer.text
    sent = json.loads(simulator.calls[-1].body)
    assert sent["messages"][1]["content"] == [call]
    assert sent["messages"][2] == asked["messages"][2]
    assert not {"thinking", "context_management"} & sent.keys()


@pytest.mark.parametrize("model", [OPUS, HAIKU])
def test_pitfall_6_an_instruction_in_the_middle_stays_there(chat, model):
    first = [{"role": "system", "content": "Be brief."}, user("hi")]
    first.append({"role": "system", "content": "It is late."})
    later = [*first, {"role": "assistant", "content": "Hello."}, user("say: pong")]
    before, after = chat(first, model), chat(later, model)

    assert [block["text"] for block in before["system"]] == ["Be brief."]
    assert [block["text"] for block in after["system"]] == ["Be brief."]
    place = before["messages"][1] if model == OPUS else before["messages"][0]
    assert place["role"] == ("system" if model == OPUS else "user")
    assert place["content"][-1]["text"].endswith("It is late.")
    # What was said once is said the same way in the next turn; only the marks move.
    unmarked = [json.loads(json.dumps(each), object_hook=_unmarked) for each in (before, after)]
    assert unmarked[1]["messages"][: len(unmarked[0]["messages"])] == unmarked[0]["messages"]


def _unmarked(block: Json) -> Json:
    return {name: value for name, value in block.items() if name != "cache_control"}


@pytest.mark.parametrize(
    ("provider", "model"), [("deepseek", DEEPSEEK), ("openai", GPT), ("anthropic", SONNET)]
)
def test_pitfall_7_claude_codes_attribution_reaches_anthropic_alone(
    agent, key, simulator, provider, model
):
    key(provider)
    system = [{"type": "text", "text": text} for text in (ATTRIBUTION, "You are Claude Code.")]
    asked = {"model": model, "max_tokens": 99, "system": system, "messages": [user("say: pong")]}
    answer = agent.post("messages", asked)
    assert answer.status_code == 200, answer.text
    sent = simulator.calls[-1].body
    assert b"You are Claude Code." in sent
    assert (ATTRIBUTION.encode() in sent) == (provider == "anthropic")


def test_pitfall_8_cache_marks_of_messages_parts_and_tools_arrive(chat):
    mark: Json = {"cache_control": {"type": "ephemeral"}}
    sent = chat(
        [
            {"role": "system", "content": "Be brief.", **mark},
            user([{"type": "text", "text": "hi", **mark}]),
            calling("call_1"),
            {**result("call_1"), **mark},
        ],
        tools=[{**FUNCTION, **mark}],
    )
    assert "cache_control" in sent["system"][0]
    assert "cache_control" in sent["tools"][0]
    assert "cache_control" in sent["messages"][0]["content"][0]
    assert "cache_control" in sent["messages"][2]["content"][0]


def test_pitfall_8_a_conversation_without_marks_gets_them(chat):
    messages = [user("hi"), calling("call_1"), result("call_1"), user("say: pong")]
    sent = chat([{"role": "system", "content": "Be brief."}, *messages], tools=[FUNCTION])
    marked = [sent["system"][-1], sent["tools"][-1]]
    marked += [message["content"][-1] for message in sent["messages"] if message["role"] == "user"]
    assert all(block["cache_control"] == {"type": "ephemeral"} for block in marked)
    assert b"cache_control" not in json.dumps(chat([user("say: pong")])).encode()


def test_pitfall_9_the_oldest_marks_on_messages_go_when_there_are_too_many(chat):
    hour: Json = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    mark: Json = {"cache_control": {"type": "ephemeral"}}
    sent = chat(
        [
            {"role": "system", "content": "Be brief.", **mark},
            *(user([{"type": "text", "text": f"say: {n}", **hour}]) for n in range(5)),
        ]
    )
    assert sent["system"][0]["cache_control"] == {"type": "ephemeral"}
    marks = [block.get("cache_control") for block in sent["messages"][0]["content"]]
    # An hour may not come after five minutes.
    assert marks == [None, None, *[{"type": "ephemeral"}] * 3]


def test_pitfall_14_whatever_is_missing_null_or_unknown_is_taken(agent, key, simulator):
    key("openai")
    answer = agent.post(
        "messages",
        {
            "model": GPT,
            "max_tokens": 99,
            "system": None,
            "tools": [TOOL, {"type": "web_search_20260209", "name": "web_search"}],
            "tool_choice": None,
            "metadata": None,
            "stop_sequences": None,
            "thinking": None,
            "context_management": {"edits": []},
            "some_new_field": {"a": 1},
            "messages": [
                user(
                    [{"type": "text", "text": "hi"}, {"type": "container_upload", "file_id": "f"}]
                ),
                {
                    "role": "assistant",
                    "content": [
                        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                        {"type": "some_new_block", "data": [1]},
                        {"type": "tool_use", "name": "get_weather", "input": None},
                        {"type": "text", "text": "There.", "citations": None},
                    ],
                },
                user("say: pong"),
            ],
        },
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["content"][-1]["text"] == "pong"


def test_pitfall_18_empty_texts_are_left_out_wherever_they_are(chat):
    empty: Json = {"type": "text", "text": " \n"}
    sent = chat(
        [
            {"role": "system", "content": [empty, {"type": "text", "text": "Be brief."}]},
            user([{**empty, "cache_control": {"type": "ephemeral"}}]),
            {"role": "assistant", "content": ""},
            user("hi"),
            calling("call_1", content=""),
            result("call_1", ""),
        ],
        tools=[FUNCTION],
    )
    assert [block["text"] for block in sent["system"]] == ["Be brief."]
    # Anthropic refuses an empty text, and so does the simulator.
    assert [kinds(message) for message in sent["messages"]] == [
        ["text"],
        ["tool_use"],
        ["tool_result"],
    ]
    assert "content" not in sent["messages"][2]["content"][0]


def test_pitfall_18_a_text_that_ends_in_a_space_cannot_be_the_last_of_an_assistant(chat):
    begun = [user("hi"), {"role": "assistant", "content": "Once upon a time "}]
    assert chat(begun, HAIKU)["messages"][-1]["content"][0]["text"] == "Once upon a time"
    # Newer models refuse to finish what the caller has begun.
    assert chat(begun, SONNET)["messages"][-1]["role"] == "user"


def test_pitfall_22_results_of_tools_are_where_they_belong(chat):
    sent = chat(
        [
            {"role": "assistant", "content": "Hello."},
            user("hi"),
            calling("call_1", "call_2", "call_3"),
            result("call_2", "old"),
            {"role": "system", "content": "It is late."},
            user("And?"),
            result("call_2", "new"),
            result("call_1"),
            result("call_9", "of nothing"),
        ],
        OPUS,
        tools=[FUNCTION],
    )
    roles = [message["role"] for message in sent["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user"]
    last = sent["messages"][-1]["content"]
    assert [block.get("tool_use_id") for block in last[:3]] == ["call_1", "call_2", "call_3"]
    assert last[1]["content"][0]["text"] == "new"
    assert last[2]["is_error"]
    texts = [block["text"] for block in last[3:]]
    assert texts[0].endswith("It is late.")
    assert texts[1:] == ["And?", "[tool result call_9] of nothing"]


@pytest.mark.parametrize(
    ("model", "arrives"),
    [
        (SONNET, {}),
        (HAIKU, {"temperature": 1.0}),
        ("anthropic/claude-sonnet-4.6", {"temperature": 1.0}),
    ],
)
def test_pitfall_25_sampling_and_limits_are_those_that_the_model_takes(chat, model, arrives):
    options = {"temperature": 1.5, "top_p": 0.9, "max_tokens": 999_999, "seed": 7}
    sent = chat([user("say: pong")], model, **options)
    assert {
        name: sent[name] for name in ("temperature", "top_p", "seed") if name in sent
    } == arrives
    assert sent["max_tokens"] == (64_000 if model == HAIKU else 128_000)


def test_pitfall_25_a_call_that_cannot_be_demanded_is_asked_for(chat):
    other = {"type": "function", "function": {"name": "other", "parameters": WEATHER}}
    options: Json = {
        "tools": [other, FUNCTION],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    }
    sent = chat([user("hi")], SONNET, **options)
    assert [tool["name"] for tool in sent["tools"]] == ["get_weather"]
    assert "tool_choice" not in sent
    assert "get_weather" in sent["system"][-1]["text"]
    sent = chat([user("hi")], HAIKU, **options)
    assert sent["tool_choice"] == {"type": "tool", "name": "get_weather"}
    assert len(sent["tools"]) == 2


def test_pitfall_25_a_limit_beyond_the_models_is_lowered_on_the_way_through(agent, key, simulator):
    key("anthropic")
    body = b'{"max_tokens":128000,"model":"%s","messages":[ {"role":"user","content":"hi"}]}'
    assert agent.post("messages", data=body % HAIKU.encode()).status_code == 200
    lowered = body.replace(b"128000", b"64000") % b"claude-haiku-4-5-20251001"
    assert simulator.calls[-1].body == lowered
