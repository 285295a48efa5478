"""What becomes of a payment: credited, ended, refunded and taken back from the balance.

Everything here happens to a payment that is locked. Rows are locked in one order: the account, the
event, the payment, the card, the wallet, the audit log.
"""

from collections.abc import Mapping
from time import monotonic
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from billing import ledger
from billing.models import AutoTopUp, LedgerEntry, Payment, PaymentEvent, Wallet
from orgs.audit import Event, Fact, record
from orgs.models import Account
from orgs.money import dollars
from orgs.origin import Origin

log = structlog.get_logger(__name__)

State = Payment.State
Kind = Payment.Kind

#: Why automatic top-ups are turned off: the bank of the card's owner wants the money back.
DISPUTED = "A payment of this account is disputed at the bank."
#: Taken back in one run, and so many seconds of it.
AT_ONCE = 200
SECONDS = 30.0


def paid(payment: Payment, intent: str) -> None:
    """Credit it, whatever was thought of it before; once.

    An account that was deleted meanwhile is credited too: then a refund comes out even.
    """
    if payment.state == State.PAID:
        return
    payment.state, payment.failure, payment.ended_at = State.PAID, "", timezone.now()
    payment.intent = intent
    if payment.kind == Kind.AUTOMATIC:
        payment.reference = intent
    payment.save(update_fields=["state", "failure", "ended_at", "intent", "reference"])
    was_disputed = disputed_before(payment)
    off = was_disputed and turned_off(payment.account_id, DISPUTED)
    ledger.credit(
        account_id=payment.account_id,
        kind=LedgerEntry.Kind.TOP_UP,
        amount_micros=payment.amount_micros,
        idempotency_key=f"payment:{payment.pk}",
        note=payment.get_kind_display(),
        actor_id=payment.user_id,
    )
    if not Account.objects.filter(pk=payment.account_id).exists():
        call_for_attention(payment, "It was paid when its account was deleted. Refund it.")
    take_back(payment, "was refunded")
    record_of(payment, Event.PAYMENT_RECEIVED, {"kind": payment.kind})
    if was_disputed:
        disputed(payment, off)


def ended(payment: Payment, state: State, failure: str = "") -> None:
    """It came to nothing, so far as is known. A card that could not be charged by itself is not
    tried again."""
    if not payment.is_pending:
        return
    payment.state, payment.failure, payment.ended_at = state, failure, timezone.now()
    payment.save(update_fields=["state", "failure", "ended_at"])
    failed = state == State.FAILED
    off = failed and payment.kind == Kind.AUTOMATIC and turned_off(payment.account_id, failure)
    record_of(
        payment,
        Event.PAYMENT_FAILED if failed else Event.PAYMENT_EXPIRED,
        {"kind": payment.kind, **if_off(off)},
    )


def turned_off(account_id: UUID, why: str) -> bool:
    """Stop automatic top-ups, if there are any; those who manage billing are told why."""
    running = AutoTopUp.objects.filter(pk=account_id, enabled=True)
    return bool(running.update(enabled=False, off_why=why, off_claimed_at=None, off_told_at=None))


def if_off(off: bool) -> dict[str, Fact]:
    """What an event tells besides where it turned automatic top-ups off."""
    return {"top_ups_turned_off": True} if off else {}


def disputed_before(payment: Payment) -> bool:
    """Whether a dispute was heard of before it was known which payment it is about."""
    if not payment.intent:
        return False
    early = PaymentEvent.objects.filter(intent=payment.intent, payment_id=None)
    return bool(early.update(payment_id=payment.pk)) and payment.disputed_at is None


def disputed(payment: Payment, off: bool) -> None:
    """Nothing is taken before the bank has decided, and no card is charged by itself meanwhile:
    `off` says whether one would have been."""
    payment.disputed_at = timezone.now()
    payment.save(update_fields=["disputed_at"])
    call_for_attention(payment, "It is disputed. Answer in the provider's dashboard.")
    record_of(payment, Event.PAYMENT_DISPUTED, if_off(off))


def take_back(payment: Payment, what_happened: str) -> None:
    """Take what went back to the payer from the balance, or as much as is there, and tell staff.

    What is missing is taken by `take_back_due` when it is there.
    """
    due = payment.refunded_micros - payment.taken_back_micros
    if payment.state != State.PAID or due <= 0:
        return
    taken, hindered = _taken(payment, due)
    told = f"{dollars(due)} of it {what_happened}."
    if taken < due:
        told += (
            f" {dollars(due - taken)} could not be taken from the balance at once, since"
            f" {hindered}; that is tried again by itself."
        )
    call_for_attention(payment, told)


def take_back_due(seconds: float = SECONDS) -> int:
    """Take what refunds have left to take from balances that have it now; say of how many payments.

    Safe to run twice at once, and to be killed. One that cannot be done keeps none of the others
    waiting.
    """
    done, until = 0, monotonic() + seconds
    able = Wallet.objects.filter(
        pk=OuterRef("account_id"), frozen_at=None, posted_micros__gt=F("held_micros")
    )
    due = Payment.objects.filter(
        Exists(able), state=State.PAID, taken_back_micros__lt=F("refunded_micros")
    )
    for id_ in due.order_by("ended_at").values_list("pk", flat=True)[:AT_ONCE]:
        if monotonic() > until:
            break
        try:
            done += _taken_now(id_)
        except Exception:
            log.exception("payments.not_taken_back", payment=str(id_))
    return done


@transaction.atomic
def _taken_now(payment_id: UUID) -> bool:
    payment = Payment.objects.locked(payment_id)
    due = payment.refunded_micros - payment.taken_back_micros if payment else 0
    if payment is None or due <= 0:
        return False
    taken, _ = _taken(payment, due)
    if taken > 0:
        record_of(payment, Event.PAYMENT_TAKEN_BACK, {"taken_micros": payment.taken_back_micros})
    return taken > 0


def _taken(payment: Payment, due: int) -> tuple[int, str]:
    """How much of it the balance gave, and what kept it from giving the rest."""
    wallet = ledger.locked_wallet(payment.account_id)
    if wallet.frozen_at is not None:
        return 0, "the balance was frozen"
    hindered = "calls under way held it" if wallet.posted_micros >= due else "the balance lacked it"
    taken = min(due, wallet.available_micros)
    if taken > 0:
        payment.taken_back_micros += taken
        ledger.debit(
            account_id=payment.account_id,
            kind=LedgerEntry.Kind.REFUND,
            amount_micros=taken,
            # Each taking makes it more, and the payment is locked.
            idempotency_key=f"refund:{payment.pk}:{payment.taken_back_micros}",
            note="Refunded payment",
        )
        payment.save(update_fields=["taken_back_micros"])
    return taken, hindered


def call_for_attention(payment: Payment, why: str) -> None:
    """Have staff told, once for each reason."""
    why = why[:300]
    if payment.attention == why:
        return
    log.error("payments.attention", payment=str(payment.pk), why=why)
    payment.attention = why
    payment.attention_claimed_at = payment.attention_told_at = None
    payment.save(update_fields=["attention", "attention_claimed_at", "attention_told_at"])


def record_of(payment: Payment, event: Event, details: Mapping[str, Fact] | None = None) -> None:
    """In the log of the account, which outlives it."""
    record(
        event=event,
        account=Account(pk=payment.account_id),
        actor=None,
        target=payment,
        origin=Origin(),
        details=details,
    )
