"""S22: whatever happens to an enabled key, nobody else's key and no balance pays for the call,
unless its owner has chosen so.

The platform has a working key for the same models all the time, and the balance is ample.
"""

import pytest
from django.db import connection

from billing.models import Hold, LedgerEntry, UsageRecord
from byok.actions import set_on_failure
from byok.catalogue import version
from byok.models import Offering, ProviderKey, Source
from megabrain.simulator.providers import sample_keys
from orgs.changes import announce
from orgs.origin import Origin
from tests.balance_fixture import DOLLAR
from tests.gateway.dialect import CHAT, DIALECTS, Dialect, add_keys
from tests.gateway.raw_upstream import Wire, raw_upstream

#: How a key fails, and what its owner is told at Chat Completions.
FAILURES = {
    "401": 403,
    "402": 403,
    "403": 403,
    "404": 404,
    "429": 429,
    "500": 503,
    "529": 503,
    "hang": 503,
    "bad": 503,
}
ERROR, BALANCE = ProviderKey.OnFailure.ERROR, ProviderKey.OnFailure.BALANCE
#: Two providers serve it.
SHARED = "openai/gpt-oss-120b"


@pytest.fixture
def own_keys(platform_key):
    """MegaBrain's own keys, which work."""
    return {provider: platform_key(provider) for provider in ("openai", "anthropic", "fireworks")}


@pytest.fixture
def failing(key, settings):
    """A key that fails in this way, and what its owner wants then."""
    settings.MEGABRAIN_IDLE_SECONDS = 1

    def failing(provider: str, word: str, choice: ProviderKey.OnFailure) -> ProviderKey:
        settings.MEGABRAIN_FIRST_BYTE_SECONDS = 0.3 if word == "hang" else 120
        stored: ProviderKey = key(provider, word)
        ProviderKey.objects.filter(pk=stored.pk).update(on_failure=choice)
        return stored

    return failing


@pytest.mark.parametrize("word", FAILURES)
def test_only_the_owners_key_is_asked_and_nothing_is_charged(
    agent, failing, own_keys, fund, usage_row, simulator, settled_wallet, word
):
    fund()
    stored = failing("openai", word, ERROR)
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
    assert settled_wallet().posted_micros == 20 * DOLLAR
    assert not Hold.objects.exists()


@pytest.mark.parametrize("word", FAILURES)
def test_where_its_owner_chose_so_the_balance_pays_and_the_receipt_says_it(
    agent, failing, own_keys, fund, usage_row, settled_wallet, word
):
    fund()
    stored = failing("openai", word, BALANCE)
    answer = agent.post(CHAT.path, CHAT.body(stream=False))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-megabrain-payer"] == "balance"
    assert answer.headers["x-megabrain-key"] == str(own_keys["openai"].pk)[:8]
    assert answer.headers["x-megabrain-tried"].startswith(f"openai/{str(stored.pk)[:8]}=")
    row = usage_row(answer.headers["x-request-id"])
    assert (row.payer, row.provider_key_id) == ("balance", own_keys["openai"].pk)
    assert row.charged_micros == row.market_micros > 0
    assert settled_wallet().posted_micros == 20 * DOLLAR - row.charged_micros


@pytest.mark.parametrize("word", ["401", "429", "500"])
def test_where_he_chose_so_and_the_balance_is_empty_he_is_told_of_both(
    agent, failing, own_keys, usage_row, simulator, word
):
    stored = failing("openai", word, BALANCE)
    answer = agent.post(CHAT.path, CHAT.body())
    assert answer.status_code == FAILURES[word]
    error = CHAT.error(answer)
    assert str(stored.pk)[:8] in error.message
    assert "Your balance of $0.00 does not cover this call" in error.message
    assert answer.headers["x-megabrain-payer"] == "byok"
    working = sample_keys()["openai"]
    assert all(working not in str(call.headers) for call in simulator.calls)
    assert usage_row(answer.headers["x-request-id"]).payer == "byok"


