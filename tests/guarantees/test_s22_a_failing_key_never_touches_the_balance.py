"""S22: whatever happens to an enabled key, nobody else's key and no balance pays for the call.

The platform has a working key for the same models all the time. It is never asked.
"""

import pytest

from billing.models import UsageRecord
from byok.models import ProviderKey
from megabrain.simulator.providers import sample_keys
from orgs.models import Account
from tests.gateway.dialect import CHAT, DIALECTS, Dialect, add_keys

#: How a key fails, and what its owner is told at Chat Completions.
FAILURES = {
    "401": 403,
    "402": 403,
    "403": 403,
    "404": 404,
    "429": 429,
    "500": 502,
    "529": 503,
    "hang": 504,
    "bad": 502,
}


@pytest.fixture
def platform_keys(key):
    """MegaBrain's own keys, which work."""
    platform = Account.objects.platform()
    for provider in ("openai", "anthropic"):
        key(provider, actor=None, account=platform)
    return platform


@pytest.mark.parametrize("choice", ProviderKey.OnFailure)
@pytest.mark.parametrize("word", FAILURES)
def test_only_the_owners_key_is_asked_and_nothing_is_charged(
    agent, key, platform_keys, usage_row, simulator, settings, word, choice
):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 0.3 if word == "hang" else 120
    settings.MEGABRAIN_IDLE_SECONDS = 1
    stored = key("openai", word)
    # There is no balance to go on to, whatever the owner has chosen.
    ProviderKey.objects.filter(pk=stored.pk).update(on_failure=choice)
    answer = agent.post(CHAT.path, CHAT.body(stream=False))
    assert answer.status_code == FAILURES[word], answer.text
    assert answer.headers["x-megabrain-payer"] == "byok"
    assert answer.headers["x-megabrain-key"] == str(stored.pk)[:8]
    working = sample_keys()["openai"]
    assert simulator.calls
    assert all(working not in str(call.headers) for call in simulator.calls)
    row = usage_row(answer.headers["x-request-id"])
    assert (row.payer, row.charged_micros) == ("byok", 0)
    assert {attempt["key"] for attempt in row.attempts} == {str(stored.pk)}


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_call_that_a_key_serves_charges_nothing(
    agent, key, platform_keys, usage_row, dialect: Dialect
):
    add_keys(key)
    answer = agent.post(dialect.path, dialect.body())
    row = usage_row(answer.headers["x-request-id"])
    assert (answer.headers["x-megabrain-payer"], row.payer) == ("byok", "byok")
    assert row.charged_micros == 0
    assert row.market_micros > 0
    assert UsageRecord.objects.exclude(charged_micros=0).count() == 0


def test_a_call_that_no_key_serves_asks_nobody(agent, platform_keys, usage_row, simulator):
    answer = agent.post(CHAT.path, CHAT.body())
    assert answer.status_code == 404
    assert answer.headers["x-megabrain-payer"] == "none"
    assert simulator.calls == []
    assert usage_row(answer.headers["x-request-id"]).charged_micros == 0
