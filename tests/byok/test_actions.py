"""What each change of a provider key guarantees, asked of the actions themselves."""

import datetime
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from byok.actions import (
    NOT_QUEUED,
    KeyAlreadyExists,
    KeyGone,
    TooManyTests,
    add_key,
    delete_key,
    request_test,
    set_enabled,
    set_reminder,
    update_key,
)
from byok.models import KeyTest, ProviderKey
from byok.vault import Secret
from megabrain.celery import app as celery
from orgs.changes import subscribe
from orgs.models import AuditEvent, User
from orgs.origin import Origin
from tests.byok.conftest import ANTHROPIC_SECRET, OPENAI_SECRET

ORIGIN = Origin(address="203.0.113.7", user_agent="a browser", request_id="request-1")


@pytest.fixture
def announced() -> Iterator[list[tuple[str, str]]]:
    """What other processes were told, in order."""
    heard: list[tuple[str, str]] = []
    unsubscribe = subscribe(lambda kind, changed: heard.append((kind, changed)))
    yield heard
    unsubscribe()


def events_of(account) -> list[str]:
    found = AuditEvent.objects.for_account(account.pk).order_by("sequence")
    return list(found.values_list("event", flat=True))


# Adding ------------------------------------------------------------------------------------


def test_an_added_key_is_sealed_enabled_and_untested(anthropic_key, owner):
    key = ProviderKey.objects.get()
    assert key.secret.unseal() == Secret(ANTHROPIC_SECRET)
    assert key.enabled
    assert key.health == ProviderKey.Health.UNTESTED
    assert key.created_by == owner
    assert key.hint == "sk-ant-api03-…ghij"


def test_adding_is_recorded_with_who_and_from_where(owner, account):
    key = add_key(
        actor=owner,
        account=account,
        provider="openai",
        secret=Secret(OPENAI_SECRET),
        origin=ORIGIN,
    )
    event = AuditEvent.objects.get(event="byok.key.added")
    assert (event.actor_id, event.target_id) == (owner.pk, str(key.pk))
    assert (event.address, event.request_id) == ("203.0.113.7", "request-1")
    assert event.target_label == "OpenAI"


def test_a_second_key_for_a_provider_is_refused_and_changes_nothing(anthropic_key, owner, account):
    before = events_of(account)
    with pytest.raises(KeyAlreadyExists):
        add_key(
            actor=owner,
            account=account,
            provider="anthropic",
            secret=Secret("another-secret-entirely-0123456789"),
            origin=ORIGIN,
        )
    assert ProviderKey.objects.get().secret.unseal() == Secret(ANTHROPIC_SECRET)
    assert events_of(account) == before


def test_each_account_may_have_its_own_key_for_a_provider(anthropic_key, stranger):
    add_key(
        actor=stranger,
        account=stranger.account,
        provider="anthropic",
        secret=Secret(ANTHROPIC_SECRET),
        origin=ORIGIN,
    )
    assert ProviderKey.objects.filter(provider="anthropic").count() == 2


def test_an_unknown_provider_is_refused(owner, account):
    with pytest.raises(KeyError):
        add_key(actor=owner, account=account, provider="nobody", secret=Secret("x"), origin=ORIGIN)


def test_a_short_secret_gets_no_hint(owner, account):
    key = add_key(
        actor=owner, account=account, provider="openai", secret=Secret("sk-short"), origin=ORIGIN
    )
    assert key.hint == ""


# Updating ----------------------------------------------------------------------------------


