"""Whether the money is as it was written: every balance against its ledger, holds and counters.

The application keeps them in step, so that a difference, a drift, tells of somebody who changed
the database past it, or of a fault. Nothing is paid from that balance until staff have looked.

Calls go on meanwhile, and none is taken for a drift. Ledgers are read from their beginning while
they grow, and only their ends under the wallet's lock. Entries and holds change in one transaction
and are never removed: whoever reads one of the two first and the other after it sees both. Each
kind of counter is compared in one statement, which sees one moment.

All there is may be more than a worker reads in one go, or before it is stopped: it writes down how
far it has come, and the next run goes on from there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from time import monotonic
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from billing.actions import note_drift
from billing.holds import Of, period
from billing.ledger import End
from billing.models import Hold, LedgerEntry, Reconciliation, Wallet
from orgs.models import ApiToken
from orgs.origin import Origin

#: So many rows are in memory at a time.
CHUNK = 1000
#: How far a worker has come is written down this often.
SAVED_SECONDS = 20.0
NOBODY = UUID(int=0)
OF_CALL = "request:"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Drift:
    """What does not fit, in words that follow the account's name. `account_id` is None for the
    counter of a token that is gone."""

    account_id: UUID | None
    what: str


@dataclass(slots=True)
class Reconciled:
    """How much was looked at, the first drift of each account, and whether that is all there is."""

    wallets: int = 0
    entries: int = 0
    holds: int = 0
    drifts: list[Drift] = field(default_factory=list)
    is_complete: bool = False


@dataclass(slots=True)
class _Place:
    """How far a comparison has come: ledgers up to that account's, and that up to an entry, and
    then calls. It goes on as long as its time lasts."""

    account_id: UUID = NOBODY
    number: int = 0
    sum: int = 0
    call_id: UUID | None = None
    until: float = float("inf")
    until_saved: float = field(default_factory=lambda: monotonic() + SAVED_SECONDS)
    is_kept: bool = False

    def tick(self) -> None:
        """Raises `_OutOfTime`."""
        now = monotonic()
        if now > self.until:
            raise _OutOfTime
        if self.is_kept and now > self.until_saved:
            self.until_saved = now + SAVED_SECONDS
            self.save()

    def save(self) -> None:
        Reconciliation.objects.update(
            account_id=self.account_id,
            number=self.number,
            sum_micros=self.sum,
            call_id=self.call_id,
        )


class _OutOfTime(Exception):
    pass


def reconcile() -> Reconciled:
    """Compare all there is, at once; freeze the balance of each account that has drifted."""
    found = _compare_from(_Place())
    now = timezone.now()
    # Workers begin when they are due, whatever others do meanwhile.
    if not Reconciliation.objects.update(done_at=now):
        _begin(now, under_way=False, done_at=now)
    return found


def reconcile_on(*, seconds: float) -> Reconciled | None:
    """The same for so long, from where the last run ended.

    Once it has come to the end it begins anew on the next day of UTC; None until then.
    """
    now = timezone.now()
    row = Reconciliation.objects.first()
    if row is None or not row.under_way:
        if row is not None and row.begun_at.astimezone(UTC).date() == now.astimezone(UTC).date():
            return None
        row = _begin(now, under_way=True, done_at=row.done_at if row else None)
    place = _Place(
        row.account_id,
        row.number,
        row.sum_micros,
        row.call_id,
        until=monotonic() + seconds,
        is_kept=True,
    )
    found = _compare_from(place)
    if found.is_complete:
        Reconciliation.objects.update(under_way=False, done_at=timezone.now())
    else:
        place.save()
    return found


def _begin(now: datetime, *, under_way: bool, done_at: datetime | None) -> Reconciliation:
    return Reconciliation.objects.update_or_create(
        pk=1,
        defaults={
            "begun_at": now,
            "done_at": done_at,
            "under_way": under_way,
            "account_id": NOBODY,
            "number": 0,
            "sum_micros": 0,
            "call_id": None,
        },
    )[0]


def _compare_from(place: _Place) -> Reconciled:
    found = Reconciled()
    drifted: set[UUID | None] = set()
    try:
        for drift in _look(found, place):
            if drift.account_id in drifted:
                continue
            found.drifts.append(drift)
            if drift.account_id is None:
                log.error("billing.drift", account=None, what=drift.what)
                continue
            drifted.add(drift.account_id)
            _note(drift.account_id, drift.what)
    except _OutOfTime:
        return found
    found.is_complete = True
    return found


def _note(account_id: UUID, what: str) -> None:
    """A balance that cannot be frozen keeps no other from being looked at."""
    try:
        note_drift(account_id=account_id, what=what, origin=Origin.command("reconcile"))
    except Exception:
        log.exception("billing.wallet.not_frozen", account=str(account_id))


def _look(found: Reconciled, place: _Place) -> Iterator[Drift]:
    if place.call_id is None:
        for account_id in _accounts(place):
            # Where the last run ended within a ledger, this one is that one.
            if account_id != place.account_id:
                place.account_id, place.number, place.sum = account_id, 0, 0
                place.tick()
            found.wallets += 1
            if what := _Ledger(account_id, place, found).drift():
                yield Drift(account_id, what)
        place.call_id = NOBODY
    yield from _unposted(found, place)
    for each in miscounted():
        yield Drift(
            each.account_id,
            f"the counter of {each.of} {each.subject_id} for {each.period} is off by "
            f"{each.held_micros} µ$ held and {each.spent_micros} µ$ spent",
        )


def _accounts(place: _Place) -> Iterator[UUID]:
    """All from that place on that have a wallet, and those that should."""
    wallets = Wallet.objects.order_by("pk").values_list("pk", flat=True)
    chunk = list(wallets.filter(pk__gte=place.account_id)[:CHUNK])
    while chunk:
        yield from chunk
        chunk = list(wallets.filter(pk__gt=chunk[-1])[:CHUNK])
    having = Wallet.objects.filter(pk=OuterRef("account_id"))
    for rows in (LedgerEntry.objects.all(), Hold.objects.open()):
        without = rows.filter(~Exists(having)).order_by("account_id").values_list("account_id")
        yield from (account_id for (account_id,) in without.distinct()[:CHUNK])


def altered(account_id: UUID) -> str:
    """What is wrong with the account's ledger in itself; "" if its entries are to be believed."""
    return _Ledger(account_id, _Place(), Reconciled()).altered()


