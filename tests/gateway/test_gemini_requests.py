"""Requests for Gemini. Whether one is taken is for the simulator to say, which refuses what Google
does; it reads each body that is written here."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from byok.providers import PROVIDERS
from megabrain.gateway.dialects.gemini import GEMINI
from megabrain.gateway.dialects.gemini.contents import DUMMY_SIGNATURE, function_name, tool_name
from megabrain.gateway.dialects.gemini.requests import count_request, counted
from megabrain.gateway.dialects.neutral import (
    Choice,
    Document,
    Effort,
    Format,
    Image,
    Origin,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.dialects.translation import Inexpressible, Target
from megabrain.simulator.dialects import gemini as simulator
from megabrain.simulator.providers import PROVIDERS as SIMULATED
from megabrain.simulator.refusals import Refused
from megabrain.simulator.turn import Operation

GOOGLE = SIMULATED["google"]
NEW, OLD = "gemini-3.8-flash", "gemini-2.5-pro"
PIXEL = "iVBORw0KGgo="
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def target(model: str = NEW, key: str = "k1") -> Target:
    return Target(
        provider=PROVIDERS["google"],
        upstream_model=model,
        model=f"google/{model}",
        origin=Origin("google", key, model),
        max_output=65_536,
        capabilities=("tools", "vision", "reasoning"),
    )


def written(prompt: Prompt, model: str = NEW) -> dict[str, Any]:
    """The body of a request, which the simulator takes."""
    body: dict[str, Any] = json.loads(msgspec.json.encode(GEMINI.request(prompt, target(model))))
    simulator.read(body, {}, GOOGLE, Operation.GENERATE_CONTENT, GOOGLE.model(model))
    return body


def user(*blocks: Any) -> Turn:
    return Turn("user", [Text(block) if isinstance(block, str) else block for block in blocks])


def model(*blocks: Any) -> Turn:
    return Turn("assistant", user(*blocks).blocks)


def results(*blocks: ToolResult) -> Turn:
    return Turn("tool", list(blocks))


def result(call_id: str, *blocks: Any, is_error: bool = False) -> ToolResult:
    return ToolResult(call_id, list[Any](user(*blocks).blocks), is_error)


def asking(*turns: Turn, **options: Any) -> Prompt:
    return Prompt(turns=list(turns) or [user("Hello")], **options)


def parts(body: dict[str, Any], kind: str) -> list[Any]:
    return [part for turn in body["contents"] for part in turn["parts"] if kind in part]


def test_a_whole_request_is_written_as_google_documents_it():
    body = written(
        asking(
            user("Look", Image("image/png", PIXEL)),
            model(Text("I call."), ToolCall("c1", "get_weather", '{"city": "Paris"}')),
            results(result("c1", "sunny")),
            system=[Text("Be brief."), Text(" ")],
            tools=[Tool("get_weather", "Weather", {"$schema": "x", "properties": None})],
            choice=Choice("tool", "get_weather"),
            max_output=100_000,
            temperature=3.0,
            top_p=0.5,
            top_k=3,
            stop=["END", ""],
            effort=Effort.LOW,
            format=Format({"$schema": "x", "type": "object"}),
        )
    )

    assert body == {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "Look"},
                    {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "I call."},
                    {
                        "functionCall": {
                            "id": "c1",
                            "name": "get_weather",
                            "args": {"city": "Paris"},
                        },
                        "thoughtSignature": DUMMY_SIGNATURE,
                    },
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "id": "c1",
                            "name": "get_weather",
                            "response": {"output": "sunny"},
                        }
                    }
                ],
            },
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "get_weather",
                        "description": "Weather",
                        "parametersJsonSchema": {"type": "object", "properties": {}},
                    }
                ]
            }
        ],
        "toolConfig": {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}
        },
        "generationConfig": {
            "maxOutputTokens": 65_536,
            "temperature": 2.0,
            "topP": 0.5,
            "topK": 3,
            "stopSequences": ["END"],
            "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
        },
    }


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        (OLD, ["user", "model"]),
        ("gemini-3.1-pro-preview", ["user", "model"]),
        ("gemini-3.5-flash-lite", ["user", "model", "user"]),
        (NEW, ["user", "model", "user"]),
        ("gemini-4-neon", ["user", "model", "user"]),
    ],
)
def test_a_model_that_does_not_finish_an_answer_is_asked_to_go_on(name, roles):
    body = written(asking(user("Write."), model(Text("It was "))), name)

    assert [turn["role"] for turn in body["contents"]] == roles
    assert body["contents"][1]["parts"] == [{"text": "It was " if len(roles) > 2 else "It was"}]


def test_all_results_of_a_turn_come_together_and_errors_say_so():
    two = [ToolCall("a", "f", ""), ToolCall("b", "g", "{oops")]
    prompt = asking(
        user("x"),
        model(*two),
        results(result("b", "no", is_error=True)),
        user("and"),
        results(result("a")),
    )

    body = written(prompt)

    assert [call["functionCall"]["args"] for call in parts(body, "functionCall")] == [
        {},
        {"_raw": "{oops"},
    ]
    answered = [part.get("functionResponse") for part in body["contents"][-1]["parts"]]
    assert answered == [
        {"id": "a", "name": "f", "response": {"output": ""}},
        {"id": "b", "name": "g", "response": {"error": "no"}},
        None,
    ]


@pytest.mark.parametrize("name", [NEW, OLD])
def test_pictures_in_results_are_shown_as_each_generation_takes_them(name):
    picture = Image("image/png", PIXEL)
    prompt = asking(
        user("x"), model(ToolCall("a", "f", "{}")), results(result("a", picture)), user("y")
    )

    answered, *rest = written(prompt, name)["contents"][-1]["parts"]

    inline = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
    assert answered["functionResponse"].get("parts") == ([inline] if name == NEW else None)
    assert rest == [inline, {"text": "y"}][name == NEW :]


def test_files_are_data_text_or_an_address_that_google_fetches():
    address = "https://example.org/a/b.pdf?c=d"
    body = written(
        asking(
            user(
                Document(name="a.pdf", data="JVBERg=="),
                Document(name="a.txt", text="hello"),
                Document(url=address),
                Image(url="https://example.org/cat.jpg"),
                Image(url="https://example.org/cat"),
            )
        )
    )

    assert body["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
        {"text": "a.txt\n\nhello"},
        {"fileData": {"fileUri": address, "mimeType": "application/pdf"}},
        {"fileData": {"fileUri": "https://example.org/cat.jpg", "mimeType": "image/jpeg"}},
        {"fileData": {"fileUri": "https://example.org/cat"}},
    ]


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (asking(user(Image(url="http://10.0.0.1/x.png"))), "messages"),
        (asking(user(Document(url="file-123"))), "messages"),
        (asking(stop=list("abcdef")), "stop"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(prompt, field):
    with pytest.raises(Inexpressible) as refusal:
        GEMINI.request(prompt, target())

    assert refusal.value.field == field


EFFORTS = [
    # model, effort, budget, limit, what is asked of the model
    (NEW, None, None, None, {"includeThoughts": True}),
    (NEW, Effort.MINIMAL, None, None, {"thinkingLevel": "LOW", "includeThoughts": True}),
    (NEW, Effort.NONE, None, None, {"thinkingLevel": "LOW"}),
    (NEW, Effort.MAX, None, None, {"thinkingLevel": "HIGH", "includeThoughts": True}),
    (NEW, None, 2048, None, {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
    (NEW, None, 0, None, {"thinkingLevel": "LOW"}),
    ("gemini-3.5-flash", Effort.NONE, None, None, {"thinkingLevel": "MINIMAL"}),
    ("gemini-3.1-flash-lite", Effort.NONE, None, None, {"thinkingLevel": "MINIMAL"}),
    ("gemini-3.1-pro-preview", Effort.NONE, None, None, {"thinkingLevel": "LOW"}),
    ("gemini-4-neon", Effort.MAX, None, None, {"thinkingLevel": "XHIGH", "includeThoughts": True}),
    (
        "gemini-4-argon",
        Effort.XHIGH,
        None,
        None,
        {"thinkingLevel": "HIGH", "includeThoughts": True},
    ),
    (OLD, None, None, None, {"includeThoughts": True}),
    (OLD, Effort.NONE, None, None, {"thinkingBudget": 128}),
    (OLD, Effort.MAX, None, None, {"thinkingBudget": 32_768, "includeThoughts": True}),
    (OLD, Effort.HIGH, None, 1000, {"thinkingBudget": 800, "includeThoughts": True}),
    (OLD, Effort.HIGH, 99_999, 1000, {"thinkingBudget": 32_768, "includeThoughts": True}),
    ("gemini-2.5-flash", Effort.NONE, None, None, {"thinkingBudget": 0}),
    (
        "gemini-2.5-flash-lite",
        Effort.LOW,
        None,
        100,
        {"thinkingBudget": 512, "includeThoughts": True},
    ),
]


@pytest.mark.parametrize(("name", "effort", "budget", "limit", "expected"), EFFORTS)
def test_each_generation_is_told_how_much_to_think_in_its_way(
    name, effort, budget, limit, expected
):
    prompt = asking(effort=effort, thinking_budget=budget, max_output=limit)

    assert written(prompt, name)["generationConfig"]["thinkingConfig"] == expected


def test_a_model_that_does_not_think_is_not_asked_to():
    prompt = asking(effort=Effort.HIGH)
    plain = msgspec.structs.replace(target(), capabilities=("tools",))

    assert "generationConfig" not in GEMINI.request(prompt, plain)
    assert prompt.dropped == ["reasoning"]


def test_json_beside_tools_is_asked_for_in_words_where_it_cannot_be_demanded():
    wanted = {"tools": [Tool("f")], "format": Format({"type": "object", "title": "T"})}

    old, new = written(asking(**wanted), OLD), written(asking(**wanted), NEW)

    assert '"title":"T"' in old["systemInstruction"]["parts"][0]["text"]
    assert "responseMimeType" not in old["generationConfig"]
    assert "systemInstruction" not in new
    assert new["generationConfig"]["responseMimeType"] == "application/json"
    assert "responseJsonSchema" in written(asking(format=wanted["format"]), OLD)["generationConfig"]


@pytest.mark.parametrize(
    ("choice", "mode"), [("auto", None), ("none", "NONE"), ("required", "ANY")]
)
def test_whether_tools_are_called_is_the_callers_choice(choice, mode):
    prompt = asking(tools=[Tool("f")], choice=Choice(choice), parallel=False, verbosity="low")

    config = written(prompt).get("toolConfig")

    assert config == (mode and {"functionCallingConfig": {"mode": mode}})
    assert prompt.dropped == ["parallel_tool_calls", "verbosity"]
    assert "toolConfig" not in written(asking(choice=Choice("required")))


def reasoning(key: str = "k1", name: str = NEW, **signatures: str) -> Reasoning:
    return Reasoning("hm", "google", {"calls": signatures}, Origin("google", key, name))


def signatures_of(prompt: Prompt, name: str = NEW) -> list[str | None]:
    body = GEMINI.request(prompt, target(name))
    return [part.get("thoughtSignature") for part in parts(body, "functionCall")]


def test_pitfall_17_signatures_return_with_their_calls_to_where_they_came_from():
    calls = [ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}")]
    answered = results(result("a", "1"), result("b", "2"))

    def after(*thought: Reasoning) -> Prompt:
        return asking(user("x"), model(*thought, *calls), answered)

    assert signatures_of(after(reasoning(a="AA=="))) == ["AA==", None]
    assert signatures_of(after(reasoning(a="AA=="), reasoning(b="BB=="))) == ["AA==", "BB=="]
    # Of another key, of another model, of another company, of nobody.
    dummy = [DUMMY_SIGNATURE, None]
    assert signatures_of(after(reasoning("k2", a="AA=="))) == dummy
    assert signatures_of(after(reasoning(name="gemini-4-neon", a="AA=="))) == dummy
    assert signatures_of(after(Reasoning("hm", "anthropic", {"calls": {"a": "AA=="}}))) == dummy
    assert signatures_of(after(Reasoning("hm", "google", {"calls": {"a": 7}}))) == dummy
    assert signatures_of(after()) == dummy
    assert signatures_of(after(), OLD) == [None, None]


def test_each_turn_with_foreign_calls_is_marked_as_such():
    prompt = asking(
        user("x"),
        model(ToolCall("a", "f", "{}")),
        results(result("a", "1")),
        model(reasoning(b="BB=="), ToolCall("b", "f", "{}")),
        results(result("b", "1")),
    )

    assert signatures_of(prompt) == [DUMMY_SIGNATURE, "BB=="]


def test_the_signature_of_a_text_returns_with_it_and_thoughts_do_not():
    thought = Reasoning("hm", "google", {"text": "AA=="}, Origin("google", "k1", NEW))
    body = written(asking(user("x"), model(thought, "pong", "!"), user("y")))

    assert body["contents"][1]["parts"] == [
        {"text": "pong", "thoughtSignature": "AA=="},
        {"text": "!"},
    ]


def test_pitfalls_6_and_7_instructions_stay_where_they_are_and_attribution_goes():
    body = written(
        asking(
            user("x"),
            model("y"),
            Turn("system", [Text("Now be rude.")]),
            user("z"),
            system=[Text("x-anthropic-billing-header: cc_version=1; cch=a"), Text("Be kind.")],
        )
    )

    assert body["systemInstruction"] == {"parts": [{"text": "Be kind."}]}
    assert [turn["role"] for turn in body["contents"]] == ["user", "model", "user"]
    assert body["contents"][2]["parts"][0]["text"].endswith("Now be rude.")


@UNHURRIED
@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_every_name_of_a_tool_becomes_one_of_a_function_and_back(name):
    assert function_name(name)[0].isalpha() or function_name(name)[0] == "_"
    assert tool_name(function_name(name)) == name
    assert function_name("t_" + name) != function_name(name)


def test_tokens_are_counted_of_everything_a_request_would_send():
    prompt = asking(system=[Text("Be brief. " * 50)], tools=[Tool("f")])
    body = json.loads(msgspec.json.encode(count_request(prompt, target())))

    turn = simulator.read(body, {}, GOOGLE, Operation.GEMINI_COUNT_TOKENS, GOOGLE.model(NEW))

    assert turn.input_tokens > 100
    assert counted(b'{"totalTokens": 31, "promptTokensDetails": []}') == 31
    assert counted(b'{"error": {}}') is None
    assert counted(b"[]") is None


ids = st.sampled_from(["a", "b", "c", "call/1 ü"])
texts = st.sampled_from(["", " ", "hello", "ü\n\nx", "[{"])
names = st.sampled_from(["f", "21st_tool", "-x", "t_1", "ns__child"])
media = st.sampled_from(
    [
        Image("image/png", PIXEL),
        Image(url="https://example.org/a.png"),
        Document(text="x"),
        Document(),
    ]
)
texty = texts.map(Text)
spoken = st.one_of(
    texty,
    texts.map(Refusal),
    st.builds(ToolCall, ids, names, st.sampled_from(["", "{}", '{"a":1}', "[1]", "{oops"])),
    st.builds(lambda text, key: reasoning(key, a=text), st.just("dGV4dA=="), ids),
)
answered = st.builds(ToolResult, ids, st.lists(texty | media, max_size=2), st.booleans())
turns = st.one_of(
    st.builds(Turn, st.just("user"), st.lists(texty | media, max_size=3)),
    st.builds(Turn, st.just("system"), st.lists(texty, max_size=2)),
    st.builds(Turn, st.just("assistant"), st.lists(spoken, max_size=4)),
    st.builds(Turn, st.just("tool"), st.lists(answered, max_size=3)),
)
conversations = st.lists(turns, max_size=8)


@UNHURRIED
@given(conversations, st.sampled_from([NEW, OLD, "gemini-4-neon"]))
def test_every_conversation_becomes_one_that_google_takes(conversation, name):
    body = written(asking(system=[Text("")], tools=[Tool("f")]), name)
    prompt = Prompt(turns=conversation)

    body = written(prompt, name)

    said = "".join(part["text"] for part in parts(body, "text"))
    for turn in conversation:
        for block in turn.blocks:
            if isinstance(block, Text) and block.text.strip() and turn.role != "assistant":
                assert block.text in said
    calls = [block for turn in conversation for block in turn.blocks if isinstance(block, ToolCall)]
    asked = [part["functionCall"]["name"] for part in parts(body, "functionCall")]
    assert asked == [function_name(call.name) for call in calls]


@UNHURRIED
@given(conversations)
def test_a_longer_conversation_begins_as_the_shorter_one_did(conversation):
    asked = [*conversation, user("go on")]
    longer = [*asked, model("certainly"), user("more")]

    shorter = written(Prompt(turns=asked))["contents"]

    assert written(Prompt(turns=longer))["contents"][: len(shorter)] == shorter


def test_the_simulator_would_refuse_what_is_repaired():
    body = {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]}

    with pytest.raises(Refused):
        simulator.read(body, {}, GOOGLE, Operation.GENERATE_CONTENT, GOOGLE.model(NEW))