def test_an_update_replaces_the_secret_and_forgets_the_old_ones_health(anthropic_key, owner):
    ProviderKey.objects.update(
        health=ProviderKey.Health.FAILING,
        health_code="rejected",
        health_message="Anthropic rejected this key.",
        health_at=timezone.now(),
        secret_changed_at=timezone.now() - timedelta(days=90),
        remind_on=datetime.date(2020, 1, 1),
        enabled=False,
    )
    update_key(actor=owner, key=anthropic_key, secret=Secret("new-" + "x" * 30), origin=ORIGIN)
    key = ProviderKey.objects.get()
    assert key.secret.unseal() == Secret("new-" + "x" * 30)
    assert key.hint == "…xxxx"
    assert (key.health, key.health_code, key.health_message) == ("untested", "", "")
    assert key.health_at is None
    assert timezone.now() - key.secret_changed_at < timedelta(minutes=1)
    assert key.remind_on is None
    assert not key.enabled


def test_an_update_names_the_changed_field_and_not_its_value(anthropic_key, owner):
    update_key(actor=owner, key=anthropic_key, secret=Secret("new-" + "x" * 30), origin=ORIGIN)
    event = AuditEvent.objects.get(event="byok.key.updated")
    assert event.changed == ["secret"]
    assert event.details == {}


def test_an_update_of_a_key_that_is_gone_does_not_bring_it_back(anthropic_key, owner):
    delete_key(actor=owner, key=anthropic_key, origin=ORIGIN)
    with pytest.raises(KeyGone):
        update_key(actor=owner, key=anthropic_key, secret=Secret("x"), origin=ORIGIN)
    assert not ProviderKey.objects.exists()


def test_an_update_leaves_what_the_gateway_noted_meanwhile(anthropic_key, owner):
    used = timezone.now()
    ProviderKey.objects.update(last_used_at=used)
    update_key(actor=owner, key=anthropic_key, secret=Secret("x" * 30), origin=ORIGIN)
    assert ProviderKey.objects.get().last_used_at == used


# Switching, reminding, deleting ------------------------------------------------------------


def test_switching_off_twice_is_one_change(anthropic_key, owner, account):
    assert set_enabled(actor=owner, key=anthropic_key, enabled=False, origin=ORIGIN)
    assert not set_enabled(actor=owner, key=anthropic_key, enabled=False, origin=ORIGIN)
    assert not ProviderKey.objects.get().enabled
    assert events_of(account).count("byok.key.disabled") == 1


def test_switching_on_again_is_recorded(anthropic_key, owner, account):
    set_enabled(actor=owner, key=anthropic_key, enabled=False, origin=ORIGIN)
    set_enabled(actor=owner, key=anthropic_key, enabled=True, origin=ORIGIN)
    assert ProviderKey.objects.get().enabled
    assert events_of(account)[-1] == "byok.key.enabled"


def test_a_reminder_is_set_changed_and_cleared(anthropic_key, owner, account):
    day = datetime.date(2030, 5, 1)
    assert set_reminder(actor=owner, key=anthropic_key, remind_on=day, origin=ORIGIN)
    assert not set_reminder(actor=owner, key=anthropic_key, remind_on=day, origin=ORIGIN)
    assert ProviderKey.objects.get().remind_on == day
    assert set_reminder(actor=owner, key=anthropic_key, remind_on=None, origin=ORIGIN)
    assert ProviderKey.objects.get().remind_on is None
    assert events_of(account).count("byok.key.reminder_changed") == 2


def test_deleting_removes_the_sealed_secret_and_keeps_the_history(anthropic_key, owner, account):
    request_test(actor=owner, key=anthropic_key, origin=ORIGIN)
    key_id = str(anthropic_key.pk)
    delete_key(actor=owner, key=anthropic_key, origin=ORIGIN)
    assert not ProviderKey.objects.exists()
    assert not KeyTest.objects.exists()
    history = AuditEvent.objects.for_account(account.pk).filter(target_id=key_id)
    assert [event.event for event in history.order_by("sequence")] == [
        "byok.key.added",
        "byok.key.tested",
        "byok.key.deleted",
    ]


# Whoever may not ---------------------------------------------------------------------------


