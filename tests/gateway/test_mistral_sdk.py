"""Mistral AI's official SDK through the gateway: what is its own passes, the rest is translated."""

import pytest
from mistralai.client.errors import SDKError

from tests.mistral_sdk import check_chat, check_filling_in, sdk

MODEL = "mistralai/mistral-medium-3-5"


@pytest.fixture
def client(agent):
    with sdk(agent.gateway.address, agent.token) as client:
        yield client


def test_it_works_with_a_key_of_mistral_ai(client, key, simulator):
    key("mistral")
    check_chat(client, MODEL)
    check_filling_in(client, "mistralai/codestral-2508")
    assert {call.provider for call in simulator.calls} == {"mistral"}


@pytest.mark.parametrize(
    ("provider", "model"),
    [("anthropic", "anthropic/claude-haiku-5.5"), ("google", "google/gemini-3.8-flash")],
)
def test_it_works_with_models_of_others(client, key, provider, model):
    key(provider)
    check_chat(client, model)


def test_a_rejected_key_is_raised_at_once(client, key, simulator):
    key("mistral", "401")
    with pytest.raises(SDKError) as caught:
        client.chat.complete(model=MODEL, messages=[{"role": "user", "content": "hello"}])
    assert caught.value.status_code == 403
    assert "Mistral AI (key" in caught.value.body
    assert len(simulator.calls) == 1
