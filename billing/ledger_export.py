"""The ledger as a file, made while it is sent."""

from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

from django.db.models import Max, Min

from billing.models import LedgerEntry
from billing.models.wallet import LedgerEntryQuerySet
from orgs.exports import csv_lines
from orgs.models import Account, User
from orgs.money import PLACES
from orgs.permissions import Permission, require

COLUMNS = (
    "number",
    "time_utc",
    "kind",
    "amount_usd",
    "balance_usd",
    "note",
    "request_id",
    "idempotency_key",
)
#: So many are in memory at a time, and the right to read them is asked for again after them.
BATCH = 1000
#: What the idempotency key of a call begins with.
REQUEST = "request:"


def lines(*, actor: User, account: Account, entries: LedgerEntryQuerySet) -> Iterator[str]:
    """These entries of the account as they are now, oldest first.

    Raises `NotPermitted` between two lines when the right to read has been lost by then.
    """
    ends = entries.aggregate(first=Min("number"), last=Max("number"))
    return csv_lines(COLUMNS, map(row, _read(actor, account, entries, **ends)))


def _read(
    actor: User,
    account: Account,
    entries: LedgerEntryQuerySet,
    *,
    first: int | None,
    last: int | None,
) -> Iterator[LedgerEntry]:
    if first is None:
        return
    entries, after = entries.filter(number__lte=last).order_by("number"), first - 1
    while batch := list(entries.filter(number__gt=after)[:BATCH]):
        yield from batch
        require(actor, Permission.MANAGE_BILLING, account)
        after = batch[-1].number


def row(entry: LedgerEntry) -> list[object]:
    """The entry as COLUMNS name it; amounts as numbers, to the last micro-dollar."""
    return [
        entry.number,
        f"{entry.created_at:%Y-%m-%d %H:%M:%S}",
        entry.kind,
        Decimal(entry.amount_micros).scaleb(-PLACES),
        Decimal(entry.balance_micros).scaleb(-PLACES),
        entry.note,
        request_of(entry) or "",
        entry.idempotency_key,
    ]


def request_of(entry: LedgerEntry) -> UUID | None:
    """The request that an entry paid for."""
    if entry.kind != LedgerEntry.Kind.USAGE or not entry.idempotency_key.startswith(REQUEST):
        return None
    try:
        return UUID(entry.idempotency_key.removeprefix(REQUEST))
    except ValueError:
        return None