def changes_of(key: ProviderKey, actor: User) -> list[Callable[[], object]]:
    """Every change there is, each as a call that `actor` makes."""
    common: Any = {"actor": actor, "origin": ORIGIN}
    return [
        lambda: add_key(
            account=key.account, provider="openai", secret=Secret(OPENAI_SECRET), **common
        ),
        lambda: update_key(key=key, secret=Secret("x" * 30), **common),
        lambda: set_enabled(key=key, enabled=False, **common),
        lambda: set_reminder(key=key, remind_on=datetime.date(2030, 1, 1), **common),
        lambda: request_test(key=key, **common),
        lambda: delete_key(key=key, **common),
    ]


def test_every_change_is_recorded_and_announced(
    anthropic_key, owner, account, announced, django_capture_on_commit_callbacks
):
    for change in changes_of(anthropic_key, owner):
        before = len(events_of(account))
        announced.clear()
        with django_capture_on_commit_callbacks(execute=True):
            result = change()
        assert len(events_of(account)) == before + 1
        # A test changes nothing that others remember; what it finds is announced when it ends.
        assert isinstance(result, KeyTest) or ("keys", str(account.pk)) in announced


# Testing -----------------------------------------------------------------------------------


def test_a_test_waits_in_the_queue_and_is_recorded(anthropic_key, owner, account):
    test = request_test(actor=owner, key=anthropic_key, origin=ORIGIN)
    assert test.state == KeyTest.State.QUEUED
    assert test.requested_by == owner
    assert events_of(account)[-1] == "byok.key.tested"


def test_while_a_test_is_under_way_another_request_joins_it(anthropic_key, owner, account):
    first = request_test(actor=owner, key=anthropic_key, origin=ORIGIN)
    assert request_test(actor=owner, key=anthropic_key, origin=ORIGIN) == first
    assert events_of(account).count("byok.key.tested") == 1


def finish(test: KeyTest) -> None:
    KeyTest.objects.filter(pk=test.pk).update(
        state=KeyTest.State.PASSED, finished_at=timezone.now()
    )


def test_the_seventh_test_within_a_minute_is_refused_and_says_when(anthropic_key, owner):
    for _ in range(6):
        finish(request_test(actor=owner, key=anthropic_key, origin=ORIGIN))
    with pytest.raises(TooManyTests) as refused:
        request_test(actor=owner, key=anthropic_key, origin=ORIGIN)
    assert 50 <= refused.value.seconds <= 60
    KeyTest.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    request_test(actor=owner, key=anthropic_key, origin=ORIGIN)


@pytest.mark.django_db(transaction=True)
def test_only_the_tests_id_goes_into_the_queue(anthropic_key, owner):
    with celery.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        queue.clear()
        test = request_test(actor=owner, key=anthropic_key, origin=ORIGIN)
        message = queue.get(timeout=5)
        message.ack()
        arguments, options, _ = message.payload
        assert (arguments, options) == ([str(test.pk)], {})


@pytest.fixture
def no_queue() -> Iterator[None]:
    """A task queue that cannot be reached."""
    app: Any = celery  # Its types know neither changing the setting nor forgetting connections.
    before = app.conf.broker_url
    app.conf.broker_url = "redis://127.0.0.1:1/0"
    app._pool = app.amqp._producer_pool = None
    yield
    app.conf.broker_url = before
    app._pool = app.amqp._producer_pool = None


@pytest.mark.django_db(transaction=True)
def test_without_a_queue_a_test_ends_as_failed_and_says_why(anthropic_key, owner, no_queue):
    request_test(actor=owner, key=anthropic_key, origin=ORIGIN)
    test = KeyTest.objects.get()
    assert (test.state, test.code) == (KeyTest.State.FAILED, NOT_QUEUED)
    assert "queue cannot be reached" in test.message
    assert ProviderKey.objects.get().health == ProviderKey.Health.UNTESTED
    request_test(actor=owner, key=anthropic_key, origin=ORIGIN)
    assert KeyTest.objects.count() == 2
