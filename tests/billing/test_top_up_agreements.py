"""Automatic top-ups: whose card is kept, and what its owner agrees to."""

import pytest

from billing.models import AutoTopUp, Payment
from billing.payments import cards, charging, paying, topping_up
from orgs.actions import delete_organization
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.billing.top_ups import LONG_AGO, events, keep_card, spend, told_last, turn_on
from tests.fake_stripe import ASKS_LATER, DECLINES_LATER
from tests.stripe_fixture import DOLLAR, begun

pytestmark = pytest.mark.django_db


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
