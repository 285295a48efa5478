"""The sums by day: what `AccountDay` and `UsageDay` hold, added up from records as they are
written."""

import hashlib
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from operator import attrgetter
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from billing.models import AccountDay, UsageDay, UsageRecord
from billing.models.rollup import Day

#: What is summed up, besides the number of calls; called the same in a record and in a day.
SUMS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_long_tokens",
    "output_tokens",
    "reasoning_tokens",
    "charged_micros",
    "market_micros",
)
#: What calls in one row have in common, of everybody in an account and of one person and token.
OF_ACCOUNT = ("day", "account_id", "model", "provider", "provider_key_id", "payer", "result")
COMMON = (*OF_ACCOUNT, "user_id", "token_id")

_summed = attrgetter(*SUMS)


def add(records: Iterable[UsageRecord]) -> None:
    """Add these records, each of which is in no row yet, within the caller's transaction.

    The rows are locked in the order of their ids, by every process the same. Nobody may hold them
    and then ask for other locks: in a transaction that does more, this comes last.
    """
    days: dict[tuple[Any, ...], list[int]] = {}  # Any: what `_common` says.
    for record in records:
        row = days.setdefault(_common(record), [0] * (1 + len(SUMS)))
        row[0] += 1
        for place, value in enumerate(_summed(record), start=1):
            row[place] += value
    of_accounts: dict[tuple[Any, ...], list[int]] = {}
    for common, row in days.items():
        of_account = of_accounts.setdefault(common[: len(OF_ACCOUNT)], [0] * len(row))
        for place, value in enumerate(row):
            of_account[place] += value
    _upsert(UsageDay, COMMON, days)
    # Last, since all who call in an account wait for these.
    _upsert(AccountDay, OF_ACCOUNT, of_accounts)


def count_waiting(*, most: int = 2000) -> int:
    """Add up to so many records that are in no row; how many they were.

    Such are written by the release before, while this one is rolled out, and all there were before
    there were sums. Each is added once, however many do this at the same time.
    """
    with transaction.atomic():
        waiting = UsageRecord.objects.filter(counted=False).order_by("pk")
        records = list(waiting.defer("attempts").select_for_update(skip_locked=True)[:most])
        # The records first, as they are when they are written.
        ids = [record.pk for record in records]
        UsageRecord.objects.filter(pk__in=ids).update(counted=True)
        add(records)
    return len(records)


def count_all_waiting(*, seconds: float) -> int:
    """The same until none is left, or so much time has passed."""
    until = time.monotonic() + seconds
    counted = 0
    while now := count_waiting():
        counted += now
        if time.monotonic() > until:
            break
    return counted


def _common(record: UsageRecord) -> tuple[Any, ...]:  # Any: dates, ids and words.
    """As COMMON names it."""
    return (
        record.created_at.astimezone(UTC).date(),
        record.account_id,
        record.known_model,
        record.provider,
        record.provider_key_id,
        str(record.payer),
        str(record.result),
        record.user_id,
        record.token_id,
    )


def _id(common: tuple[Any, ...]) -> uuid.UUID:  # Any: as above.
    """None of the parts can hold a NUL, which no database stores."""
    text = "\0".join("" if part is None else str(part) for part in common)
    return uuid.UUID(bytes=hashlib.blake2b(text.encode(), digest_size=16).digest())


def _upsert(
    model: type[Day], common: Sequence[str], sums: Mapping[tuple[Any, ...], list[int]]
) -> None:
    if not sums:
        return
    rows = sorted((_id(alike), *alike, *row) for alike, row in sums.items())
    database = connections[DEFAULT_DB_ALIAS]
    by_name = {field.name: field for field in model._meta.concrete_fields}
    fields = [by_name[name] for name in ("id", *common, "requests", *SUMS)]
    quote = database.ops.quote_name
    table = quote(model._meta.db_table)
    names = [quote(field.name) for field in fields]
    places = ", ".join(["%s"] * len(names))
    added = ", ".join(
        f"{name} = {table}.{name} + excluded.{name}" for name in names[1 + len(common) :]
    )
    statement = (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 -- names of our own.
        f" ON CONFLICT (id) DO UPDATE SET {added}"
    )
    with database.cursor() as cursor:
        cursor.executemany(
            statement,
            [
                [
                    field.get_db_prep_save(value, database)
                    for field, value in zip(fields, row, strict=True)
                ]
                for row in rows
            ],
        )
