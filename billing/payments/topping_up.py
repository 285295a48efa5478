"""Automatic top-ups: what somebody of an account agrees to have charged by itself, and ends."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from billing.models import AutoTopUp, Payment
from billing.payments import provider
from billing.payments.outcomes import turned_off
from billing.payments.paying import NoProvider, check_amount
from orgs.audit import Event, record
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission, require


class NoCard(Exception):
    """The account keeps no card."""


class OtherCard(Exception):
    """The account keeps another card than the one that was agreed to."""


class OutOfOrder(Exception):
    """The level, the amount and the cap do not fit together. Its text says what is wrong."""


def turn_on(
    *,
    actor: User,
    account: Account,
    card: str,
    below_micros: int,
    amount_micros: int,
    monthly_cap_micros: int,
    origin: Origin,
) -> bool:
    """Charge the kept card whenever the balance is below, by so much and up to a cap in a month.

    `card` is the one that was agreed to. Says whether that changed anything. Raises NotPermitted,
    NoProvider, NoCard, OtherCard, OutOfBounds and OutOfOrder.
    """
    if provider() is None:
        raise NoProvider
    check_amount(amount_micros)
    if not 0 < below_micros <= amount_micros:
        raise OutOfOrder("Top up by at least the level below which it happens.")
    if monthly_cap_micros < amount_micros:
        raise OutOfOrder("A month has to have room for one top-up at least.")
    wanted = {
        "below_micros": below_micros,
        "amount_micros": amount_micros,
        "monthly_cap_micros": monthly_cap_micros,
    }
    with transaction.atomic():
        account = Account.objects.locked(account)
        require(actor, Permission.MANAGE_BILLING, account)
        kept = AutoTopUp.objects.locked(account.pk)
        if kept is None or not kept.card:
            raise NoCard
        if kept.card != card:
            raise OtherCard
        changed = [name for name, value in wanted.items() if getattr(kept, name) != value]
        was_on = kept.enabled
        if was_on and not changed:
            return False
        for name, value in wanted.items():
            setattr(kept, name, value)
        kept.enabled, kept.agreed_by, kept.agreed_at = True, actor.pk, timezone.now()
        kept.off_why = ""
        # It may have room now; if it has none, that is told of what was agreed to now.
        kept.capped_at = None
        kept.save()
        record(
            event=Event.TOP_UP_CHANGED if was_on else Event.TOP_UP_TURNED_ON,
            account=account,
            actor=actor,
            target=kept,
            origin=origin,
            changed=changed,
            details=wanted,
        )
    return True


def turn_off(*, actor: User, account: Account, origin: Origin) -> bool:
    """Charge nothing by itself any more; the card is kept. Says whether that changed anything.

    Raises NotPermitted.
    """
    with transaction.atomic():
        account = Account.objects.locked(account)
        require(actor, Permission.MANAGE_BILLING, account)
        kept = AutoTopUp.objects.locked(account.pk)
        if kept is None or not kept.enabled:
            return False
        kept.enabled, kept.off_why = False, ""
        kept.save(update_fields=["enabled", "off_why"])
        record(
            event=Event.TOP_UP_TURNED_OFF, account=account, actor=actor, target=kept, origin=origin
        )
    return True


def stop(*, actor: User, account_id: UUID, origin: Origin) -> bool:
    """Turn it off as staff may; those who manage billing are told. Says whether it was on.

    Raises NotPermitted.
    """
    with transaction.atomic():
        account = Account.objects.locked(Account(pk=account_id))
        require(actor, Permission.ASSIST, account)
        if not turned_off(account_id, "MegaBrain's staff have turned them off."):
            return False
        record(
            event=Event.TOP_UP_TURNED_OFF,
            account=account,
            actor=actor,
            target=AutoTopUp.objects.get(pk=account_id),
            origin=origin,
        )
    return True


def spent_this_month(account_id: UUID, now: datetime) -> int:
    """What was charged by itself, or is about to be, since the first of the month."""
    first = first_of_month(now)
    automatic = Payment.objects.automatic_since(account_id, first)
    return automatic.aggregate(total=Sum("amount_micros"))["total"] or 0


def state_of(account: Account) -> dict[str, Any]:  # Any: a template's context.
    """What the pages show of it: what is kept and agreed to, and what this month has taken."""
    kept = AutoTopUp.objects.filter(pk=account.pk).first()
    is_on = kept is not None and kept.enabled
    now = timezone.now()
    charged = spent_this_month(account.pk, now) if is_on else 0
    stopped = kept is not None and is_on and is_over_cap(kept, charged)
    return {
        "kept": kept,
        "charged_micros": charged,
        "stopped_until": next_month(now) if stopped else None,
    }


def is_over_cap(kept: AutoTopUp, charged_micros: int) -> bool:
    """Whether another top-up would exceed the cap of the month that has charged so much."""
    return charged_micros + kept.amount_micros > kept.monthly_cap_micros


def first_of_month(now: datetime) -> datetime:
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(now: datetime) -> date:
    """Its first day."""
    return (first_of_month(now) + timedelta(days=32)).date().replace(day=1)
