"""Paying in: a checkout, and what becomes of it in whatever order its words arrive."""

import uuid

import pytest
from django.conf import LazySettings

from billing import ledger
from billing.actions import freeze, unfreeze
from billing.models import LedgerEntry, Payment, PaymentEvent, Wallet
from billing.payments import paying
from billing.tasks import take_back_refunds, tell_of_payments
from orgs.actions import delete_organization
from orgs.models import Account, AuditEvent, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.fake_stripe import FakeStripe
from tests.stripe_fixture import DOLLAR, Deliver, begun

pytestmark = pytest.mark.django_db

Kind = LedgerEntry.Kind
State = Payment.State


def now(payment: Payment) -> Payment:
    payment.refresh_from_db()
    return payment


def entries(account: Account) -> list[tuple[str, int]]:
    rows = LedgerEntry.objects.for_account(account).order_by("number")
    return list(rows.values_list("kind", "amount_micros"))


def events(account: Account) -> list[str]:
    """Of payments, oldest first."""
    found = AuditEvent.objects.for_account(account.pk).filter(event__startswith="billing.payment.")
    return list(found.order_by("sequence").values_list("event", flat=True))


def spend(account: Account, micros: int) -> None:
    ledger.debit(
        account_id=account.pk, kind=Kind.USAGE, amount_micros=micros, idempotency_key="spent"
    )


# A checkout ------------------------------------------------------------------------------------


def test_a_checkout_is_for_the_amount_and_leads_back_here(
    owner, account, stripe: FakeStripe, settings: LazySettings
):
    payment = begun(owner, account, 25)
    session = stripe.sessions[payment.reference]
    assert payment.checkout_url == session["url"]
    assert (session["amount_total"], session["currency"]) == (2500, "usd")
    page = f"{settings.MEGABRAIN_BASE_URL}/account/billing/payments/{payment.pk}/"
    assert session["success_url"] == f"{page}?back=paid"
    assert session["cancel_url"] == f"{page}?back=left"
    assert entries(account) == []
    assert events(account) == ["billing.payment.begun"]


def test_a_form_that_is_sent_twice_begins_one_checkout(owner, account, stripe: FakeStripe):
    again = {
        "actor": owner,
        "account": account,
        "amount_micros": 25 * DOLLAR,
        "saves_card": False,
        "origin": Origin(),
        "id": uuid.uuid4(),
    }
    first, second = paying.begin(**again), paying.begin(**again)
    assert first.pk == second.pk
    assert len(stripe.sessions) == 1
    assert events(account) == ["billing.payment.begun"]


def test_a_form_that_was_come_back_to_is_paid_as_it_says_now(
    owner, account, stripe: FakeStripe, deliver: Deliver
):
    form = {"actor": owner, "account": account, "origin": Origin(), "id": uuid.uuid4()}
    first = paying.begin(**form, amount_micros=25 * DOLLAR, saves_card=False)
    dearer = paying.begin(**form, amount_micros=50 * DOLLAR, saves_card=False)
    keeping = paying.begin(**form, amount_micros=25 * DOLLAR, saves_card=True)
    assert stripe.sessions[dearer.reference]["amount_total"] == 5000
    assert keeping.saves_card
    deliver(stripe.pay(first.reference))
    again = paying.begin(**form, amount_micros=25 * DOLLAR, saves_card=False)
    assert again.is_pending
    assert len({each.pk for each in (first, dearer, keeping, again)}) == 4
    assert len(stripe.sessions) == 4


def test_the_id_of_somebody_else_s_payment_is_not_theirs_to_begin(
    owner, account, organization, billing_manager, stripe: FakeStripe
):
    theirs = begun(owner, account)
    ours = paying.begin(
        actor=billing_manager,
        account=organization,
        amount_micros=30 * DOLLAR,
        saves_card=False,
        origin=Origin(),
        id=theirs.pk,
    )
    assert ours.pk != theirs.pk
    assert ours.reference != theirs.reference
    assert (now(theirs).account_id, theirs.amount_micros) == (account.pk, 25 * DOLLAR)


@pytest.mark.parametrize(
    "micros", [0, -5 * DOLLAR, 5 * DOLLAR - 1, 1000 * DOLLAR + 1, 20 * DOLLAR + 1, 20_005_000]
)
def test_an_amount_out_of_bounds_or_with_parts_of_a_cent_is_refused(
    owner, account, stripe: FakeStripe, micros
):
    with pytest.raises(paying.OutOfBounds):
        paying.begin(
            actor=owner,
            account=account,
            amount_micros=micros,
            saves_card=False,
            origin=Origin(),
            id=uuid.uuid4(),
        )
    assert not stripe.calls


