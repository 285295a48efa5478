"""A wallet and counters that have drifted, made anew from what they are the sums of.

Ledger and holds are believed, and not changed: where these were altered, a backup has to tell.
"""

from collections.abc import Iterable, Iterator
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Sum

from billing import ledger
from billing.actions.freezing import account_of
from billing.holds import period
from billing.models import Hold, Spending, Wallet
from billing.reconciling import Miscount, altered, miscounted
from orgs.audit import Event, record
from orgs.models import AuditEvent
from orgs.origin import Origin

#: In one event.
TOLD = 10


class CannotMend(Exception):
    """Nothing was changed; says why."""


def mend(*, account_id: UUID, origin: Origin) -> list[str]:
    """Bring the account's wallet and counters to what its ledger and holds come to.

    For an operator; says what was changed. The balance stays frozen. Raises `CannotMend`.
    """
    if what := altered(account_id):
        raise CannotMend(f"The ledger itself was altered: {what}.")
    before = _mended(account_id)
    # All calls of a month are read for this: not while the account's own wait for its wallet.
    found = [each for each in miscounted() if each.account_id == account_id]
    with transaction.atomic():
        wallet = ledger.locked_wallet(account_id)
        if _mended(account_id) != before:
            raise CannotMend("Somebody else mends it at this moment.")
        changed = [*_mend_wallet(wallet), *_mend_counters(account_id, found)]
        if changed:
            _told(wallet, changed, origin)
    return changed


def _told(wallet: Wallet, changed: list[str], origin: Origin) -> None:
    try:
        record(
            event=Event.WALLET_MENDED,
            account=account_of(wallet.pk),
            actor=None,
            target=wallet,
            origin=origin,
            details={"changes": len(changed), "first": [*changed[:TOLD]]},
        )
    except IntegrityError:
        raise CannotMend(
            "The account's audit log takes no event, since it was altered, too: see `audit verify`."
        ) from None


def _mended(account_id: UUID) -> int:
    """How often it was."""
    events = AuditEvent.objects.for_account(account_id)
    return events.filter(event=Event.WALLET_MENDED.value).count()


def _mend_wallet(wallet: Wallet) -> Iterator[str]:
    end = ledger.ends([wallet.pk])[wallet.pk]
    held = Hold.objects.open().filter(account_id=wallet.pk)
    sums = {
        "posted_micros": end.balance_micros,
        "held_micros": int(held.aggregate(sum=Sum("amount_micros", default=0))["sum"]),
        "entries": end.number,
    }
    for name, value in sums.items():
        before = getattr(wallet, name)
        if before != value:
            setattr(wallet, name, value)
            yield f"{name} of the wallet: {value}, not {before}"
    try:
        ledger.save(wallet)
    except IntegrityError:
        raise CannotMend(
            "More is set aside than the ledger comes to. Try again when no call is under way."
        ) from None


def _mend_counters(account_id: UUID, found: Iterable[Miscount]) -> Iterator[str]:
    """What was spent by as much as it is off: what calls add meanwhile stays. What is held anew,
    from the open holds: a call that ended meanwhile may have found less than its own, and left
    nothing.

    Tokens before members, each by their ids, as `billing.holds` locks them.
    """
    for each in sorted(found, key=lambda each: (each.of != Spending.Of.TOKEN, str(each))):
        whose = {
            "of": each.of,
            "account_id": None if each.of == Spending.Of.TOKEN else account_id,
            "subject_id": each.subject_id,
            "period": each.period,
        }
        Spending.objects.bulk_create([Spending(**whose)], ignore_conflicts=True)
        # While it is locked, no call of theirs begins or ends.
        counter = Spending.objects.select_for_update().get(**whose)
        held = _held(account_id, each)
        if held == counter.held_micros and not each.spent_micros:
            continue
        Spending.objects.filter(pk=counter.pk).update(
            held_micros=held, spent_micros=F("spent_micros") - each.spent_micros
        )
        yield (
            f"counter of {each.of} {each.subject_id} for {each.period}: "
            f"{held - counter.held_micros:+} held, {-each.spent_micros:+} spent"
        )


def _held(account_id: UUID, counted: Miscount) -> int:
    """What the open holds of that token, or member of the account, and period come to."""
    holds = Hold.objects.open()
    if counted.of == Spending.Of.TOKEN:
        holds = holds.filter(token_id=counted.subject_id)
    else:
        holds = holds.filter(account_id=account_id, user_id=counted.subject_id)
    return sum(
        amount
        for amount, at in holds.values_list("amount_micros", "created_at")
        if period(counted.of, at) == counted.period
    )
