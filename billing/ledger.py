"""The ledger: the one place that changes a balance.

Everything here happens in a transaction in which the wallet's row is locked, first of all rows, so
that an account's entries are numbered without a gap and its holds are counted exactly.

An entry follows from the one before it, which nobody can change, and the wallet is changed by the
same amount. So credit is added and calls are charged by what is in the ledger even where somebody
has altered the wallet, and the difference stays for `billing.reconciling` to find.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from billing.models import LedgerEntry, Wallet
from orgs.money import dollars

Kind = LedgerEntry.Kind

#: A billion dollars, which no amount and no balance exceeds: far from where integers end, in the
#: database and in JSON.
MOST_MICROS = 10**15
KEY_LENGTH = 120
NOTE_LENGTH = 300

#: What a wallet knows of being below its alert level.
LOW = ("low_since", "low_claimed_at", "low_told_at")


class NotEnough(Exception):
    """The balance does not cover it. Nothing was taken."""

    def __init__(self, available_micros: int) -> None:
        super().__init__(f"{available_micros} micro-dollars are available.")
        self.available_micros = available_micros


class Frozen(Exception):
    """Nothing is paid from this balance until staff have looked at it."""


class TooMuch(Exception):
    """The balance would exceed what one can be. Nothing was added."""


class KeyReused(Exception):
    """The idempotency key was used before, for something else. Nothing was changed."""


def locked_wallet(account_id: UUID) -> Wallet:
    """The account's wallet, made when first asked for, locked until the transaction ends."""
    found = Wallet.objects.select_for_update().filter(pk=account_id).first()
    if found is None:
        Wallet.objects.bulk_create([Wallet(account_id=account_id)], ignore_conflicts=True)
        found = Wallet.objects.select_for_update().get(pk=account_id)
    return found


def locked_wallets(account_ids: Iterable[UUID]) -> dict[UUID, Wallet]:
    """Those of the accounts that have one. In one order for everybody, so that nobody deadlocks."""
    rows = Wallet.objects.select_for_update().filter(pk__in=set(account_ids)).order_by("pk")
    return {wallet.account_id: wallet for wallet in rows}


@dataclass(slots=True)
class End:
    """Where an account's ledger ends: what its next entry follows from."""

    number: int = 0
    balance_micros: int = 0

    def drift(self, wallet: Wallet) -> str:
        """What the wallet, changed as often as this, has otherwise; "" if nothing."""
        if wallet.entries != self.number:
            return f"the wallet counts {wallet.entries} entries, the ledger {self.number}"
        if wallet.posted_micros != self.balance_micros:
            return (
                f"the wallet has {wallet.posted_micros} µ$, the entries come to "
                f"{self.balance_micros} µ$"
            )
        return ""


def ends(account_ids: Iterable[UUID]) -> dict[UUID, End]:
    """Of those of the accounts that have a wallet, which is locked, so that nothing follows."""
    last = LedgerEntry.objects.filter(account_id=OuterRef("pk")).order_by("-number")
    rows = Wallet.objects.filter(pk__in=set(account_ids)).values_list(
        "pk", Subquery(last.values("number")[:1]), Subquery(last.values("balance_micros")[:1])
    )
    return {pk: End(number or 0, balance or 0) for pk, number, balance in rows}


def credit(
    *,
    account_id: UUID,
    kind: Kind,
    amount_micros: int,
    idempotency_key: str,
    note: str = "",
    actor_id: UUID | None = None,
) -> LedgerEntry:
    """Add to the balance, once for each idempotency key: done again, it gives the same entry.

    Raises KeyReused if the key stands for another account, kind, amount or note, and TooMuch.
    """
    if amount_micros <= 0:
        raise ValueError("A credit is more than nothing.")
    return _post(account_id, kind, amount_micros, idempotency_key, note, actor_id)