def test_a_member_cannot_begin_one(organization, member, stripe: FakeStripe):
    with pytest.raises(NotPermitted):
        begun(member, organization)
    assert not Payment.objects.exists()


def test_of_too_many_in_an_hour_no_more_is_begun(owner, account, stripe: FakeStripe):
    for _ in range(paying.MOST_BEGUN):
        begun(owner, account)
    with pytest.raises(paying.TooManyPayments):
        begun(owner, account)
    assert len(stripe.sessions) == paying.MOST_BEGUN


@pytest.mark.parametrize("status", [500, 401, 400, 429])
def test_without_a_checkout_the_payment_has_failed(owner, account, stripe: FakeStripe, status):
    stripe.fails = status
    with pytest.raises(paying.NotBegun):
        begun(owner, account)
    [payment] = Payment.objects.all()
    assert payment.state == State.FAILED
    assert events(account) == ["billing.payment.begun", "billing.payment.failed"]


def test_a_provider_that_is_away_is_said_to_be(owner, account, stripe: FakeStripe):
    stripe.shutdown()
    stripe.server_close()
    with pytest.raises(paying.NotBegun, match="does not answer"):
        begun(owner, account)


# What is told ----------------------------------------------------------------------------------


def test_what_was_paid_is_credited_with_who_paid(owner, account, stripe, deliver: Deliver):
    payment = begun(owner, account)
    deliver(stripe.pay(payment.reference))
    [entry] = LedgerEntry.objects.for_account(account)
    assert (entry.kind, entry.amount_micros, entry.actor_id) == (
        Kind.TOP_UP,
        25 * DOLLAR,
        owner.pk,
    )
    assert events(account) == ["billing.payment.begun", "billing.payment.received"]


def test_a_checkout_nobody_paid_expires(owner, account, stripe, deliver: Deliver):
    payment = begun(owner, account)
    deliver(stripe.expire(payment.reference))
    assert now(payment).state == State.EXPIRED
    assert events(account) == ["billing.payment.begun", "billing.payment.expired"]


@pytest.mark.parametrize("kind", ["expired", "async_payment_failed"])
def test_a_checkout_whose_answer_was_lost_ends_without_an_alarm(
    owner, account, stripe, deliver: Deliver, kind
):
    stripe.loses = True
    with pytest.raises(paying.NotBegun):
        begun(owner, account)
    stripe.loses = False
    [session] = stripe.sessions.values()
    payment = Payment.objects.get()
    assert deliver(stripe.event(f"checkout.session.{kind}", session)) == 200
    assert (now(payment).state, payment.attention) == (State.FAILED, "")
    # Of a process that died before it could note the answer.
    Payment.objects.update(state=State.PENDING, ended_at=None, failure="")
    assert deliver(stripe.event(f"checkout.session.{kind}", session)) == 200
    assert now(payment).state in {State.EXPIRED, State.FAILED}
    assert payment.attention == ""


def test_a_checkout_that_is_not_its_own_ends_nothing(owner, account, stripe, deliver: Deliver):
    payment, other = begun(owner, account), begun(owner, account)
    session = {**stripe.sessions[other.reference], "metadata": {"payment": str(payment.pk)}}
    assert deliver(stripe.event("checkout.session.expired", session)) == 200
    assert (now(payment).state, payment.attention) == (State.PENDING, "")
    assert deliver(
        stripe.event("checkout.session.completed", {**session, "payment_status": "paid"})
    )
    assert (now(payment).state, entries(account)) == (State.PENDING, [])
    assert payment.attention


def test_nobody_was_led_to_a_checkout_whose_answer_was_lost(
    owner, account, stripe, deliver: Deliver
):
    stripe.loses = True
    with pytest.raises(paying.NotBegun):
        begun(owner, account)
    [session] = stripe.sessions
    assert deliver(stripe.pay(session)) == 200
    assert entries(account) == []
    assert Payment.objects.get().attention


def test_money_that_arrives_after_all_is_credited(owner, account, stripe, deliver: Deliver):
    """Words come in any order: what says that it failed or expired may be the older one."""
    for told_first in ("checkout.session.expired", "checkout.session.async_payment_failed"):
        payment = begun(owner, account)
        session = stripe.sessions[payment.reference]
        deliver(stripe.event(told_first, session))
        assert now(payment).state in {State.EXPIRED, State.FAILED}
        deliver(stripe.pay(payment.reference))
        assert now(payment).state == State.PAID
    assert entries(account) == [(Kind.TOP_UP, 25 * DOLLAR)] * 2


