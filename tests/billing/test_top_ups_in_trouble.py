"""Automatic top-ups while the provider is away or slow, and when all is otherwise by then."""

import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from billing import ledger
from billing.models import AutoTopUp, Payment, Wallet
from billing.payments import cards, charging, claiming
from billing.tasks import top_up_balances
from orgs.models import Account, User
from tests.billing.top_ups import (
    LONG_AGO,
    Kind,
    State,
    balance,
    events,
    keep_card,
    spend,
    stripe_intent,
    told_last,
    turn_on,
)
from tests.fake_stripe import FakeStripe
from tests.stripe_fixture import DOLLAR, Deliver, begun
from tests.together import at_once

pytestmark = pytest.mark.django_db


# A provider that is away, or slow --------------------------------------------------------------


@pytest.fixture
def two_low(
    owner: User, account: Account, organization: Account, stripe: FakeStripe, deliver: Deliver
) -> tuple[Account, Account]:
    """Begun in this order."""
    for each in (account, organization):
        keep_card(owner, each, stripe, deliver)
        turn_on(owner, each)
        spend(each, 21, str(each.pk))
    charging.begin_due()
    assert Payment.objects.filter(state=State.PENDING).count() == 2
    for number, each in enumerate((account, organization)):
        at = datetime.now(UTC) - timedelta(minutes=9 - number)
        Payment.objects.filter(account_id=each.pk, state=State.PENDING).update(created_at=at)
    return account, organization


def test_without_an_answer_the_others_are_not_tried_in_this_run(
    owner, account, stripe, two_low, deliver
):
    for _ in range(3):
        payment = begun(owner, account, saves_card=True)
        deliver(stripe.pay(payment.reference))
    stripe.fails, stripe.calls[:] = 503, []
    assert (cards.save_cards(), charging.top_up()) == (0, 0)
    assert [call.method for call in stripe.calls] == ["GET", "POST"]


def test_a_run_that_has_no_time_left_asks_nothing(owner, account, stripe, two_low, deliver):
    payment = begun(owner, account, saves_card=True)
    deliver(stripe.pay(payment.reference))
    stripe.calls[:] = []
    assert (cards.save_cards(seconds=-1), charging.top_up(seconds=-1)) == (0, 0)
    assert not stripe.calls


def test_and_begins_nothing(account, stripe, low):
    assert charging.top_up(seconds=-1) == 0
    assert not Payment.objects.filter(kind=Payment.Kind.AUTOMATIC).exists()
    assert charging.top_up() == 1


def test_what_was_tried_in_vain_waits_behind_what_was_not(stripe, two_low):
    stripe.fails = 503
    charging.top_up()
    stripe.fails = None
    Payment.objects.exclude(charging_at=None).update(charging_at=LONG_AGO)
    assert charging.top_up() == 2
    first, second, third = (call.once for call in stripe.charges())
    assert first == third != second


def test_one_account_that_cannot_be_credited_keeps_no_other_waiting(stripe, two_low):
    broken, other = two_low
    payment = Payment.objects.get(account_id=broken.pk, state=State.PENDING)
    # The key of its entry stands for something else.
    ledger.credit(
        account_id=broken.pk,
        kind=Kind.GRANT,
        amount_micros=1,
        idempotency_key=f"payment:{payment.pk}",
    )
    assert charging.top_up() == 1
    assert balance(other) == 24
    payment.refresh_from_db()
    assert payment.is_pending


@pytest.mark.django_db(transaction=True)
def test_while_a_run_waits_for_stripe_no_other_one_begins(stripe, two_low):
    stripe.opens.clear()
    stripe.calls[:] = []
    run = threading.Thread(target=top_up_and_leave)
    run.start()
    try:
        for _ in range(1000):
            if stripe.calls:
                break
            time.sleep(0.01)
        top_up_balances()
        assert len(stripe.calls) == 1
    finally:
        stripe.opens.set()
        run.join(30)
    assert len(stripe.charges()) == 2
    assert [balance(each) for each in two_low] == [24, 24]
    # And it does not stand in the way of the next.
    spend(two_low[0], 21, "again")
    top_up_balances()
    assert len(stripe.charges()) == 3


def test_a_run_that_took_too_long_leaves_the_next_alone():
    with ExitStack() as next_run:
        with claiming.only_run() as alone:
            assert alone
            cache.delete(claiming.RUN)  # As when its time is over.
            assert next_run.enter_context(claiming.only_run())
        with claiming.only_run() as alone:
            assert not alone, "the next one is under way"
    with claiming.only_run() as alone:
        assert alone


def top_up_and_leave() -> None:
    try:
        top_up_balances()
    finally:
        connection.close()


# What changed meanwhile ------------------------------------------------------------------------


@pytest.fixture
def begun_only(account: Account, stripe: FakeStripe, low: AutoTopUp) -> Payment:
    """Stripe was not asked yet."""
    charging.begin_due()
    return Payment.objects.get(kind=Payment.Kind.AUTOMATIC)


def freeze_it() -> None:
    Wallet.objects.update(frozen_at=timezone.now(), frozen_why="A stolen card.")


def fill_it() -> None:
    account_id = Wallet.objects.get().pk
    ledger.credit(
        account_id=account_id, kind=Kind.GRANT, amount_micros=DOLLAR, idempotency_key="filled"
    )


