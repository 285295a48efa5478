"""Options that agents send to any model, onto the models of every provider that reason.

Roo Code and aider always send a temperature of 0, the AI SDK and Claude Code a limit of 128000
tokens wherever they do not know the model. No model is refused for it.
"""

from typing import Any

import pytest

from byok.providers.endpoints import Endpoint
from tests.bundled import SERVED
from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES

Json = dict[str, Any]
#: As Roo Code sends it.
ROO: Json = {
    "temperature": 0,
    "parallel_tool_calls": True,
    "stream_options": {"include_usage": True},
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "read_file",
                "description": "Reads.",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            },
        }
    ],
}


def reasoning_models() -> dict[str, list[str]]:
    """By provider, models that converse and reason, and whose limits the catalogue knows."""
    found: dict[str, list[str]] = {}
    for model in SERVED:
        for offering in model["offerings"]:
            endpoints = offering.get("endpoints", [Endpoint.CHAT])
            converses = not {Endpoint.FIM, Endpoint.EMBEDDINGS} & set(endpoints)
            if converses and "reasoning" in model["capabilities"] and model["max_output"]:
                found.setdefault(offering["provider"], []).append(model["id"])
    return found


MODELS = reasoning_models()


@pytest.mark.parametrize("provider", MODELS)
def test_no_model_that_reasons_is_refused_for_what_agents_always_send(agent, key, provider):
    key(provider)
    refused = {}
    for model in MODELS[provider]:
        bodies = {
            CHAT: {**CHAT.body(stream=True, model=model), **ROO, "max_tokens": 128_000},
            RESPONSES: {
                **RESPONSES.body(stream=True, model=model),
                "temperature": 0,
                "max_output_tokens": 128_000,
            },
            MESSAGES: {
                **MESSAGES.body(stream=True, model=model),
                "temperature": 0,
                "max_tokens": 128_000,
            },
        }
        for dialect in DIALECTS:
            # Some serve coding agents alone.
            headers = {"user-agent": "opencode/1.18"}
            answer = agent.post(dialect.path, bodies[dialect], headers=headers)
            if answer.status_code != 200:
                refused[f"{dialect} {model}"] = answer.text
            else:
                assert dialect.stream(answer.content).text == "pong"
    assert not refused, refused


def limited_offerings() -> list[tuple[str, str]]:
    """Providers and models of which they give less, or more, than others do in one answer."""
    return [
        (offering["provider"], model["id"])
        for model in SERVED
        for offering in model["offerings"]
        if "max_output" in offering
    ]


@pytest.mark.parametrize(("provider", "model"), limited_offerings())
def test_a_limit_is_brought_down_to_what_this_provider_gives(agent, key, provider, model):
    key(provider)
    for dialect in (CHAT, MESSAGES):
        body = {**dialect.body(model=model), "max_tokens": 10**6}
        answer = agent.post(dialect.path, body)
        assert answer.status_code == 200, answer.text
