"""S14: each account's chain has no gap, and tampering by someone with all rights is located."""

import hashlib
import json
import os
import threading
import uuid

import pytest
from django.db import connection, transaction

from orgs.actions import create_user
from orgs.audit import link
from orgs.audit.chain import Fault, accounts, walk
from orgs.models import Account, AuditEvent, AuditHead
from orgs.models.audit import START
from orgs.origin import Origin
from tests.guarantees.audit_log import tamper, write

WRITERS = 16
EVENTS_EACH = int(os.environ.get("MEGABRAIN_AUDIT_EVENTS_EACH", "8"))


def at_once(*runs) -> None:
    """Run all in threads of their own; the first error any of them met is raised."""
    errors: list[BaseException] = []

    def guarded(run):
        try:
            run()
        except BaseException as error:  # noqa: BLE001 -- handed to the test below.
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=guarded, args=[run]) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def sequences(account: Account) -> list[int]:
    events = AuditEvent.objects.for_account(account.pk).order_by("sequence")
    return list(events.values_list("sequence", flat=True))


@pytest.mark.django_db(transaction=True)
def test_sixteen_writers_leave_no_gap(account):
    at_once(*[lambda: write(account, EVENTS_EACH)] * WRITERS)
    assert sequences(account) == list(range(1, 2 + WRITERS * EVENTS_EACH))
    chain = walk(account.pk)
    assert chain.fault is None
    assert chain.events == 1 + WRITERS * EVENTS_EACH


@pytest.mark.django_db(transaction=True)
def test_the_first_events_of_an_account_may_come_at_once():
    for _ in range(5):
        account = Account.objects.create(
            kind=Account.Kind.ORGANIZATION, name="Acme", slug=uuid.uuid4().hex
        )
        at_once(*[lambda account=account: write(account)] * 8)
        assert sequences(account) == list(range(1, 9))


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_change_leaves_no_gap(account):
    def abandon():
        for _ in range(EVENTS_EACH):
            with transaction.atomic():
                write(account)
                transaction.set_rollback(True)

    at_once(*[abandon, lambda: write(account, EVENTS_EACH)] * 4)
    assert sequences(account) == list(range(1, 2 + 4 * EVENTS_EACH))


@pytest.mark.django_db(transaction=True)
def test_a_chain_can_be_verified_while_it_grows(account):
    faults: list[Fault] = []

    def watch():
        for _ in range(20):
            faults.extend(chain.fault for chain in map(walk, accounts()) if chain.fault)

    at_once(watch, *[lambda: write(account, EVENTS_EACH)] * 4)
    assert faults == []


