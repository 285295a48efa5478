"""Requests that are valid in their dialect, as OpenAI and the hosts that copied it take them."""

from typing import Any

import msgspec
import pytest

from byok.providers import provider
from byok.providers.base import Endpoint, Inexpressible
from tests.byok.test_adapting_hosts import ASKING, AWKWARD, TOOL, adapted, sent
from tests.byok.test_adapting_hosts import MODEL as HOSTS
from tests.simulator_fixture import RunningSimulator

CHAT, FIM, MESSAGES = Endpoint.CHAT, Endpoint.FIM, Endpoint.MESSAGES
RESPONSES = Endpoint.RESPONSES
FIREWORKS = "accounts/fireworks/models/"
MODELS = {
    "openai": ["gpt-4.1", "gpt-5-nano", "gpt-5.4", "gpt-5.6-luna", "gpt-6-luna", "gpt-6-astra"],
    "deepseek": ["deepseek-flash", "deepseek-v4-pro", "deepseek-chat"],
    "fireworks": [FIREWORKS + "glm-5p3", FIREWORKS + "gpt-oss-20b", FIREWORKS + "kimi-k3"],
    "novita": ["openai/gpt-oss-20b", "zai-org/glm-5.3"],
    "inception": ["mercury-2.5"],
    "xiaomi": ["mimo-v2.6-flash"],
    "zai": ["glm-5.3", "glm-5.3-flash", "glm-4.7"],
}
MODEL = [(id_, model) for id_, models in MODELS.items() for model in models]
every_model = pytest.mark.parametrize(("id_", "model"), MODEL)

#: What OpenRouter's and LiteLLM's clients send, whoever answers in the end.
OPENROUTER: dict[str, Any] = {
    "cache_control": {"type": "ephemeral"},
    "include_reasoning": True,
    "min_p": 0.05,
    "models": ["a/b", "c/d"],
    "provider": {"order": ["x"], "allow_fallbacks": False},
    "reasoning": {"effort": "high", "exclude": False},
    "repetition_penalty": 1.1,
    "route": "fallback",
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "top_k": 40,
    "transforms": ["middle-out"],
    "usage": {"include": True},
    "verbosity": "low",
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
MARK = {"cache_control": {"type": "ephemeral"}}
TURN = AWKWARD["an earlier turn"]["messages"]
MORE: dict[str, Any] = {
    "OpenRouter": OPENROUTER,
    "thinking off": {"thinking": {"type": "disabled"}},
    "thinking as Claude does": {"thinking": {"type": "adaptive"}, "reasoning_effort": "minimal"},
    "no thinking": {"reasoning": {"enabled": False}},
    "nothing said": {"reasoning_effort": None, "max_tokens": None, "stop": None},
    "a schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": SCHEMA, "strict": True},
        }
    },
    "a named tool": {
        "tools": [TOOL, {**TOOL, "function": {"name": "other"}}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
    },
    "no tool": {"tools": [TOOL], "tool_choice": "none"},
    "marks for a cache": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "say: pong", **MARK}], **MARK}
        ]
    },
    "another's reasoning": {
        "messages": [
            *ASKING,
            {"role": "assistant", "content": "po", "reasoning": "m", "reasoning_details": []},
            *ASKING,
        ]
    },
}
ALL = {**AWKWARD, **MORE}


@pytest.mark.parametrize(("id_", "model"), [*MODEL, *HOSTS])
def test_no_valid_request_is_refused(simulator: RunningSimulator, id_, model):
    refused = {}
    for what, options in ALL.items():
        # Otherwise it is asked as Responses.
        if provider(id_).speaks(model, CHAT, with_tools="tools" in options):
            body = {"model": model, "messages": ASKING, **options}
            answer = sent(id_, CHAT, model, adapted(id_, CHAT, model, body, 4096))
            if answer.status_code != 200:
                refused[what] = answer.text

    assert refused == {}


