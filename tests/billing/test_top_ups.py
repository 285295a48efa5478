"""Automatic top-ups: a kept card is charged when the balance falls low, once for each fall."""

import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from billing import ledger
from billing.models import AutoTopUp, LedgerEntry, Payment, Wallet
from billing.payments import cards, charging, claiming, paying, topping_up
from billing.tasks import top_up_balances
from orgs.actions import close_user, delete_organization
from orgs.models import Account, AuditEvent, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.fake_stripe import ASKS_LATER, DECLINES_LATER, GOOD, FakeStripe
from tests.stripe_fixture import DOLLAR, Deliver, begun
from tests.together import at_once

pytestmark = pytest.mark.django_db

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


@pytest.fixture
def kept(owner: User, account: Account, stripe: FakeStripe, deliver: Deliver) -> AutoTopUp:
    return keep_card(owner, account, stripe, deliver)


@pytest.fixture
def low(owner: User, account: Account, kept: AutoTopUp) -> AutoTopUp:
    """It is on, and $4 are left."""
    turn_on(owner, account)
    spend(account, 21)
    kept.refresh_from_db()
    return kept


# The card --------------------------------------------------------------------------------------


def test_a_card_is_kept_when_its_buyer_asked_for_it(owner, account, stripe, kept):
    session = next(call for call in stripe.calls if call.path == "/v1/checkout/sessions")
    assert session.fields["payment_intent_data[setup_future_usage]"] == "off_session"
    assert kept.card_label == "Visa ···· 4242"
    assert not kept.enabled
    assert events(account) == ["payment.begun", "payment.received", "top_up.card_saved"]
    assert cards.save_cards() == 0


def test_a_card_is_not_kept_otherwise(owner, account, stripe, deliver):
    payment = begun(owner, account)
    deliver(stripe.pay(payment.reference))
    assert cards.save_cards() == 0
    assert "setup_future_usage" not in str(stripe.calls[0].fields)
    assert not AutoTopUp.objects.exists()


def test_another_card_takes_the_place_of_the_first_and_is_not_agreed_to(
    owner, organization, billing_manager, stripe, deliver
):
    first = keep_card(owner, organization, stripe, deliver)
    turn_on(owner, organization)
    again = keep_card(billing_manager, organization, stripe, deliver, DECLINES_LATER)
    assert (again.card, again.card_label) == ("pm_declines", "Visa ···· 0341")
    assert again.customer == first.customer
    assert stripe.detached == [first.card]
    assert not again.enabled
    assert "took the place of Visa ···· 4242" in again.off_why
    assert told_last(organization) == ("billing.top_up.card_saved", {"top_ups_turned_off": True})
    spend(organization, 47)
    assert charging.top_up() == 0
    assert not stripe.charges()


def test_the_same_card_again_changes_nothing(owner, account, stripe, deliver, low):
    again = keep_card(owner, account, stripe, deliver)
    assert (again.card, again.enabled) == (low.card, True)
    assert not stripe.detached


def test_another_card_than_the_one_agreed_to_is_not_turned_on(
    owner, account, stripe, deliver, kept
):
    keep_card(owner, account, stripe, deliver, ASKS_LATER)
    with pytest.raises(topping_up.OtherCard):
        turn_on(owner, account, card=kept.card)
    kept.refresh_from_db()
    assert not kept.enabled


def test_a_provider_that_is_away_is_asked_for_the_card_again(owner, account, stripe, deliver):
    payment = begun(owner, account, saves_card=True)
    deliver(stripe.pay(payment.reference))
    stripe.fails = 503
    assert cards.save_cards() == 0
    stripe.fails = None
    assert cards.save_cards() == 0, "another worker may still be at it"
    Payment.objects.update(charging_at=LONG_AGO)
    assert cards.save_cards() == 1


def test_a_card_of_an_organization_that_was_deleted_meanwhile_is_forgotten(
    owner, organization, stripe, deliver
):
    payment = begun(owner, organization, saves_card=True)
    deliver(stripe.pay(payment.reference))
    delete_organization(actor=owner, account=organization, origin=Origin())
    assert cards.save_cards() == 0
    assert stripe.detached == ["pm_good"]
    assert not AutoTopUp.objects.exists()


