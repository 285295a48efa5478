"""Paying in: a checkout at the payment provider is begun."""

from datetime import timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billing.models import AutoTopUp, Payment
from billing.models.payments import CENT
from billing.payments import provider
from billing.payments.base import Buyer, Order, Provider, Refused, Unavailable
from billing.payments.outcomes import ended
from orgs.access import account_url
from orgs.audit import Event, record
from orgs.models import Account, User
from orgs.money import MICROS, dollars
from orgs.origin import Origin
from orgs.permissions import Permission, require

State = Payment.State
Kind = Payment.Kind

#: Checkouts that an account may begin in an hour.
MOST_BEGUN = 20
DESCRIPTION = "MegaBrain credit"


class NoProvider(Exception):
    """Nobody takes payments here."""


class OutOfBounds(Exception):
    """The amount is less or more than one can pay, or not of whole cents. Its text says so."""


class TooManyPayments(Exception):
    """So many checkouts were begun just now that there is something wrong."""


class NotBegun(Exception):
    """The provider made no checkout. Its text is for people."""


def bounds() -> tuple[int, int]:
    """The least and the most that one can pay at once."""
    return settings.MEGABRAIN_TOP_UP_LEAST * MICROS, settings.MEGABRAIN_TOP_UP_MOST * MICROS


def check_amount(micros: int) -> None:
    """Raises OutOfBounds."""
    least, most = bounds()
    if not least <= micros <= most:
        raise OutOfBounds(f"Enter an amount from {dollars(least, 0)} to {dollars(most, 0)}.")
    if micros % CENT:
        raise OutOfBounds("Enter an amount in whole cents.")


def begin(
    *,
    actor: User,
    account: Account,
    amount_micros: int,
    saves_card: bool,
    origin: Origin,
    id: UUID,  # noqa: A002 -- "id" is the word for it.
) -> Payment:
    """A payment of that id with the checkout where it is paid; the same one if it is begun again
    with the same wishes while nothing has come of it.

    Raises NotPermitted, NoProvider, OutOfBounds, TooManyPayments and NotBegun.
    """
    taking = provider()
    if taking is None:
        raise NoProvider
    check_amount(amount_micros)
    with transaction.atomic():
        account = Account.objects.locked(account)
        require(actor, Permission.MANAGE_BILLING, account)
        payment = Payment.objects.filter(pk=id).first()
        wished = (account.pk, amount_micros, saves_card)
        if payment is not None and not (payment.is_pending and _wished(payment) == wished):
            # No form of ours makes up the id of what belongs to others; one is sent again after
            # the provider was away, and with something else in it by who came back to it.
            payment, id = None, uuid4()  # noqa: A001 -- as above.
        if payment is None:
            payment = _begun(actor, account, amount_micros, saves_card, origin, id)
    if payment.is_pending and not payment.reference:
        _ask_for_checkout(taking, payment, account, actor)
    return payment


def _wished(payment: Payment) -> tuple[UUID, int, bool]:
    return payment.account_id, payment.amount_micros, payment.saves_card


def _begun(
    actor: User, account: Account, micros: int, saves_card: bool, origin: Origin, id_: UUID
) -> Payment:
    lately = timezone.now() - timedelta(hours=1)
    begun = Payment.objects.for_account(account).filter(kind=Kind.CHECKOUT, created_at__gte=lately)
    if begun.count() >= MOST_BEGUN:
        raise TooManyPayments
    payment = Payment.objects.create(
        id=id_,
        account_id=account.pk,
        user_id=actor.pk,
        kind=Kind.CHECKOUT,
        amount_micros=micros,
        saves_card=saves_card,
    )
    record(event=Event.PAYMENT_BEGUN, account=account, actor=actor, target=payment, origin=origin)
    return payment


def _ask_for_checkout(taking: Provider, payment: Payment, account: Account, actor: User) -> None:
    """Outside a transaction: nobody waits for the provider but who is at the checkout."""
    page = settings.MEGABRAIN_BASE_URL + account_url("billing:payment", account, id=payment.pk)
    kept = AutoTopUp.objects.filter(pk=account.pk).first()
    buyer = Buyer(actor.email, kept.customer if kept else "", payment.saves_card)
    order = Order(payment.pk, payment.amount_micros, DESCRIPTION)
    try:
        checkout = taking.begin_checkout(
            order, buyer, success_url=f"{page}?back=paid", cancel_url=f"{page}?back=left"
        )
    except (Unavailable, Refused) as error:
        why = f"No checkout could be opened. {error}"
        with transaction.atomic():
            locked = Payment.objects.locked(payment.pk)
            if locked is not None and not locked.reference:
                ended(locked, State.FAILED, why)
        raise NotBegun(why) from None
    Payment.objects.filter(pk=payment.pk, reference="").update(
        reference=checkout.reference, checkout_url=checkout.url
    )
    payment.refresh_from_db()
