"""Credit that staff give to an account, or take back."""

import re
from collections.abc import Callable

from django.db import transaction

from billing import ledger
from billing.models import LedgerEntry
from byok.actions.holding import hold
from orgs.audit import Event, record
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission

Kind = LedgerEntry.Kind

_KEY = re.compile(r"[!-~]{1,100}", re.ASCII)


class UnusableKey(ValueError):
    """What was given as an idempotency key is none."""


def grant_credit(
    *,
    actor: User | None,
    account: Account,
    amount_micros: int,
    idempotency_key: str,
    note: str = "",
    origin: Origin,
) -> LedgerEntry:
    """Add to the account's balance, once for each idempotency key. For staff; None: an operator.

    Done again under the same key it changes nothing, writes no second event and returns the same
    entry. Raises `NotPermitted`, `AccountGone`, `UnusableKey`, `TooMuch`, and `KeyReused` if the
    key was used for another account, amount or note.
    """
    return _change(
        ledger.credit,
        Kind.GRANT,
        Event.CREDIT_GRANTED,
        actor,
        account,
        amount_micros,
        idempotency_key,
        note,
        origin,
    )


def take_credit(
    *,
    actor: User | None,
    account: Account,
    amount_micros: int,
    idempotency_key: str,
    note: str = "",
    origin: Origin,
) -> LedgerEntry:
    """Take back what was given wrongly, as far as it is available; as `grant_credit` does it.

    Also from a balance that is frozen. Raises `NotEnough` in the place of `TooMuch`.
    """
    return _change(
        ledger.debit,
        Kind.CORRECTION,
        Event.CREDIT_TAKEN,
        actor,
        account,
        amount_micros,
        idempotency_key,
        note,
        origin,
    )


def _change(
    post: Callable[..., LedgerEntry],
    kind: LedgerEntry.Kind,
    event: Event,
    actor: User | None,
    account: Account,
    amount_micros: int,
    idempotency_key: str,
    note: str,
    origin: Origin,
) -> LedgerEntry:
    if not _KEY.fullmatch(idempotency_key):
        raise UnusableKey("An idempotency key is 1 to 100 letters, digits and signs, and no space.")
    # Keys of staff are apart from those of calls and payments, whatever they type.
    key = f"{kind}:{idempotency_key}"
    with transaction.atomic():
        # Whoever does the same at the same moment waits here, and then finds it done.
        account = hold(account, actor, Permission.ASSIST)
        done_before = LedgerEntry.objects.filter(idempotency_key=key).exists()
        entry = post(
            account_id=account.pk,
            kind=kind,
            amount_micros=amount_micros,
            idempotency_key=key,
            note=note,
            actor_id=actor.pk if actor else None,
        )
        if not done_before:
            record(
                event=event,
                account=account,
                actor=actor,
                target=entry,
                origin=origin,
                details={
                    "amount_micros": entry.amount_micros,
                    "idempotency_key": idempotency_key,
                    "note": note or None,
                    "number": entry.number,
                    # Also in an account that they are members of.
                    **({"by_staff": True} if actor else {}),
                },
            )
    return entry
