"""What the payment provider tells, and what follows from it.

An event is acted upon in one transaction with the note that it was heard, so that it is heard once
and nothing of it is lost.
"""

from uuid import UUID

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from billing.models import Payment, PaymentEvent
from billing.models.payments import CENT
from billing.payments.base import CURRENCY, Event, Told
from billing.payments.outcomes import (
    DISPUTED,
    call_for_attention,
    disputed,
    disputed_before,
    ended,
    if_off,
    paid,
    record_of,
    take_back,
    turned_off,
)
from orgs.audit import Event as Audit
from orgs.models import AuditEvent
from orgs.money import dollars

log = structlog.get_logger(__name__)

State = Payment.State
Kind = Payment.Kind

#: Why automatic top-ups are turned off: the card's owner wants the money back.
REFUNDED = "A payment of this account was refunded."
#: What was taken before the refund failed stayed taken, and is not taken again.
REFUNDED_AGAIN = (
    "It was refunded again after a refund that failed; what was granted since has to be taken back."
)
#: Disputes looked at in one run that came before their payments.
AT_ONCE = 200


def receive(event: Event) -> None:
    """Act on what the provider tells, once. What is about nothing of ours is let pass."""
    if event.told == Told.NOTHING:
        return
    with transaction.atomic():
        found = _payment_of(event)
        if found is None and event.told != Told.DISPUTED:
            log.info("payments.not_ours", event_id=event.id, kind=event.kind)
            return
        if not _heard_first(event, found):
            return
        payment = Payment.objects.locked(found) if found else None
        if payment is not None:
            _act(event, payment)


def match_disputes() -> int:
    """Act on disputes that were told before their payments, and at the same moment: neither saw the
    other then. Says of how many payments."""
    ours = Payment.objects.filter(intent=OuterRef("intent"))
    early = PaymentEvent.objects.filter(Exists(ours), payment_id=None).exclude(intent="")
    matched = 0
    for intent in early.values_list("intent", flat=True).distinct()[:AT_ONCE]:
        try:
            matched += _match_dispute(intent)
        except Exception:
            log.exception("payments.dispute_not_matched", intent=intent)
    return matched


@transaction.atomic
def _match_dispute(intent: str) -> bool:
    payment = Payment.objects.select_for_update().filter(intent=intent).first()
    if payment is None or not disputed_before(payment):
        return False
    disputed(payment, turned_off(payment.account_id, DISPUTED))
    return True


def _payment_of(event: Event) -> UUID | None:
    payments = Payment.objects.all()
    if event.payment is not None:
        payments = payments.filter(pk=event.payment)
    elif event.intent:
        payments = payments.filter(intent=event.intent)
    else:
        return None
    return payments.values_list("pk", flat=True).first()


def _heard_first(event: Event, payment: UUID | None) -> bool:
    """Note the event; False if it was noted before. Of several at once, one goes on."""
    try:
        with transaction.atomic():
            PaymentEvent(
                id=event.id, kind=event.kind[:100], payment_id=payment, intent=event.intent
            ).save(force_insert=True)
    except IntegrityError:
        return False
    return True


def _act(event: Event, payment: Payment) -> None:
    match event.told:
        case Told.PAID if _is_paid_as_asked(event, payment):
            paid(payment, event.intent)
        case Told.FAILED if _is_about(event, payment):
            ended(payment, State.FAILED, "The payment did not go through.")
        case Told.EXPIRED if _is_about(event, payment):
            ended(payment, State.EXPIRED)
        case Told.REFUNDED:
            _refunded(event, payment)
        case Told.REFUND_FAILED:
            _refund_failed(event, payment)
        case Told.DISPUTED if payment.disputed_at is None:
            disputed(payment, turned_off(payment.account_id, DISPUTED))
        case Told.DISPUTE_WON:
            _dispute_won(payment)
        case Told.DISPUTE_LOST:
            _dispute_lost(event, payment)


def _is_about(event: Event, payment: Payment) -> bool:
    """Whether it is the checkout or the charge that we asked for. Where the answer that names it
    has not come, or was lost, its own word of the payment is enough."""
    if event.at_checkout != (payment.kind == Kind.CHECKOUT):
        return False  # The charge within a checkout, of which the checkout itself tells.
    return payment.reference in {event.reference, ""}