@pytest.mark.parametrize(("change", "why"), [(freeze_it, "frozen"), (fill_it, "no longer low")])
def test_what_is_no_longer_to_be_topped_up_is_not_charged(
    account, stripe, low, begun_only, change, why
):
    change()
    assert charging.top_up() == 0
    assert not stripe.charges()
    begun_only.refresh_from_db()
    assert begun_only.state == State.EXPIRED
    assert why in begun_only.failure
    low.refresh_from_db()
    assert (low.enabled, low.off_why) == (True, "")
    assert events(account)[-1] == "payment.expired"
    # It goes on when it falls, or is unfrozen.
    Wallet.objects.update(frozen_at=None, frozen_why="")
    spend(account, balance(account) - 1, "again")
    assert charging.top_up() == 1


def test_a_charge_without_an_answer_waits_while_the_balance_is_frozen(account, stripe, low):
    stripe.fails = 503
    charging.top_up()
    stripe.fails = None
    freeze_it()
    Payment.objects.filter(state=State.PENDING).update(charging_at=LONG_AGO)
    asked = len(stripe.charges())
    assert charging.top_up() == 0
    assert len(stripe.charges()) == asked
    Wallet.objects.update(frozen_at=None, frozen_why="")
    Payment.objects.filter(state=State.PENDING).update(charging_at=LONG_AGO)
    assert charging.top_up() == 1


def test_what_stripe_has_not_answered_for_a_day_is_not_asked_again(account, stripe, low):
    """By then it has forgotten what it was asked, and would charge anew."""
    stripe.fails = 500
    charging.top_up()
    stripe.fails = None
    Payment.objects.filter(state=State.PENDING).update(
        created_at=timezone.now() - charging.GIVEN_UP_AFTER - timedelta(seconds=1),
        charging_at=LONG_AGO,
    )
    asked = len(stripe.charges())
    assert charging.top_up() == 0
    assert len(stripe.charges()) == asked
    low.refresh_from_db()
    assert not low.enabled


def test_what_was_frozen_until_then_is_given_up_and_not_the_card_s_trouble(
    account, stripe, low, deliver
):
    stripe.loses = True
    charging.top_up()
    stripe.loses = False
    freeze_it()
    Payment.objects.filter(state=State.PENDING).update(
        created_at=timezone.now() - charging.GIVEN_UP_AFTER - timedelta(seconds=1),
        charging_at=LONG_AGO,
    )
    assert charging.top_up() == 0
    assert len(stripe.charges()) == 1
    [payment] = Payment.objects.filter(kind=Payment.Kind.AUTOMATIC)
    assert payment.state == State.EXPIRED
    assert "The balance was frozen" in payment.failure
    low.refresh_from_db()
    assert (low.enabled, low.off_why) == (True, "")
    assert told_last(account) == ("billing.payment.expired", {"kind": "automatic"})
    # It was charged, and an event tells.
    assert deliver(stripe.event("payment_intent.succeeded", stripe_intent(stripe, payment))) == 200
    assert balance(account) == 24


def test_a_charge_that_turns_out_to_be_paid_later_is_credited(account, stripe, low, deliver):
    stripe.fails = 500
    charging.top_up()
    [payment] = Payment.objects.filter(kind=Payment.Kind.AUTOMATIC)
    intent = {
        "id": "pi_late",
        "amount_received": 2000,
        "currency": "usd",
        "metadata": {"payment": str(payment.pk)},
    }
    told = stripe.event("payment_intent.succeeded", intent)
    assert (
        deliver({**told, "id": "evt_less", "data": {"object": {**intent, "amount_received": 1999}}})
        == 200
    )
    assert balance(account) == 4
    assert deliver(told) == 200
    assert balance(account) == 24


def test_a_dispute_turns_it_off(account, stripe, low, deliver):
    [payment] = Payment.objects.all()
    deliver(stripe.dispute(payment.intent))
    low.refresh_from_db()
    assert not low.enabled
    assert "disputed" in low.off_why
    assert told_last(account) == ("billing.payment.disputed", {"top_ups_turned_off": True})
    assert charging.top_up() == 0


def test_a_dispute_told_before_its_payment_turns_it_off_too(owner, account, stripe, low, deliver):
    payment = begun(owner, account)
    told = stripe.pay(payment.reference)
    deliver(stripe.dispute(told["data"]["object"]["payment_intent"]))
    deliver(told)
    low.refresh_from_db()
    assert not low.enabled
    assert told_last(account) == ("billing.payment.disputed", {"top_ups_turned_off": True})


def test_a_refund_turns_it_off(account, stripe, low, deliver):
    """Or the card would pay again what was just paid back."""
    [payment] = Payment.objects.all()
    deliver(stripe.refund(payment.intent, 400))
    assert balance(account) == 0
    assert charging.top_up() == 0
    assert not stripe.charges()
    low.refresh_from_db()
    assert not low.enabled
    assert "refunded" in low.off_why
    event, details = told_last(account)
    assert (event, details["top_ups_turned_off"]) == ("billing.payment.refunded", True)
    # Once it is off there is nothing to turn off.
    deliver(stripe.refund(payment.intent, 500))
    assert "top_ups_turned_off" not in told_last(account)[1]


@pytest.mark.django_db(transaction=True)
def test_ten_workers_at_once_charge_once(account, stripe, low):
    paid = at_once(*[partial(charging.top_up)] * 10)
    assert sum(int(str(each)) for each in paid) == 1
    assert len(stripe.charges()) == 1
    assert balance(account) == 24
