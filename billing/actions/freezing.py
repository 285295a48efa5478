"""Balances from which nothing is paid until staff have looked at them."""

from uuid import UUID

import structlog
from django.db import DatabaseError, transaction
from django.utils import timezone

from billing import ledger
from billing.models import Wallet
from orgs.audit import Event, record
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission, require

#: As the column takes it.
WHY_LENGTH = 300

log = structlog.get_logger(__name__)


def freeze(*, actor: User | None, account_id: UUID, why: str, origin: Origin) -> bool:
    """Pay nothing from the account's balance; says whether it was paid from so far.

    Calls under way are charged, and credit can be added. `actor` None: MegaBrain itself, which has
    staff told of it, and freezes without an event where the account's log takes none; otherwise one
    of them. The account may be deleted. Raises `NotPermitted`.
    """
    account = account_of(account_id)
    with transaction.atomic():
        if actor is not None:
            require(actor, Permission.ASSIST, account)
        wallet = ledger.locked_wallet(account_id)
        if wallet.frozen_at is not None:
            return False
        wallet.frozen_at = timezone.now()
        wallet.frozen_why = why[:WHY_LENGTH]
        # Staff know what they do.
        wallet.frozen_told_at = None if actor is None else wallet.frozen_at
        _save(wallet)
        try:
            with transaction.atomic():
                _told(Event.WALLET_FROZEN, account, wallet, actor, origin, wallet.frozen_why)
        except DatabaseError:
            if actor is not None:
                raise
            # Whoever altered the balance may have altered the log, too: that nothing is paid
            # matters more than that it is told there.
            log.exception("billing.wallet.frozen_without_event", account=str(account_id))
    return True


def note_drift(*, account_id: UUID, what: str, origin: Origin | None = None) -> None:
    """Freeze a balance that somebody has altered past the application, and log that they have.

    What was found while money was changed is noted in a transaction of its own: its event locks the
    account's log, for which whoever has wallets locked does not wait.
    """
    log.error("billing.drift", account=str(account_id), what=what)
    freeze(actor=None, account_id=account_id, why=what, origin=origin or Origin())


def unfreeze(*, actor: User, wallet: Wallet, origin: Origin) -> bool:
    """Pay from the balance again; says whether it was frozen. For staff. Raises `NotPermitted`."""
    account = account_of(wallet.account_id)
    with transaction.atomic():
        require(actor, Permission.ASSIST, account)
        current = ledger.locked_wallet(wallet.account_id)
        if current.frozen_at is None:
            return False
        why = current.frozen_why
        current.frozen_at = current.frozen_told_at = current.frozen_claimed_at = None
        current.frozen_why = ""
        _save(current)
        _told(Event.WALLET_UNFROZEN, account, current, actor, origin, why)
    return True


def account_of(account_id: UUID) -> Account:
    """The account, or one in the place of an organization that is gone: its log goes on."""
    found = Account.objects.filter(pk=account_id).first()
    return found or Account(pk=account_id, kind=Account.Kind.ORGANIZATION, name=str(account_id))


def _save(wallet: Wallet) -> None:
    wallet.save(update_fields=["frozen_at", "frozen_why", "frozen_claimed_at", "frozen_told_at"])


def _told(
    event: Event, account: Account, wallet: Wallet, actor: User | None, origin: Origin, why: str
) -> None:
    record(
        event=event,
        account=account,
        actor=actor,
        target=wallet,
        origin=origin,
        changed=["frozen_at", "frozen_why"],
        # Also in an account that they are members of: who is not staff may do neither.
        details={"why": why, **({"by_staff": True} if actor else {})},
    )
