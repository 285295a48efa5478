"""What hosts of Chat Completions send is understood, and they are told what they want to hear."""

import json

import pytest

from byok.providers import PROVIDERS
from megabrain.gateway.dialects import CHAT
from megabrain.gateway.dialects.neutral import (
    Ended,
    Failed,
    Finish,
    Format,
    Image,
    Prompt,
    Reasoning,
    ReasoningDone,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.envelope import is_envelope
from megabrain.gateway.metering import Usage
from tests.gateway.chat_sides import (
    CALLERS,
    HOSTS,
    PARIS,
    ROME,
    TOLD,
    Json,
    ask,
    call,
    choices,
    chunk,
    fed,
    target,
    told,
    turns,
)

USED = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
#: What comes, and what must be understood of it beside the usual.
IRREGULAR: dict[str, tuple[list[Json], Json]] = {
    "usage on the finish chunk and again later": (
        [
            chunk({"content": "pong"}, "stop", usage={**USED, "completion_tokens": 1}),
            {"choices": [], "usage": USED},
        ],
        {},
    ),
    "usage inside the choice": (
        [
            chunk({"content": "pong"}),
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USED}]},
        ],
        {},
    ),
    "null deltas and null fields": (
        [
            chunk(None),
            chunk({"role": "assistant", "content": None, "tool_calls": None, "refusal": None}),
            chunk({"content": "pong", "reasoning_content": None}, None, usage=None),
            chunk(None, "stop", usage=USED),
        ],
        {},
    ),
    "reasoning in a field": (
        [
            chunk({"reasoning_content": "hm", "content": ""}),
            chunk({"reasoning_content": ".", "content": None}),
            chunk({"content": "pong"}, "stop", usage=USED),
        ],
        {"reasoning": "hm."},
    ),
    "reasoning between tags that are cut": (
        [chunk({"content": each}) for each in ("\n<th", "ink>h", "m.</thi", "nk>\n", "\npo", "ng")]
        + [chunk({}, "stop", usage=USED)],
        {"reasoning": "hm."},
    ),
    "a tag in the middle of the text": (
        [chunk({"content": each}) for each in ("The tag ", "<think>", " is old.")]
        + [chunk({}, "stop", usage=USED)],
        {"text": "The tag <think> is old."},
    ),
    "reasoning in details": (
        [
            chunk({"reasoning_details": [{"type": "reasoning.text", "text": "h", "index": 0}]}),
            chunk({"reasoning_details": [{"type": "reasoning.text", "text": "m.", "index": 0}]}),
            chunk({"content": "pong"}, "stop", usage=USED),
        ],
        {"reasoning": "hm."},
    ),
    "thinking as a part of a list": (
        [
            chunk(
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm."}]}]}
            ),
            chunk({"content": [{"type": "text", "text": "pong"}]}, "stop", usage=USED),
        ],
        {"reasoning": "hm."},
    ),
    "two calls in one chunk, whole": (
        [
            chunk(
                {
                    "tool_calls": [
                        call(0, id="a", name="weather", arguments=PARIS),
                        call(1, id="b", name="weather", arguments=ROME),
                    ]
                }
            ),
            chunk({}, "tool_calls", usage=USED),
        ],
        {"text": "", "calls": {0: ["a", "weather", PARIS], 1: ["b", "weather", ROME]}},
    ),
    "calls that are interleaved and repeat their names": (
        [
            chunk({"tool_calls": [call(0, id="a", name="weather", arguments="")]}),
            chunk({"tool_calls": [call(1, id="b", name="weather", arguments=ROME[:4])]}),
            chunk({"tool_calls": [call(0, id="a", name="weather", arguments=PARIS)]}),
            chunk({"tool_calls": [call(1, name="weather", arguments=ROME[4:])]}),
            # Whatever the host says, an answer with calls is about them.
            chunk({}, "stop", usage=USED),
        ],
        {"text": "", "calls": {0: ["a", "weather", PARIS], 1: ["b", "weather", ROME]}},
    ),
    "parallel calls that all say index 0": (
        [
            chunk({"tool_calls": [call(0, id="a", name="weather", arguments=PARIS)]}),
            chunk({"tool_calls": [call(0, id="b", name="weather", arguments=ROME)]}, "stop"),
            {"choices": [], "usage": USED},
        ],
        {"text": "", "calls": {0: ["a", "weather", PARIS], 1: ["b", "weather", ROME]}},
    ),
    "a name that comes after the arguments began": (
        [
            chunk({"tool_calls": [call(0, id="a", arguments=PARIS[:5])]}),
            chunk({"tool_calls": [call(0, name="weather", arguments=PARIS[5:])]}),
            chunk({}, "tool_calls", usage=USED),
        ],
        {"text": "", "calls": {0: ["a", "weather", PARIS]}},
    ),
    "arguments as an object": (
        [
            chunk({"tool_calls": [call(0, id="a", name="weather", arguments={"city": "Paris"})]}),
            chunk({}, "tool_calls", usage=USED),
        ],
        {"text": "", "calls": {0: ["a", "weather", PARIS]}},
    ),
    "the older form of a call": (
        [
            chunk({"function_call": {"name": "weather", "arguments": ""}}),
            chunk({"function_call": {"arguments": PARIS}}),
            chunk({}, "function_call", usage=USED),
        ],
        {"text": "", "calls": {0: [None, "weather", PARIS]}},
    ),
    "calls without index or id": (
        [
            chunk({"tool_calls": [call(name="weather", arguments=PARIS)]}),
            chunk({"tool_calls": [call(name="weather", arguments=ROME[:3])]}),
            chunk({"tool_calls": [call(name="weather", arguments=ROME[3:])]}),
            chunk({}, "tool_calls", usage=USED),
        ],
        {"text": "", "calls": {0: [None, "weather", PARIS], 1: [None, "weather", ROME]}},
    ),
    "calls without index, id or arguments, side by side": (
        [chunk({"tool_calls": [call(name="now"), call(name="now")]}, "stop", usage=USED)],
        {"text": "", "calls": {0: [None, "now", ""], 1: [None, "now", ""]}},
    ),
    "a call that is cut": (
        [
            chunk({"tool_calls": [call(0, id="a", name="weather", arguments=PARIS[:6])]}),
            chunk({}, "length", usage=USED),
        ],
        {"text": "", "calls": {0: ["a", "weather", PARIS[:6]]}, "finish": Finish.LENGTH},
    ),
    "a refusal": (
        [chunk({"refusal": "No."}), chunk({}, "stop", usage=USED)],
        {"text": "", "refusal": "No.", "finish": Finish.FILTERED},
    ),
    "Z.ai's filter": (
        [chunk({"content": "pong"}, "sensitive", usage=USED)],
        {"finish": Finish.FILTERED},
    ),
    "Z.ai's full context": (
        [chunk({"content": "pong"}, "model_context_window_exceeded", usage=USED)],
        {"finish": Finish.CONTEXT_FULL},
    ),
    "a choice of somebody else's": (
        [
            {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": None}]},
            chunk(
                {"content": "pong", "annotations": [{"odd": 1}]}, "stop", usage=USED, odd={"x": 1}
            ),
        ],
        {},
    ),
}


