"""Which calls are asked for, and reading them without reading many others.

The sums by day tell on which days there are any. So a page of records looks only into the days
that it shows something of, whatever the filter, and records need an index on their account and
time alone.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q

from billing.models import AccountDay, DayQuerySet, UsageDay, UsageRecord
from billing.models.rollup import Day
from billing.models.usage import MODEL_NOT_FOUND, UsageRecordQuerySet
from orgs.keyset import first_of

BATCH = 500  # Records in memory at a time.
DAY = timedelta(days=1)

#: Where a record stands in a list: when it was made, and which of those of that moment it is.
Place = tuple[datetime, uuid.UUID]
#: Two days, and all between them.
Stretch = tuple[date, date]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Calls of one account on days of UTC; each field that is set leaves out the others."""

    account_id: uuid.UUID
    first: date
    last: date
    user_id: uuid.UUID | None = None
    token_id: uuid.UUID | None = None
    provider_key_id: uuid.UUID | None = None
    model: str = ""
    provider: str = ""
    payer: str = ""
    result: str = ""

    def days(self) -> DayQuerySet[Day]:
        """The sums of these calls."""
        kind = UsageDay if self.user_id or self.token_id else AccountDay
        days: DayQuerySet[Day] = kind.objects.between(self.first, self.last).filter(**self._alike())
        return days.filter(result=self.result) if self.result else days

    def records(self, stretch: Stretch | None = None) -> UsageRecordQuerySet:
        """The calls themselves, on all of these days or on some."""
        first, last = stretch or (self.first, self.last)
        records = UsageRecord.objects.filter(
            created_at__gte=_beginning(first),
            created_at__lt=_beginning(last) + DAY,
            **self._alike(),
        )
        if self.model:
            records = records.exclude(outcome=MODEL_NOT_FOUND, provider="")
        return records.ended(self.result) if self.result else records

    def newest(
        self, most: int, counts: Mapping[date, int], older_than: Place | None = None
    ) -> list[UsageRecord]:
        """The newest of them, from there on. `counts` has how many there are on which day."""
        day = older_than[0].date() if older_than else self.last
        days = (each for each in sorted(counts, reverse=True) if each <= day)
        parts = [
            _older(self.records(stretch), older_than).order_by("-created_at", "-request_id")
            for stretch in _stretches(_enough(days, counts, most, begun=older_than))
        ]
        return first_of(parts, most, "created_at DESC, request_id DESC") if parts else []

    def next_newer(
        self, most: int, counts: Mapping[date, int], newer_than: Place
    ) -> list[UsageRecord]:
        """Those that follow there, the oldest first."""
        days = (each for each in sorted(counts) if each >= newer_than[0].date())
        parts = [
            _newer(self.records(stretch), newer_than).order_by("created_at", "request_id")
            for stretch in _stretches(_enough(days, counts, most, begun=newer_than))
        ]
        return first_of(parts, most, "created_at, request_id") if parts else []

    def read(self) -> Iterator[UsageRecord]:
        """All of them, oldest first, in bounded memory and without a transaction."""
        days = self.days().order_by("day").values_list("day", flat=True).distinct()
        for stretch in _stretches(list(days)):
            records = self.records(stretch).order_by("created_at", "request_id")
            batch = list(records[:BATCH])
            while batch:
                yield from batch
                batch = list(_newer(records, place_of(batch[-1]))[:BATCH])

    def _alike(self) -> dict[str, Any]:
        """What sums and records call the same."""
        names = ("user_id", "token_id", "provider_key_id", "model", "provider", "payer")
        chosen = {name: value for name in names if (value := getattr(self, name))}
        return {"account_id": self.account_id, **chosen}


def place_of(record: UsageRecord) -> Place:
    return record.created_at, record.request_id


def seen_values(
    account_id: uuid.UUID, names: Sequence[str], *, user_id: uuid.UUID | None, most: int
) -> dict[str, list[Any]]:
    """By the names of columns of `UsageDay`, which values the calls of an account have there.

    At most so many of each, in their order, in one query. Each value is one step into the index of
    its column, however many rows have it. One person's rows are few, and all are read: a step would
    have to pass over those of everybody else.
    """
    if user_id is not None:
        days = UsageDay.objects.filter(account_id=account_id, user_id=user_id)
        rows = list(days.values_list(*names).distinct())
        return {
            name: sorted({row[place] for row in rows if row[place]})[:most]
            for place, name in enumerate(names)
        }
    table = connection.ops.quote_name(UsageDay._meta.db_table)
    account = UsageDay._meta.get_field("account_id").get_db_prep_value(account_id, connection)
    steps, parts, parameters = [], [], []
    for name in names:
        seen = f"seen_{name}"
        least = (
            f"SELECT {name} FROM {table} WHERE account_id = %s AND {name} {{}}"  # noqa: S608 -- names of our own.
            f" ORDER BY {name} LIMIT 1"
        )
        first, following = least.format("IS NOT NULL"), least.format(f"> {seen}.value")
        steps.append(
            f"{seen}(value, number) AS (SELECT ({first}), 1 UNION ALL SELECT ({following}),"  # noqa: S608 -- as above.
            f" number + 1 FROM {seen} WHERE value IS NOT NULL AND number < %s)"
        )
        parameters += [account, account, most]
        parts.append(f"SELECT '{name}', CAST(value AS text) FROM {seen} WHERE value IS NOT NULL")  # noqa: S608 -- as above.
    with connection.cursor() as cursor:
        cursor.execute(f"WITH RECURSIVE {', '.join(steps)} {' UNION ALL '.join(parts)}", parameters)
        values = cursor.fetchall()
    found: dict[str, list[Any]] = {name: [] for name in names}
    for name, value in values:
        if value:
            found[name].append(uuid.UUID(value) if name.endswith("_id") else value)
    return found


def _beginning(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _older(records: UsageRecordQuerySet, place: Place | None) -> UsageRecordQuerySet:
    if place is None:
        return records
    at, id_ = place
    return records.filter(created_at__lte=at).filter(Q(created_at__lt=at) | Q(request_id__lt=id_))


def _newer(records: UsageRecordQuerySet, place: Place) -> UsageRecordQuerySet:
    at, id_ = place
    return records.filter(created_at__gte=at).filter(Q(created_at__gt=at) | Q(request_id__gt=id_))


def _enough(
    days: Iterable[date], counts: Mapping[date, int], most: int, *, begun: Place | None
) -> list[date]:
    """Of these days, as many as it takes for so many calls.

    Of the day of a place nobody knows how many calls are beyond it.
    """
    taken, found = [], 0
    for day in days:
        taken.append(day)
        if begun is None or day != begun[0].date():
            found += counts[day]
        if found >= most:
            break
    return taken


def _stretches(days: Iterable[date]) -> list[Stretch]:
    """These days, in their order up or down, those that are neighbours together."""
    stretches: list[Stretch] = []
    for day in days:
        if stretches and day - stretches[-1][1] == DAY:
            stretches[-1] = (stretches[-1][0], day)
        elif stretches and stretches[-1][0] - day == DAY:
            stretches[-1] = (day, stretches[-1][1])
        else:
            stretches.append((day, day))
    return stretches
