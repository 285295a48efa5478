"""Walk the chains of the audit log, and say where one was tampered with.

What is found: an event that was edited, removed, added or moved anywhere in its chain, events cut
off the end, and a head that was moved. What a chain cannot show by itself is that somebody with
full rights over the database rebuilt it whole: for that, compare its head with one kept elsewhere.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import QuerySet

from orgs.audit import link
from orgs.models import AuditEvent, AuditHead

BATCH = 1000  # Events in memory at a time.
START = "0" * 64


class Fault(StrEnum):
    EDITED = "the event does not match its hash"
    MISSING = "an event is missing here"
    RELINKED = "the event does not continue the one before it"
    CUT_OFF = "events are missing from here to the head"
    HEAD_MOVED = "the head names another hash for this event"
    BEYOND_HEAD = "the event is not counted by the head"
    NO_HEAD = "the account has events but no head"


@dataclass(frozen=True, slots=True)
class Chain:
    """What verifying one account's chain found; `first_bad` is a sequence number."""

    account_id: uuid.UUID
    events: int  # Good ones, from the beginning.
    head: str  # The hash of the last good event.
    fault: Fault | None = None
    first_bad: int | None = None


def verify(account_id: uuid.UUID | None = None) -> Iterator[Chain]:
    """Verify the chain of one account, or of each; in bounded memory, while others write."""
    for each in _accounts() if account_id is None else [account_id]:
        yield _verify(each)


def _verify(account_id: uuid.UUID) -> Chain:
    head = AuditHead.objects.filter(pk=account_id).first()
    sequence, last = 0, START
    for event in _events(account_id):
        fault = _fault_of(event, sequence, last) or _fault_at(event, head)
        if fault:
            return Chain(account_id, sequence, last, fault, sequence + 1)
        sequence, last = event.sequence, event.hash
    if head is not None and sequence < head.sequence:
        return Chain(account_id, sequence, last, Fault.CUT_OFF, sequence + 1)
    if head is not None and sequence == 0 and head.hash != START:
        return Chain(account_id, sequence, last, Fault.HEAD_MOVED, 0)
    return Chain(account_id, sequence, last)


def _fault_of(event: AuditEvent, sequence: int, last: str) -> Fault | None:
    """What is wrong with `event` as the one after `sequence`, whose hash is `last`."""
    if event.sequence != sequence + 1:
        return Fault.MISSING
    if not _matches(event):
        return Fault.EDITED
    if event.previous_hash != last:
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


def _matches(event: AuditEvent) -> bool:
    try:
        return link(event) == event.hash
    except (AttributeError, TypeError, ValueError):
        return False  # Something stands there that `record` never writes.


def _events(account_id: uuid.UUID) -> Iterator[AuditEvent]:
    events = AuditEvent.objects.for_account(account_id).order_by("sequence")
    batch = _read(events)
    while batch:
        yield from batch
        batch = _read(events.filter(sequence__gt=batch[-1].sequence))


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


def _accounts() -> Iterator[uuid.UUID]:
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
