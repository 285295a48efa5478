"""The page of one key."""

from datetime import timedelta

from django.utils import timezone

from billing.models import UsageRecord
from byok.actions import set_enabled, update_key
from byok.models import KeyTest, ProviderKey
from byok.vault import Secret
from orgs.origin import Origin
from tests.byok.conftest import address, text_of


def used(key: ProviderKey, *, hours_ago: float = 1, outcome: str = "ok", micros: int = 0) -> None:
    UsageRecord.objects.create(
        account_id=key.account_id,
        endpoint="messages",
        model="anthropic/claude-haiku-4.5",
        provider=key.provider,
        provider_key_id=key.pk,
        payer=UsageRecord.Payer.BYOK,
        status=200,
        outcome=outcome,
        market_micros=micros,
        latency_ms=900,
        created_at=timezone.now() - timedelta(hours=hours_ago),
    )


def test_it_sums_up_the_last_24_hours(owner_client, anthropic_key):
    for _ in range(3):
        used(anthropic_key, micros=1_234_567)
    used(anthropic_key, outcome="byok_rate_limited")
    used(anthropic_key, hours_ago=25, micros=9_000_000)
    page = text_of(owner_client.get(address("details", anthropic_key)))
    assert "Requests 4 last 24 hours" in page
    assert "Answered 75% without an error" in page
    assert "Market cost $3.7037 billed by the provider" in page


def test_without_use_it_claims_no_rate(owner_client, anthropic_key):
    page = text_of(owner_client.get(address("details", anthropic_key)))
    assert "Requests 0 last 24 hours Answered – without an error" in page


def test_use_of_another_key_does_not_count(owner_client, anthropic_key, stranger):
    used(ProviderKey(account=stranger.account, provider="anthropic"))
    page = text_of(owner_client.get(address("details", anthropic_key)))
    assert "Requests 0" in page


def test_it_says_what_is_wrong_and_what_to_do(owner_client, anthropic_key):
    ProviderKey.objects.update(
        health=ProviderKey.Health.FAILING,
        health_code="rejected",
        health_message="Anthropic rejected this key: create a new one.",
    )
    page = text_of(owner_client.get(address("details", anthropic_key)))
    assert "Failing Rejected by the provider" in page
    assert "Anthropic rejected this key: create a new one." in page


def test_it_tells_its_age_who_added_it_and_what_happened_to_it(owner_client, owner, anthropic_key):
    set_enabled(actor=owner, key=anthropic_key, enabled=False, origin=Origin())
    update_key(actor=owner, key=anthropic_key, secret=Secret("x" * 30), origin=Origin())
    ProviderKey.objects.update(secret_changed_at=timezone.now() - timedelta(days=40))
    page = text_of(owner_client.get(address("details", anthropic_key)))
    assert "Secret saved 1 mo ago" in page
    assert "by you" in page
    activity = page[page.index("Activity") :]
    told = [
        "You replaced the secret of the Anthropic key",
        "You disabled the Anthropic key",
        "You added the Anthropic key",
    ]
    places = [activity.index(sentence) for sentence in told]
    assert places == sorted(places)


def test_it_shows_the_last_five_tests(owner_client, anthropic_key):
    ProviderKey.objects.update(secret_changed_at=timezone.now() - timedelta(hours=1))
    for number in range(7):
        at = timezone.now() - timedelta(minutes=number)
        KeyTest.objects.create(
            key=anthropic_key,
            state=KeyTest.State.PASSED,
            message=f"Result number {number}.",
            created_at=at,
            finished_at=at,
        )
    page = text_of(owner_client.get(address("details", anthropic_key)))
    assert [number for number in range(7) if f"Result number {number}." in page] == [0, 1, 2, 3, 4]


def test_tests_of_the_former_secret_are_not_listed(owner_client, anthropic_key):
    before = anthropic_key.secret_changed_at - timedelta(minutes=1)
    KeyTest.objects.create(
        key=anthropic_key,
        state=KeyTest.State.PASSED,
        message="The former one worked.",
        created_at=before,
        finished_at=before,
    )
    page = text_of(owner_client.get(address("details", anthropic_key)))
    assert "The former one worked." not in page
    assert "This secret was never tested." in page


def test_it_says_honestly_what_happens_when_the_key_fails(owner_client, anthropic_key):
    page = text_of(owner_client.get(address("details", anthropic_key)))
    assert "Other keys that can serve the call are tried first." in page
    assert "Return the error" in page
    assert "If it does not cover the call" in page
