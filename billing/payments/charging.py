"""Automatic top-ups: a card that an account keeps is charged when its balance falls low.

Once for each fall. The payment of a fall stays open until it is known what came of it, only one can
be open for an account, and its id is what the provider charges once; so it does not matter how
often, by how many workers or after which crash it is tried. What is bought is at least the level,
so that a balance that falls again has risen before.
"""

from collections.abc import Iterator
from datetime import timedelta
from time import monotonic
from uuid import UUID, uuid4

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from billing.models import AutoTopUp, Payment, Wallet
from billing.payments import provider
from billing.payments.base import Card, Order, Provider, Refused, Unavailable
from billing.payments.claiming import SECONDS, claimed
from billing.payments.outcomes import ended, paid
from billing.payments.topping_up import first_of_month, is_over_cap, spent_this_month
from orgs.audit import Event, record
from orgs.models import Account
from orgs.origin import Origin
from orgs.permissions import Permission, those_who_may

log = structlog.get_logger(__name__)

State = Payment.State
Kind = Payment.Kind

DESCRIPTION = "MegaBrain credit, topped up automatically"
#: Looked at together of those that have fallen.
BATCH = 200
#: The provider remembers for a day what it was asked; afterwards it would charge anew.
GIVEN_UP_AFTER = timedelta(hours=20)


def top_up(seconds: float = SECONDS) -> int:
    """Charge the cards of accounts that have fallen low, and those left over; say how many paid.

    Safe to run twice at once, and to be killed. A provider that does not answer is left alone until
    the next run; one account that cannot be charged keeps none of the others waiting.
    """
    taking, done = provider(), 0
    if taking is None:
        return 0
    begin_due(seconds)
    to_charge = Payment.objects.filter(kind=Kind.AUTOMATIC, state=State.PENDING)
    for payment in claimed(to_charge, seconds):
        try:
            done += _charge(taking, payment)
        except Unavailable:
            break
        except Exception:
            log.exception("payments.not_charged", payment=str(payment.pk))
    return done


def begin_due(seconds: float = SECONDS) -> None:
    """Begin a payment for each account that has fallen low; nobody is charged yet."""
    until = monotonic() + seconds
    for account_id in _fallen_in_turn():
        if monotonic() > until:
            break
        try:
            _begin(account_id)
        except Exception:
            log.exception("payments.top_up_not_begun", account=str(account_id))


def _fallen() -> QuerySet[AutoTopUp]:
    """Where it is on, the balance is too low, nothing is on its way already, and the month's cap is
    not known to be reached: it stays so until the next, or until another is agreed to."""
    wallets = Wallet.objects.filter(
        pk=OuterRef("pk"), frozen_at=None, posted_micros__lt=OuterRef("below_micros")
    )
    open_ones = Payment.objects.filter(
        account_id=OuterRef("pk"), kind=Kind.AUTOMATIC, state=State.PENDING
    )
    return AutoTopUp.objects.filter(
        Exists(wallets),
        ~Exists(open_ones),
        Exists(Account.objects.filter(pk=OuterRef("pk"))),
        Q(capped_at=None) | Q(capped_at__lt=first_of_month(timezone.now())),
        enabled=True,
    )


def _fallen_in_turn() -> Iterator[UUID]:
    """All of them by their ids, in batches. Those that nothing can be begun for stay fallen: from
    another place on each time, so that they take up the time of no others for long."""
    rows, start = _fallen().order_by("pk").values_list("pk", flat=True), uuid4()
    for part in (rows.filter(pk__gt=start), rows.filter(pk__lte=start)):
        batch = list(part[:BATCH])
        while batch:
            yield from batch
            batch = list(part.filter(pk__gt=batch[-1])[:BATCH])


def _somebody_pays(account_id: UUID) -> bool:
    """Whether the account is there, and somebody who may manage its billing: where nobody is left
    who could turn it off, nothing is charged."""
    account = Account.objects.filter(pk=account_id).first()
    return account is not None and those_who_may(Permission.MANAGE_BILLING, account).exists()


def _begin(account_id: UUID) -> None:
    """The payment of one fall, unless it would exceed the month's cap, is there already, or nobody
    is left to pay it."""
    try:
        with transaction.atomic():
            kept = AutoTopUp.objects.locked(account_id)
            # Once it is held: another worker may have charged it meanwhile, or its owner said no.
            if kept is None or not _fallen().filter(pk=account_id).exists():
                return
            if not _somebody_pays(account_id):
                return
            if is_over_cap(kept, spent_this_month(account_id, timezone.now())):
                _note_the_cap(kept)
                return
            payment = Payment.objects.create(
                account_id=account_id,
                user_id=kept.agreed_by,
                kind=Kind.AUTOMATIC,
                amount_micros=kept.amount_micros,
            )
            record(
                event=Event.TOP_UP_BEGUN,
                account=Account(pk=account_id),
                actor=None,
                target=kept,
                origin=Origin(),
                details={"amount_micros": payment.amount_micros},
            )
    except IntegrityError:
        log.info("payments.top_up_begun_elsewhere", account=str(account_id))


def _note_the_cap(kept: AutoTopUp) -> None:
    """For the letter that tells of it. It is not looked at again before the next month."""
    kept.capped_at = timezone.now()
    kept.capped_claimed_at = kept.capped_told_at = None
    kept.save(update_fields=["capped_at", "capped_claimed_at", "capped_told_at"])


def _charge(taking: Provider, payment: Payment) -> bool:
    """Charge what was claimed; without an answer it stays open and is tried again later.

    Raises Unavailable.
    """
    kept = AutoTopUp.objects.filter(pk=payment.account_id).exclude(card="").first()
    if kept is None or not kept.enabled or not _somebody_pays(payment.account_id):
        # Had it been charged without our knowing, an event would still tell and be credited.
        why = "Automatic top-ups were turned off before the card was charged."
        return _over(payment, State.FAILED, why)
    wallet = Wallet.objects.filter(pk=payment.account_id).first()
    is_frozen = wallet is not None and wallet.frozen_at is not None
    is_low = wallet is not None and wallet.posted_micros < kept.below_micros
    if payment.charging_at is None and (is_frozen or not is_low):
        why = "frozen" if is_frozen else "no longer low"
        return _over(payment, State.EXPIRED, f"The balance was {why} when it was to be topped up.")
    if payment.created_at < timezone.now() - GIVEN_UP_AFTER:
        if is_frozen and not payment.reference:
            # MegaBrain has held it back, and neither the card nor the bank.
            why = "The balance was frozen until it was too late to ask for the charge again."
            return _over(payment, State.EXPIRED, why)
        return _over(payment, State.FAILED, "The charge did not come through for most of a day.")
    if payment.reference or is_frozen:
        return False  # The bank takes its time, and an event will tell; or staff take theirs.
    order = Order(payment.pk, payment.amount_micros, DESCRIPTION)
    try:
        charge = taking.charge(order, Card(kept.customer, kept.card, kept.card_label))
    except Refused as error:
        return _over(payment, State.FAILED, str(error))
    with transaction.atomic():
        locked = Payment.objects.locked(payment.pk)
        if locked is None:
            return False
        if charge.paid:
            paid(locked, charge.reference)
        else:
            Payment.objects.filter(pk=payment.pk).update(reference=charge.reference)
    return charge.paid


def _over(payment: Payment, state: Payment.State, why: str) -> bool:
    with transaction.atomic():
        locked = Payment.objects.locked(payment.pk)
        if locked is not None:
            ended(locked, state, why)
    return False
