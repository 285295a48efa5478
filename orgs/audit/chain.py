"""Walk the chains of the audit log, and say where one was tampered with.

What is found: an event that was edited, removed, added or moved anywhere in its chain, events cut
off the end, and a head that was moved. What a chain cannot show by itself is that somebody with
full rights over the database rebuilt it whole: for that, compare it with a link noted before.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import QuerySet

from orgs.audit.log import link
from orgs.models import AuditEvent, AuditHead
from orgs.models.audit import START

BATCH = 1000  # Events in memory at a time.


class Fault(StrEnum):
    EDITED = "the event does not match its hash"
    MISSING = "an event is missing here"
    RELINKED = "the event does not continue the one before it"
    CUT_OFF = "events are missing from here to the head"
    HEAD_MOVED = "the head names another hash for this event"
    BEYOND_HEAD = "the event is not counted by the head"
    NO_HEAD = "the account has events but no head"
    REPLACED = "the event is another one than was noted before"
    GONE = "events that were noted before are gone from here on"


@dataclass(frozen=True, slots=True)
class Link:
    """An event of a chain, as it is noted to compare the chain with later."""

    sequence: int
    hash: str


BEGINNING = Link(0, START)


@dataclass(frozen=True, slots=True)
class Chain:
    """What walking one account's chain found; `first_bad` is a sequence number."""

    account_id: uuid.UUID
    events: int  # Good ones, from the beginning.
    head: str  # The hash of the last good event.
    fault: Fault | None = None
    first_bad: int | None = None
    unfinished: bool = False  # Time was up before its end.

    @property
    def end(self) -> Link:
        """The last good event."""
        return Link(self.events, self.head)


def walk(account_id: uuid.UUID, after: Link = BEGINNING, deadline: float | None = None) -> Chain:
    """Verify a chain from the event after that one, which was good, to its end.

    It takes bounded memory, and others may write meanwhile. At the `deadline`, a time of the
    monotonic clock, it stops where it is.
    """
    head = AuditHead.objects.filter(pk=account_id).first()
    found = contradiction(account_id, after) or _head_before(after, head)
    if found:
        fault, first_bad = found
        return Chain(account_id, after.sequence, after.hash, fault, first_bad)
    last = after
    for event in _events(account_id, after.sequence):
        fault_here = _fault_of(event, last) or _fault_at(event, head)
        if fault_here:
            return Chain(account_id, last.sequence, last.hash, fault_here, last.sequence + 1)
        last = Link(event.sequence, event.hash)
        if deadline is not None and time.monotonic() >= deadline:
            return Chain(account_id, last.sequence, last.hash, unfinished=True)
    if head is not None and last.sequence < head.sequence:
        return Chain(account_id, last.sequence, last.hash, Fault.CUT_OFF, last.sequence + 1)
    if head is not None and last.sequence == 0 and head.hash != START:
        return Chain(account_id, last.sequence, last.hash, Fault.HEAD_MOVED, 0)
    return Chain(account_id, last.sequence, last.hash)


def contradiction(account_id: uuid.UUID, noted: Link) -> tuple[Fault, int] | None:
    """What of the chain, and where, belies a link of it that was noted before."""
    if noted.sequence == 0:
        return None
    hashes = AuditEvent.objects.for_account(account_id).order_by("-sequence")
    found = hashes.filter(sequence__lte=noted.sequence).values_list("sequence", "hash").first()
    if found == (noted.sequence, noted.hash):
        return None
    if found is not None and found[0] == noted.sequence:
        return Fault.REPLACED, noted.sequence
    return Fault.GONE, found[0] + 1 if found else 1


def _head_before(after: Link, head: AuditHead | None) -> tuple[Fault, int] | None:
    """What is wrong with a head that does not reach beyond `after`."""
    if after.sequence == 0:
        return None
    if head is None:
        return Fault.NO_HEAD, after.sequence
    if head.sequence < after.sequence:
        return Fault.BEYOND_HEAD, head.sequence + 1
    if head.sequence == after.sequence and head.hash != after.hash:
        return Fault.HEAD_MOVED, after.sequence
    return None


def _fault_of(event: AuditEvent, last: Link) -> Fault | None:
    """What is wrong with `event` as the one after `last`."""
    if event.sequence != last.sequence + 1:
        return Fault.MISSING
    if not matches(event):
        return Fault.EDITED
    if event.previous_hash != last.hash:
        return Fault.RELINKED
    return None


def _fault_at(event: AuditEvent, head: AuditHead | None) -> Fault | None:
    """What is wrong with `event` as seen from the head."""
    if head is None:
        return Fault.NO_HEAD
    if event.sequence > head.sequence:
        # Written since we began, or smuggled in: the head as it is now tells.
        head.refresh_from_db()
    if event.sequence > head.sequence:
        return Fault.BEYOND_HEAD
    if event.sequence == head.sequence and event.hash != head.hash:
        return Fault.HEAD_MOVED
    return None


def matches(event: AuditEvent) -> bool:
    """Whether the event is as its hash says."""
    try:
        return link(event) == event.hash
    except (AttributeError, TypeError, ValueError):
        return False  # Something stands there that `record` never writes.


def _events(account_id: uuid.UUID, after: int) -> Iterator[AuditEvent]:
    events = AuditEvent.objects.for_account(account_id).order_by("sequence")
    while batch := _read(events.filter(sequence__gt=after)):
        yield from batch
        after = batch[-1].sequence


def _read(events: QuerySet[AuditEvent]) -> list[AuditEvent]:
    """The first events of these; one that cannot even be read stands there empty."""
    try:
        return list(events[:BATCH])
    except (TypeError, ValueError):
        sequences = list(events.values_list("sequence", flat=True)[:BATCH])
        return [_read_one(events, sequence) for sequence in sequences]


def _read_one(events: QuerySet[AuditEvent], sequence: int) -> AuditEvent:
    try:
        return events.get(sequence=sequence)
    except (TypeError, ValueError):
        return AuditEvent(sequence=sequence)


def accounts() -> Iterator[uuid.UUID]:
    """Every account with a head or an event, in order, with two index look-ups for each."""
    last = uuid.UUID(int=0)
    while True:
        candidates = [
            model.objects.filter(account_id__gt=last)
            .order_by("account_id")
            .values_list("account_id", flat=True)
            .first()
            for model in (AuditEvent, AuditHead)
        ]
        found = [account_id for account_id in candidates if account_id is not None]
        if not found:
            return
        last = min(found)
        yield last
