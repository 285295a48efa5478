"""Which events of an account are asked for, and reading them a few at a time.

Every selection has an index that holds its events in the order they are read in, so that a page
costs the same however long the log is, and wherever in it one looks. Lists are in order of time:
a period is then one stretch of them, even where a clock was set back and time does not go the way
of the numbers.
"""

import heapq
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from orgs.keyset import first_of
from orgs.models import AuditEvent
from orgs.models.audit import AuditEventQuerySet, Place

BATCH = 500  # Events in memory at a time.


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Events of one account; each field that is set leaves out the others."""

    account_id: uuid.UUID
    events: Sequence[str] = ()
    actor: str = ""
    since: datetime | None = None
    until: datetime | None = None  # The first moment that is left out.
    up_to: int | None = None  # The last sequence number.

    @property
    def is_narrowed(self) -> bool:
        """Whether it leaves out anything but what came after `up_to`."""
        return bool(self.events or self.actor or self.since or self.until)

    def newest(self, limit: int, older_than: Place | None = None) -> list[AuditEvent]:
        """The newest events, from there on, newest first."""
        parts = [part.newest_first() for part in self._parts()]
        if older_than:
            parts = [part.older_than(older_than) for part in parts]
        return first_of(parts, limit, "created_at DESC, sequence DESC")

    def next_newer(self, limit: int, newer_than: Place) -> list[AuditEvent]:
        """The events that follow there, oldest first."""
        parts = [part.oldest_first().newer_than(newer_than) for part in self._parts()]
        return first_of(parts, limit, "created_at, sequence")

    def count(self) -> int:
        return sum(part.count() for part in self._parts())

    def read(self) -> Iterator[AuditEvent]:
        """All of them, oldest first, in bounded memory and without a transaction.

        A whole log comes in the order of its chain, so that the chain can be verified.
        """
        parts = self._parts()
        if not self.is_narrowed:
            return _by_sequence(parts[0])
        size = max(50, BATCH // len(parts))
        return heapq.merge(*(_by_time(part, size) for part in parts), key=lambda event: event.place)

    def _parts(self) -> list[AuditEventQuerySet]:
        """Query sets that have the selection between them, each of them a stretch of one index.

        Several events in one query set would have to be sorted.
        """
        events = AuditEvent.objects.for_account(self.account_id)
        if self.actor:
            events = events.filter(actor_label=self.actor)
        if self.since:
            events = events.filter(created_at__gte=self.since)
        if self.until:
            events = events.filter(created_at__lt=self.until)
        if self.up_to is not None:
            events = events.filter(sequence__lte=self.up_to)
        return [events.filter(event=event) for event in self.events] or [events]


def _by_sequence(events: AuditEventQuerySet) -> Iterator[AuditEvent]:
    last = 0
    while batch := list(events.filter(sequence__gt=last).order_by("sequence")[:BATCH]):
        yield from batch
        last = batch[-1].sequence


def _by_time(events: AuditEventQuerySet, size: int) -> Iterator[AuditEvent]:
    batch = list(events.oldest_first()[:size])
    while batch:
        yield from batch
        batch = list(events.oldest_first().newer_than(batch[-1].place)[:size])