class _Ledger:
    """An account's ledger as far as it was read, which is the place of the comparison."""

    def __init__(self, account_id: UUID, place: _Place, found: Reconciled) -> None:
        self.account_id = account_id
        self.place = place
        self.found = found

    def drift(self) -> str:
        """What does not fit first; "" if all does."""
        return self.altered() or self._compare()

    def altered(self) -> str:
        """Read without a lock, which a long ledger would keep from every call of the account."""
        entries = self._of_account().order_by("-number")
        last = entries.values_list("number", flat=True).first()
        return "" if last is None else self._walk(self._of_account().filter(number__lte=last))

    def _compare(self) -> str:
        """With the wallet, while nothing changes: what came since is little."""
        with transaction.atomic():
            wallet = Wallet.objects.select_for_update().filter(pk=self.account_id).first()
            if wallet is None:
                return "there are entries or open holds, and no wallet"
            if what := self._walk(self._of_account()):
                return what
            if self._of_account().filter(number__lt=1).exists():
                return "there is an entry before the first"
            if what := End(self.place.number, self.place.sum).drift(wallet):
                return what
            holds = Hold.objects.open().filter(account_id=self.account_id)
            held = sum(holds.values_list("amount_micros", flat=True).iterator(CHUNK))
            if wallet.held_micros != held:
                return f"the wallet holds {wallet.held_micros} µ$, its open holds come to {held} µ$"
        return ""

    def _of_account(self) -> QuerySet[LedgerEntry]:
        return LedgerEntry.objects.filter(account_id=self.account_id)

    def _walk(self, entries: QuerySet[LedgerEntry]) -> str:
        """Go on through these; says what is wrong with the first that does not fit."""
        place = self.place
        while chunk := list(entries.filter(number__gt=place.number).order_by("number")[:CHUNK]):
            number, sum_ = place.number, place.sum
            for entry in chunk:
                number, sum_ = number + 1, sum_ + entry.amount_micros
                if entry.number != number:
                    return f"entry {number} is missing"
                if entry.balance_micros != sum_:
                    return (
                        f"entry {number} says {entry.balance_micros} µ$, and with it the entries "
                        f"come to {sum_} µ$"
                    )
            if what := _without_call(chunk):
                return what
            place.number, place.sum = number, sum_
            self.found.entries += len(chunk)
            place.tick()
        return ""


def _without_call(entries: Iterable[LedgerEntry]) -> str:
    """What is wrong with the first of them that charges a call and is not what the call cost."""
    usage = [entry for entry in entries if entry.kind == LedgerEntry.Kind.USAGE]
    calls = {entry.pk: _call_of(entry) for entry in usage}
    holds = Hold.objects.in_bulk([id_ for id_ in calls.values() if id_ is not None])
    for entry in usage:
        hold = holds.get(calls[entry.pk] or NOBODY)
        if hold is None or hold.account_id != entry.account_id:
            return f"entry {entry.number} charges a call that there was not"
        charged = hold.charged_micros or 0
        if hold.state != Hold.State.SETTLED or charged != -entry.amount_micros:
            return (
                f"entry {entry.number} charges {-entry.amount_micros} µ$ for call {hold.pk}, "
                f"which was charged {charged} µ$"
            )
    return ""


