"""Options that agents send to any model, onto the models of every provider that reason.

Roo Code and aider always send a temperature of 0, the AI SDK and Claude Code a limit of 128000
tokens wherever they do not know the model. No model is refused for it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from byok.providers.endpoints import Endpoint
from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES

BUNDLED = Path(__file__).parents[2] / "byok" / "bundled" / "catalogue.json"
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
    for model in json.loads(BUNDLED.read_text())["models"]:
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
