"""Automatic top-ups: a kept card is charged when the balance falls low, once for each fall."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.utils import timezone

from billing.models import AutoTopUp, LedgerEntry, Payment, Wallet
from billing.payments import cards, charging, claiming, paying
from orgs.actions import close_user, delete_organization
from orgs.models import Account, AuditEvent, Membership
from orgs.origin import Origin
from tests.billing.top_ups import (
    LONG_AGO,
    Kind,
    State,
    balance,
    events,
    keep_card,
    spend,
    stripe_intent,
    turn_on,
)
from tests.fake_stripe import ASKS_LATER, DECLINES_LATER
from tests.stripe_fixture import DOLLAR, begun

pytestmark = pytest.mark.django_db


def test_a_balance_that_falls_low_is_topped_up_once(account, stripe, low):
    assert balance(account) == 4
    assert charging.top_up() == 1
    assert charging.top_up() == 0
    assert balance(account) == 24
    [charge] = stripe.charges()
    assert (charge.fields["amount"], charge.fields["off_session"]) == ("2000", "true")
    assert charge.once
    entry = LedgerEntry.objects.for_account(account).latest("number")
    assert (entry.kind, entry.note) == (Kind.TOP_UP, "Automatic top-up")
    assert events(account)[-2:] == ["top_up.begun", "payment.received"]


def test_it_is_not_topped_up_before_it_falls(owner, account, stripe, kept):
    turn_on(owner, account)
    spend(account, 20)
    assert balance(account) == 5
    assert charging.top_up() == 0


def test_each_fall_is_topped_up(account, stripe, low):
    assert charging.top_up() == 1
    spend(account, 22, "again")
    assert charging.top_up() == 1
    assert balance(account) == 22
    assert len({charge.once for charge in stripe.charges()}) == 2


def test_the_event_about_a_charge_does_not_credit_it_again(account, stripe, low, deliver):
    charging.top_up()
    [payment] = Payment.objects.filter(kind=Payment.Kind.AUTOMATIC)
    told = stripe.event("payment_intent.succeeded", stripe.intents[payment.intent])
    assert deliver(told) == 200
    assert balance(account) == 24


def test_no_more_is_charged_in_a_month_than_agreed(owner, account, stripe, low):
    turn_on(owner, account, monthly_cap_micros=59 * DOLLAR)
    for number in range(4):
        charging.top_up()
        left = balance(account)
        if left > 4:
            spend(account, left - 4, f"more {number}")
    assert len(stripe.charges()) == 2
    last_month = datetime.now(UTC).replace(day=1) - timedelta(days=2)
    Payment.objects.filter(kind=Payment.Kind.AUTOMATIC).update(created_at=last_month)
    AutoTopUp.objects.update(capped_at=last_month)
    assert charging.top_up() == 1


def test_a_cap_that_is_raised_counts_at_once(owner, account, stripe, low):
    turn_on(owner, account, monthly_cap_micros=39 * DOLLAR)
    assert charging.top_up() == 1
    spend(account, 20, "again")
    assert charging.top_up() == 0
    turn_on(owner, account, monthly_cap_micros=59 * DOLLAR)
    assert charging.top_up() == 1
    # And where that is reached, too, it is noted for another letter.
    low.refresh_from_db()
    assert low.capped_at is None
    spend(account, 20, "once more")
    assert charging.top_up() == 0
    low.refresh_from_db()
    assert (low.capped_at is None, low.capped_told_at) == (False, None)


def test_a_frozen_balance_is_not_topped_up(account, stripe, low):
    Wallet.objects.filter(pk=account.pk).update(frozen_at=timezone.now(), frozen_why="Drift.")
    assert charging.top_up() == 0
    assert not stripe.charges()


def test_a_deleted_organization_is_not_charged_and_its_card_forgotten(
    owner, organization, stripe, deliver, django_capture_on_commit_callbacks
):
    kept = keep_card(owner, organization, stripe, deliver)
    turn_on(owner, organization)
    spend(organization, 21)
    with django_capture_on_commit_callbacks(execute=True):
        delete_organization(actor=owner, account=organization, origin=Origin())
        assert not stripe.detached, "it may not be deleted after all"
    kept.refresh_from_db()
    assert (kept.card, kept.customer, kept.card_label, kept.enabled) == ("", "", "", False)
    assert stripe.detached == ["pm_good"]
    [event] = AuditEvent.objects.filter(event="org.deleted")
    assert event.details["cards"] == 1
    assert event.details["balance_micros"] == 4 * DOLLAR
    assert charging.top_up() == 0
    assert not stripe.charges()


def test_an_organization_is_deleted_although_the_provider_is_away(
    owner, organization, stripe, deliver, django_capture_on_commit_callbacks
):
    keep_card(owner, organization, stripe, deliver)
    stripe.fails = 503
    with django_capture_on_commit_callbacks(execute=True):
        delete_organization(actor=owner, account=organization, origin=Origin())
    assert not Account.objects.filter(pk=organization.pk).exists()
    assert AutoTopUp.objects.get().card == ""


def test_a_person_who_was_shut_out_is_not_charged(owner, account, staff, stripe, low):
    close_user(actor=staff, user=owner, origin=Origin())
    assert charging.top_up() == 0
    assert not stripe.charges()
    assert not Payment.objects.filter(kind=Payment.Kind.AUTOMATIC).exists()


def test_nor_is_one_who_was_shut_out_before_the_charge_came_through(
    owner, account, staff, stripe, low
):
    stripe.fails = 500
    charging.top_up()
    stripe.fails = None
    close_user(actor=staff, user=owner, origin=Origin())
    Payment.objects.filter(state=State.PENDING).update(charging_at=None)
    asked = len(stripe.charges())
    assert charging.top_up() == 0
    assert len(stripe.charges()) == asked
    assert not Payment.objects.filter(state=State.PENDING).exists()


def test_those_at_their_cap_keep_nobody_else_waiting(
    owner, account, stripe, low, django_assert_max_num_queries
):
    """However many there are, and whichever the database finds first."""
    last = UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
    capped = [
        Account(pk=UUID(int=number), kind=Account.Kind.ORGANIZATION, name="N", slug=f"n-{number}")
        for number in range(1, charging.BATCH + 2)
    ]
    assert capped[-1].pk < account.pk < last
    Account.objects.bulk_create(capped)
    Membership.objects.bulk_create(
        Membership(account=each, user=owner, role=Membership.Role.OWNER) for each in capped
    )
    Wallet.objects.bulk_create(Wallet(account_id=each.pk) for each in capped)
    agreed = {
        "enabled": True,
        "below_micros": 5 * DOLLAR,
        "amount_micros": 20 * DOLLAR,
        "monthly_cap_micros": 20 * DOLLAR,
        "card": "pm_good",
        "agreed_by": owner.pk,
        "agreed_at": timezone.now(),
    }
    AutoTopUp.objects.bulk_create(AutoTopUp(account_id=each.pk, **agreed) for each in capped)
    Payment.objects.bulk_create(
        Payment(
            account_id=each.pk,
            kind=Payment.Kind.AUTOMATIC,
            state=State.PAID,
            amount_micros=20 * DOLLAR,
            ended_at=timezone.now(),
        )
        for each in capped
    )
    assert charging.top_up(seconds=600) == 1
    assert balance(account) == 24
    # Nor are they looked at again this month.
    with django_assert_max_num_queries(5):
        charging.top_up()


def test_where_nobody_takes_payments_nothing_is_charged(
    account, stripe, low, settings: LazySettings
):
    settings.MEGABRAIN_STRIPE_SECRET_KEY = settings.MEGABRAIN_STRIPE_WEBHOOK_SECRET = ""
    assert charging.top_up() == 0
    assert not Payment.objects.filter(kind=Payment.Kind.AUTOMATIC).exists()


@pytest.mark.parametrize(
    ("card", "why"), [(DECLINES_LATER, "declined the card"), (ASKS_LATER, "confirm the payment")]
)
def test_a_card_that_is_declined_turns_it_off(owner, account, stripe, deliver, card, why):
    kept = keep_card(owner, account, stripe, deliver, card)
    turn_on(owner, account)
    spend(account, 21)
    assert charging.top_up() == 0
    assert charging.top_up() == 0
    assert len(stripe.charges()) == 1
    kept.refresh_from_db()
    assert not kept.enabled
    assert why in kept.off_why
    assert balance(account) == 4
    last = AuditEvent.objects.for_account(account.pk).newest_first()[0]
    assert last.event == "billing.payment.failed"
    assert last.details == {"kind": "automatic", "top_ups_turned_off": True}


def test_the_event_of_a_declined_charge_turns_it_off_too(account, stripe, low, deliver):
    """A worker that died over the charge leaves it to the event."""
    stripe.fails = 500
    charging.top_up()
    [payment] = Payment.objects.filter(kind=Payment.Kind.AUTOMATIC)
    intent = {
        "id": "pi_died",
        "amount": 2000,
        "currency": "usd",
        "metadata": {"payment": str(payment.pk)},
    }
    assert deliver(stripe.event("payment_intent.payment_failed", intent)) == 200
    low.refresh_from_db()
    assert not low.enabled
    payment.refresh_from_db()
    assert payment.state == State.FAILED


def test_without_an_answer_the_same_charge_is_tried_again_later(account, stripe, low):
    stripe.fails = 500
    assert charging.top_up() == 0
    stripe.fails = None
    assert charging.top_up() == 0, "another worker may still be at it"
    Payment.objects.filter(state=State.PENDING).update(
        charging_at=timezone.now() - claiming.CLAIMED_FOR - timedelta(seconds=1)
    )
    assert charging.top_up() == 1
    assert balance(account) == 24
    assert len({charge.once for charge in stripe.charges()}) == 1


def test_a_worker_that_died_after_the_charge_charges_nothing_twice(account, stripe, low):
    """Stripe answered, and nobody heard: asked again, it gives the same answer."""
    assert charging.top_up() == 1
    [payment] = Payment.objects.filter(kind=Payment.Kind.AUTOMATIC)
    spend(account, 1, "something else")
    Payment.objects.filter(pk=payment.pk).update(
        state=State.PENDING, ended_at=None, reference="", intent="", charging_at=LONG_AGO
    )
    assert charging.top_up() == 1
    assert balance(account) == 23, "the ledger knows the payment"
    assert len(stripe.intents) == 2


def test_a_charge_without_an_answer_ends_with_its_card_and_the_next_is_another(
    owner, account, stripe, deliver, low
):
    """Asked under the same name with another card, Stripe would refuse."""
    stripe.loses = True
    assert charging.top_up() == 0
    stripe.loses = False
    [first] = Payment.objects.filter(kind=Payment.Kind.AUTOMATIC)
    assert cards.remove_card(actor=owner, account=account, origin=Origin())
    first.refresh_from_db()
    assert (first.state, first.failure) == (State.FAILED, cards.REMOVED)
    # It was charged, and an event tells.
    assert deliver(stripe.event("payment_intent.succeeded", stripe_intent(stripe, first))) == 200
    assert balance(account) == 24
    keep_card(owner, account, stripe, deliver, ASKS_LATER)
    turn_on(owner, account)
    spend(account, 45, "again")
    assert charging.top_up() == 0
    assert [each.fields["payment_method"] for each in stripe.charges()] == ["pm_good", "pm_asks"]
    assert len({each.once for each in stripe.charges()}) == 2
    assert "confirm the payment" in AutoTopUp.objects.get().off_why


def test_a_charge_with_another_card_than_before_is_refused_and_not_tried_for_a_day(
    account, stripe, low
):
    stripe.loses = True
    charging.top_up()
    stripe.loses = False
    AutoTopUp.objects.update(card="pm_asks")
    Payment.objects.filter(state=State.PENDING).update(charging_at=LONG_AGO)
    assert charging.top_up() == 0
    [payment] = Payment.objects.filter(kind=Payment.Kind.AUTOMATIC)
    assert payment.state == State.FAILED
    assert "does not accept the payment" in payment.failure


def test_a_key_that_stripe_refuses_is_not_the_customer_s_trouble(owner, account, stripe, low):
    stripe.fails = 401
    assert charging.top_up() == 0
    low.refresh_from_db()
    assert low.enabled
    with pytest.raises(paying.NotBegun, match="does not accept the key that MegaBrain has"):
        begun(owner, account)