@pytest.mark.parametrize("name", IRREGULAR)
def test_irregular_streams_are_understood(name: str) -> None:
    chunks, different = IRREGULAR[name]
    wire = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks)
    usual: Json = {
        "text": "pong",
        "refusal": "",
        "reasoning": "",
        "calls": {},
        "finish": Finish.TOOLS if different.get("calls") else Finish.END,
        "usage": Usage(9, output_tokens=4),
    }
    for end in (b"data: [DONE]\n\n", b""):
        found = told(fed(b": hold\r\n\r\n" + wire + end, 3))
        expected = {**usual, **different}
        for number, (call_id, *_) in expected["calls"].items():
            if call_id is None:
                assert found["calls"][number][0].startswith("call_")
                found["calls"][number][0] = None
        assert found == expected


@pytest.mark.parametrize(
    ("provider", "usage", "expected"),
    [
        (
            "xai",
            {
                "prompt_tokens": 50,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 90},
                "completion_tokens_details": {"reasoning_tokens": 300},
            },
            Usage(0, 50, 0, 304, 300),
        ),
        (
            "inception",
            {
                "prompt_tokens": 50,
                "completion_tokens": 40,
                "cached_input_tokens": 30,
                "reasoning_tokens": 10,
            },
            Usage(20, 30, 0, 40, 10),
        ),
        (
            "deepseek",
            {"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 64},
            Usage(36, 64, 0, 20, 0),
        ),
    ],
)
def test_usage_is_read_as_each_company_means_it(
    provider: str, usage: Json, expected: Usage
) -> None:
    last = json.dumps(chunk({"content": "pong"}, "stop", usage=usage)).encode()
    assert told(fed(b"data: " + last + b"\n\n", 99, provider))["usage"] == expected
    whole = {"choices": [{"message": {"content": "pong"}, "finish_reason": "stop"}], "usage": usage}
    found = HOSTS.answer(json.dumps(whole).encode(), target(provider))
    assert found is not None
    assert found.usage == expected
    # And so it is where the answer passes through.
    passing = CHAT.at(PROVIDERS[provider])
    assert passing.usage(json.dumps(whole).encode()) == expected
    follower = passing.events(ask({"messages": []}))
    follower.forward(b"data: " + last + b"\n\n")
    assert follower.usage == expected