def _call_of(entry: LedgerEntry) -> UUID | None:
    try:
        return UUID(entry.idempotency_key.removeprefix(OF_CALL))
    except ValueError:
        return None


def _unposted(found: Reconciled, place: _Place) -> Iterator[Drift]:
    """Calls that were charged and are not in the ledger so."""
    settled = Hold.objects.filter(state=Hold.State.SETTLED).order_by("pk")
    while chunk := list(settled.filter(pk__gt=place.call_id or NOBODY)[:CHUNK]):
        found.holds += len(chunk)
        charged = [hold for hold in chunk if hold.charged_micros]
        keys = [f"{OF_CALL}{hold.pk}" for hold in charged]
        posted = {
            key: (account_id, -amount)
            for key, account_id, amount in LedgerEntry.objects.filter(
                idempotency_key__in=keys
            ).values_list("idempotency_key", "account_id", "amount_micros")
        }
        for hold in charged:
            entry = posted.get(f"{OF_CALL}{hold.pk}")
            if entry != (hold.account_id, hold.charged_micros):
                yield Drift(
                    hold.account_id,
                    f"call {hold.pk} was charged {hold.charged_micros} µ$, "
                    + (f"the ledger has {entry[1]} µ$" if entry else "the ledger lacks it"),
                )
        place.call_id = chunk[-1].pk
        place.tick()


#: By how much counters differ from the holds of their period, in one statement. A hold without a
#: counter differs by all that it is.
_DIFFERENCES = """
    SELECT account_id, subject_id, SUM(held), SUM(spent) FROM (
        SELECT account_id, subject_id, held_micros AS held, spent_micros AS spent
        FROM billing_spending WHERE of = %s AND period = %s
        UNION ALL
        SELECT {account}, {subject},
            CASE WHEN state = 'open' THEN -amount_micros ELSE 0 END,
            COALESCE(-charged_micros, 0)
        FROM billing_hold WHERE created_at >= %s AND created_at < %s
    ) AS both_sides
    GROUP BY account_id, subject_id HAVING SUM(held) <> 0 OR SUM(spent) <> 0
"""
_OF_TOKENS = _DIFFERENCES.format(account="NULL", subject="token_id")
_OF_MEMBERS = _DIFFERENCES.format(account="account_id", subject="user_id")


@dataclass(frozen=True, slots=True)
class Miscount:
    """By how much a counter exceeds what the calls of its period come to. `account_id` None: of a
    token that is gone."""

    account_id: UUID | None
    of: Of
    subject_id: UUID
    period: date
    held_micros: int
    spent_micros: int


def miscounted() -> Iterator[Miscount]:
    """Of tokens, and then of members."""
    now = timezone.now()
    for of, before in ((Of.TOKEN, timedelta(days=31)), (Of.MEMBER, timedelta(days=1))):
        this = period(of, now)
        # A call belongs to the period in which it began: those of the last may yet be under way.
        for first in (period(of, _beginning(this) - before), this):
            yield from _miscounted(of, first)


def _miscounted(of: Of, first: date) -> Iterator[Miscount]:
    end = _beginning(first) + timedelta(days=1)
    while period(of, end) == first:
        end += timedelta(days=1)
    adapt = connection.ops
    with connection.cursor() as cursor:
        cursor.execute(
            _OF_TOKENS if of == Of.TOKEN else _OF_MEMBERS,
            [
                of,
                adapt.adapt_datefield_value(first),
                adapt.adapt_datetimefield_value(_beginning(first)),
                adapt.adapt_datetimefield_value(end),
            ],
        )
        rows = cursor.fetchmany(CHUNK)
    for account, subject, held, spent in rows:
        token_or_member = _uuid(subject)
        of_account = _account_of_token(token_or_member) if of == Of.TOKEN else _uuid(account)
        yield Miscount(of_account, of, token_or_member, first, int(held), int(spent))


def _account_of_token(token_id: UUID) -> UUID | None:
    return ApiToken.objects.filter(pk=token_id).values_list("account_id", flat=True).first()


def _beginning(day: date) -> datetime:
    return datetime.combine(day, time_of_day(), UTC)


def _uuid(value: Any) -> UUID:  # Any: as the database has it, a UUID or its digits.
    return value if isinstance(value, UUID) else UUID(str(value))
