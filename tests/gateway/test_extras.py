"""Fields that one provider knows and the next one would refuse."""

from typing import Any

import pytest

from byok.models import Offering
from byok.providers import PROVIDERS
from byok.providers.base import Endpoint
from megabrain.simulator.providers import sample_keys
from tests.gateway.dialect import CHAT

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
    offered = Offering.objects.filter(provider=provider, enabled=True).order_by("pk")
    return next(
        each.model_id
        for each in offered
        if (each.endpoints is None or Endpoint.CHAT in each.endpoints)
        and PROVIDERS[provider].speaks(each.upstream_id, Endpoint.CHAT, with_tools=False)
    )


@pytest.mark.parametrize(
    "provider", [id_ for id_ in sample_keys() if Endpoint.CHAT in PROVIDERS[id_].endpoints]
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