def test_nor_is_the_card_of_a_disputed_payment_kept(owner, account, stripe, deliver):
    payment = begun(owner, account, saves_card=True)
    deliver(stripe.pay(payment.reference))
    payment.refresh_from_db()
    deliver(stripe.dispute(payment.intent))
    assert cards.save_cards() == 0
    assert stripe.detached == ["pm_good"]
    assert not AutoTopUp.objects.exists()


# Turned on and off -----------------------------------------------------------------------------


def test_it_is_turned_on_with_consent_and_an_event(owner, account, kept):
    assert turn_on(owner, account)
    assert not turn_on(owner, account)
    assert turn_on(owner, account, monthly_cap_micros=40 * DOLLAR)
    kept.refresh_from_db()
    assert kept.enabled
    assert kept.agreed_by == owner.pk
    assert events(account)[3:] == ["top_up.turned_on", "top_up.changed"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"below_micros": 21 * DOLLAR}, topping_up.OutOfOrder),
        ({"below_micros": 0}, topping_up.OutOfOrder),
        ({"monthly_cap_micros": 19 * DOLLAR}, topping_up.OutOfOrder),
        ({"amount_micros": 4 * DOLLAR, "below_micros": DOLLAR}, paying.OutOfBounds),
        ({"amount_micros": 1001 * DOLLAR, "monthly_cap_micros": 2000 * DOLLAR}, paying.OutOfBounds),
    ],
)
def test_amounts_that_do_not_fit_together_are_refused(owner, account, kept, changes, error):
    with pytest.raises(error):
        turn_on(owner, account, **changes)
    assert not AutoTopUp.objects.get(pk=account.pk).enabled


def test_without_a_card_it_cannot_be_turned_on(owner, account, stripe):
    with pytest.raises(topping_up.NoCard):
        turn_on(owner, account)


def test_a_member_can_neither_turn_it_on_nor_off_nor_remove_the_card(
    owner, organization, member, stripe, deliver
):
    keep_card(owner, organization, stripe, deliver)
    turn_on(owner, organization)
    before = AutoTopUp.objects.values().get(pk=organization.pk)
    with pytest.raises(NotPermitted):
        turn_on(member, organization)
    for change in (topping_up.turn_off, cards.remove_card):
        with pytest.raises(NotPermitted):
            change(actor=member, account=organization, origin=Origin())
    assert AutoTopUp.objects.values().get(pk=organization.pk) == before


def test_turned_off_nothing_is_charged(owner, account, stripe, low):
    assert topping_up.turn_off(actor=owner, account=account, origin=Origin())
    assert charging.top_up() == 0
    assert not stripe.charges()
    assert events(account)[-1] == "top_up.turned_off"


def test_only_staff_stop_it_for_others(owner, account, staff, low):
    with pytest.raises(NotPermitted):
        topping_up.stop(actor=owner, account_id=account.pk, origin=Origin())
    low.refresh_from_db()
    assert low.enabled
    assert topping_up.stop(actor=staff, account_id=account.pk, origin=Origin())
    low.refresh_from_db()
    assert not low.enabled


def test_a_card_that_is_removed_is_forgotten_here_and_there(owner, account, stripe, low):
    assert cards.remove_card(actor=owner, account=account, origin=Origin())
    assert not cards.remove_card(actor=owner, account=account, origin=Origin())
    assert charging.top_up() == 0
    low.refresh_from_db()
    assert (low.card, low.customer, low.card_label, low.enabled) == ("", "", "", False)
    assert stripe.detached == ["pm_good"]
    assert events(account)[-1] == "top_up.card_removed"


# Charged ---------------------------------------------------------------------------------------


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
    assert charging.top_up() == 1
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


def stripe_intent(stripe: FakeStripe, payment: Payment) -> dict[str, Any]:
    """The charge that Stripe made for it."""
    named = str(payment.pk)
    return next(
        each for each in stripe.intents.values() if each["metadata"].get("payment") == named
    )


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


def told_last(account: Account) -> tuple[str, dict[str, object]]:
    last = AuditEvent.objects.for_account(account.pk).newest_first()[0]
    return last.event, last.details


@pytest.mark.django_db(transaction=True)
def test_ten_workers_at_once_charge_once(account, stripe, low):
    paid = at_once(*[partial(charging.top_up)] * 10)
    assert sum(int(str(each)) for each in paid) == 1
    assert len(stripe.charges()) == 1
    assert balance(account) == 24