@pytest.mark.parametrize("id_", MODELS)
def test_the_simulator_refuses_what_is_left_as_it_was(simulator: RunningSimulator, id_):
    model = MODELS[id_][0]
    body = {"model": model, "messages": ASKING, **OPENROUTER}

    assert sent(id_, CHAT, model, body).status_code == 400


@every_model
def test_an_ordinary_body_goes_on_as_it_is(id_, model):
    turn = {"role": "assistant", "content": "a", "tool_calls": [], "reasoning_content": "b"}
    for messages in (ASKING, [*ASKING, turn, *ASKING] if id_ != "openai" else ASKING):
        body = {"model": model, "messages": messages, "stream": True, "tools": [TOOL]}
        # That of Fireworks is too low where none is given.
        body |= {"max_tokens": 9} if id_ == "fireworks" else {}
        fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])

        assert provider(id_).adapt(CHAT, model, fields, 4096) is fields


@pytest.mark.parametrize(
    ("id_", "endpoint"),
    [(id_, endpoint) for id_ in (*MODELS, "perplexity") for endpoint in provider(id_).endpoints],
)
@pytest.mark.parametrize("odd", [None, True, "x", [1, {"a": []}], {"type": 7}, -1, 1e300, ""])
def test_no_value_of_any_kind_makes_adapting_fail(id_, endpoint, odd):
    names = [*OPENROUTER, *AWKWARD["OpenAI's own"], "messages", "temperature", "tool_choice"]
    names += ["tools", "reasoning_effort", "max_tokens", "input", "include", "text", "stop", "n"]
    names += ["response_format", "max_completion_tokens", "max_output_tokens"]
    # In Responses it is a reference.
    names += ["prompt"] if endpoint is not RESPONSES else []
    parts = [{"type": "message", "content": odd, "role": odd, "tool_calls": odd, "output": odd}]
    for body in (
        {"model": "m", **dict.fromkeys(names, odd)},
        {"model": "m", "messages": parts, "input": parts, "tools": [odd], "text": {"format": odd}},
        {"model": "m", "input": [{"content": [odd]}, odd], "tools": [{"type": odd}]},
    ):
        fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
        for model in (*MODELS.get(id_, ()), "m"):
            assert "model" in provider(id_).adapt(endpoint, model, fields, 100)


def effort(id_: str, model: str, **asked: Any) -> Any:
    body = adapted(id_, CHAT, model, {"model": model, "messages": ASKING, **asked})
    return body.get("reasoning_effort"), (body.get("thinking") or {}).get("type")


@pytest.mark.parametrize(
    ("id_", "model", "asked", "expected"),
    [
        ("openai", "gpt-5-nano", {"reasoning_effort": "none"}, ("minimal", None)),
        ("openai", "gpt-5.4", {"reasoning_effort": "max"}, ("xhigh", None)),
        ("openai", "gpt-5.4", {"reasoning_effort": "minimal"}, ("low", None)),
        ("openai", "gpt-5.6-sol", {"reasoning_effort": "max"}, ("max", None)),
        ("openai", "gpt-6-luna", {"reasoning": {"effort": "none"}}, ("none", None)),
        ("openai", "gpt-6.1-sol", {"reasoning_effort": "none"}, ("low", None)),
        ("openai", "o4-mini", {"thinking": {"budget_tokens": 9000}}, ("high", None)),
        ("openai", "gpt-4.1", {"reasoning_effort": "high"}, (None, None)),
        ("deepseek", "deepseek-flash", {"reasoning_effort": "none"}, (None, "disabled")),
        ("deepseek", "deepseek-flash", {"reasoning_effort": "medium"}, ("high", None)),
        ("deepseek", "deepseek-flash", {"reasoning": {"effort": "minimal"}}, ("low", None)),
        ("deepseek", "deepseek-v4-pro", {"reasoning_effort": "low"}, ("high", None)),
        ("fireworks", FIREWORKS + "glm-5p3", {"thinking": {"type": "disabled"}}, ("low", None)),
        ("fireworks", FIREWORKS + "kimi-k3", {"reasoning_effort": "none"}, ("none", None)),
        ("novita", "zai-org/glm-5.3", {"reasoning_effort": "max"}, ("high", None)),
        ("inception", "mercury-3", {"reasoning_effort": "none"}, ("instant", None)),
        ("inception", "mercury-3", {"reasoning_effort": "instant"}, ("instant", None)),
        ("xiaomi", "mimo-v2.6-pro", {"reasoning_effort": "high"}, (None, "enabled")),
        ("xiaomi", "mimo-v2.6-pro", {"reasoning": {"enabled": False}}, (None, "disabled")),
        ("zai", "glm-5.3", {"reasoning_effort": "none"}, ("low", None)),
        ("zai", "glm-5.3-flash", {"reasoning_effort": "none"}, (None, "disabled")),
        ("zai", "glm-5.3-flash", {"reasoning_effort": "xhigh"}, ("max", "enabled")),
        ("zai", "glm-4.7", {"reasoning_effort": "low"}, (None, "enabled")),
    ],
)
def test_an_effort_is_asked_for_as_the_model_knows_it(id_, model, asked, expected):
    assert effort(id_, model, **asked) == expected


