"""Requests that are valid in their dialect, as Mistral, xAI, MiniMax and Moonshot AI take them."""

import json
from typing import Any

import msgspec
import pytest
import requests

from byok.providers import provider
from byok.providers.base import Endpoint
from byok.vault import Secret
from megabrain.simulator.providers import PROVIDERS as SIMULATED
from tests.simulator_fixture import RunningSimulator

CHAT, FIM, MESSAGES, RESPONSES = (
    Endpoint.CHAT,
    Endpoint.FIM,
    Endpoint.MESSAGES,
    Endpoint.RESPONSES,
)
ASKING = [{"role": "user", "content": "say: pong"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
MODELS = {
    "mistral": ["mistral-small-2603", "codestral-2508", "mistral-large-2512"],
    "xai": ["grok-4.7", "grok-4.20-0309-reasoning", "grok-4.20-0309-non-reasoning"],
    "minimax": ["MiniMax-M3", "MiniMax-M2.5"],
    "moonshotai": ["kimi-k2.6", "kimi-k2.7-code", "kimi-k3.1-pro"],
}
MODEL = [(id_, model) for id_, models in MODELS.items() for model in models]
every_model = pytest.mark.parametrize(("id_", "model"), MODEL)
#: What agents and SDKs send to any model, every one of these valid at OpenAI.
AWKWARD: dict[str, Any] = {
    "penalties": {"presence_penalty": 0, "frequency_penalty": 0},
    "sampling": {"temperature": 0, "top_p": 0.9, "seed": 7, "stop": ["END"], "n": 1},
    "hot": {"temperature": 2},
    "the newer limit": {"max_completion_tokens": 10**6},
    "the older limit": {"max_tokens": 10**6},
    "efforts": {"reasoning_effort": "xhigh"},
    "no effort": {"reasoning_effort": "none"},
    "a forced tool": {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": True},
    "OpenAI's own": {
        "store": False,
        "metadata": {"a": "b"},
        "user": "u",
        "service_tier": "auto",
        "prompt_cache_key": "k",
        "verbosity": "low",
        "safety_identifier": "s",
    },
    "usage": {"stream": True, "stream_options": {"include_usage": True}},
    "a developer": {"messages": [{"role": "developer", "content": "Be brief."}, *ASKING]},
    "a name": {"messages": [{"role": "user", "name": "Ann", "content": "say: pong"}]},
    "an earlier turn": {
        "tools": [TOOL],
        "messages": [
            *ASKING,
            {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "annotations": [],
                "tool_calls": [
                    {
                        "id": "call_0123456789abcdef",
                        "type": "function",
                        "function": {"name": "look", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_0123456789abcdef", "content": "seen"},
        ],
    },
    "a beginning": {"messages": [*ASKING, {"role": "assistant", "content": "po"}]},
}


def adapted(
    id_: str, endpoint: Endpoint, model: str, body: dict[str, Any], max_output: int | None = None
) -> dict[str, Any]:
    """The body as it is sent, decoded."""
    fields = msgspec.json.decode(json.dumps(body), type=dict[str, msgspec.Raw])
    changed = provider(id_).adapt(endpoint, model, fields, max_output)
    found: dict[str, Any] = json.loads(msgspec.json.encode(changed))
    return found


def sent(id_: str, endpoint: Endpoint, model: str, body: dict[str, Any]) -> requests.Response:
    """What the simulator answers to it. It refuses what the company refuses."""
    each, secret = provider(id_), Secret(SIMULATED[id_].sample_key)
    request = each.request(
        secret, endpoint, json.dumps(body).encode(), {}, model=model, stream="stream" in body
    )
    return requests.post(request.url, headers=request.headers, data=request.body, timeout=9)


@every_model
@pytest.mark.parametrize("what", AWKWARD)
def test_a_valid_request_is_not_refused(simulator: RunningSimulator, id_, model, what):
    body = {"model": model, "messages": ASKING, **AWKWARD[what]}
    limits = {each.id: each.output for each in SIMULATED[id_].models}

    answer = sent(id_, CHAT, model, adapted(id_, CHAT, model, body, limits[model]))

    assert answer.status_code == 200, answer.text
    assert b"base_resp" not in answer.content


@every_model
def test_an_ordinary_body_goes_on_as_it_is(id_, model):
    body = {"model": model, "messages": ASKING, "stream": True}
    fields = msgspec.json.decode(json.dumps(body), type=dict[str, msgspec.Raw])

    changed = provider(id_).adapt(CHAT, model, fields, 4096)

    assert (changed is fields) == (id_ != "minimax")
    assert changed["messages"] is fields["messages"]


@pytest.mark.parametrize(
    ("id_", "endpoint"), [(id_, each) for id_ in MODELS for each in provider(id_).endpoints]
)
@pytest.mark.parametrize("odd", [None, True, "x", [1, {"a": []}], {"type": 7}, -1, 1e400, ""])
def test_no_value_of_any_kind_makes_adapting_fail(id_, endpoint, odd):
    names = [*AWKWARD["OpenAI's own"], "messages", "temperature", "tool_choice", "reasoning"]
    names += ["reasoning_effort", "max_tokens", "max_completion_tokens", "thinking", "input"]
    body = {"model": "m", **dict.fromkeys(names, odd)}
    raw = json.dumps(body).replace("Infinity", "1e400").encode()
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])

    for model in (*MODELS[id_], "m"):
        assert "model" in provider(id_).adapt(endpoint, model, fields, 100)
    inside = msgspec.json.decode(
        json.dumps({"model": "m", "messages": [{"role": odd, "tool_calls": odd, "content": odd}]})
        .replace("Infinity", "1e400")
        .encode(),
        type=dict[str, msgspec.Raw],
    )
    assert "model" in provider(id_).adapt(endpoint, MODELS[id_][0], inside, 100)


def test_mistral_calls_keep_their_results():
    body = {"model": "m", **AWKWARD["an earlier turn"]}

    _, called, result = adapted("mistral", CHAT, "codestral-2508", body)["messages"]

    (call,) = called["tool_calls"]
    assert call["id"] == result["tool_call_id"]
    assert len(call["id"]) == 9
    assert call["id"].isalnum()
    again = adapted("mistral", CHAT, "codestral-2508", {"model": "m", "messages": [called]})
    assert again["messages"] == [called]


def test_mistral_is_told_what_it_knows_under_other_names():
    body = {
        "model": "m",
        "messages": [*ASKING, {"role": "assistant", "content": "po"}],
        "seed": 7,
        "max_completion_tokens": 90,
        "tool_choice": "required",
        "temperature": 2,
        "reasoning_effort": "low",
    }

    assert adapted("mistral", CHAT, "mistral-small-2603", body, 50) == {
        "model": "m",
        "messages": [*ASKING, {"role": "assistant", "content": "po", "prefix": True}],
        "random_seed": 7,
        "max_tokens": 50,
        "tool_choice": "any",
        "temperature": 1.5,
        "reasoning_effort": "high",
    }


def test_mistral_is_not_silently_kept_from_what_it_cannot_do():
    body = {"model": "m", "messages": ASKING, "functions": [{"name": "f"}]}

    assert adapted("mistral", CHAT, "codestral-2508", body) == body


def test_mistral_fills_in_the_middle_and_embeds_with_its_own_fields():
    fim = {"model": "m", "prompt": "a", "suffix": "b", "seed": 1, "stream_options": {}, "echo": 1}
    embed = {"model": "m", "input": "a", "dimensions": 256, "user": "u"}

    assert adapted("mistral", FIM, "codestral-2508", fim) == {
        "model": "m",
        "prompt": "a",
        "suffix": "b",
        "random_seed": 1,
    }
    assert adapted("mistral", Endpoint.EMBEDDINGS, "codestral-embed", embed) == {
        "model": "m",
        "input": "a",
        "output_dimension": 256,
    }


def test_mistral_models_are_asked_what_they_do():
    mistral = provider("mistral")

    def spoken(model: str) -> set[Endpoint]:
        return {each for each in mistral.endpoints if mistral.speaks(model, each, with_tools=True)}

    assert spoken("codestral-2508") == {CHAT, FIM}
    assert spoken("mistral-large-4") == {CHAT}
    assert spoken("codestral-embed-2505") == {Endpoint.EMBEDDINGS}


def test_a_codestral_key_serves_codestral_models_only():
    mistral, moonshot = provider("mistral"), provider("moonshotai")

    assert mistral.serves("codestral-latest", "codestral")
    assert not mistral.serves("mistral-large-4", "codestral")
    assert not mistral.serves("codestral-embed", "codestral")
    assert mistral.serves("mistral-large-4", "")
    assert moonshot.serves("kimi-k3", "moonshotai-cn")


@pytest.mark.parametrize(
    ("model", "reasoning", "expected"),
    [
        ("grok-4.7", {"effort": "xhigh", "summary": "auto"}, {"effort": "high", "summary": "auto"}),
        ("grok-4.7", {"effort": "low"}, {"effort": "low"}),
        ("grok-4.20-0309-reasoning", {"effort": "low"}, None),
        ("grok-4.20-0309-reasoning", {"effort": "low", "summary": "auto"}, {"summary": "auto"}),
    ],
)
def test_xai_is_asked_for_an_effort_it_knows(model, reasoning, expected):
    body = {"model": "m", "input": "hi", "reasoning": reasoning}

    assert adapted("xai", RESPONSES, model, body).get("reasoning") == expected


def test_minimax_tells_its_thoughts_apart_from_its_text(simulator: RunningSimulator):
    body = {"model": "MiniMax-M3", "messages": ASKING}

    answer = sent("minimax", CHAT, "MiniMax-M3", adapted("minimax", CHAT, "MiniMax-M3", body))

    message = answer.json()["choices"][0]["message"]
    assert message["content"] == "pong"
    assert message["reasoning_details"][0]["text"]
    own = {**body, "reasoning_split": False}
    assert adapted("minimax", CHAT, "MiniMax-M3", own)["reasoning_split"] is False


def test_minimax_gets_its_thoughts_back_where_it_looks_for_them():
    turn = {"role": "assistant", "content": "po", "reasoning_content": "Hm."}
    body = {"model": "m", "messages": [*ASKING, turn, *ASKING]}

    _, back, _ = adapted("minimax", CHAT, "MiniMax-M3", body)["messages"]

    assert back["content"] == "po"
    assert "reasoning_content" not in back
    assert [detail["text"] for detail in back["reasoning_details"]] == ["Hm."]


def test_moonshot_is_asked_for_thinking_as_each_of_its_models_knows_it():
    def thinking(model: str, **asked: object) -> dict[str, Any]:
        body = {"model": "m", "messages": ASKING, **asked}
        found = adapted("moonshotai", CHAT, model, body)
        return {name: found[name] for name in ("thinking", "reasoning_effort") if name in found}

    assert thinking("kimi-k2.6", reasoning_effort="none") == {"thinking": {"type": "disabled"}}
    assert thinking("kimi-k2.6", reasoning_effort="high") == {}
    assert thinking("kimi-k2.7-code", reasoning_effort="none") == {}
    assert thinking("kimi-k3", reasoning_effort="minimal") == {"reasoning_effort": "low"}
    assert thinking("kimi-k3", reasoning_effort="xhigh") == {"reasoning_effort": "max"}


@pytest.mark.parametrize("id_", ["minimax", "moonshotai"])
def test_messages_are_taken_beside_chat(simulator: RunningSimulator, id_):
    model = MODELS[id_][0]
    body = {
        "model": model,
        "max_tokens": 64,
        "messages": ASKING,
        "temperature": 0,
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"},
    }

    answer = sent(id_, MESSAGES, model, adapted(id_, MESSAGES, model, body))

    assert answer.status_code == 200, answer.text
    assert answer.json()["type"] == "message"
    assert "/anthropic/v1/messages" in simulator.calls[-1].path
