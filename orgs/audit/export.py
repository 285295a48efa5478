"""The audit log as a file: CSV to look at, JSON Lines to keep and to verify.

An export is itself an event of the log, written before the first line leaves. JSON has one object
a line, so a file of any length can be read in passing; each is what docs/audit.md says is hashed,
and the hash.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

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


#: After so many events the right to read them is asked for again.
ASKED_AGAIN = 1000


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
    operator at the command line. Raises `NotPermitted`, also between two lines, when the right to
    read has been lost by then.
    """
    head = AuditHead.objects.filter(pk=account.pk).first()
    selection = replace(selection, up_to=head.sequence if head else 0)
    events = selection.count() if selection.is_narrowed else selection.up_to
    with transaction.atomic():
        if actor:
            require(actor, Permission.READ_AUDIT, Account.objects.locked(account))
        record(
            event=Event.AUDIT_EXPORTED,
            account=account,
            actor=actor,
            target=account,
            origin=origin,
            details={"format": format.value, "events": events, **_narrowed_by(selection)},
        )
    return lines(_readable(selection.read(), actor, account), format)


def _readable(
    events: Iterator[AuditEvent], actor: User | None, account: Account
) -> Iterator[AuditEvent]:
    """The events for as long as the right to read them lasts; a long download outlives it."""
    for number, event in enumerate(events):
        if actor and number and number % ASKED_AGAIN == 0:
            require(actor, Permission.READ_AUDIT, account)
        yield event


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
        _listed(event.changed),
        "" if event.details == {} else canonical_text(event.details),
        event.actor_id or "",
        event.target_kind,
        event.target_id,
        event.user_agent,
        event.request_id,
        event.previous_hash,
        event.hash,
    ]


def _listed(names: Any) -> str:  # Any: whatever stands there, if it was tampered with.
    is_as_recorded = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return ", ".join(names) if is_as_recorded else canonical_text(names)


class Misplaced(StrEnum):
    """What can be wrong with an event of a file, besides what can be wrong with one of a chain."""

    ELSEWHERE = "the event is of another account"
    OUT_OF_ORDER = "the event is repeated, or does not come after the one before it"


#: How many of the stretches that a file leaves out are named.
GAPS_NAMED = 10


@dataclass(slots=True)
class Exported:
    """What has been read of a JSON export, all of it as written.

    Exports that were narrowed by filters are in order of time, others in that of the chain: where
    a clock was set back, these differ.
    """

    narrowed: bool = False
    account_id: str | None = None
    events: int = 0
    first: int = 0  # The lowest sequence number,
    last: int = 0  # and the highest.
    gaps: list[range] = field(default_factory=list)  # The first ones, from event 1 on.
    _before: Link = BEGINNING
    _place: tuple[Any, ...] = ()

    @property
    def left_out(self) -> int:
        """How many events are not there. A file cannot tell of those after its last one."""
        return self.last - self.events

    def add(self, line: str) -> None:
        """Read one more. Raises `NotAnExport`."""
        try:
            event = json.loads(line)
            link = Link(int(event["sequence"]), event.pop("hash"))
            fault = self._fault_of(event, link)
            place = self._place_of(event)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise NotAnExport("no event of a JSON export") from None
        if fault:
            raise NotAnExport(f"event {link.sequence}: {fault}")
        if not self.narrowed and link.sequence > self.last + 1 and len(self.gaps) < GAPS_NAMED:
            self.gaps.append(range(self.last + 1, link.sequence))
        self.account_id = event["account_id"]
        self.events += 1
        self.first = min(self.first or link.sequence, link.sequence)
        self.last = max(self.last, link.sequence)
        self._before, self._place = link, place

    def _fault_of(
        self, event: dict[str, Any], link: Link
    ) -> Fault | Misplaced | None:  # Any: JSON.
        if event["format"] != FORMAT or hash_of(event) != link.hash:
            return Fault.EDITED
        if self.account_id not in (None, event["account_id"]):
            return Misplaced.ELSEWHERE
        if link.sequence < 1 or self._place_of(event) <= self._place:
            return Misplaced.OUT_OF_ORDER
        is_next = link.sequence == self._before.sequence + 1
        return Fault.RELINKED if is_next and event["previous_hash"] != self._before.hash else None

    def _place_of(self, event: dict[str, Any]) -> tuple[Any, ...]:  # Any: JSON.
        at = (event["created_at"],) if self.narrowed else ()
        return (*at, int(event["sequence"]))


def verify_lines(lines: Iterable[str], *, narrowed: bool = False) -> Exported:
    """What these lines of a JSON export hold, if all are as written.

    An event must match its hash, come after the one before it, and continue it unless what came
    between was left out. Raises `NotAnExport`, also if there is no line.
    """
    exported, number = Exported(narrowed), 0
    for number, line in enumerate(lines, start=1):
        try:
            exported.add(line)
        except NotAnExport as error:
            raise NotAnExport(f"Line {number}, {error}.") from None
    if not number:
        raise NotAnExport("There is no event in this file.")
    return exported