@pytest.mark.parametrize("choices", [(ERROR, BALANCE), (BALANCE, ERROR)], ids=str)
def test_every_key_that_was_tried_must_allow_it(
    agent, failing, own_keys, fund, settled_wallet, choices
):
    fund()
    for provider, choice in zip(("novita", "fireworks"), choices, strict=True):
        failing(provider, "401", choice)
    answer = agent.post(CHAT.path, CHAT.body(model=SHARED))
    assert (answer.status_code, answer.headers["x-megabrain-payer"]) == (403, "byok")
    assert settled_wallet().posted_micros == 20 * DOLLAR
    ProviderKey.objects.exclude(account__kind="platform").update(on_failure=BALANCE)
    announce("catalogue")
    answer = agent.post(CHAT.path, CHAT.body(model=SHARED))
    assert (answer.status_code, answer.headers["x-megabrain-payer"]) == (200, "balance")


@pytest.mark.parametrize("choice", [ERROR, BALANCE], ids=str)
def test_what_its_owner_chooses_while_it_is_asked_counts(
    agent, failing, own_keys, owner, fund, settings, settled_wallet, choice
):
    """Minutes may pass until it has failed."""
    fund()
    stored = failing("openai", "ok", BALANCE if choice == ERROR else ERROR)

    def refuse(wire: Wire) -> None:
        if wire.number == 1:
            set_on_failure(actor=owner, key=stored, on_failure=choice, origin=Origin())
            connection.close()
            agent.get("models")
        wire.whole(401, b"")

    with raw_upstream(refuse) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        answer = agent.post(CHAT.path, CHAT.body())
    expected = "byok" if choice == ERROR else "balance"
    assert answer.headers["x-megabrain-payer"] == expected
    assert len(upstream.requests) == (1 if choice == ERROR else 2)
    assert settled_wallet().posted_micros == 20 * DOLLAR


def test_a_key_that_was_not_tried_for_want_of_attempts_has_not_failed(
    agent, failing, platform_key, fund, simulator, settled_wallet
):
    fund()
    platform_key("fireworks")
    for provider in ("novita", "fireworks", "deepseek", "moonshotai", "xai"):
        if provider not in ("novita", "fireworks"):
            Offering.objects.create(
                model_id=SHARED, provider=provider, upstream_id="gpt-oss", source=Source.STAFF
            )
        # Each is tried twice, so eight attempts are not enough for all.
        failing(provider, "ok" if provider == "xai" else "500", BALANCE)
    version.changed()
    answer = agent.post(CHAT.path, CHAT.body(model=SHARED))
    assert answer.headers["x-megabrain-attempts"] == "8"
    assert (answer.status_code, answer.headers["x-megabrain-payer"]) == (503, "byok")
    assert settled_wallet().posted_micros == 20 * DOLLAR
    assert not Hold.objects.exists()


def test_a_request_that_is_refused_for_its_own_sake_goes_no_further(
    agent, failing, own_keys, fund, simulator, settled_wallet
):
    fund()
    failing("openai", "400", BALANCE)
    answer = agent.post(CHAT.path, CHAT.body())
    assert (answer.status_code, answer.headers["x-megabrain-payer"]) == (400, "byok")
    assert len(simulator.calls) == 1
    assert settled_wallet().posted_micros == 20 * DOLLAR


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_call_that_a_key_serves_charges_nothing(
    agent, key, own_keys, fund, usage_row, settled_wallet, dialect: Dialect
):
    fund()
    add_keys(key)
    ProviderKey.objects.exclude(account__kind="platform").update(on_failure=BALANCE)
    answer = agent.post(dialect.path, dialect.body())
    row = usage_row(answer.headers["x-request-id"])
    assert (answer.headers["x-megabrain-payer"], row.payer) == ("byok", "byok")
    assert row.charged_micros == 0
    assert row.market_micros > 0
    assert UsageRecord.objects.exclude(charged_micros=0).count() == 0
    assert not LedgerEntry.objects.filter(kind=LedgerEntry.Kind.USAGE).exists()
    assert settled_wallet().posted_micros == 20 * DOLLAR


def test_a_call_that_no_key_serves_asks_nobody_without_a_balance(
    agent, own_keys, usage_row, simulator
):
    answer = agent.post(CHAT.path, CHAT.body())
    assert answer.status_code == 402
    assert answer.headers["x-megabrain-payer"] == "none"
    assert simulator.calls == []
    assert usage_row(answer.headers["x-request-id"]).charged_micros == 0
