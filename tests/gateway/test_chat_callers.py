"""What callers of Chat Completions send is understood, and they are answered as they expect."""

import json

import pytest

from byok.providers import PROVIDERS
from megabrain.gateway.dialects import CHAT
from megabrain.gateway.dialects.base import Unreadable
from megabrain.gateway.dialects.neutral import (
    Answer,
    CallDelta,
    CallDone,
    CallStarted,
    Effort,
    Ended,
    Event,
    Finish,
    Prompt,
    Reasoning,
    Text,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.dialects.translation import Inexpressible
from megabrain.gateway.envelope import seal
from megabrain.gateway.metering import Usage
from tests.gateway.chat_sides import (
    ACCOUNT,
    CALLERS,
    PARIS,
    STRANGER,
    TOLD,
    Json,
    ask,
    choices,
    fed,
    parsed,
    told,
    turns,
)

# What callers send --------------------------------------------------------------------------------


def test_marks_for_the_cache_are_read_wherever_clients_put_them() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    function = {"name": "f", "arguments": "{}"}
    prompt = parsed(
        {
            "messages": [
                {"role": "system", "content": "Be brief.", **hour},
                {"role": "user", "content": [{"type": "text", "text": "a", **mark}]},
                {"role": "assistant", "tool_calls": [{"id": "1", "function": function, **mark}]},
                {"role": "tool", "tool_call_id": "1", "content": "b", **mark},
                {"role": "assistant", "content": "c", **mark},
                {"role": "user", "content": "d", **hour},
            ],
            "tools": [{"type": "function", "function": {"name": "f"}, **mark}],
        }
    )
    blocks = [block for turn in prompt.turns for block in turn.blocks]
    marks = [getattr(item, "cache", None) for item in (*prompt.system, *blocks, *prompt.tools)]
    assert marks == ["1h", "5m", "5m", "5m", "5m", "1h", "5m"]


@pytest.mark.parametrize(
    ("fields", "effort", "budget"),
    [
        ({"reasoning_effort": "xhigh"}, Effort.XHIGH, None),
        ({"reasoning": {"effort": "low"}}, Effort.LOW, None),
        ({"reasoning": {"max_tokens": 2000}}, None, 2000),
        ({"reasoning": {"enabled": False}}, Effort.NONE, None),
        ({"thinking": {"type": "disabled"}}, Effort.NONE, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, None, 4000),
        ({"thinking": {"type": "adaptive"}, "include_reasoning": True}, None, None),
        ({"reasoning_effort": "odd", "reasoning": None, "thinking": "yes"}, None, None),
    ],
)
def test_reasoning_is_asked_for_in_many_ways(
    fields: Json, effort: Effort | None, budget: int | None
) -> None:
    prompt = parsed({"messages": [{"role": "user", "content": "a"}], **fields})
    assert (prompt.effort, prompt.thinking_budget) == (effort, budget)


def test_what_only_tunes_is_dropped_and_named() -> None:
    body = {"seed": 1, "logit_bias": {"1": 2}, "transforms": [], "metadata": None, "n": 1}
    prompt = parsed({"messages": [{"role": "user", "content": "a"}], **body})
    assert prompt.dropped == ["seed", "logit_bias", "transforms"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "modalities"),
        ({"content": [{"type": "input_audio", "input_audio": {}}]}, "messages"),
        ({"content": [{"type": "file", "file": {"file_id": "file-1"}}]}, "messages"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
    ],
)
def test_what_no_other_dialect_has_is_refused_by_name(body: Json, field: str) -> None:
    content = body.pop("content", "a")
    with pytest.raises(Inexpressible) as refused:
        parsed({"messages": [{"role": "user", "content": content}], **body})
    assert refused.value.field == field


@pytest.mark.parametrize("body", [{}, {"messages": "hi"}, {"messages": [1]}, {"messages": [{}]}])
def test_what_is_no_conversation_is_refused(body: Json) -> None:
    with pytest.raises(Unreadable) as refused:
        parsed(body)
    assert refused.value.field == "messages"


def test_the_older_forms_of_calls_are_read_as_calls() -> None:
    found = turns(
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "b"},
        functions=[{"name": "f", "parameters": {"type": "object"}}],
    )
    _, asked, answered = found
    (made,) = asked.blocks
    assert isinstance(made, ToolCall)
    assert answered == Turn("tool", [ToolResult(made.id, [Text("b")])])


