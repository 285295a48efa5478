"""Two people change the same key at the same time."""

import threading
from collections.abc import Callable
from datetime import date
from functools import partial

import pytest
from django.db import connection

from byok.actions import (
    KeyAlreadyExists,
    KeyGone,
    add_key,
    delete_key,
    request_test,
    set_enabled,
    set_reminder,
    update_key,
)
from byok.models import KeyTest, ProviderKey
from byok.vault import Secret
from orgs.models import AuditEvent
from orgs.origin import Origin

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = Origin()
ROUNDS = 5


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Run the calls in threads that start together; what each returned or raised, in order."""
    results: list[object] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(number: int) -> None:
        start.wait(10)
        try:
            results[number] = calls[number]()
        except (KeyAlreadyExists, KeyGone) as expected:
            results[number] = expected
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def add(owner, text: str) -> ProviderKey:
    return add_key(
        actor=owner,
        account=owner.account,
        provider="anthropic",
        secret=Secret(text),
        origin=ORIGIN,
    )


def test_of_two_keys_added_at_once_one_is_kept_whole(owner):
    for _ in range(ROUNDS):
        results = at_once(
            lambda: add(owner, "first-" + "1" * 30), lambda: add(owner, "second-" + "2" * 30)
        )
        refused = [result for result in results if isinstance(result, KeyAlreadyExists)]
        [kept] = [result for result in results if isinstance(result, ProviderKey)]
        assert len(refused) == 1
        key = ProviderKey.objects.get()
        assert key == kept
        number = results.index(kept)
        assert key.secret.unseal() == Secret(("first-" + "1" * 30, "second-" + "2" * 30)[number])
        assert AuditEvent.objects.filter(event="byok.key.added", target_id=str(key.pk)).exists()
        delete_key(actor=owner, key=key, origin=ORIGIN)
    assert AuditEvent.objects.filter(event="byok.key.added").count() == ROUNDS


def test_an_update_that_meets_a_delete_never_brings_the_key_back(owner):
    for _ in range(ROUNDS):
        key = add(owner, "old-" + "0" * 30)
        updated, deleted = at_once(
            partial(
                update_key, actor=owner, key=key, secret=Secret("new-" + "1" * 30), origin=ORIGIN
            ),
            partial(delete_key, actor=owner, key=key, origin=ORIGIN),
        )
        assert deleted is None
        assert isinstance(updated, ProviderKey | KeyGone)
        assert not ProviderKey.objects.exists()
        events = AuditEvent.objects.filter(target_id=str(key.pk)).order_by("sequence")
        assert [event.event for event in events][-1] == "byok.key.deleted"


def test_of_two_deletes_one_is_told(owner):
    for _ in range(ROUNDS):
        key = add(owner, "old-" + "0" * 30)
        results = at_once(
            *[partial(delete_key, actor=owner, key=key, origin=ORIGIN)] * 2,
        )
        assert sorted(map(type, results), key=str) == sorted([type(None), KeyGone], key=str)
        deleted = AuditEvent.objects.filter(event="byok.key.deleted", target_id=str(key.pk))
        assert deleted.count() == 1


def test_two_updates_leave_one_of_the_secrets_with_its_own_fingerprint(owner):
    key = add(owner, "old-" + "0" * 30)
    for _ in range(ROUNDS):
        texts = ["first-" + "1" * 30, "second-" + "2" * 30]
        at_once(
            *(
                partial(update_key, actor=owner, key=key, secret=Secret(text), origin=ORIGIN)
                for text in texts
            )
        )
        stored = ProviderKey.objects.get()
        text = stored.secret.unseal().reveal()
        assert text in texts
        assert stored.hint == f"…{text[-4:]}"


def test_different_changes_at_once_are_all_kept(owner):
    key = add(owner, "old-" + "0" * 30)
    at_once(
        lambda: set_enabled(actor=owner, key=key, enabled=False, origin=ORIGIN),
        lambda: set_reminder(actor=owner, key=key, remind_on=date(2030, 1, 1), origin=ORIGIN),
        lambda: update_key(actor=owner, key=key, secret=Secret("new-" + "1" * 30), origin=ORIGIN),
    )
    stored = ProviderKey.objects.get()
    assert not stored.enabled
    assert stored.secret.unseal() == Secret("new-" + "1" * 30)


def test_two_tests_asked_for_at_once_are_one(owner):
    key = add(owner, "old-" + "0" * 30)
    first, second = at_once(
        *[lambda: request_test(actor=owner, key=key, origin=ORIGIN)] * 2,
    )
    assert first == second == KeyTest.objects.get()
