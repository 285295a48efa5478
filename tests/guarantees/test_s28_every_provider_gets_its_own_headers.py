"""S28: whatever a caller sends, a provider gets the headers of its own list, also when the call
was translated from another dialect; and an answer gives back no more than its list says."""

import pytest

from byok.providers import PROVIDERS
from byok.providers.base import Provider
from byok.vault import Secret
from megabrain.simulator.providers import sample_keys
from tests.guarantees.test_s28_headers_are_allow_listed import FAMILIES, OF_THE_PROVIDER, PRIVATE

HOSTILE = {
    **PRIVATE,
    **{name: value for family in FAMILIES.values() for name, value in family.items()},
    "x-session-affinity": "a",
    "x-grok-conv-id": "b",
    "authorization": "Bearer private",
    "host": "private",
    "content-length": "1",
    "transfer-encoding": "chunked",
    "connection": "x-session-affinity",
    "x-amz-date": "private",
    "x-amz-target": "private",
    "x-amzn-bedrock-guardrailidentifier": "private",
    "x-goog-user-project": "private",
    "x-goog-api-client": "private",
}
OWN = {"content-type", "user-agent", "authorization", "x-api-key", "api-key", "x-goog-api-key"}
SIGNED = {"host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "accept"}
SAMPLES = sample_keys()
EACH = [provider for provider in PROVIDERS.values() if provider.id in SAMPLES]


def is_listed(name: str, patterns: tuple[str, ...]) -> bool:
    return any(
        name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))
        for pattern in patterns
    )


@pytest.mark.parametrize("provider", EACH, ids=lambda provider: provider.id)
def test_each_gets_its_own_headers_alone(provider: Provider, settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {}
    secret = Secret(SAMPLES[provider.id])
    own = OWN | (SIGNED if provider.id == "bedrock" else set()) | provider.default_headers.keys()
    for endpoint in provider.endpoints:
        sent = provider.request(secret, endpoint, b"{}", HOSTILE, model="a-model").headers
        more = {name for name in sent if name not in own}
        assert all(is_listed(name, provider.forwards) for name in more), more
        assert "private" not in " ".join(
            value for name, value in sent.items() if not is_listed(name, provider.forwards)
        )
        assert not [value for value in sent.values() if "\r" in value or "\n" in value]
        broken = dict.fromkeys(HOSTILE, "a\r\nx-private: a")
        sent = provider.request(secret, endpoint, b"{}", broken, model="a-model").headers
        assert "x-private" not in repr(sent)


@pytest.mark.parametrize("provider", EACH, ids=lambda provider: provider.id)
def test_nobody_gets_the_headers_of_two_dialects(provider: Provider):
    families = [
        family
        for family in ("anthropic-", "openai-", "x-codex-", "x-goog-", "x-amz")
        if any(is_listed(f"{family}a", (pattern,)) for pattern in provider.forwards)
        or any(pattern.startswith(family) for pattern in provider.forwards)
    ]
    assert len({"openai" if f in ("openai-", "x-codex-") else f for f in families}) <= 1
    if families:
        assert provider.id in ("openai", "anthropic")


@pytest.mark.parametrize("provider", EACH, ids=lambda provider: provider.id)
def test_each_answer_gives_back_what_is_listed_alone(provider: Provider):
    pairs = (line.split(": ", 1) for line in OF_THE_PROVIDER)
    headers = {name.lower(): value for name, value in pairs}
    for own_key in (True, False):
        listed = provider.returns + (provider.returns_to_key_owner if own_key else ())
        found = provider.returned(headers, own_key=own_key)
        assert all(is_listed(name, listed) for name in found)
        assert not [value for value in found.values() if "\r" in value or "\n" in value]
    assert not any(
        is_listed(name, provider.returns + provider.returns_to_key_owner)
        for name in ("set-cookie", "location", "content-type", "server", "openai-organization")
    )


CALLS = {
    "anthropic": ("chat/completions", "anthropic/claude-haiku-4.5"),
    "openai": ("messages", "openai/gpt-6-luna"),
    "google": ("messages", "google/gemini-3.5-flash"),
    "bedrock": ("responses", "amazon/nova-pro-v1"),
}
BELONGS = {
    "anthropic": set(FAMILIES["anthropic"]),
    "openai": set(FAMILIES["openai"]),
    "google": set(),
    "bedrock": set(),
}


@pytest.mark.parametrize("provider", CALLS)
def test_translation_takes_no_header_of_the_callers_dialect_along(agent, key, simulator, provider):
    key(provider)
    endpoint, model = CALLS[provider]
    body = {"model": model, "max_tokens": 99, "input": "hi"}
    if endpoint != "responses":
        body["messages"] = [{"role": "user", "content": "hi"}]
        del body["input"]
    everything = {name: value for each in FAMILIES.values() for name, value in each.items()}
    agent.post(endpoint, body, headers={**PRIVATE, **everything}).raise_for_status()
    [call] = simulator.calls
    assert call.provider == provider
    assert {name for name in everything if name in call.headers} == BELONGS[provider]
    assert "private" not in repr(call.headers)
    assert agent.token not in repr(call.headers) + call.body.decode()