def debit(
    *,
    account_id: UUID,
    kind: Kind,
    amount_micros: int,
    idempotency_key: str,
    note: str = "",
    actor_id: UUID | None = None,
) -> LedgerEntry:
    """Take from what is available, once for each idempotency key as `credit` does.

    Raises NotEnough, Frozen, which a correction by staff ignores, and KeyReused.
    """
    if amount_micros <= 0:
        raise ValueError("A debit is more than nothing.")
    return _post(account_id, kind, -amount_micros, idempotency_key, note, actor_id)


def _post(
    account_id: UUID,
    kind: Kind,
    amount_micros: int,
    idempotency_key: str,
    note: str,
    actor_id: UUID | None,
) -> LedgerEntry:
    if abs(amount_micros) > MOST_MICROS:
        raise ValueError("No amount is so large.")
    if not 0 < len(idempotency_key) <= KEY_LENGTH or len(note) > NOTE_LENGTH:
        # SQLite would take them, and PostgreSQL would not.
        raise ValueError("A key is of 1 to 120 characters, a note of at most 300.")
    said = (account_id, kind, amount_micros, note)
    try:
        with transaction.atomic():
            wallet = locked_wallet(account_id)
            done = LedgerEntry.objects.filter(idempotency_key=idempotency_key).first()
            if done is not None:
                return _same(done, said)
            end = ends([account_id])[account_id]
            if amount_micros < 0:
                if wallet.frozen_at is not None and kind != Kind.CORRECTION:
                    raise Frozen(wallet.frozen_why)
                available = min(wallet.posted_micros, end.balance_micros) - wallet.held_micros
                if available < -amount_micros:
                    raise NotEnough(max(0, available))
            elif max(wallet.posted_micros, end.balance_micros) + amount_micros > MOST_MICROS:
                raise TooMuch(f"A balance is {dollars(MOST_MICROS, 0)} at most.")
            entry = append(
                wallet,
                end,
                kind,
                amount_micros,
                idempotency_key=idempotency_key,
                note=note,
                actor_id=actor_id,
            )
            entry.save(force_insert=True)
            save(wallet)
            return entry
    except IntegrityError:
        # Whoever used the key at the same moment had locked another account's wallet.
        done = LedgerEntry.objects.filter(idempotency_key=idempotency_key).first()
        if done is None:
            raise
        return _same(done, said)


def _same(done: LedgerEntry, said: tuple[UUID, Kind, int, str]) -> LedgerEntry:
    if (done.account_id, done.kind, done.amount_micros, done.note) != said:
        raise KeyReused(done.idempotency_key)
    return done


def append(
    wallet: Wallet,
    end: End,
    kind: Kind,
    amount_micros: int,
    *,
    idempotency_key: str,
    note: str = "",
    actor_id: UUID | None = None,
) -> LedgerEntry:
    """The next entry of a locked wallet, which it changes, as it does `end`. The caller stores it
    and the wallet."""
    wallet.entries += 1
    wallet.posted_micros += amount_micros
    end.number += 1
    end.balance_micros += amount_micros
    return LedgerEntry(
        account_id=wallet.account_id,
        number=end.number,
        kind=kind,
        amount_micros=amount_micros,
        balance_micros=end.balance_micros,
        idempotency_key=idempotency_key,
        note=note,
        actor_id=actor_id,
    )


def save(wallet: Wallet) -> None:
    """Store a locked wallet after its balance changed, and note a crossing of its alert level."""
    note_whether_low(wallet)
    wallet.save(update_fields=["posted_micros", "held_micros", "entries", *LOW])


def note_whether_low(wallet: Wallet) -> None:
    """Note since when a locked wallet has been below its alert level, which the caller stores.

    One that is no longer below it may be told of anew when it is.
    """
    level = wallet.alert_below_micros
    is_low = level is not None and wallet.posted_micros < level
    if is_low and wallet.low_since is None:
        wallet.low_since = timezone.now()
    elif not is_low:
        wallet.low_since = wallet.low_claimed_at = wallet.low_told_at = None
