"""Money set aside for calls: reserved before one, settled or released after it, once.

A hold is for the most that its call can cost, so a balance never falls below zero and no limit is
exceeded, however many calls run at once. The process that serves a call renews the hold's lease;
one that dies leaves it to `sweep`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from django.db import IntegrityError, connection, transaction
from django.db.models import F, QuerySet, Value
from django.utils import timezone

from billing import ledger
from billing.actions import note_drift
from billing.ledger import MOST_MICROS, Frozen, NotEnough
from billing.models import Hold, LedgerEntry, Spending, Wallet

Of = Spending.Of

#: Renewed well before it ends (RENEW_SECONDS): only a process that died lets it end.
LEASE = timedelta(seconds=90)
RENEW_SECONDS = 30.0
#: A lease is over for so long before its hold is released: where the database was away for longer
#: than a lease, whoever lives renews it first.
NOTICE = timedelta(seconds=15)
#: How long a lock is waited for before or while a call is served.
LOCK_SECONDS = 5
AT_ONCE = 500
NOTICED = 10_000
#: A hold that could not be released is tried again after so long.
STUCK = timedelta(minutes=5)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Spender:
    """Whose spending a call counts towards: a token's in its month, a member's of an account
    (`account_id`) in its day. `limit_micros` None: as far as the balance goes."""

    of: Spending.Of
    account_id: UUID | None
    subject_id: UUID
    limit_micros: int | None = None


class LimitReached(Exception):
    """The call could take a token or a member beyond its limit. `left_micros` is left of it."""

    def __init__(self, spender: Spender, left_micros: int) -> None:
        super().__init__(f"{left_micros} micro-dollars are left of the limit.")
        self.spender = spender
        self.left_micros = left_micros


def reserve(
    *,
    request_id: UUID,
    account_id: UUID,
    user_id: UUID,
    token_id: UUID,
    amount_micros: int,
    spenders: Sequence[Spender],
    at: datetime,
) -> None:
    """Set the amount aside, from the balance and from every limit, or from none.

    `at` is the moment of the call, in UTC, and `spenders` are those that `spenders()` names, with
    their limits: every call counts towards both. Raises NotEnough, Frozen and LimitReached.
    """
    if amount_micros < 0:
        raise ValueError("A hold is for nothing, or for something.")
    if not _are_those_of(account_id, user_id, token_id, spenders):
        raise ValueError("A call counts towards its token and its member, in this order.")
    if amount_micros > MOST_MICROS:
        # No balance has it, and the database could not count so far.
        raise _refusal(account_id)
    with transaction.atomic():
        _wait_briefly()
        if amount_micros == 0:
            # What is free needs no balance, and its hold needs a wallet.
            Wallet.objects.bulk_create([Wallet(account_id=account_id)], ignore_conflicts=True)
        enough = Wallet.objects.filter(
            pk=account_id,
            frozen_at=None,
            posted_micros__gte=F("held_micros") + amount_micros,
        )
        if not enough.update(held_micros=F("held_micros") + amount_micros):
            raise _refusal(account_id)
        for spender in spenders:
            _set_aside(spender, amount_micros, at)
        Hold.objects.bulk_create(
            [
                Hold(
                    id=request_id,
                    account_id=account_id,
                    user_id=user_id,
                    token_id=token_id,
                    amount_micros=amount_micros,
                    lease_until=timezone.now() + LEASE,
                    created_at=at,
                )
            ]
        )


def _wait_briefly() -> None:
    """Raise OperationalError rather than wait for long, until the transaction ends."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")


def _refusal(account_id: UUID) -> Exception:
    wallet = Wallet.objects.filter(pk=account_id).first()
    if wallet is not None and wallet.frozen_at is not None:
        return Frozen(wallet.frozen_why)
    return NotEnough(wallet.available_micros if wallet else 0)


def _set_aside(spender: Spender, amount_micros: int, at: datetime) -> None:
    """Count the amount as held by the spender. Raises LimitReached."""
    counters = counters_of(spender, at)
    within = counters
    if spender.limit_micros is not None:
        room = Value(spender.limit_micros - amount_micros) - F("held_micros")
        within = counters.filter(spent_micros__lte=room)
    more = {"held_micros": F("held_micros") + amount_micros}
    if within.update(**more):
        return
    # The first of its period, or beyond its limit.
    Spending.objects.bulk_create(
        [
            Spending(
                of=spender.of,
                account_id=spender.account_id,
                subject_id=spender.subject_id,
                period=period(spender.of, at),
            )
        ],
        ignore_conflicts=True,
    )
    if not within.update(**more):
        counter = counters.get()
        spent = counter.spent_micros + counter.held_micros
        raise LimitReached(spender, max(0, (spender.limit_micros or 0) - spent))