@pytest.mark.parametrize(
    "ending",
    [
        {"error": {"message": "Upstream is overloaded."}},
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        chunk({}, "network_error"),
    ],
)
def test_an_error_is_no_answer(ending: Json) -> None:
    begun = b"data: " + json.dumps(chunk({"content": "po"})).encode() + b"\n\n"
    wire = begun + b"data: " + json.dumps(ending).encode() + b"\n\n"
    found = told(fed(wire, 5))
    assert (found["text"], found["failed"]) == ("po", True)
    assert HOSTS.answer(json.dumps(ending).encode(), target()) is None


def test_a_stream_that_is_cut_has_no_end() -> None:
    wire = b"data: " + json.dumps(chunk({"content": "po"})).encode() + b"\n\n"
    for end in (b"", b"data: [DONE]\n\n"):
        assert not any(isinstance(event, Ended | Failed) for event in fed(wire + end, 9))


# What hosts are told ------------------------------------------------------------------------------


def messages(prompt: Prompt, provider: str = "openai") -> list[Json]:
    found: list[Json] = HOSTS.request(prompt, target(provider))["messages"]
    return found


def test_every_call_is_answered_at_once_whatever_came_in_between() -> None:
    """Pitfalls 6 and 22: instructions stay in the conversation, behind the results."""
    calls = Turn("assistant", [ToolCall("1", "f", ""), ToolCall("2", "f", "")])
    found = messages(
        Prompt(
            turns=[
                Turn("user", [Text("a")]),
                calls,
                Turn("system", [Text("Be brief.")]),
                Turn("tool", [ToolResult("2", [Text("two")]), ToolResult("9", [Text("lost")])]),
                Turn("user", [Text("b")]),
            ]
        )
    )
    assert [(each["role"], each["content"]) for each in found] == [
        ("user", "a"),
        ("assistant", None),
        ("tool", "Error: no result recorded"),
        ("tool", "two"),
        ("system", "Be brief."),
        ("user", "[tool result 9] lost"),
        ("user", "b"),
    ]


def test_pictures_in_results_follow_all_the_results() -> None:
    picture = Image(media_type="image/png", data="aGk=")
    results = [ToolResult("1", [Text("a"), picture]), ToolResult("2", [Text("b")], is_error=True)]
    calls = Turn("assistant", [ToolCall("1", "f", ""), ToolCall("2", "f", "")])
    *_, first, second, shown = messages(Prompt(turns=[calls, Turn("tool", [*results])]))
    assert first["content"].startswith("a\n\n")
    assert second["content"] == "Error: b"
    assert (shown["role"], shown["content"][0]["type"]) == ("user", "image_url")