def test_openai_gets_a_limit_under_the_name_and_in_the_bounds_of_the_model():
    def limits(model: str, **asked: int) -> dict[str, Any]:
        body = adapted("openai", CHAT, model, {"model": model, "messages": ASKING, **asked}, 1000)
        return {name: each for name, each in body.items() if "tokens" in name}

    assert limits("gpt-6-luna", max_tokens=5000) == {"max_completion_tokens": 1000}
    assert limits("gpt-6-luna", max_tokens=5, max_completion_tokens=7) == {
        "max_completion_tokens": 7
    }
    assert limits("gpt-4.1", max_tokens=5000) == {"max_tokens": 1000}


def test_fireworks_does_not_end_a_stream_early_where_no_limit_is_given(
    simulator: RunningSimulator,
):
    model = FIREWORKS + "glm-5p3"
    asking = [{"role": "user", "content": "stream: 3000 events"}]
    body = {"model": model, "messages": asking, "stream": True}

    assert '"finish_reason":"length"' in sent("fireworks", CHAT, model, body).text
    assert (
        '"finish_reason":"stop"'
        in sent("fireworks", CHAT, model, adapted("fireworks", CHAT, model, body, 131_072)).text
    )
    assert adapted("fireworks", CHAT, model, {**body, "max_tokens": 7})["max_tokens"] == 7
    assert adapted("fireworks", CHAT, model, body, 1000)["max_tokens"] == 1000


def test_openai_models_may_sample_where_they_do_not_reason():
    asked = {"temperature": 0, "top_p": 0.5, "stop": ["x"], "presence_penalty": 0}

    def kept(model: str, **more: Any) -> set[str]:
        body = {"model": model, "messages": ASKING, **asked, **more}
        return set(adapted("openai", CHAT, model, body)) & set(asked)

    assert kept("gpt-4.1") == set(asked)
    assert kept("gpt-4o-mini") == set(asked)
    assert kept("gpt-5.4") == set()
    assert kept("gpt-5.4", reasoning_effort="none") == {"temperature", "top_p"}
    assert kept("gpt-6-luna", reasoning_effort="none") == set()
    assert kept("o1") == {"stop"}
    assert kept("o3-mini") == set()