def counters_of(spender: Spender, at: datetime) -> QuerySet[Spending]:
    """The one row that counts what the spender spends in the period of `at`, if there is one."""
    return Spending.objects.filter(
        of=spender.of,
        account_id=spender.account_id,
        subject_id=spender.subject_id,
        period=period(spender.of, at),
    )


def period(of: str, at: datetime) -> date:
    """The first day of the month, or the day, in UTC."""
    day = at.astimezone(UTC).date()
    return day.replace(day=1) if of == Of.TOKEN else day


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a call ended: `cost_micros` is what it cost, None for one that is not charged."""

    request_id: UUID
    account_id: UUID
    cost_micros: int | None

    def __post_init__(self) -> None:
        if self.cost_micros is not None and self.cost_micros < 0:
            raise ValueError("A call costs nothing, or something.")


def resolve(
    resolutions: Sequence[Resolution], *, lapsed_at: datetime | None = None
) -> dict[UUID, int]:
    """Settle or release the holds of these calls, in one transaction; says what each was charged.

    A hold that was resolved before stays as it was, and what it was charged then is said. So does
    one whose lease holds at `lapsed_at`, if that is given. Nothing is charged beyond a hold: it was
    for the most that the call could cost, and what went beyond it is MegaBrain's to bear.

    A balance whose wallet or counters turn out to have drifted is frozen on commit. Raises
    IntegrityError where they have drifted so far that the database refuses what would follow, and
    Wallet.DoesNotExist: then none of the calls is resolved. Whoever gives one up freezes.
    """
    return _resolve(resolutions, lapsed_at)[0]


def _resolve(
    resolutions: Sequence[Resolution], lapsed_at: datetime | None
) -> tuple[dict[UUID, int], int]:
    """As above, and how many were resolved just now."""
    wanted = {each.request_id: each for each in resolutions}
    now = timezone.now()
    with transaction.atomic():
        wallets = ledger.locked_wallets(each.account_id for each in resolutions)
        holds = list(Hold.objects.select_for_update().filter(pk__in=wanted).order_by("pk"))
        charged = {hold.pk: hold.charged_micros or 0 for hold in holds}
        for hold in holds:
            cost = wanted[hold.pk].cost_micros
            if cost and hold.state == Hold.State.RELEASED:
                # It is as if its process had died; nothing is charged any more.
                log.error("billing.hold.released", request_id=str(hold.pk), cost_micros=cost)
        opened = [
            hold
            for hold in holds
            if hold.state == Hold.State.OPEN and (lapsed_at is None or hold.lease_until < lapsed_at)
        ]
        charging = {hold.account_id for hold in opened if wanted[hold.pk].cost_micros}
        ends = ledger.ends(charging) if charging else {}
        entries: list[LedgerEntry] = []
        for hold in opened:
            wallet = wallets.get(hold.account_id)
            if wallet is None:
                raise Wallet.DoesNotExist(f"Of {hold.account_id}, whose call {hold.pk} was.")
            wallet.held_micros -= hold.amount_micros
            _end(hold, wanted[hold.pk].cost_micros, now)
            if hold.charged_micros:
                charged[hold.pk] = hold.charged_micros
                entries.append(
                    ledger.append(
                        wallet,
                        ends[hold.account_id],
                        LedgerEntry.Kind.USAGE,
                        -hold.charged_micros,
                        idempotency_key=f"request:{hold.pk}",
                    )
                )
        if opened:
            LedgerEntry.objects.bulk_create(entries)
            Hold.objects.bulk_update(opened, ["state", "charged_micros", "resolved_at"])
            for wallet in wallets.values():
                ledger.save(wallet)
            drifts = _count(opened)
            drifts |= {id_: what for id_, end in ends.items() if (what := end.drift(wallets[id_]))}
            for account_id, what in drifts.items():
                if wallets[account_id].frozen_at is None:
                    found = partial(note_drift, account_id=account_id, what=what)
                    transaction.on_commit(found, robust=True)
    return charged, len(opened)


def _end(hold: Hold, cost_micros: int | None, at: datetime) -> None:
    """Settle an open hold, or release it. The caller stores it."""
    hold.resolved_at = at
    if cost_micros is None:
        hold.state = Hold.State.RELEASED
        return
    if cost_micros > hold.amount_micros:
        log.error(
            "billing.hold.too_small",
            request_id=str(hold.pk),
            held_micros=hold.amount_micros,
            cost_micros=cost_micros,
        )
    hold.charged_micros = min(cost_micros, hold.amount_micros)
    hold.state = Hold.State.SETTLED


def _count(holds: Iterable[Hold]) -> dict[UUID, str]:
    """Move what these holds set aside, of tokens and members, to what was spent.

    Says, by accounts, where a counter had less than that. Calls end all the same: only limits
    depend on counters.
    """
    accounts: dict[UUID, UUID] = {}
    moved: dict[tuple[str, UUID | None, UUID, date], list[int]] = {}
    for hold in holds:
        for spender in spenders(hold.account_id, hold.user_id, hold.token_id):
            day = period(spender.of, hold.created_at)
            of, account = str(spender.of), spender.account_id
            accounts[spender.subject_id] = hold.account_id
            sums = moved.setdefault((of, account, spender.subject_id, day), [0, 0])
            sums[0] += hold.amount_micros
            sums[1] += hold.charged_micros or 0
    drifts = {}
    # Tokens before members, each by their ids: as `reserve` does, so that nobody deadlocks.
    for (of, account, subject, day), (held, spent) in sorted(
        moved.items(), key=lambda item: (item[0][0] != Of.TOKEN, str(item[0]))
    ):
        counter = Spending.objects.filter(of=of, account_id=account, subject_id=subject, period=day)
        more = {"spent_micros": F("spent_micros") + spent}
        if counter.filter(held_micros__gte=held).update(
            held_micros=F("held_micros") - held, **more
        ):
            continue
        counter.update(held_micros=0, **more)
        drifts[account or accounts[subject]] = (
            f"the counter of {of} {subject} for {day} held less than the {held} µ$ of its calls"
        )
    return drifts


def spenders(account_id: UUID, user_id: UUID, token_id: UUID) -> tuple[Spender, Spender]:
    """Whose spending a call counts towards, in the order in which they are always locked."""
    return Spender(Of.TOKEN, None, token_id), Spender(Of.MEMBER, account_id, user_id)


def _are_those_of(
    account_id: UUID, user_id: UUID, token_id: UUID, named: Sequence[Spender]
) -> bool:
    """Whether a hold that these set aside is moved, once it is resolved, of the same."""
    counted = spenders(account_id, user_id, token_id)
    return [(each.of, each.account_id, each.subject_id) for each in named] == [
        (each.of, each.account_id, each.subject_id) for each in counted
    ]


def renew(request_ids: Iterable[UUID]) -> int:
    """Say that the process which serves these calls is alive; says how many of them are open."""
    with transaction.atomic():
        _wait_briefly()
        # Locked as `resolve` does, in one order, so that nobody deadlocks.
        rows = Hold.objects.open().filter(pk__in=list(request_ids)).order_by("pk")
        found = list(rows.select_for_update().values_list("pk", flat=True))
        return Hold.objects.filter(pk__in=found).update(
            lease_until=timezone.now() + LEASE, noticed_at=None
        )


def sweep() -> int:
    """Release the holds of processes that died; says how many.

    It takes two: the first notices that a lease is over, and one after NOTICE releases the hold.
    One that cannot be released, since its account's rows were altered, keeps no other waiting: its
    account is frozen, and it is tried again after a while.
    """
    now, swept = timezone.now(), 0
    _notice(now)
    noticed = Hold.objects.abandoned(now).filter(noticed_at__lte=now - NOTICE)
    rows = noticed.order_by("lease_until", "pk").values_list("pk", "account_id")
    # One that is renewed meanwhile is left alone, and no more found; nor is one that is stuck.
    while found := [Resolution(pk, account_id, None) for pk, account_id in rows[:AT_ONCE]]:
        released = _release(found, now)
        swept += released
        if released:
            log.warning("billing.hold.swept", holds=released)
    return swept


def _notice(now: datetime) -> None:
    with transaction.atomic():
        new = Hold.objects.abandoned(now).filter(noticed_at=None).order_by("pk")
        # Whoever has one locked renews or resolves it.
        found = new.select_for_update(skip_locked=True).values_list("pk", flat=True)
        Hold.objects.filter(pk__in=list(found[:NOTICED])).update(noticed_at=now)


def _release(resolutions: Sequence[Resolution], lapsed_at: datetime) -> int:
    """All at once, or else one by one; says how many were released."""
    try:
        return _resolve(resolutions, lapsed_at)[1]
    except (IntegrityError, Wallet.DoesNotExist) as error:
        if len(resolutions) > 1:
            return sum(_release([resolution], lapsed_at) for resolution in resolutions)
        [stuck] = resolutions
        log.error(
            "billing.hold.stuck",
            request_id=str(stuck.request_id),
            account=str(stuck.account_id),
            error=type(error).__name__,
        )
        # As if it had been noticed just then: it waits, and those of the next run do not for it.
        Hold.objects.filter(pk=stuck.request_id).update(noticed_at=timezone.now() + STUCK)
        note_drift(account_id=stuck.account_id, what=f"call {stuck.request_id} cannot be released")
        return 0