@pytest.mark.django_db
def test_an_outsider_can_recompute_a_hash(account):
    """By what docs/audit.md says, with nothing of ours but the columns."""
    write(account)
    row = AuditEvent.objects.for_account(account.pk).values().get(sequence=2)
    content = {
        name: row[name]
        for name in (
            "actor_label",
            "address",
            "changed",
            "details",
            "event",
            "previous_hash",
            "request_id",
            "sequence",
            "target_id",
            "target_kind",
            "target_label",
            "user_agent",
        )
    } | {
        "format": "megabrain-audit-1",
        "account_id": str(row["account_id"]),
        "actor_id": str(row["actor_id"]),
        "created_at": row["created_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == row["hash"]
    first = AuditEvent.objects.for_account(account.pk).get(sequence=1)
    assert first.previous_hash == START
    assert row["previous_hash"] == first.hash


EVENTS = "orgs_auditevent"
EDITS = [
    f"UPDATE {EVENTS} SET {column} = {value} WHERE {{mine}} AND sequence = 5"
    for column, value in {
        "event": "'token.revoked'",
        "actor_id": "NULL",
        "actor_label": "'somebody else'",
        "target_kind": "'user'",
        "target_id": "'1'",
        "target_label": "'another'",
        "changed": "'[\"secret\"]'",
        "details": "'{}'",
        "address": "NULL",
        "user_agent": "''",
        "request_id": "'1'",
        "created_at": "'2020-01-01 00:00:00+00:00'",
        "hash": f"'{'f' * 64}'",
        "previous_hash": f"'{'f' * 64}'",
    }.items()
]
SWAP = [
    f"UPDATE {EVENTS} SET sequence = 1000 WHERE {{mine}} AND sequence = 5",
    f"UPDATE {EVENTS} SET sequence = 5 WHERE {{mine}} AND sequence = 6",
    f"UPDATE {EVENTS} SET sequence = 6 WHERE {{mine}} AND sequence = 1000",
]
MOVE_UP = [
    f"UPDATE {EVENTS} SET sequence = {n - 1} WHERE {{mine}} AND sequence = {n}"
    for n in range(6, 12)
]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statements", "fault", "first_bad"),
    [
        *[([edit], Fault.EDITED, 5) for edit in EDITS],
        ([f"DELETE FROM {EVENTS} WHERE {{mine}} AND sequence = 1"], Fault.MISSING, 1),
        ([f"DELETE FROM {EVENTS} WHERE {{mine}} AND sequence = 5"], Fault.MISSING, 5),
        ([f"DELETE FROM {EVENTS} WHERE {{mine}} AND sequence > 8"], Fault.CUT_OFF, 9),
        ([f"DELETE FROM {EVENTS} WHERE {{mine}}"], Fault.CUT_OFF, 1),
        (SWAP, Fault.EDITED, 5),
        (
            [f"DELETE FROM {EVENTS} WHERE {{mine}} AND sequence = 5", *MOVE_UP],
            Fault.EDITED,
            5,
        ),
        (["DELETE FROM orgs_audithead WHERE {mine}"], Fault.NO_HEAD, 1),
        (["UPDATE orgs_audithead SET sequence = 9 WHERE {mine}"], Fault.HEAD_MOVED, 9),
        (["UPDATE orgs_audithead SET sequence = 12 WHERE {mine}"], Fault.CUT_OFF, 12),
        ([f"UPDATE orgs_audithead SET hash = '{'f' * 64}' WHERE {{mine}}"], Fault.HEAD_MOVED, 11),
        (
            [
                """
                UPDATE orgs_audithead SET sequence = 9, hash = (
                    SELECT hash FROM orgs_auditevent WHERE {mine} AND sequence = 9
                ) WHERE {mine}
                """
            ],
            Fault.BEYOND_HEAD,
            10,
        ),
    ],
)
def test_tampering_is_located(account, statements, fault, first_bad):
    write(account, 10)
    bystander = create_user(email="b@example.com", password="tulip-lantern", origin=Origin())
    tamper(account, *statements)
    chains = {chain.account_id: chain for chain in map(walk, accounts())}
    assert chains[account.pk].fault == fault
    assert chains[account.pk].first_bad == first_bad
    assert chains[account.pk].events == first_bad - 1
    assert chains[bystander.account.pk].fault is None


@pytest.mark.django_db
def test_an_event_rewritten_with_a_fitting_hash_breaks_the_next_link(account):
    write(account, 10)
    event = AuditEvent.objects.for_account(account.pk).get(sequence=5)
    event.actor_label = "somebody else"
    tamper(
        account,
        f"UPDATE {EVENTS} SET actor_label = 'somebody else', hash = '{link(event)}'"
        " WHERE {mine} AND sequence = 5",
    )
    chain = walk(account.pk)
    assert chain.fault == Fault.RELINKED
    assert chain.first_bad == 6


@pytest.mark.django_db
@pytest.mark.parametrize("column", ["details", "created_at", "actor_id"])
def test_an_event_that_cannot_be_read_any_more_is_located(account, column):
    """Only SQLite lets anything stand in any column."""
    if connection.vendor != "sqlite":
        return
    write(account, 10)
    tamper(
        account,
        "PRAGMA ignore_check_constraints = ON",
        f"UPDATE {EVENTS} SET {column} = '{{garbage' WHERE {{mine}} AND sequence = 5",
        "PRAGMA ignore_check_constraints = OFF",
    )
    chain = walk(account.pk)
    assert (chain.fault, chain.first_bad) == (Fault.EDITED, 5)


@pytest.mark.django_db
def test_long_chains_are_read_in_batches(account, django_assert_max_num_queries):
    write(account, 1100)
    with django_assert_max_num_queries(5):
        chain = walk(account.pk)
    assert chain.fault is None
    assert chain.events == 1101
    assert AuditHead.objects.get(pk=account.pk).sequence == 1101
