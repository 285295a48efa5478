"""Cards that accounts keep at the payment provider: kept with a payment, removed, forgotten there.

Whatever changes an account's card happens while the account is held.
"""

from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.utils import timezone

from billing.models import AutoTopUp, Payment
from billing.payments import provider
from billing.payments.base import Card, Provider, Refused, Unavailable
from billing.payments.claiming import SECONDS, claimed
from billing.payments.outcomes import ended, if_off, turned_off
from orgs.audit import Event, record
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission, require

log = structlog.get_logger(__name__)

State = Payment.State

#: The provider is asked for the card of a payment for so long.
ASKED_FOR = timedelta(hours=20)
REMOVED = "The card was removed before it was known whether it was charged."


def save_cards(seconds: float = SECONDS) -> int:
    """Ask for the cards of payments whose buyers wanted them kept; say how many were saved.

    Safe to run twice at once, and to be killed. A provider that does not answer is left alone until
    the next run.
    """
    taking, saved = provider(), 0
    if taking is None:
        return 0
    waiting = Payment.objects.filter(
        saves_card=True, card_saved_at=None, state=State.PAID, ended_at__gte=_asked_since()
    )
    for payment in claimed(waiting, seconds):
        try:
            saved += _save(taking, payment)
        except Unavailable:
            break
        except Exception:
            log.exception("payments.card_not_saved", payment=str(payment.pk))
    return saved


def is_asked_for(payment: Payment) -> bool:
    """Whether the card of a payment will yet be kept."""
    return (
        payment.saves_card
        and payment.card_saved_at is None
        and payment.disputed_at is None
        and payment.ended_at is not None
        and payment.ended_at >= _asked_since()
    )


def _asked_since() -> datetime:
    return timezone.now() - ASKED_FOR


def _save(taking: Provider, payment: Payment) -> bool:
    try:
        card = taking.card_of(payment.intent)
    except Refused:
        card = None
    is_kept, unwanted = _keep(payment, card)
    if unwanted:
        _forget(unwanted)
    return is_kept


def _keep(payment: Payment, card: Card | None) -> tuple[bool, str]:
    """Keep what the newest payment has brought; says whether it is, and which card is kept no more.

    Nobody has agreed that another card than the one before is charged by itself.
    """
    with transaction.atomic():
        held = Account.objects.select_for_update(no_key=True)
        account = held.filter(pk=payment.account_id).first()
        this = Payment.objects.locked(payment.pk)
        if this is None or this.card_saved_at is not None:
            return False, ""
        this.card_saved_at = timezone.now()
        this.save(update_fields=["card_saved_at"])
        if card is None:
            return False, ""
        if account is None or this.disputed_at is not None:
            return False, card.id
        before = AutoTopUp.objects.filter(pk=account.pk).first()
        replaced, off = "", False
        if before is not None and before.card not in {"", card.id}:
            replaced = before.card
            why = (
                f"Another card took the place of {before.card_label}. Nobody has agreed to it yet."
            )
            _end_charge(account, why)
            off = turned_off(account.pk, why)
        kept = AutoTopUp.objects.locked(account.pk) or AutoTopUp(account_id=account.pk)
        kept.customer, kept.card, kept.card_label = card.customer, card.id, card.label[:60]
        kept.save()
        record(
            event=Event.TOP_UP_CARD_SAVED,
            account=account,
            actor=None,
            target=kept,
            origin=Origin(),
            details=if_off(off),
        )
    return True, replaced


def remove_card(*, actor: User, account: Account, origin: Origin) -> bool:
    """Turn top-ups off and forget the card, here and at the provider. Says whether there was one.

    Raises NotPermitted.
    """
    with transaction.atomic():
        account = Account.objects.locked(account)
        require(actor, Permission.MANAGE_BILLING, account)
        _end_charge(account, REMOVED)
        kept = AutoTopUp.objects.locked(account.pk)
        if kept is None or not kept.card:
            return False
        card, label = kept.card, kept.card_label
        _drop_card(kept)
        kept.card_label = label  # For the sentence; it is stored no more.
        record(
            event=Event.TOP_UP_CARD_REMOVED,
            account=account,
            actor=actor,
            target=kept,
            origin=origin,
        )
    _forget(card)
    return True


def close(account: Account) -> bool:
    """Turn top-ups off and forget the card of an account that is being deleted, and held; says
    whether there was one.

    The event of the deletion tells of it, and the provider is asked once that has happened.
    """
    kept = AutoTopUp.objects.locked(account.pk)
    if kept is None or not kept.card:
        return False
    card = kept.card
    _drop_card(kept)
    transaction.on_commit(lambda: _forget(card))
    return True


def _end_charge(account: Account, why: str) -> None:
    """The one that is open. The provider knows it with the card that it was begun with, and would
    not take it with another. Was that one charged, an event will tell, and it is credited."""
    charge = Payment.objects.locked_to_charge(account.pk)
    if charge is not None:
        ended(charge, State.FAILED, why)


def _drop_card(kept: AutoTopUp) -> None:
    kept.customer = kept.card = kept.card_label = kept.off_why = ""
    kept.enabled = False
    kept.save(update_fields=["enabled", "off_why", "customer", "card", "card_label"])


def _forget(card: str) -> None:
    """It is ours no more whatever the provider says, which charges nothing that we do not ask."""
    taking = provider()
    try:
        if taking is not None:
            taking.forget(card)
    except (Unavailable, Refused):
        log.warning("payments.card_not_forgotten")
