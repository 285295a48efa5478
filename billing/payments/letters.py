"""What people are told of payments by e-mail: managers of top-ups that stopped, staff of doubts."""

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from billing.models import AutoTopUp, Payment
from billing.payments.topping_up import (
    first_of_month,
    is_over_cap,
    next_month,
    spent_this_month,
)
from orgs.access import account_url
from orgs.letters import send_letters, tell_each
from orgs.models import Account
from orgs.permissions import Permission, staff, those_who_may


def tell_of_top_ups() -> int:
    """Write to those who manage billing where automatic top-ups were turned off, once; say of how
    many accounts."""
    off = AutoTopUp.objects.exclude(off_why="").filter(off_told_at=None).order_by("pk")
    return tell_each(off, "off_claimed_at", _write_of_top_up, lambda now: {"off_told_at": now})


def _write_of_top_up(kept: AutoTopUp) -> bool:
    account = Account.objects.filter(pk=kept.pk).first()
    if account is None or not kept.off_why:
        return True
    context = {
        "kept": kept,
        "organization": account if account.is_organization else None,
        "link": settings.MEGABRAIN_BASE_URL + account_url("billing:balance", account),
    }
    people = those_who_may(Permission.MANAGE_BILLING, account)
    return send_letters("billing/email/top_up_off", people, context, account.pk)


def tell_of_caps() -> int:
    """Write of each account whose balance is low and whose cap keeps it from being topped up this
    month, once for each month and agreement; say of how many. With the next month there is room
    again.
    """
    capped = AutoTopUp.objects.filter(
        enabled=True, capped_at__gte=first_of_month(timezone.now()), capped_told_at=None
    )
    return tell_each(
        capped.order_by("capped_at"),
        "capped_claimed_at",
        _write_of_cap,
        lambda now: {"capped_told_at": now},
    )


def _write_of_cap(kept: AutoTopUp) -> bool:
    """To whoever agreed to it, or to all others where they manage billing no more."""
    account, now = Account.objects.filter(pk=kept.pk).first(), timezone.now()
    charged = spent_this_month(kept.pk, now)
    if account is None or not is_over_cap(kept, charged):
        return True
    people = list(those_who_may(Permission.MANAGE_BILLING, account))
    people = [person for person in people if person.pk == kept.agreed_by] or people
    context = {
        "kept": kept,
        "charged_micros": charged,
        "until": next_month(now),
        "organization": account if account.is_organization else None,
        "link": settings.MEGABRAIN_BASE_URL + account_url("billing:auto_top_up", account),
    }
    return send_letters("billing/email/top_up_capped", people, context, account.pk)


def tell_of_payments() -> int:
    """Write to staff of each payment that they have to see to, once; say of how many."""
    doubtful = Payment.objects.exclude(attention="").filter(attention_told_at=None)
    return tell_each(
        doubtful.order_by("created_at"),
        "attention_claimed_at",
        _write_of_payment,
        lambda now: {"attention_told_at": now},
    )


def _write_of_payment(payment: Payment) -> bool:
    account = Account.objects.select_related("user").filter(pk=payment.account_id).first()
    context = {
        "payment": payment,
        "account": account.user.email if account and account.user else account,
        "link": settings.MEGABRAIN_BASE_URL
        + reverse("admin:billing_payment_change", args=[payment.pk]),
    }
    return send_letters("billing/email/payment_doubt", staff(), context, payment.pk)