def test_a_caller_of_the_older_form_is_answered_in_it() -> None:
    prompt = parsed(
        {
            "messages": [{"role": "user", "content": "a"}],
            "functions": [{"name": "f"}],
            "stream": True,
        }
    )
    answer = Answer(blocks=[ToolCall("1", "f", PARIS)], finish=Finish.TOOLS)
    choice = json.loads(CALLERS.answer(prompt, answer, TOLD))["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": PARIS}
    assert choice["finish_reason"] == "function_call"
    events: list[Event] = [CallStarted(0, "1", "f"), CallDelta(0, PARIS), Ended(Finish.TOOLS)]
    wire = CALLERS.writer(prompt, TOLD).write(events)
    assert told(fed(wire, 50))["calls"][0][1:] == ["f", PARIS]
    assert b'"tool_calls"' not in wire


def test_custom_tools_take_text_and_their_calls_are_told_as_text() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: WORD"}}
    custom = {"type": "custom", "custom": {"name": "patch", "format": grammar}}
    flat = {"type": "custom", "name": "flat", "format": {"definition": "x+", "syntax": "regex"}}
    called = {"id": "1", "type": "custom", "custom": {"name": "patch", "input": 'say "hi"'}}
    prompt = parsed(
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "tool_calls": [called]},
                {"role": "tool", "tool_call_id": "1", "content": "b"},
            ],
            "tools": [custom, flat],
        }
    )
    assert ["start: WORD" in prompt.tools[0].description, "x+" in prompt.tools[1].description] == [
        True,
        True,
    ]
    (made,) = prompt.turns[1].blocks
    assert isinstance(made, ToolCall)
    assert json.loads(made.arguments) == {"input": 'say "hi"'}
    answer = Answer(blocks=[made], finish=Finish.TOOLS)
    (told_call,) = json.loads(CALLERS.answer(prompt, answer, TOLD))["choices"][0]["message"][
        "tool_calls"
    ]
    assert told_call == called
    events: list[Event] = [CallStarted(0, "1", "patch")]
    events += [CallDelta(0, piece) for piece in (made.arguments[:7], made.arguments[7:])]
    wire = CALLERS.writer(prompt, TOLD).write([*events, CallDone(0), Ended(Finish.TOOLS)])
    deltas = [
        each["delta"]["tool_calls"][0]["custom"]
        for each in choices(wire)
        if "tool_calls" in each["delta"]
    ]
    assert deltas == [{"name": "patch", "input": ""}, {"input": 'say "hi"'}]


def test_only_allowed_tools_are_offered() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "abc"]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}
    prompt = parsed(
        {
            "messages": [{"role": "user", "content": "a"}],
            "tools": tools,
            "tool_choice": {"type": "allowed_tools", "allowed_tools": allowed},
        }
    )
    assert ([tool.name for tool in prompt.tools], prompt.choice.kind) == (["b"], "required")


def test_a_name_that_is_too_long_is_shortened_and_told_in_full() -> None:
    name = "a_tool_of_some_server_" * 4
    prompt = parsed(
        {
            "messages": [{"role": "user", "content": "a"}],
            "tools": [{"type": "function", "function": {"name": name}}],
        }
    )
    (tool,) = prompt.tools
    assert len(tool.name) == 64
    answer = Answer(blocks=[ToolCall("1", tool.name, "")], finish=Finish.TOOLS)
    message = json.loads(CALLERS.answer(prompt, answer, TOLD))["choices"][0]["message"]
    assert message["tool_calls"][0]["function"] == {"name": name, "arguments": "{}"}


def test_a_call_without_arguments_is_told_as_an_empty_object() -> None:
    events: list[Event] = [CallStarted(4, "1", "f"), Ended(Finish.TOOLS)]
    wire = CALLERS.writer(Prompt(), TOLD).write(events)
    assert told(fed(wire, 50))["calls"] == {0: ["1", "f", "{}"]}


