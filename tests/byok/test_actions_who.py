"""Who may change a provider key: asked while the account is held; staff may less than managers."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from byok.actions import (
    AccountGone,
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
from orgs.actions import change_role
from orgs.models import Account, AuditEvent, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.byok.conftest import ANTHROPIC_SECRET, OPENAI_SECRET

ORIGIN = Origin()
OTHER = Secret("sk-ant-api03-another-0123456789abcdefghij")

Change = Callable[[User, ProviderKey], object]
CHANGES: dict[str, Change] = {
    "add": lambda actor, key: add_key(
        actor=actor,
        account=key.account,
        provider="openai",
        secret=Secret(OPENAI_SECRET),
        origin=ORIGIN,
    ),
    "update": lambda actor, key: update_key(actor=actor, key=key, secret=OTHER, origin=ORIGIN),
    "enable": lambda actor, key: set_enabled(actor=actor, key=key, enabled=True, origin=ORIGIN),
    "disable": lambda actor, key: set_enabled(actor=actor, key=key, enabled=False, origin=ORIGIN),
    "remind": lambda actor, key: set_reminder(
        actor=actor, key=key, remind_on=key.created_at.date(), origin=ORIGIN
    ),
    "delete": lambda actor, key: delete_key(actor=actor, key=key, origin=ORIGIN),
    "test": lambda actor, key: request_test(actor=actor, key=key, origin=ORIGIN),
}
WAITS_FOR_US = """
    SELECT EXISTS (
        SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
    )
"""
STAFF_MAY = {"disable": "byok.key.disabled", "test": "byok.key.tested"}


@pytest.fixture
def key(owner: User, organization: Account) -> ProviderKey:
    """Acme's key."""
    return add_key(
        actor=owner,
        account=organization,
        provider="anthropic",
        secret=Secret(ANTHROPIC_SECRET),
        origin=ORIGIN,
    )


def stored() -> str:
    rows = ProviderKey.objects.order_by("pk").values_list(
        "pk", "enabled", "remind_on", "fingerprint"
    )
    return repr([*rows, KeyTest.objects.count(), AuditEvent.objects.count()])


@pytest.mark.django_db
@pytest.mark.parametrize("change", CHANGES)
def test_staff_may_try_and_stop_the_key_of_others_and_nothing_else(key, staff, change):
    before = stored()
    if change in STAFF_MAY:
        CHANGES[change](staff, key)
        event = AuditEvent.objects.for_account(key.account_id).order_by("-sequence").first()
        assert event is not None
        assert (event.event, event.actor_label) == (STAFF_MAY[change], "staff@example.com")
        return
    with pytest.raises(NotPermitted):
        CHANGES[change](staff, key)
    assert stored() == before


@pytest.mark.django_db
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("who", ["member", "stranger"])
def test_members_and_strangers_may_do_none_of_it(key, who, change, request):
    user = request.getfixturevalue(who)
    before = stored()
    with pytest.raises(NotPermitted):
        CHANGES[change](user, key)
    assert stored() == before


@pytest.mark.django_db
@pytest.mark.parametrize("change", CHANGES)
def test_of_an_account_that_is_gone_there_is_no_key_to_change(key, owner, change):
    key = ProviderKey.objects.get(pk=key.pk)
    if change == "add":
        assert key.account
    Account.objects.filter(pk=key.account_id).delete()
    with pytest.raises(AccountGone) as gone:
        CHANGES[change](owner, key)
    assert isinstance(gone.value, KeyGone)
    assert not ProviderKey.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", [name for name in CHANGES if name != "enable"])
def test_a_manager_who_is_losing_the_role_is_asked_after_it_is_lost(
    key, owner, billing_manager, change
):
    """The change begins while the demotion is under way, and waits for it."""
    membership = Membership.objects.get(account=key.account, user=billing_manager)
    results: list[object] = []
    begins = threading.Event()

    def noticing(execute: Any, sql: str, *arguments: Any) -> Any:  # Any: Django's own.
        if sql.startswith("BEGIN"):
            begins.set()
        return execute(sql, *arguments)

    def act() -> None:
        try:
            with connection.execute_wrapper(noticing):
                results.append(CHANGES[change](billing_manager, key))
        except NotPermitted as refused:
            results.append(refused)
        finally:
            connection.close()
            begins.set()

    changing = threading.Thread(target=act)
    with transaction.atomic():
        change_role(actor=owner, membership=membership, role="member", origin=ORIGIN)
        changing.start()
        until_it_waits(changing, begins)
        before = stored()
    changing.join(60)
    assert [type(result) for result in results] == [NotPermitted]
    assert stored() == before


def until_it_waits(changing: threading.Thread, begins: threading.Event) -> None:
    """Until the thread's transaction waits for the end of ours, or has ended without."""
    if connection.vendor == "sqlite":
        # One that writes waits where it begins.
        assert begins.wait(60)
        return
    with connection.cursor() as cursor:
        while changing.is_alive():
            cursor.execute(WAITS_FOR_US)
            if cursor.fetchone() == (True,):
                return
            time.sleep(0.01)
