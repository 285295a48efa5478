"""A kept card, and a balance that it tops up."""

from datetime import UTC, datetime
from typing import Any

from billing import ledger
from billing.models import AutoTopUp, LedgerEntry, Payment, Wallet
from billing.payments import cards, topping_up
from orgs.models import Account, AuditEvent, User
from orgs.origin import Origin
from tests.fake_stripe import GOOD, FakeStripe
from tests.stripe_fixture import DOLLAR, Deliver, begun

Kind = LedgerEntry.Kind
State = Payment.State

#: When a worker that is gone asked.
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def keep_card(
    user: User, account: Account, stripe: FakeStripe, deliver: Deliver, card: str = GOOD
) -> AutoTopUp:
    """A first payment of $25, with which the card was kept."""
    payment = begun(user, account, saves_card=True)
    assert deliver(stripe.pay(payment.reference, card)) == 200
    assert cards.save_cards() == 1
    return AutoTopUp.objects.get(pk=account.pk)


def turn_on(user: User, account: Account, **changes: Any) -> bool:
    wanted = {
        "card": "".join(AutoTopUp.objects.filter(pk=account.pk).values_list("card", flat=True)),
        "below_micros": 5 * DOLLAR,
        "amount_micros": 20 * DOLLAR,
        "monthly_cap_micros": 100 * DOLLAR,
    }
    return topping_up.turn_on(actor=user, account=account, origin=Origin(), **{**wanted, **changes})


def spend(account: Account, dollars: int, key: str = "spent") -> None:
    ledger.debit(
        account_id=account.pk,
        kind=Kind.USAGE,
        amount_micros=dollars * DOLLAR,
        idempotency_key=key,
    )


def balance(account: Account) -> int:
    return Wallet.objects.get(pk=account.pk).posted_micros // DOLLAR


def events(account: Account) -> list[str]:
    found = AuditEvent.objects.for_account(account.pk).filter(event__startswith="billing.")
    return [
        name.removeprefix("billing.")
        for name in found.order_by("sequence").values_list("event", flat=True)
    ]


def told_last(account: Account) -> tuple[str, dict[str, object]]:
    last = AuditEvent.objects.for_account(account.pk).newest_first()[0]
    return last.event, last.details


def stripe_intent(stripe: FakeStripe, payment: Payment) -> dict[str, Any]:
    """The charge that Stripe made for it."""
    named = str(payment.pk)
    return next(
        each for each in stripe.intents.values() if each["metadata"].get("payment") == named
    )