def _is_paid_as_asked(event: Event, payment: Payment) -> bool:
    """Whether it is that one, and over the amount we asked for; staff are told of any other.

    Nobody was led to a checkout that is not known here.
    """
    if event.at_checkout != (payment.kind == Kind.CHECKOUT):
        return False
    if not _is_about(event, payment) or (event.at_checkout and not payment.reference):
        call_for_attention(payment, "Another checkout or charge than its own claims to pay it.")
        return False
    if (event.amount_micros, event.currency) != (payment.amount_micros, CURRENCY):
        said = f"{event.amount_micros // CENT} cents of {event.currency[:10] or 'no currency'}"
        call_for_attention(payment, f"It was paid with another amount or currency: {said}.")
        return False
    return True


def _refunded(event: Event, payment: Payment) -> None:
    """All that was refunded so far is told each time, so that the order of words is no matter.

    No card is charged by itself from then on: the balance falls, and it would pay what was just
    paid back.
    """
    if event.currency != CURRENCY:
        return
    again = payment.taken_back_micros > 0 and _refund_failed_before(payment)
    if event.amount_micros > payment.refunded_micros:
        payment.refunded_micros = event.amount_micros
        payment.save(update_fields=["refunded_micros"])
        _went_back(payment, Audit.PAYMENT_REFUNDED, "was refunded", REFUNDED)
        if again:
            call_for_attention(payment, f"{payment.attention} {REFUNDED_AGAIN}")
    elif again:
        call_for_attention(payment, REFUNDED_AGAIN)


def _refund_failed_before(payment: Payment) -> bool:
    events = AuditEvent.objects.for_account(payment.account_id)
    failed = events.filter(event=Audit.PAYMENT_REFUND_FAILED.value, target_id=str(payment.pk))
    return failed.exists()


def _refund_failed(event: Event, payment: Payment) -> None:
    """The money is back at the provider. What was taken stays taken, and no more of it is: staff
    pay it out in another way, or grant it again."""
    why = f"A refund of it did not go through: {event.reference}."
    if payment.attention.startswith(why):
        return  # The provider tells of it twice, by events of two names.
    kept = max(payment.taken_back_micros, payment.refunded_micros - max(event.amount_micros, 0))
    payment.refunded_micros = min(payment.refunded_micros, kept)
    payment.save(update_fields=["refunded_micros"])
    taken = dollars(payment.taken_back_micros)
    call_for_attention(
        payment,
        f"{why} {taken} was taken from the balance. Pay it out in another way, or grant it again. "
        "If it is refunded again after that, take back what was granted.",
    )
    record_of(
        payment,
        Audit.PAYMENT_REFUND_FAILED,
        {
            "refunded_micros": payment.refunded_micros,
            "taken_micros": payment.taken_back_micros,
        },
    )


def _dispute_won(payment: Payment) -> None:
    """Or withdrawn. Automatic top-ups stay off until somebody agrees to them again."""
    if payment.disputed_at is None:
        return
    payment.disputed_at = None
    payment.save(update_fields=["disputed_at"])
    call_for_attention(payment, "The dispute over it was won, and nothing was taken.")
    record_of(payment, Audit.PAYMENT_DISPUTE_WON)


def _dispute_lost(event: Event, payment: Payment) -> None:
    """The bank has paid it back, which comes to what a refund does."""
    payment.disputed_at = payment.disputed_at or timezone.now()
    if event.currency == CURRENCY and event.amount_micros > 0:
        most = max(payment.amount_micros, payment.refunded_micros)
        payment.refunded_micros = min(payment.refunded_micros + event.amount_micros, most)
    payment.save(update_fields=["disputed_at", "refunded_micros"])
    call_for_attention(payment, "The dispute over it was lost.")
    _went_back(payment, Audit.PAYMENT_DISPUTE_LOST, "was lost in a dispute", DISPUTED)


def _went_back(payment: Payment, event: Audit, what_happened: str, off_why: str) -> None:
    off = turned_off(payment.account_id, off_why)
    take_back(payment, what_happened)
    record_of(
        payment,
        event,
        {
            "refunded_micros": payment.refunded_micros,
            "taken_micros": payment.taken_back_micros,
            **if_off(off),
        },
    )
