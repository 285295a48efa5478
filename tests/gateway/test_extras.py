"""Fields that one provider knows and the next one would refuse."""

from typing import Any

import pytest

from byok.catalogue import version
from byok.models import Offering
from byok.providers import PROVIDERS
from byok.providers.base import Endpoint
from megabrain.simulator.providers import sample_keys
from tests.gateway.dialect import CHAT, MESSAGES

#: What OpenRouter's, LiteLLM's and OpenAI's own clients send, whoever answers in the end.
EXTRAS: dict[str, Any] = {
    "cache_control": {"type": "ephemeral"},
    "include_reasoning": True,
    "metadata": {"a": "b"},
    "min_p": 0.05,
    "models": ["openai/gpt-6-luna"],
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "prompt_cache_key": "k",
    "provider": {"order": ["x"]},
    "reasoning": {"effort": "low"},
    "repetition_penalty": 1.1,
    "route": "fallback",
    "seed": 7,
    "store": False,
    "temperature": 0,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "top_k": 40,
    "transforms": ["middle-out"],
    "usage": {"include": True},
    "verbosity": "low",
}


def model_of(provider: str) -> str:
    """One of its models that converses, under the catalogue's name."""
    offered = Offering.objects.routable().filter(provider=provider).order_by("pk")
    return next(
        each.model_id
        for each in offered
        if (each.endpoints is None or Endpoint.CHAT in each.endpoints)
        and PROVIDERS[provider].speaks(each.upstream_id, Endpoint.CHAT, with_tools=False)
    )


@pytest.mark.parametrize(
    "provider",
    [
        id_
        for id_ in sample_keys()
        # What Perplexity had on Chat has ended.
        if Endpoint.CHAT in PROVIDERS[id_].endpoints and id_ != "perplexity"
    ],
)
def test_a_field_that_a_provider_does_not_know_is_no_reason_to_refuse(
    agent, key, simulator, provider
):
    key(provider)

    body = {**CHAT.body(model=model_of(provider)), **EXTRAS}
    # Some serve coding agents alone.
    answer = agent.post(CHAT.path, body, headers={"user-agent": "opencode/1.18"})

    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "pong"
    assert [(call.provider, call.operation) for call in simulator.calls] == [(provider, "chat")]


def test_a_model_without_tools_is_given_none_and_asked_for_no_call(
    agent, key, simulator, usage_row
):
    key("perplexity")
    Offering.objects.filter(provider="perplexity").update(retired_at=None)
    version.changed()
    function = {"name": "look", "parameters": {"type": "object"}}
    body = {
        **CHAT.body(model="perplexity/sonar-reasoning-pro"),
        **EXTRAS,
        "tools": [{"type": "function", "function": function}],
    }

    answer = agent.post(CHAT.path, body)

    assert answer.status_code == 200, answer.text
    assert answer.json()["citations"]
    assert "tools" not in simulator.calls[-1].json
    row, told = usage_row(answer.headers["x-request-id"]), answer.json()["usage"]
    assert row.reasoning_tokens == told["reasoning_tokens"] > 0
    assert row.output_tokens == told["completion_tokens"] + told["reasoning_tokens"]
    demanded = agent.post(CHAT.path, {**body, "tool_choice": "required"})
    assert (demanded.status_code, CHAT.error(demanded).code) == (400, "unsupported_parameter")
    assert "tool_choice" in CHAT.error(demanded).message
    tools = {"tools": [{"name": "look", "input_schema": {}}], "tool_choice": {"type": "any"}}
    answer = agent.post(MESSAGES.path, {**MESSAGES.body(model="sonar-pro"), **tools})
    assert MESSAGES.error(answer).code == "unsupported_parameter"
