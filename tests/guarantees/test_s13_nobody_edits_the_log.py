"""S13: nobody can edit the audit log through the application or its database role."""

import pytest
from django.db import DatabaseError, connection, transaction

from orgs.models import AuditEvent, AuditHead
from orgs.models.audit import AuditLogIsAppendOnly

pytestmark = pytest.mark.django_db

COPY = """
    (account_id, sequence, event, actor_label, target_kind, target_id, target_label, changed,
     details, user_agent, request_id, created_at, previous_hash, hash)
    SELECT account_id, {sequence}, event, actor_label, target_kind, target_id, target_label,
           changed, details, user_agent, request_id, created_at, {previous_hash}, hash
    FROM orgs_auditevent
"""


@pytest.fixture(autouse=True)
def one_event(account):
    return AuditEvent.objects.get(account_id=account.pk)


def rows() -> list[list[object]]:
    return [list(model.objects.order_by("pk").values()) for model in (AuditEvent, AuditHead)]


def refused(statement: str) -> None:
    before = rows()
    with (
        connection.cursor() as cursor,
        pytest.raises(DatabaseError, match="audit log"),
        transaction.atomic(),
    ):
        cursor.execute(statement)
    assert rows() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda event: event.save(),
        lambda event: event.delete(),
        lambda event: AuditEvent.objects.update(event="x"),
        lambda event: AuditEvent.objects.all().delete(),
        lambda event: AuditEvent.objects.bulk_update([event], ["event"]),
        lambda event: AuditEvent.objects.update_or_create(pk=event.pk, defaults={"event": "x"}),
    ],
)
def test_the_application_refuses_to_change_events(one_event, change):
    before = rows()
    with pytest.raises(AuditLogIsAppendOnly):
        change(one_event)
    assert rows() == before


def test_a_head_cannot_be_deleted_through_the_application(account):
    with pytest.raises(DatabaseError, match="audit log"), transaction.atomic():
        AuditHead.objects.get(pk=account.pk).delete()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orgs_auditevent SET event = 'x'",
        "UPDATE orgs_auditevent SET event = event WHERE sequence = 1",
        "DELETE FROM orgs_auditevent",
        "DELETE FROM orgs_auditevent WHERE sequence = 1",
        "DELETE FROM orgs_audithead",
        "UPDATE orgs_audithead SET sequence = 0",
        "UPDATE orgs_audithead SET sequence = sequence + 1",
        f"UPDATE orgs_audithead SET hash = '{'0' * 64}'",
    ],
)
def test_the_database_refuses_changes(statement):
    refused(statement)


@pytest.mark.parametrize(
    ("sequence", "previous_hash"),
    [
        ("1", "previous_hash"),
        ("sequence + 1", "previous_hash"),
        ("sequence + 2", "hash"),
        ("sequence", "hash"),
    ],
    ids=["twice", "another past", "with a gap", "beside the last"],
)
def test_the_database_refuses_an_event_that_is_not_the_next(sequence, previous_hash):
    refused("INSERT INTO orgs_auditevent" + COPY.format(**locals()))


def test_the_database_refuses_a_head_that_starts_anywhere_but_at_zero():
    refused(
        "INSERT INTO orgs_audithead (account_id, sequence, hash) VALUES"
        f" ('{'a' * 32}', 5, '{'1' * 64}')"
    )


def test_postgresql_refuses_to_truncate():
    if connection.vendor == "postgresql":
        for table in ("orgs_auditevent", "orgs_audithead"):
            refused(f"TRUNCATE {table}")
            refused(f"TRUNCATE {table} CASCADE")


def test_sqlite_refuses_to_replace():
    """OR REPLACE deletes the row in its way without asking the triggers of a DELETE."""
    if connection.vendor == "sqlite":
        refused(
            "INSERT OR REPLACE INTO orgs_audithead (account_id, sequence, hash)"
            f" SELECT account_id, 0, '{'0' * 64}' FROM orgs_audithead"
        )
        refused(
            "INSERT OR REPLACE INTO orgs_auditevent"
            + COPY.format(sequence="sequence", previous_hash="previous_hash")
        )
        refused(
            "INSERT OR REPLACE INTO orgs_auditevent (id,"
            + COPY.format(sequence="sequence + 1", previous_hash="hash")
            .lstrip()[1:]
            .replace("SELECT", "SELECT id,", 1)
        )