def test_usage_comes_only_where_it_is_asked_for() -> None:
    for wanted in (True, False):
        writer = CALLERS.writer(Prompt(wants_usage=wanted), TOLD)
        wire = writer.write([TextDelta("a"), Ended(Finish.END, usage=Usage(5, 6, 7, 8, 1))])
        assert (b'"usage"' in wire, b'"choices":[]' in wire) == (wanted, wanted)
    message = json.loads(
        CALLERS.answer(
            Prompt(), Answer(blocks=[], finish=Finish.END, usage=Usage(5, 6, 7, 8, 1)), TOLD
        )
    )
    assert message["usage"] == {
        "prompt_tokens": 18,
        "completion_tokens": 8,
        "total_tokens": 26,
        "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "cache_read_input_tokens": 6,
        "cache_creation_input_tokens": 7,
    }


# Passing through ----------------------------------------------------------------------------------


def test_signed_reasoning_is_taken_out_for_another_key() -> None:
    sealed = seal(ACCOUNT, Reasoning("hm", "anthropic", {"type": "thinking"}, TOLD.origin))
    details = [
        {"type": "reasoning.text", "text": "ours", "signature": sealed},
        {"type": "reasoning.text", "text": "theirs", "signature": "abc"},
        {"type": "reasoning.text", "text": "plain"},
    ]
    extra = {"extra_content": {"google": {"thought_signature": "sig"}}}
    message = {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "plain",
        "reasoning_details": details,
        "tool_calls": [{"id": "1", "function": {"name": "f"}, **extra}],
    }
    fields = ask({"messages": [message]}).fields
    stripped = {
        only_ours: json.loads(bytes(without["messages"]))[0]
        for only_ours in (True, False)
        if (without := CHAT.without_reasoning(fields, only_ours=only_ours))
    }
    assert stripped[True] == {**message, "reasoning_details": details[1:]}
    assert stripped[False] == {
        **message,
        "reasoning_details": details[2:],
        "tool_calls": [{"id": "1", "function": {"name": "f"}}],
    }
    plain = ask({"messages": [{"role": "user", "content": "a"}]}).fields
    assert CHAT.without_reasoning(plain, only_ours=False) is plain


def test_an_envelope_of_another_account_is_left_out() -> None:
    sealed = seal(STRANGER, Reasoning("hm", "chat", {"reasoning_content": "hm"}, TOLD.origin))
    detail = {"type": "reasoning.text", "text": "hm", "signature": sealed}
    found = turns({"role": "assistant", "content": "a", "reasoning_details": [detail]})
    assert found == [Turn("assistant", [Text("a")])]


NESTED = {"type": "function", "function": {"name": "f", "parameters": {}}}
SOUND: dict[str, Json] = {
    "ordinary": {"messages": [{"role": "user", "content": "a"}], "tools": [NESTED]},
    "words of Anthropic's in a text": {
        "messages": [{"role": "user", "content": '"tool_use" and "source"'}],
        "tools": [NESTED],
    },
    "Mistral's thinking": {
        "messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": []}]}]
    },
    "nothing to be made sense of": {"messages": {"role": "user"}, "tools": "f"},
}
FOREIGN: dict[str, Json] = {
    "a request of Responses": {"input": "a"},
    "a flat tool": {"messages": [], "tools": [{"type": "function", "name": "f"}]},
    "Anthropic's tool": {"messages": [], "tools": [{"name": "f", "input_schema": {}}]},
    "a flat custom tool": {"messages": [], "tools": [{"type": "custom", "name": "f"}]},
    "Anthropic's system": {"system": "a", "messages": []},
    "Anthropic's call": {"messages": [{"content": [{"type": "tool_use", "id": "1"}]}]},
    "Anthropic's picture": {"messages": [{"content": [{"type": "image", "source": {}}]}]},
    "a text of Responses": {"messages": [{"content": [{"type": "input_text", "text": "a"}]}]},
}
NEWER = {
    "messages": [],
    "tools": [{"type": "custom", "custom": {"name": "f"}}],
}


def test_only_what_is_chat_passes_through() -> None:
    openai, other = PROVIDERS["openai"], PROVIDERS["fireworks"]
    assert [name for name, body in SOUND.items() if not CHAT.passes(ask(body), other)] == []
    assert [name for name, body in FOREIGN.items() if CHAT.passes(ask(body), openai)] == []
    assert [CHAT.passes(ask(NEWER), provider) for provider in (openai, other)] == [True, False]