def test_openai_reasons_with_functions_on_responses_only():
    openai = provider("openai")

    def chats(model: str, *, with_tools: bool) -> bool:
        return openai.speaks(model, CHAT, with_tools=with_tools)

    for model in ("gpt-5.4-mini", "gpt-5.6-sol", "gpt-6-luna", "gpt-7"):
        assert chats(model, with_tools=False)
        assert not chats(model, with_tools=True)
        assert openai.speaks(model, RESPONSES, with_tools=True)
    for model in ("gpt-4.1", "gpt-4o", "o3", "gpt-5-nano", "gpt-5.2"):
        assert chats(model, with_tools=True)
    assert not chats("gpt-5.3-codex", with_tools=False)


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5.3-codex", "gpt-5.4", "gpt-6-luna"])
def test_openai_answers_responses_with_what_its_models_refuse(simulator: RunningSimulator, model):
    body = {
        "model": model,
        "input": "say: pong",
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "max_output_tokens": 1,
        "reasoning": {"effort": "minimal", "summary": "auto", "exclude": True},
        "temperature": 0,
        "top_logprobs": 2,
        "top_p": 0.9,
        **{name: each for name, each in OPENROUTER.items() if name != "reasoning"},
    }

    written = adapted("openai", RESPONSES, model, body)
    answer = sent("openai", RESPONSES, model, written)

    assert answer.status_code == 200, answer.text
    assert written["max_output_tokens"] == 16
    if model != "gpt-4.1":
        assert written["reasoning"] == {"effort": "low", "summary": "auto"}


@pytest.mark.parametrize(("id_", "model"), [("deepseek", "deepseek-flash"), ("xiaomi", "m")])
def test_thinking_is_switched_off_where_the_reasoning_of_a_turn_was_lost(id_, model):
    kept = [{**each, "reasoning_content": "Hm."} if "tool_calls" in each else each for each in TURN]

    assert effort(id_, model, messages=TURN) == (None, "disabled")
    assert effort(id_, model, messages=TURN, reasoning_effort="high")[1] == "disabled"
    assert effort(id_, model, messages=kept) == (None, None)
    assert effort("deepseek", "deepseek-chat", messages=TURN) == (None, None)


@pytest.mark.parametrize("id_", ["deepseek", "xiaomi", "zai"])
def test_a_schema_becomes_an_instruction_where_only_json_is_known(id_):
    body = {"model": "m", "messages": ASKING, **MORE["a schema"]}

    written = adapted(id_, CHAT, "m", body)

    assert written["response_format"] == {"type": "json_object"}
    instruction, *asking = written["messages"]
    assert asking == ASKING
    assert instruction["role"] == "system"
    assert '{"type":"object","properties":{"a":{"type":"string"}}' in instruction["content"]
    assert adapted(id_, CHAT, "m", {**body, "messages": "x"})["messages"] == "x"


def test_a_chosen_tool_is_the_only_one_where_none_can_be_named():
    body = {"model": "m", "messages": ASKING, **MORE["a named tool"]}

    for id_, model, choice in (
        ("zai", "m", None),
        ("inception", "m", "required"),
        ("moonshotai", "kimi-k2.6", "auto"),
    ):
        written = adapted(id_, CHAT, model, body)
        assert written["tools"] == [TOOL]
        assert written.get("tool_choice") == choice
    assert "tools" not in adapted("zai", CHAT, "m", {**body, "tool_choice": "none"})


ONE_OF_THEM, LOOK = "Answer by calling one of the tools.", "Answer by calling the tool look."


@pytest.mark.parametrize(("id_", "model"), [("zai", "glm-5.3"), ("moonshotai", "kimi-k2.7-code")])
def test_a_model_that_calls_what_it_likes_is_asked_for_a_call(id_, model):
    body = {"model": model, "messages": ASKING, **MORE["a named tool"]}

    def instructions(**more: Any) -> list[str]:
        *said, asking = adapted(id_, CHAT, model, {**body, **more})["messages"]
        assert asking == ASKING[0]
        return [each["content"] for each in said]

    assert instructions() == [LOOK]
    assert instructions(tool_choice="required") == [ONE_OF_THEM]
    assert instructions(tool_choice="auto") == instructions(tool_choice="none") == []
    assert instructions(tool_choice="required", tools=[]) == []


