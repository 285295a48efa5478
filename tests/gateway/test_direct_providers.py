"""Direct providers: called for their own entries, with their own keys, and for nothing else."""

import pytest

from byok.models import Offering
from byok.providers import PROVIDERS
from tests.byok.test_adapting_hosts import AWKWARD
from tests.gateway.dialect import CHAT, MESSAGES, RESPONSES

DIRECT = [each.id for each in PROVIDERS.values() if each.direct]
RESELLERS = ["martian", "opencode-go", "orcarouter"]
AN_AGENT = {"user-agent": "claude-cli/2.1"}


def entry_of(provider: str) -> Offering:
    """The first of its entries, and what it is called there."""
    found = Offering.objects.filter(provider=provider, direct=True).order_by("pk").first()
    assert found is not None
    return found


@pytest.mark.parametrize("provider", DIRECT)
def test_an_entry_is_served_by_the_key_of_its_provider(provider, agent, key, simulator):
    stored, entry = key(provider), entry_of(provider)

    answer = agent.post(CHAT.path, CHAT.body(model=entry.model_id), headers=AN_AGENT)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-megabrain-provider"] == provider
    assert answer.headers["x-megabrain-payer"] == "byok"
    call = simulator.calls[-1]
    assert (call.provider, call.json["model"]) == (provider, entry.upstream_id)
    secret = stored.secret.unseal().reveal()
    assert secret in (call.headers.get("api-key"), call.headers.get("authorization", "")[7:])


def test_an_entry_without_its_key_says_which_to_add_and_where(agent, key, settings, simulator):
    for provider in ("zai", "anthropic", "openai"):
        key(provider)

    for provider in DIRECT:
        entry = entry_of(provider).model_id
        answer = agent.post(CHAT.path, CHAT.body(model=entry))
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (404, "byok_key_required")
        assert f"{entry} needs a provider key" in error["message"]
        page = f"{settings.MEGABRAIN_BASE_URL}/account/byok/"
        assert f"Add one of {PROVIDERS[provider].name} at {page}" in error["message"]

    assert simulator.calls == []


def test_the_key_of_a_plan_pays_for_no_call_by_the_models_own_name(agent, key, simulator):
    key("zai-coding")

    for name in ("glm-4.7", "z-ai/glm-4.7"):
        answer = agent.post(CHAT.path, CHAT.body(model=name))
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "byok_key_required")

    assert simulator.calls == []


def test_a_misspelt_name_leads_to_a_direct_entry_only_with_its_prefix(agent):
    def suggested(name: str) -> str:
        message = agent.post(CHAT.path, CHAT.body(model=name)).json()["error"]["message"]
        return str(message)

    assert "zai-coding/glm-4.7" in suggested("zai-coding/glm-47")
    assert "zai-coding" not in suggested("glm-47")
    assert "z-ai/glm-4.7" in suggested("glm-47")


def test_kimi_code_is_told_which_agent_calls(agent, key, simulator):
    key("kimi-coding")
    body = CHAT.body(model="kimi-coding/kimi-for-coding")

    assert agent.post(CHAT.path, body, headers=AN_AGENT).ok
    assert simulator.calls[-1].headers["user-agent"] == AN_AGENT["user-agent"]
    refused = agent.post(CHAT.path, body, headers={"user-agent": "curl/8"})

    # That is a fault of the client, and not of the key.
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")


def test_kimi_code_is_not_sent_what_moonshot_ai_refuses(agent, key, simulator):
    key("kimi-coding")
    body = {
        **CHAT.body(model="kimi-coding/kimi-for-coding"),
        **AWKWARD["an earlier turn"],
        **AWKWARD["sampling"],
    }

    answer = agent.post(CHAT.path, body, headers=AN_AGENT)

    assert answer.status_code == 200, answer.text
    assert simulator.calls[-1].json["messages"][1]["reasoning_content"] == ""


def test_nvidia_is_sent_no_field_that_it_does_not_know(agent, key, simulator):
    key("nvidia")
    body = {**CHAT.body(model="nvidia/nemotron-3-super-120b"), "temperature": 0.5}
    unknown = {"store": False, "user": "me", "prompt_cache_key": "k", "verbosity": "low", "n": 1}

    answer = agent.post(CHAT.path, {**body, **unknown, "max_completion_tokens": 9})

    assert answer.status_code == 200, answer.text
    sent = simulator.calls[-1].json
    assert unknown.keys().isdisjoint(sent)
    assert (sent["temperature"], sent["max_tokens"]) == (0.5, 9)
    # To be given one answer instead of two is not for us to decide.
    assert agent.post(CHAT.path, {**body, "n": 2}).status_code == 400


def test_newer_names_are_sent_by_the_older_ones(agent, key, simulator):
    key("chutes")
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    body = {**CHAT.body(model="chutes/qwen3-30b-a3b"), "messages": messages}

    answer = agent.post(CHAT.path, {**body, "max_completion_tokens": 9})

    assert answer.status_code == 200, answer.text
    sent = simulator.calls[-1].json
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent["max_tokens"] == 9


@pytest.mark.parametrize("provider", RESELLERS)
def test_those_who_speak_three_dialects_are_spoken_to_in_the_callers(
    provider, agent, key, simulator
):
    key(provider)
    entry = entry_of(provider).model_id

    for dialect in (RESPONSES, MESSAGES):
        answer = agent.post(dialect.path, dialect.body(model=entry))
        assert answer.status_code == 200, answer.text
        assert simulator.calls[-1].path == f"/{provider}/v1/{dialect.path}"

    in_its_own = "x-api-key" in simulator.calls[-1].headers
    assert in_its_own is (provider == "opencode-go")