def test_what_was_paid_does_not_expire_afterwards(owner, account, stripe, deliver: Deliver):
    payment = begun(owner, account)
    deliver(stripe.pay(payment.reference))
    deliver(stripe.event("checkout.session.expired", stripe.sessions[payment.reference]))
    deliver(
        stripe.event("checkout.session.async_payment_failed", stripe.sessions[payment.reference])
    )
    assert now(payment).state == State.PAID
    assert events(account) == ["billing.payment.begun", "billing.payment.received"]


def test_a_bank_that_takes_days_is_waited_for(owner, account, stripe, deliver: Deliver):
    payment = begun(owner, account)
    completed = stripe.pay(payment.reference)
    completed["data"]["object"]["payment_status"] = "unpaid"
    assert deliver(completed) == 200
    assert now(payment).state == State.PENDING
    session = stripe.sessions[payment.reference]
    deliver(stripe.event("checkout.session.async_payment_succeeded", session))
    assert entries(account) == [(Kind.TOP_UP, 25 * DOLLAR)]


def test_a_payment_for_a_deleted_organization_is_not_lost(
    owner, organization, stripe, deliver: Deliver
):
    payment = begun(owner, organization)
    told = stripe.pay(payment.reference)
    delete_organization(actor=owner, account=organization, origin=Origin())
    organization.pk = payment.account_id
    assert deliver(told) == 200
    assert entries(organization) == [(Kind.TOP_UP, 25 * DOLLAR)]
    assert "deleted" in now(payment).attention
    assert events(organization)[-1] == "billing.payment.received"
    deliver(stripe.refund(now(payment).intent, 2500))
    assert entries(organization)[1:] == [(Kind.REFUND, -25 * DOLLAR)]


# Refunds and disputes --------------------------------------------------------------------------


@pytest.fixture
def paid(owner: User, account: Account, stripe: FakeStripe, deliver: Deliver) -> Payment:
    payment = begun(owner, account)
    deliver(stripe.pay(payment.reference))
    return now(payment)


def test_what_is_refunded_leaves_the_balance(account, paid, stripe, deliver: Deliver):
    deliver(stripe.refund(paid.intent, 1000))
    deliver(stripe.refund(paid.intent, 2500))
    assert entries(account)[1:] == [(Kind.REFUND, -10 * DOLLAR), (Kind.REFUND, -15 * DOLLAR)]
    assert (now(paid).refunded_micros, paid.taken_back_micros) == (25 * DOLLAR, 25 * DOLLAR)
    assert paid.attention
    assert events(account)[2:] == ["billing.payment.refunded"] * 2


def test_refunds_told_in_the_wrong_order_are_taken_once(account, paid, stripe, deliver: Deliver):
    first, second = stripe.refund(paid.intent, 1000), stripe.refund(paid.intent, 2500)
    for event in (second, first, second):
        assert deliver(event) == 200
    assert entries(account)[1:] == [(Kind.REFUND, -25 * DOLLAR)]


def test_a_refund_takes_no_more_than_there_is(account, paid, stripe, deliver: Deliver):
    spend(account, 20 * DOLLAR)
    deliver(stripe.refund(paid.intent, 2500))
    assert entries(account)[2:] == [(Kind.REFUND, -5 * DOLLAR)]
    assert "$20.00 could not be taken" in now(paid).attention
    assert "the balance lacked it" in paid.attention
    take_back_refunds()
    assert entries(account)[3:] == []