def test_claude_codes_attribution_goes_to_nobody() -> None:
    """Pitfall 7."""
    system = [Text("x-anthropic-billing-header: cc_version=1;"), Text("You are an agent.")]
    assert messages(Prompt(system=system))[0]["content"] == "You are an agent."


@pytest.mark.parametrize(
    ("provider", "native", "returned"),
    [
        ("zai", {"reasoning_content": "hm"}, {"reasoning_content": "hm"}),
        ("fireworks", {"reasoning_content": "hm"}, {}),
        (
            "minimax",
            {"reasoning_details": [{"text": "hm"}]},
            {"reasoning_details": [{"text": "hm"}]},
        ),
        ("minimax", {"content": "<think>hm</think>"}, {"content": "<think>hm</think>ok"}),
    ],
)
def test_reasoning_goes_back_to_the_hosts_that_want_it(
    provider: str, native: Json, returned: Json
) -> None:
    """Pitfall 16: where a turn has calls, and to the company that made it alone."""
    for origin, expected in ((target(provider).origin, returned), (TOLD.origin, {})):
        thought = Reasoning("hm", "chat", native, origin)
        (spoken, _) = messages(
            Prompt(turns=[Turn("assistant", [thought, Text("ok"), ToolCall("1", "f", "")])]),
            provider,
        )
        for name in ("role", "tool_calls"):
            spoken.pop(name)
        assert spoken == {"content": "ok", **expected}
    final = Turn(
        "assistant", [Reasoning("hm", "chat", native, target(provider).origin), Text("ok")]
    )
    assert messages(Prompt(turns=[final]), provider) == [{"role": "assistant", "content": "ok"}]


def test_geminis_signatures_come_and_go_with_their_calls() -> None:
    """Pitfall 17, through a host that resells Gemini over Chat."""
    signed = {
        **call(0, id="a", name="f", arguments="{}"),
        "extra_content": {"google": {"thought_signature": "sig"}},
    }
    wire = b"data: " + json.dumps(chunk({"tool_calls": [signed]}, "tool_calls")).encode() + b"\n\n"
    events = fed(wire, 30, "martian")
    assert ReasoningDone("google", {"calls": {"a": "sig"}}) in events
    writer = CALLERS.writer(Prompt(), TOLD)
    deltas = [choice["delta"] for choice in choices(writer.write(events))]
    (first, *_) = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    details = [each for delta in deltas for each in delta.get("reasoning_details", ())]
    sealed = first["extra_content"]["google"]["thought_signature"]
    assert is_envelope(sealed)
    calls = [{**signed, **first, "function": {"name": "f"}}]
    # Some clients return both, some what is on the call alone.
    for more in ({}, {"reasoning_details": details}):
        back = {"role": "assistant", "tool_calls": calls, **more}
        ((thought, made),) = [turn.blocks for turn in turns(back)]
    assert isinstance(thought, Reasoning)
    assert thought.origin == TOLD.origin
    thought.origin = target("martian").origin
    sent = messages(Prompt(turns=[Turn("assistant", [thought, made])]), "martian")[0]
    assert sent["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "sig"}}


def test_a_json_object_is_asked_for_with_the_word() -> None:
    turn = Turn("user", [Text("List them.")])
    found = HOSTS.request(Prompt(turns=[turn], format=Format()), target())
    assert found["response_format"] == {"type": "json_object"}
    assert "JSON" in found["messages"][0]["content"]


def test_strict_is_said_only_of_schemas_that_can_be() -> None:
    loose = {"type": "object", "properties": {"a": {"type": "string"}}}
    tight = {**loose, "required": ["a"], "additionalProperties": False}
    tools = [
        Tool(name="a", parameters=loose, strict=True),
        Tool(name="b", parameters=tight, strict=True),
        Tool(name="c", parameters={**tight, "properties": {"a": loose}}, strict=True),
    ]
    found = HOSTS.request(Prompt(tools=tools), target())["tools"]
    assert [each["function"].get("strict") for each in found] == [None, True, None]