def test_moonshot_is_asked_for_a_call_in_messages_too(simulator: RunningSimulator):
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("look", "other")]
    body = {"model": "kimi-k2.6", "max_tokens": 9, "messages": ASKING, "tools": tools}

    def written(choice: dict[str, Any], **more: Any) -> dict[str, Any]:
        asked = {**body, "tool_choice": choice, **more}
        found = adapted("moonshotai", MESSAGES, "kimi-k2.6", asked)
        assert sent("moonshotai", MESSAGES, "kimi-k2.6", found).status_code == 200
        return found

    chosen = written({"type": "tool", "name": "look", "disable_parallel_tool_use": True})
    assert chosen["tools"] == tools[:1]
    assert chosen["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert chosen["system"] == [{"type": "text", "text": LOOK}]
    demanded = written({"type": "any"}, system="Be brief.")
    assert demanded["tools"] == tools
    assert [block["text"] for block in demanded["system"]] == ["Be brief.", ONE_OF_THEM]
    assert "system" not in written({"type": "auto"})


def test_perplexity_is_asked_for_a_call_after_its_instructions(simulator: RunningSimulator):
    tools: list[dict[str, Any]] = [
        {"type": "function", "name": name, "parameters": {}} for name in ("look", "other")
    ]
    body = {**AGENT, "tools": tools}

    def written(choice: object) -> dict[str, Any]:
        found = adapted(
            "perplexity", RESPONSES, "perplexity/sonar", {**body, "tool_choice": choice}
        )
        assert sent("perplexity", RESPONSES, "perplexity/sonar", found).status_code == 200
        return found

    demanded, chosen = written("required"), written({"type": "function", "name": "look"})
    assert demanded["instructions"] == f"Be brief.\n\n{ONE_OF_THEM}"
    assert chosen["instructions"] == f"Be brief.\n\n{LOOK}"
    assert chosen["tools"] == tools[:1]
    assert written("auto")["instructions"] == "Be brief."


@pytest.mark.parametrize(
    ("id_", "model", "longest"), [("deepseek", "deepseek-v4-pro", 4096), ("inception", "e", 8192)]
)
def test_filling_in_is_asked_for_with_the_fields_known_there(id_, model, longest):
    body = {
        "model": model,
        "prompt": "a",
        "suffix": "b",
        "max_tokens": 100_000,
        "min_tokens": 1,
        "random_seed": 7,
        "stop": "\n",
        "thinking": {"type": "enabled"},
    }

    stop = "\n" if id_ == "deepseek" else ["\n"]
    assert adapted(id_, FIM, model, body) == {
        "model": model,
        "prompt": "a",
        "suffix": "b",
        "max_tokens": longest,
        "stop": stop,
    }


AGENT = {
    "model": "perplexity/sonar",
    "instructions": "Be brief.",
    "input": [
        {"role": "developer", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "message", "role": "user", "content": "b", "id": "msg_1", "status": "completed"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "c", "annotations": []}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "look",
            "arguments": "{}",
            "status": "completed",
        },
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [{"type": "input_text", "text": "seen"}],
        },
        {"role": "user", "content": "say: pong"},
    ],
    "tools": [
        {"type": "function", "name": "look", "parameters": {}, "strict": False, "defer": 1},
        {"type": "custom", "name": "patch"},
        {"type": "local_shell"},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "xhigh", "summary": "auto"},
    "text": {
        "verbosity": "low",
        "format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True},
    },
    "store": False,
    "stream": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "k",
    "client_metadata": {"a": "b"},
    "max_output_tokens": 4,
    "temperature": 0.2,
}


