"""Letters: to those who manage billing when top-ups stop, to staff when a payment needs a look."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import LazySettings
from django.core import mail
from django.utils import timezone

from billing.models import AutoTopUp, Payment
from billing.payments import letters, topping_up
from billing.tasks import tell_of_payments, top_up_balances
from orgs.actions import change_role
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from tests.billing.top_ups import keep_card, spend, turn_on
from tests.fake_stripe import DECLINES_LATER, FakeStripe
from tests.stripe_fixture import DOLLAR, Deliver, begun
from tests.together import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def declined(
    owner: User,
    billing_manager: User,
    organization: Account,
    stripe: FakeStripe,
    deliver: Deliver,
) -> Account:
    keep_card(owner, organization, stripe, deliver, DECLINES_LATER)
    turn_on(billing_manager, organization)
    spend(organization, 21)
    top_up_balances()
    return organization


@pytest.fixture
def doubtful(owner: User, account: Account, stripe: FakeStripe, deliver: Deliver) -> Payment:
    """Paid with another amount than was asked for."""
    payment = begun(owner, account)
    told = stripe.pay(payment.reference)
    told["data"]["object"]["amount_total"] = 1
    deliver(told)
    payment.refresh_from_db()
    return payment


def recipients() -> list[str]:
    return sorted(address for letter in mail.outbox for address in letter.to)


def test_who_manages_billing_is_told_once_of_a_card_that_is_declined(declined, member):
    tell_of_payments()
    tell_of_payments()
    assert recipients() == ["billing_manager@example.com", "owner@example.com"]
    letter = mail.outbox[0]
    assert letter.subject == "Automatic top-ups of Acme are off"
    assert "The bank has declined the card." in letter.body
    assert "/orgs/acme/billing/" in letter.body


def test_who_turned_it_off_is_not_written_to(owner, account, stripe, deliver):
    keep_card(owner, account, stripe, deliver)
    turn_on(owner, account)
    topping_up.turn_off(actor=owner, account=account, origin=Origin())
    tell_of_payments()
    assert not mail.outbox


def test_the_next_decline_is_told_again(declined, owner):
    tell_of_payments()
    turn_on(owner, declined)
    mail.outbox.clear()
    top_up_balances()
    tell_of_payments()
    assert len(mail.outbox) == 2


@pytest.fixture
def capped(
    owner: User,
    billing_manager: User,
    organization: Account,
    stripe: FakeStripe,
    deliver: Deliver,
) -> Account:
    """Low again after the one top-up that its cap has room for."""
    keep_card(owner, organization, stripe, deliver)
    turn_on(billing_manager, organization, monthly_cap_micros=39 * DOLLAR)
    spend(organization, 21, "first")
    top_up_balances()
    spend(organization, 21, "second")
    return organization


def test_who_agreed_to_top_ups_is_told_once_a_month_that_the_cap_is_reached(capped):
    tell_of_payments()
    assert not mail.outbox, "it is low, and nobody looked yet"
    for _ in range(2):
        top_up_balances()
        tell_of_payments()
    assert recipients() == ["billing_manager@example.com"]
    [letter] = mail.outbox
    assert letter.subject == "Automatic top-ups of Acme have reached their cap"
    assert "below $5.00" in letter.body
    assert "$20.00 were charged this month, and another $20.00 would exceed" in letter.body
    assert "the cap of $39.00" in letter.body
    assert "/orgs/acme/billing/auto-top-up/" in letter.body
    # In another month it is told anew.
    ago = timezone.now() - timedelta(days=40)
    AutoTopUp.objects.update(capped_at=ago, capped_told_at=ago)
    top_up_balances()
    tell_of_payments()
    assert len(mail.outbox) == 2


def test_where_they_manage_billing_no_more_all_others_are(capped, owner, billing_manager):
    membership = Membership.objects.get(user=billing_manager, account=capped)
    change_role(actor=owner, membership=membership, role=Membership.Role.MEMBER, origin=Origin())
    top_up_balances()
    tell_of_payments()
    assert recipients() == ["owner@example.com"]


def test_a_cap_that_was_raised_before_is_not_told_of(capped, owner):
    top_up_balances()
    turn_on(owner, capped, monthly_cap_micros=100 * DOLLAR)
    tell_of_payments()
    assert not mail.outbox


def test_staff_are_told_once_of_a_payment_that_needs_a_look(doubtful, staff):
    tell_of_payments()
    tell_of_payments()
    assert recipients() == ["staff@example.com"]
    letter = mail.outbox[0]
    assert letter.subject == "See to a payment of $25.00"
    assert "1 cents of usd" in letter.body
    assert f"/admin/billing/payment/{doubtful.pk}/change/" in letter.body


def test_another_reason_is_told_again(doubtful, staff, stripe, deliver):
    tell_of_payments()
    intent = stripe.sessions[doubtful.reference]["payment_intent"]
    Payment.objects.update(intent=intent)
    deliver(stripe.dispute(intent))
    tell_of_payments()
    assert "disputed" in mail.outbox[-1].body
    assert len(mail.outbox) == 2


def test_a_mail_server_that_is_away_is_tried_again(
    declined, doubtful, staff, settings: LazySettings
):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    tell_of_payments()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    tell_of_payments()
    assert len(mail.outbox) == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("tell", [letters.tell_of_top_ups, letters.tell_of_payments])
def test_of_several_workers_one_writes(declined, doubtful, staff, tell: Any):
    assert sorted(map(str, at_once(*[partial(tell)] * 4))) == ["0", "0", "0", "1"]
    assert AutoTopUp.objects.count() == 1