def test_what_a_balance_lacked_is_taken_when_it_is_there(account, paid, stripe, deliver: Deliver):
    spend(account, 20 * DOLLAR)
    deliver(stripe.refund(paid.intent, 2500))
    for key, more in (("a", 15), ("b", 50)):
        ledger.credit(
            account_id=account.pk,
            kind=Kind.GRANT,
            amount_micros=more * DOLLAR,
            idempotency_key=key,
        )
        take_back_refunds()
        take_back_refunds()
    taken = [(kind, micros // DOLLAR) for kind, micros in entries(account) if kind == Kind.REFUND]
    assert taken == [(Kind.REFUND, -5), (Kind.REFUND, -15), (Kind.REFUND, -5)]
    assert Wallet.objects.get(pk=account.pk).posted_micros == 45 * DOLLAR
    assert now(paid).taken_back_micros == 25 * DOLLAR
    assert events(account)[-2:] == ["billing.payment.taken_back"] * 2


def test_a_refund_leaves_a_frozen_balance_alone_until_it_is_unfrozen(
    account, staff, paid, stripe, deliver: Deliver
):
    freeze(actor=staff, account_id=account.pk, why="A stolen card.", origin=Origin())
    assert deliver(stripe.refund(paid.intent, 2500)) == 200
    take_back_refunds()
    assert entries(account)[1:] == []
    assert "since the balance was frozen" in now(paid).attention
    unfreeze(actor=staff, wallet=Wallet.objects.get(pk=account.pk), origin=Origin())
    take_back_refunds()
    assert entries(account)[1:] == [(Kind.REFUND, -25 * DOLLAR)]


def test_what_calls_under_way_hold_of_it_is_taken_when_they_end(
    account, paid, stripe, deliver: Deliver
):
    Wallet.objects.filter(pk=account.pk).update(held_micros=10 * DOLLAR)
    deliver(stripe.refund(paid.intent, 2500))
    assert "$10.00 could not be taken" in now(paid).attention
    assert "calls under way held it" in paid.attention
    Wallet.objects.filter(pk=account.pk).update(held_micros=0)
    take_back_refunds()
    assert entries(account)[1:] == [(Kind.REFUND, -15 * DOLLAR), (Kind.REFUND, -10 * DOLLAR)]


def test_one_refund_that_cannot_be_taken_keeps_no_other_waiting(
    owner, account, organization, paid, stripe, deliver: Deliver
):
    other = begun(owner, organization)
    deliver(stripe.pay(other.reference))
    for payment in (paid, now(other)):
        Wallet.objects.update(frozen_at=paid.created_at, frozen_why="Looked at.")
        deliver(stripe.refund(payment.intent, 2500))
    Wallet.objects.update(frozen_at=None, frozen_why="")
    # The key of its entry stands for something else.
    ledger.credit(
        account_id=account.pk,
        kind=Kind.GRANT,
        amount_micros=DOLLAR,
        idempotency_key=f"refund:{paid.pk}:{25 * DOLLAR}",
    )
    take_back_refunds()
    assert now(paid).taken_back_micros == 0
    assert entries(organization)[1:] == [(Kind.REFUND, -25 * DOLLAR)]


@pytest.mark.parametrize("names", [["refund.failed"], ["charge.refund.updated", "refund.failed"]])
def test_staff_are_told_of_a_refund_that_failed_and_no_more_of_it_is_taken(
    account, paid, stripe, deliver: Deliver, names
):
    spend(account, 20 * DOLLAR)
    deliver(stripe.refund(paid.intent, 2500))
    for name in names:
        assert deliver(stripe.refund_failed(paid.intent, 2500, name)) == 200
    assert "did not go through" in now(paid).attention
    assert "$5.00 was taken" in paid.attention
    assert events(account)[-2:] == ["billing.payment.refunded", "billing.payment.refund_failed"]
    ledger.credit(
        account_id=account.pk, kind=Kind.GRANT, amount_micros=50 * DOLLAR, idempotency_key="more"
    )
    take_back_refunds()
    assert now(paid).taken_back_micros == 5 * DOLLAR
    # Refunded anew it is taken, but for what was taken already.
    deliver(stripe.refund(paid.intent, 2500))
    assert now(paid).taken_back_micros == 25 * DOLLAR


def test_what_is_refunded_again_after_a_refund_that_failed_is_left_to_staff(
    account, paid, stripe, deliver: Deliver
):
    """They may have granted it again meanwhile, as they were told."""
    deliver(stripe.refund(paid.intent, 2500))
    deliver(stripe.refund(paid.intent, 2500))
    assert "again" not in now(paid).attention
    deliver(stripe.refund_failed(paid.intent, 2500))
    assert "If it is refunded again after that" in now(paid).attention
    ledger.credit(
        account_id=account.pk, kind=Kind.GRANT, amount_micros=25 * DOLLAR, idempotency_key="again"
    )
    deliver(stripe.refund(paid.intent, 2500))
    assert "what was granted since has to be taken back" in now(paid).attention
    assert paid.attention_told_at is None
    assert paid.taken_back_micros == 25 * DOLLAR


def test_so_is_the_part_of_it_that_was_taken_before_it_failed(
    account, paid, stripe, deliver: Deliver
):
    spend(account, 20 * DOLLAR)
    deliver(stripe.refund(paid.intent, 2500))
    deliver(stripe.refund_failed(paid.intent, 2500))
    ledger.credit(
        account_id=account.pk, kind=Kind.GRANT, amount_micros=25 * DOLLAR, idempotency_key="again"
    )
    deliver(stripe.refund(paid.intent, 2500))
    assert now(paid).attention.startswith("$20.00 of it was refunded. It was refunded again")
    assert paid.taken_back_micros == 25 * DOLLAR


def test_a_refund_told_before_the_payment_is_taken_when_that_arrives(
    owner, account, stripe, deliver: Deliver
):
    payment = begun(owner, account)
    told = stripe.pay(payment.reference)
    intent = told["data"]["object"]["payment_intent"]
    assert deliver(stripe.refund(intent, 1000)) == 200
    assert entries(account) == []
    assert deliver(told) == 200
    assert entries(account) == [(Kind.TOP_UP, 25 * DOLLAR), (Kind.REFUND, -10 * DOLLAR)]


def test_a_refund_in_another_currency_takes_nothing(account, paid, stripe, deliver: Deliver):
    event = stripe.refund(paid.intent, 2500)
    event["data"]["object"]["currency"] = "jpy"
    assert deliver(event) == 200
    assert entries(account)[1:] == []


def test_a_dispute_is_noted_once_and_left_to_staff(account, paid, stripe, deliver: Deliver):
    for event in (stripe.dispute(paid.intent), stripe.dispute(paid.intent)):
        assert deliver(event) == 200
    assert now(paid).disputed_at
    assert "disputed" in paid.attention
    assert entries(account)[1:] == []
    assert events(account)[2:] == ["billing.payment.disputed"]


@pytest.mark.parametrize("status", ["won", "warning_closed"])
def test_a_dispute_that_was_won_is_over(account, paid, stripe, deliver: Deliver, status):
    deliver(stripe.dispute(paid.intent))
    for _ in range(2):
        assert deliver(stripe.dispute_closed(paid.intent, status)) == 200
    assert now(paid).disputed_at is None
    assert "won" in paid.attention
    assert entries(account)[1:] == []
    assert events(account)[2:] == ["billing.payment.disputed", "billing.payment.dispute_won"]


def test_what_was_lost_in_a_dispute_leaves_the_balance(account, paid, stripe, deliver: Deliver):
    deliver(stripe.dispute(paid.intent))
    closed = stripe.dispute_closed(paid.intent, "lost")
    assert [deliver(closed), deliver(closed)] == [200, 200]
    assert now(paid).disputed_at
    assert "$25.00 of it was lost in a dispute." in paid.attention
    assert entries(account)[1:] == [(Kind.REFUND, -25 * DOLLAR)]
    assert events(account)[2:] == ["billing.payment.disputed", "billing.payment.dispute_lost"]


def test_after_a_refund_a_lost_dispute_takes_no_more_than_was_paid(
    account, paid, stripe, deliver: Deliver
):
    deliver(stripe.refund(paid.intent, 1000))
    ledger.credit(
        account_id=account.pk, kind=Kind.GRANT, amount_micros=50 * DOLLAR, idempotency_key="more"
    )
    deliver(stripe.dispute_closed(paid.intent, "lost"))
    assert entries(account)[3:] == [(Kind.REFUND, -15 * DOLLAR)]


def test_a_dispute_told_at_the_same_moment_as_its_payment_is_found(
    account, paid, stripe, deliver: Deliver
):
    """Neither saw the other; so it was noted without its payment."""
    told = stripe.dispute(paid.intent)
    PaymentEvent.objects.create(id=told["id"], kind=told["type"], intent=paid.intent)
    for _ in range(2):
        tell_of_payments()
    assert now(paid).disputed_at
    assert events(account)[2:] == ["billing.payment.disputed"]
    deliver(stripe.dispute_closed(paid.intent, "won"))
    tell_of_payments()
    assert now(paid).disputed_at is None


def test_a_dispute_told_before_the_payment_is_not_lost(owner, account, stripe, deliver: Deliver):
    payment = begun(owner, account)
    told = stripe.pay(payment.reference)
    assert deliver(stripe.dispute(told["data"]["object"]["payment_intent"])) == 200
    assert deliver(told) == 200
    assert now(payment).disputed_at
    assert events(account) == [
        "billing.payment.begun",
        "billing.payment.received",
        "billing.payment.disputed",
    ]