def test_perplexity_gets_no_field_that_it_does_not_know(simulator: RunningSimulator):
    written = adapted("perplexity", RESPONSES, "perplexity/sonar", AGENT, 8192)

    answer = sent("perplexity", RESPONSES, "perplexity/sonar", written)

    assert answer.status_code == 200, answer.text
    assert sent("perplexity", RESPONSES, "perplexity/sonar", AGENT).status_code == 400
    assert [each["type"] for each in written["input"]] == [
        "message",
        "message",
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert written["input"][4]["output"] == "seen"
    assert [tool["name"] for tool in written["tools"]] == ["look"]
    assert written["reasoning"] == {"effort": "high"}
    assert written["max_output_tokens"] == 16
    schema = {"name": "x", "schema": SCHEMA, "strict": True}
    assert written["response_format"] == {"type": "json_schema", "json_schema": schema}


OLDER = ["sonar", "sonar-pro", "sonar-reasoning-pro", "sonar-deep-research"]


@pytest.mark.parametrize("model", OLDER)
def test_perplexitys_older_models_take_a_valid_request_unless_it_demands_a_call(
    simulator: RunningSimulator, model
):
    refused = {}
    for what, options in {**ALL, "JSON": {"response_format": {"type": "json_object"}}}.items():
        body = {"model": model, "messages": ASKING, **options}
        if options.get("tool_choice", "none") != "none":
            with pytest.raises(Inexpressible, match="leave out tool_choice") as demanded:
                adapted("perplexity", CHAT, model, body)
            assert demanded.value.field == "tool_choice"
            continue
        answer = sent("perplexity", CHAT, model, adapted("perplexity", CHAT, model, body, 4096))
        if answer.status_code != 200:
            refused[what] = answer.text

    assert refused == {}
    body = {"model": model, "messages": ASKING, **OPENROUTER}
    assert sent("perplexity", CHAT, model, body).status_code == 400


def test_perplexitys_older_models_hear_user_and_assistant_in_turn(simulator: RunningSimulator):
    def text(said: str, **more: Any) -> dict[str, Any]:
        return {"type": "text", "text": said, **more}

    url = {"url": "https://example.com/a.png"}
    picture = {"type": "image_url", "image_url": url}
    detailed = {"type": "image_url", "image_url": {**url, "detail": "low"}}
    body = {
        "model": "sonar-pro",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [text("Be kind.", **MARK)]},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "a"},
            {"role": "user", "content": [text("b"), detailed], "name": "Ann"},
            {"role": "assistant", "content": None, "tool_calls": TURN[1]["tool_calls"]},
            TURN[2],
            {"role": "assistant", "content": "c", "reasoning_content": "Hm."},
            {"role": "system", "content": "Be quick."},
            {"role": "user", "content": "d"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        ],
    }

    written = adapted("perplexity", CHAT, "sonar-pro", body)

    assert written["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": [text("Be kind.")]},
        {"role": "user", "content": "."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [text("a"), text("b"), picture, text("seen")]},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "Be quick.\n\nd"},
        {"role": "assistant", "content": [text("No.")]},
        {"role": "user", "content": "Continue."},
    ]
    assert sent("perplexity", CHAT, "sonar-pro", written).status_code == 200
    plain = {"model": "sonar-pro", "messages": written["messages"], "stream": True, "max_tokens": 9}
    fields = msgspec.json.decode(msgspec.json.encode(plain), type=dict[str, msgspec.Raw])
    assert provider("perplexity").adapt(CHAT, "sonar-pro", fields, 4096) is fields


@pytest.mark.parametrize("model", OLDER)
def test_perplexitys_older_models_reason_so_much_where_they_reason(model):
    efforts = [effort("perplexity", model, reasoning_effort=each)[0] for each in ("none", "max")]

    assert efforts == (["minimal", "high"] if "-re" in model else [None, None])


def test_perplexity_searches_only_when_asked_to():
    search = {"type": "web_search", "filters": {"search_recency_filter": "day"}}
    body = {"model": "perplexity/sonar", "input": "news", "stream": True}
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])

    assert provider("perplexity").adapt(RESPONSES, "perplexity/sonar", fields, 8192) is fields
    asked = {**body, "tools": [search], "tool_choice": {"type": "web_search"}}
    written = adapted("perplexity", RESPONSES, "perplexity/sonar", asked)
    assert written == {**body, "tools": [search]}
