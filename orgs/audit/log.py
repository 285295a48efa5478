"""One event for each change, written with it and linked into a chain per account.

`record` is the only writer. It runs inside the transaction of the change, so there is neither a
change without its event nor an event without its change. `orgs.audit.chain` walks what it wrote;
docs/audit.md tells an outsider how to recompute a hash.
"""

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar, Protocol

from django.db import transaction
from django.db.models.options import Options
from django.utils import timezone

from orgs.events import Event
from orgs.models import Account, AuditEvent, AuditHead, User
from orgs.origin import Origin
from orgs.permissions import is_assisting

FORMAT = "megabrain-audit-1"
NOBODY = "MegaBrain"  # The label of an event that no person caused.
LABEL_LENGTH = 254
TARGET_LENGTH = 64
DETAILS_LENGTH = 4096

Fact = str | int | bool | None
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}", re.ASCII)


class NotInTransaction(RuntimeError):
    """`record` was called where the change it tells of could be committed without it."""


class NotRecordable(ValueError):
    """The details hold something that has no single canonical form, or too much of it."""


class Target(Protocol):
    """What an event is about: a saved model that can say its own name."""

    pk: Any  # Any: whatever the model's key is; its text is kept.
    _meta: "ClassVar[Options[Any]]"  # Any: of whichever model.

    @property
    def audit_label(self) -> str: ...


def record(
    *,
    event: Event,
    account: Account,
    actor: User | None,
    target: Target,
    origin: Origin,
    changed: Iterable[str] = (),
    details: Mapping[str, Fact | list[Fact]] | None = None,
) -> AuditEvent:
    """Add `event` to the account's log, inside the caller's transaction.

    `actor` is None for what MegaBrain did by itself. `changed` names fields; `details` holds
    plain facts by snake_case names. Neither may hold a secret or a part of one. Labels are copied,
    so that the event can be read when what it names is gone. What staff did in the account of
    others says so by itself.

    Call it last in the transaction: it holds the account's `AuditHead` row until the commit, which
    is what keeps sequence and chain free of gaps under concurrent writers.

    Raises `NotInTransaction`, and `NotRecordable` for details that are not plain facts and for a
    target that was deleted before.
    """
    if not transaction.get_connection().in_atomic_block:
        raise NotInTransaction("Record an audit event in the transaction of its change.")
    by_staff = {"by_staff": True} if actor and is_assisting(actor, account) else {}
    facts = _checked({**(details or {}), **by_staff})
    if target.pk is None:
        raise NotRecordable("The target has no id any more: record its deletion before it.")
    head = _locked_head(account.pk)
    written = AuditEvent(
        account_id=account.pk,
        sequence=head.sequence + 1,
        event=event.value,
        actor_id=actor.pk if actor else None,
        actor_label=_line(actor.audit_label if actor else NOBODY),
        target_kind=target._meta.model_name or "",
        target_id=_line(str(target.pk), TARGET_LENGTH),
        target_label=_line(target.audit_label),
        changed=sorted(set(changed)),
        details=facts,
        address=origin.address,
        user_agent=origin.user_agent,
        request_id=origin.request_id,
        created_at=timezone.now(),
        previous_hash=head.hash,
    )
    written.hash = link(written)
    written.save(force_insert=True)
    AuditHead.objects.filter(pk=head.pk).update(sequence=written.sequence, hash=written.hash)
    return written


def link(event: AuditEvent) -> str:
    """The event's hash: SHA-256 of its canonical JSON, which holds the hash before it."""
    return hash_of(content(event))


def hash_of(content: dict[str, Any]) -> str:  # Any: JSON.
    return sha256(canonical_text(content).encode()).hexdigest()


def content(event: AuditEvent) -> dict[str, Any]:  # Any: JSON.
    """What is hashed of an event. Times are UTC to the microsecond."""
    return {
        "account_id": str(event.account_id),
        "actor_id": None if event.actor_id is None else str(event.actor_id),
        "actor_label": event.actor_label,
        "address": event.address,
        "changed": event.changed,
        "created_at": _moment(event.created_at),
        "details": event.details,
        "event": event.event,
        "format": FORMAT,
        "previous_hash": event.previous_hash,
        "request_id": event.request_id,
        "sequence": event.sequence,
        "target_id": event.target_id,
        "target_kind": event.target_kind,
        "target_label": event.target_label,
        "user_agent": event.user_agent,
    }


def canonical_text(value: Any) -> str:  # Any: JSON.
    """The one text of it that is hashed, as UTF-8 (RFC 8785; see docs/audit.md).

    Keys are sorted, there are no spaces, and nothing is escaped that need not be; only strings,
    integers, booleans, null, lists and objects occur.
    """
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _locked_head(account_id: uuid.UUID) -> AuditHead:
    """The account's head, locked until the transaction ends; made for its first event.

    SQLite has no row locks and needs none: its transactions are immediate, so only one writes.
    """
    locked = AuditHead.objects.select_for_update()
    head = locked.filter(pk=account_id).first()
    if head is None:
        # Two first events at once: the second waits here, and then finds the other's row.
        AuditHead.objects.bulk_create([AuditHead(account_id=account_id)], ignore_conflicts=True)
        head = locked.get(pk=account_id)
    return head


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _line(text: str, length: int = LABEL_LENGTH) -> str:
    """`text` on one line, without what a database or a terminal would trip over, bounded."""
    line = _UNPRINTABLE.sub(" ", text).strip()
    return line if len(line) <= length else line[: length - 1] + "…"


def _checked(details: Mapping[str, Fact | list[Fact]]) -> dict[str, Fact | list[Fact]]:
    facts = {name: _fact(name, value) for name, value in details.items()}
    if len(json.dumps(facts)) > DETAILS_LENGTH:
        raise NotRecordable("The details of an audit event are limited to 4 KiB.")
    return facts


def _fact(name: str, value: Fact | list[Fact]) -> Fact | list[Fact]:
    if not _NAME.fullmatch(name):
        raise NotRecordable(f"{name!r} is not a snake_case name.")
    if isinstance(value, list):
        return [_plain(name, entry) for entry in value]
    return _plain(name, value)


def _plain(name: str, value: Fact) -> Fact:
    """Only what reads back from both databases exactly as it was written."""
    if isinstance(value, str):
        return _line(str(value), 500)
    if value is None or (isinstance(value, int) and abs(value) < 2**53):
        return value
    raise NotRecordable(f"{name} is neither text, a whole number, true, false nor nothing.")
