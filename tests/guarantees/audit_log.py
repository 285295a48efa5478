"""Filling the audit log, and tampering with it as somebody with all rights over the database."""

import uuid
from collections.abc import Callable
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from orgs.audit import Event, link, record
from orgs.models import Account, AuditEvent, AuditHead, User
from orgs.origin import Origin
from tests.database.management.commands.flush import unprotected


def write(account: Account, times: int = 1) -> None:
    for _ in range(times):
        with transaction.atomic():
            record(
                event=Event.SIGNED_IN,
                account=account,
                actor=account.user,
                target=account,
                origin=Origin("192.0.2.1", "tests", str(uuid.uuid4())),
                details={"how": "passkey", "tries": 1, "new": True, "seen": ["a", None]},
            )


def fill(account: Account, times: int, actors: list[User]) -> None:
    """A long chain, as `record` would have written it, at once."""
    head = AuditHead.objects.get(pk=account.pk)
    began, kinds = timezone.now() - timedelta(days=30), [*Event]
    events, last = [], head.hash
    for number in range(times):
        actor = actors[number % len(actors)]
        event = AuditEvent(
            account_id=account.pk,
            sequence=head.sequence + number + 1,
            event=kinds[number % len(kinds)].value,
            actor_id=actor.pk,
            actor_label=actor.email,
            target_kind="apitoken",
            target_id=str(uuid.uuid4()),
            target_label=f"agent {number} (mb-abcde…)",
            changed=["enabled"],
            details={"role": "member", "tries": number},
            address="192.0.2.7",
            user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            request_id=str(uuid.uuid4()),
            created_at=began + timedelta(days=30) * number / times,
            previous_hash=last,
        )
        event.hash = last = link(event)
        events.append(event)
    with unprotected(connection):
        AuditEvent.objects.bulk_create(events, batch_size=500)
        AuditHead.objects.filter(pk=account.pk).update(sequence=head.sequence + times, hash=last)


def tamper(account: Account, *statements: str) -> None:
    """As the database's owner, past all protection. `{mine}` selects the account's rows."""
    own = account.pk if connection.vendor == "postgresql" else account.pk.hex
    with unprotected(connection), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.replace("{mine}", f"account_id = '{own}'"))


def rebuild(account: Account, change: Callable[[AuditEvent], object]) -> None:
    """Write the account's chain anew, every event changed so, with hashes that fit."""
    events = list(AuditEvent.objects.for_account(account.pk).order_by("sequence"))
    last = "0" * 64
    for event in events:
        change(event)
        event.previous_hash = last
        event.hash = last = link(event)
    tamper(account, "DELETE FROM orgs_auditevent WHERE {mine}")
    with unprotected(connection):
        AuditEvent.objects.bulk_create(events)
        AuditHead.objects.filter(pk=account.pk).update(sequence=events[-1].sequence, hash=last)
