"""What workers find out about the chains, bit by bit, and keep for the page."""

import logging
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from orgs.audit import verification
from orgs.audit.chain import Fault, Link, walk
from orgs.models import Account, AuditCheck, AuditEvent
from orgs.tasks import verify_audit_chains
from tests.database.management.commands.flush import unprotected
from tests.guarantees.audit_log import tamper, write

pytestmark = pytest.mark.django_db


def check_of(account: Account) -> AuditCheck:
    return AuditCheck.objects.get(pk=account.pk)


def a_day_later() -> None:
    """The last walk of every chain is long past."""
    AuditCheck.objects.update(walked_at=timezone.now() - timedelta(days=2))


def test_new_events_are_verified_from_where_the_last_time_ended(account):
    write(account, 10)
    verify_audit_chains()
    assert (check_of(account).sequence, check_of(account).fault) == (11, "")
    tamper(account, "UPDATE orgs_auditevent SET event = 'x' WHERE {mine} AND sequence = 3")
    write(account, 5)
    verify_audit_chains()
    assert (check_of(account).sequence, check_of(account).fault) == (16, "")


def test_once_a_day_every_chain_is_walked_anew(account, stranger, caplog):
    write(account, 10)
    verify_audit_chains()
    tamper(account, "UPDATE orgs_auditevent SET event = 'x' WHERE {mine} AND sequence = 3")
    a_day_later()
    with caplog.at_level(logging.ERROR):
        verify_audit_chains()
        verify_audit_chains()
    assert (check_of(account).fault, check_of(account).first_bad) == ("EDITED", 3)
    assert check_of(stranger.account).fault == ""
    assert caplog.text.count("audit.chain_broken") == 1, "it is told once"


def test_all_chains_that_are_due_are_walked_if_there_is_time(account):
    """More of them than are looked up at once, and most of one moment."""
    verify_audit_chains()
    past = timezone.now() - timedelta(days=3)
    AuditCheck.objects.bulk_create(
        AuditCheck(pk=uuid.uuid4(), walked_at=past) for _ in range(verification.BATCH + 5)
    )
    a_day_later()
    verification.walk_anew(seconds=300)
    assert not AuditCheck.objects.filter(walked_at__lt=timezone.now() - timedelta(hours=1)).exists()


def test_a_chain_that_is_as_it_was_again_is_called_so_after_its_next_walk(account):
    write(account, 10)
    event = AuditEvent.objects.for_account(account.pk).get(sequence=3)
    tamper(account, "UPDATE orgs_auditevent SET event = 'x' WHERE {mine} AND sequence = 3")
    verify_audit_chains()
    assert (check_of(account).sequence, check_of(account).fault) == (0, "EDITED")
    tamper(
        account,
        f"UPDATE orgs_auditevent SET event = '{event.event}' WHERE {{mine}} AND sequence = 3",
    )
    verify_audit_chains()
    assert check_of(account).fault == "EDITED"
    a_day_later()
    verify_audit_chains()
    assert (check_of(account).sequence, check_of(account).fault) == (11, "")


@pytest.mark.parametrize(
    ("statement", "going_on", "anew"),
    [
        ("DELETE FROM orgs_audithead WHERE {mine}", (Fault.NO_HEAD, 11), ("NO_HEAD", 1)),
        (
            "UPDATE orgs_audithead SET sequence = 9 WHERE {mine}",
            (Fault.BEYOND_HEAD, 10),
            ("HEAD_MOVED", 9),
        ),
        (
            f"UPDATE orgs_audithead SET hash = '{'f' * 64}' WHERE {{mine}}",
            (Fault.HEAD_MOVED, 11),
            ("HEAD_MOVED", 11),
        ),
        (
            "DELETE FROM orgs_auditevent WHERE {mine} AND sequence > 9",
            (Fault.GONE, 10),
            ("CUT_OFF", 10),
        ),
    ],
)
def test_an_end_that_is_not_as_it_was_verified_is_found(account, statement, going_on, anew):
    write(account, 10)
    verify_audit_chains()
    known = check_of(account)
    tamper(account, statement)
    found = walk(account.pk, Link(known.sequence, known.hash))
    assert (found.fault, found.first_bad) == going_on
    a_day_later()
    verify_audit_chains()
    assert (check_of(account).fault, check_of(account).first_bad) == anew


def test_when_time_is_up_the_next_turn_goes_on(account):
    write(account, 10)
    at = walk(account.pk, deadline=0)
    assert (at.events, at.unfinished) == (1, True)
    while at.unfinished:
        at = walk(account.pk, at.end, deadline=0)
    assert (at.events, at.fault) == (11, None)
    verification.verify_new_events(seconds=0)
    assert not AuditCheck.objects.exists()


def test_a_turn_that_another_worker_overtook_changes_nothing(account):
    write(account, 10)
    stale = verification.check_of(account.pk)
    verification.verify_new_events(seconds=60)
    tamper(account, "UPDATE orgs_auditevent SET event = 'x' WHERE {mine} AND sequence = 3")
    verification._note(stale, walk(account.pk))
    assert (check_of(account).sequence, check_of(account).fault) == (11, "")


def test_nothing_is_walked_for_a_chain_that_did_not_grow(account, django_assert_max_num_queries):
    write(account, 10)
    verify_audit_chains()
    before = check_of(account).checked_at
    with django_assert_max_num_queries(3):
        verify_audit_chains()
    assert check_of(account).checked_at == before


def test_an_account_that_is_gone_is_verified_still(account, owner):
    write(account, 3)
    owner.delete()
    verify_audit_chains()
    assert check_of(account).sequence == 4
    with unprotected(connection), connection.cursor() as cursor:
        cursor.execute("UPDATE orgs_auditevent SET actor_label = 'x' WHERE sequence = 2")
    a_day_later()
    verify_audit_chains()
    assert check_of(account).first_bad == 2
