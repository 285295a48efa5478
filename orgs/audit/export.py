"""The audit log as a file: CSV to look at, JSON Lines to keep and to verify.

An export is itself an event of the log, written before the first line leaves. JSON has one object
a line, so a file of any length can be read in passing; each is what docs/audit.md says is hashed,
and the hash.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import StrEnum

from django.db import transaction

from orgs.audit.chain import BEGINNING, Fault, Link
from orgs.audit.log import FORMAT, Fact, canonical_text, content, hash_of, record
from orgs.audit.selection import Selection
from orgs.events import Event
from orgs.exports import csv_lines
from orgs.models import Account, AuditEvent, AuditHead, User
from orgs.origin import Origin
from orgs.permissions import Permission, require

COLUMNS = (
    "sequence",
    "time_utc",
    "event",
    "actor",
    "sentence",
    "target",
    "address",
    "changed",
    "details",
    "actor_id",
    "target_kind",
    "target_id",
    "user_agent",
    "request_id",
    "previous_hash",
    "hash",
)


class NotAnExport(ValueError):
    """Its text says in which line something is not as it was exported."""


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"

    @property
    def content_type(self) -> str:
        return "text/csv; charset=utf-8" if self is Format.CSV else "application/jsonl"

    @property
    def suffix(self) -> str:
        return "csv" if self is Format.CSV else "jsonl"


def export(
    *,
    actor: User | None,
    account: Account,
    selection: Selection,
    format: Format,  # noqa: A002 -- "format" is the word for it.
    origin: Origin,
) -> Iterator[str]:
    """The lines of the selected events as they are now, once the log tells of the export.

    What is written meanwhile, this very event included, is not in it. `actor` is None for the
    operator at the command line. Raises `NotPermitted`.
    """
    if actor:
        require(actor, Permission.READ_AUDIT, account)
    head = AuditHead.objects.filter(pk=account.pk).first()
    selection = replace(selection, up_to=head.sequence if head else 0)
    events = selection.count() if selection.is_narrowed else selection.up_to
    with transaction.atomic():
        record(
            event=Event.AUDIT_EXPORTED,
            account=account,
            actor=actor,
            target=account,
            origin=origin,
            details={"format": format.value, "events": events, **_narrowed_by(selection)},
        )
    return lines(selection.read(), format)


def _narrowed_by(selection: Selection) -> dict[str, Fact | list[Fact]]:
    """What is in it, as facts of the event."""
    facts: dict[str, Fact | list[Fact]] = {
        "only_events": [str(event) for event in selection.events],
        "only_actor": selection.actor,
        "since": selection.since.isoformat(timespec="seconds") if selection.since else None,
        "until": selection.until.isoformat(timespec="seconds") if selection.until else None,
        "up_to_event": selection.up_to,
    }
    return {name: fact for name, fact in facts.items() if fact}


def lines(events: Iterable[AuditEvent], format: Format) -> Iterator[str]:  # noqa: A002
    if format == Format.JSON:
        return (json_line(event) for event in events)
    return csv_lines(COLUMNS, (row(event) for event in events))


def json_line(event: AuditEvent) -> str:
    return canonical_text({**content(event), "hash": event.hash}) + "\n"


def row(event: AuditEvent) -> list[object]:
    """The event as COLUMNS name it; times as spreadsheets read them."""
    return [
        event.sequence,
        f"{event.created_at:%Y-%m-%d %H:%M:%S}",
        event.event,
        event.actor_label,
        str(event),
        event.target_label,
        event.address or "",
        ", ".join(event.changed),
        canonical_text(event.details) if event.details else "",
        event.actor_id or "",
        event.target_kind,
        event.target_id,
        event.user_agent,
        event.request_id,
        event.previous_hash,
        event.hash,
    ]


def verify_lines(lines: Iterable[str]) -> int:
    """How many events there are in these lines of a JSON export, if all are as written.

    An event must match its hash, and continue the one before it unless what came between was left
    out of the export. Raises `NotAnExport`.
    """
    number, account_id, last = 0, None, BEGINNING
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            link = Link(event["sequence"], event.pop("hash"))
            is_next = (event["account_id"], link.sequence - 1) == (account_id, last.sequence)
            continues = not is_next or event["previous_hash"] == last.hash
            matches = event["format"] == FORMAT and hash_of(event) == link.hash
        except (AttributeError, KeyError, TypeError, ValueError):
            raise NotAnExport(f"Line {number} is no event of a JSON export.") from None
        if not (matches and continues):
            fault = Fault.RELINKED if matches else Fault.EDITED
            raise NotAnExport(f"Line {number}, event {link.sequence}: {fault}.")
        account_id, last = event["account_id"], link
    return number
