"""The Subscription Center: what a plan costs, how one subscribes, cancels and pays what is due."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.ledger import Kind, debit
from billing.models import AutoTopUp, Plan, Subscription, Wallet
from billing.subscriptions.actions import cancel, end
from billing.subscriptions.renewing import renew_due
from byok.actions import add_key, delete_key, update_key
from byok.models import ProviderKey
from byok.vault import Secret
from orgs.models import Account, User
from tests.billing.subscribing import (
    AGREED,
    DAY,
    DOLLAR,
    ORIGIN,
    START,
    fund,
    plan_secret,
    sent,
    shown,
    stock,
    subscribed,
)
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db

OWN_SECRET = "sk-api-sim-ok-0123456789abcdefghijklmnop"
CENTER = "billing:subscriptions"


def subscribe_url() -> str:
    return reverse("billing:subscribe", kwargs={"plan": "token-plan-plus"})


def way_to_credits() -> str:
    return f'href="{reverse("billing:balance")}#add-credits"'


def url_of(name: str, subscription: Subscription) -> str:
    return reverse(f"billing:{name}", kwargs={"id": subscription.pk})


def test_a_plan_says_what_it_costs_and_what_it_provisions(owner_client, account, in_stock):
    fund(account, 50)
    page = shown(owner_client, reverse(CENTER))
    assert "Token Plan Plus for MiniMax" in page
    assert "$20.00 of balance for 30 days" in page
    assert "A MiniMax key, ready to use at once" in page
    assert "Subscribe to Token Plan Plus" in page
    assert "Nothing paid yet" in page


def test_one_subscribes_after_reading_what_is_taken(owner_client, account, in_stock):
    fund(account, 50)
    dialog = shown(owner_client, subscribe_url())
    assert "$20.00 is taken from the balance now, which leaves $30.00" in dialog
    page = sent(owner_client, subscribe_url())
    assert "Subscribed to Token Plan Plus. Its MiniMax key is in use from now on." in page
    assert "Active" in page
    assert "Next billing date" in page
    key = ProviderKey.objects.get(account=account)
    assert (
        reverse("byok:details", kwargs={"key_id": key.pk})
        in owner_client.get(reverse(CENTER)).content.decode()
    )
    # The history has the period.
    assert "$20.00 $30.00" in shown(owner_client, reverse(CENTER))


@pytest.mark.parametrize("agreed", ["20000000", "", "0", "-25000000", "9" * 5000])
def test_nobody_pays_another_price_than_they_agreed_to(owner_client, account, in_stock, agreed):
    fund(account, 50)
    assert (
        'name="price_micros" value="20000000"' in owner_client.get(subscribe_url()).content.decode()
    )
    Plan.objects.update(price_micros=25 * DOLLAR)
    for headers in ({}, {"hx-request": "true"}):
        sent_back = {**AGREED, "price_micros": agreed}
        answer = owner_client.post(subscribe_url(), sent_back, headers=headers)
        assert answer.status_code == 422
        page = answer.content.decode()
        assert "The plan has changed" in page
        assert "<strong>$25.00</strong> is taken from the balance now" in page
        assert 'name="price_micros" value="25000000"' in page
    assert not Subscription.objects.exists()
    assert Wallet.objects.get(pk=account.pk).posted_micros == 50 * DOLLAR
    agreed_to = AGREED | {"price_micros": "25000000"}
    assert "Subscribed to" in sent(owner_client, subscribe_url(), agreed_to)


@pytest.mark.parametrize("agreed", ["30", "", "0", "9" * 5000])
def test_nobody_pays_for_another_period_than_they_agreed_to(
    owner_client, account, in_stock, agreed
):
    fund(account, 50)
    assert 'name="period_days" value="30"' in owner_client.get(subscribe_url()).content.decode()
    Plan.objects.update(period_days=10)
    answer = owner_client.post(subscribe_url(), {**AGREED, "period_days": agreed})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "The plan has changed" in page
    assert "again every <strong>10 days</strong>" in page
    assert 'name="period_days" value="10"' in page
    assert not Subscription.objects.exists()
    assert Wallet.objects.get(pk=account.pk).posted_micros == 50 * DOLLAR
    agreed_to = AGREED | {"period_days": "10"}
    assert "Subscribed to" in sent(owner_client, subscribe_url(), agreed_to)


def refused(client: Client, account: Account, said: str, shown_instead: str) -> None:
    """The page says why there is no button; who sends it all the same is told, and not charged."""
    before = Wallet.objects.get(pk=account.pk).posted_micros
    page = shown(client, reverse(CENTER))
    assert shown_instead in page
    assert "Subscribe to Token Plan Plus" not in page
    assert said in sent(client, subscribe_url())
    assert Wallet.objects.get(pk=account.pk).posted_micros == before
    assert not Subscription.objects.exists()


def test_who_has_a_key_of_the_provider_is_told_so(owner, owner_client, account, in_stock):
    fund(account, 50)
    add_key(
        actor=owner, account=account, provider="minimax", secret=Secret(OWN_SECRET), origin=ORIGIN
    )
    refused(
        owner_client,
        account,
        "There is a MiniMax key already, and there can be one.",
        "You have a MiniMax key already",
    )


def test_an_empty_stock_is_told(owner_client, account, staff):
    [key] = stock(staff, 1)
    fund(account, 50)
    key.delete()
    refused(
        owner_client,
        account,
        "No MiniMax key is in stock just now. Nothing was charged.",
        "Out of stock",
    )


def test_a_short_balance_is_told_with_what_it_lacks(owner_client, account, in_stock):
    fund(account, 7)
    refused(
        owner_client,
        account,
        "Token Plan Plus costs $20.00, and the balance has $7.00. Nothing was charged.",
        "it lacks $13.00",
    )
    assert way_to_credits() in owner_client.get(reverse(CENTER)).content.decode()


@pytest.mark.parametrize("taking", [False, True], ids=["by staff", "by card"])
def test_adding_credits_leads_to_a_page_that_is_there_with_and_without_payments(
    request, owner_client, account, in_stock, taking
):
    if taking:
        request.getfixturevalue("stripe")
    page = owner_client.get(reverse("billing:balance"))
    assert page.status_code == 200
    assert 'id="add-credits"' in page.content.decode()


def test_a_frozen_balance_is_told(owner_client, account, in_stock):
    fund(account, 50)
    freeze(account)
    stopped = "Payments from this balance are stopped until MegaBrain has looked at it."
    refused(owner_client, account, stopped, stopped)


def test_a_second_subscription_is_refused(owner_client, subscription, staff):
    stock(staff, 2)
    assert "There is a subscription to Token Plan Plus already." in sent(
        owner_client, subscribe_url()
    )
    assert Subscription.objects.count() == 1


def test_whoever_signed_in_a_while_ago_is_asked_again_before_a_key_is_added(
    owner, account, in_stock
):
    fund(account, 50)
    answer = signed_in(owner, ago=100_000).post(subscribe_url())
    assert answer.status_code == 302
    assert "reauthenticate" in answer["Location"]
    assert not Subscription.objects.exists()


def test_cancelling_explains_itself_first_and_can_be_taken_back(owner_client, owner, subscription):
    dialog = shown(owner_client, url_of("subscription_cancel", subscription))
    assert "It ends with the period that is paid for, on 31 March 2026." in dialog
    assert "The MiniMax key of the plan is then removed." in dialog
    page = sent(owner_client, url_of("subscription_cancel", subscription))
    assert "Cancelled Token Plan Plus. You have it until 31 March 2026" in page
    assert "The key works until 31 March 2026 and is gone then." in page
    assert "Next billing date" not in page
    page = sent(owner_client, url_of("subscription_resume", subscription))
    assert "Token Plan Plus goes on: it is renewed on 31 March 2026." in page
    assert "Next billing date 31 March 2026" in page


def test_before_it_is_cancelled_the_page_speaks_of_a_key_that_is_there(
    owner, owner_client, account, subscription
):
    removed = "key of the plan is then removed"
    cancel_url = url_of("subscription_cancel", subscription)
    assert removed in shown(owner_client, cancel_url)
    delete_key(actor=owner, key=ProviderKey.objects.get(), origin=ORIGIN)
    page = shown(owner_client, cancel_url)
    assert removed not in page
    assert "key stays" not in page
    add_key(
        actor=owner, account=account, provider="minimax", secret=Secret(OWN_SECRET), origin=ORIGIN
    )
    page = shown(owner_client, cancel_url)
    assert removed not in page
    assert "Your own MiniMax key stays." in page


def test_past_due_is_shown_with_what_to_do(owner_client, account, subscription):
    Wallet.objects.filter(pk=account.pk).update(held_micros=30 * DOLLAR)
    renew_due(START + 30 * DAY)
    page = shown(owner_client, reverse(CENTER))
    assert "Past due" in page
    assert "The key works on until 7 April 2026." in page
    assert "The balance lacks $20.00." in page
    assert way_to_credits() in owner_client.get(reverse(CENTER)).content.decode()
    page = sent(owner_client, url_of("subscription_pay", subscription))
    assert "Token Plan Plus costs $20.00, and the balance has $0.00." in page
    Wallet.objects.filter(pk=account.pk).update(held_micros=0)
    page = sent(owner_client, url_of("subscription_pay", subscription))
    assert "Paid: Token Plan Plus is active." in page


def replace(owner: User) -> None:
    """Put a secret of one's own in the place of the plan's key."""
    update_key(actor=owner, key=ProviderKey.objects.get(), secret=Secret(OWN_SECRET), origin=ORIGIN)


def delete(owner: User) -> None:
    delete_key(actor=owner, key=ProviderKey.objects.get(), origin=ORIGIN)


#: The key of the plan is no more, as this person did it.
GONE = pytest.mark.parametrize("gone", [replace, delete])


@GONE
def test_past_due_no_key_is_spoken_of_that_the_plan_does_not_manage(
    owner, owner_client, account, subscription, gone
):
    Wallet.objects.filter(pk=account.pk).update(held_micros=30 * DOLLAR)
    renew_due(START + 30 * DAY)
    gone(owner)
    page = shown(owner_client, reverse(CENTER))
    assert "MegaBrain tries again every day until 7 April 2026" in page
    assert "if no try succeeds, the subscription ends." in page
    assert "key works on" not in page
    assert "key is gone" not in page
    assert "Billing goes on until you cancel." in page


@GONE
def test_cancelled_no_key_is_spoken_of_that_the_plan_does_not_manage(
    owner, owner_client, subscription, gone
):
    cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START)
    gone(owner)
    page = shown(owner_client, reverse(CENTER))
    assert "The subscription ends on 31 March 2026. Nothing more is charged." in page
    assert "key works" not in page
    assert "is gone then" not in page
    assert "Billing goes on" not in page


def freeze(account: Account, *, held: int = 0) -> None:
    Wallet.objects.filter(pk=account.pk).update(
        frozen_at=START, frozen_why="Looked at.", held_micros=held
    )


def test_past_due_and_frozen_no_day_is_named_on_which_it_ends(
    owner, owner_client, account, subscription
):
    Wallet.objects.filter(pk=account.pk).update(held_micros=30 * DOLLAR)
    renew_due(START + 30 * DAY)
    freeze(account)
    page = shown(owner_client, reverse(CENTER))
    assert "Until then the subscription does not end, and the key works on." in page
    assert "7 April" not in page
    assert "Next try Waits until MegaBrain has looked at the balance" in page
    assert "Try again now" not in page
    delete(owner)
    page = shown(owner_client, reverse(CENTER))
    assert "Until then the subscription does not end." in page
    assert "key works" not in page


def test_a_renewal_that_waited_for_a_frozen_balance_can_be_paid_once_it_has_thawed(
    owner_client, account, subscription
):
    freeze(account)
    renew_due(START + 30 * DAY)
    pay_url = url_of("subscription_pay", subscription)
    assert "Payments from this balance are stopped" in sent(owner_client, pay_url)
    Wallet.objects.filter(pk=account.pk).update(frozen_at=None, frozen_why="")
    page = shown(owner_client, reverse(CENTER))
    assert "Waits until" not in page
    assert "Next try 1 April 2026, 09:30 UTC" in page
    assert "Try again now" in page
    assert "Paid: Token Plan Plus is active." in sent(owner_client, pay_url)
    assert Wallet.objects.get(pk=account.pk).posted_micros == 10 * DOLLAR


def test_cancelled_while_nothing_of_it_is_paid_for_it_ends_at_once(
    owner_client, account, subscription
):
    freeze(account)
    renew_due(START + 30 * DAY)
    cancel_url = url_of("subscription_cancel", subscription)
    page = shown(owner_client, cancel_url)
    assert "the next one was not paid, so it ends at once." in page
    assert "change your mind" not in page
    assert "Cancelled Token Plan Plus. It has ended" in sent(owner_client, cancel_url)
    assert Wallet.objects.get(pk=account.pk).posted_micros == 30 * DOLLAR


def test_nobody_is_told_of_a_payment_that_there_was_not(owner_client, account, subscription):
    page = sent(owner_client, url_of("subscription_pay", subscription))
    assert "There was nothing to pay for: Token Plan Plus is active." in page
    assert "Paid: " not in page
    assert Wallet.objects.get(pk=account.pk).posted_micros == 30 * DOLLAR


def test_what_there_is_to_spend_is_not_rounded_up(owner_client, account, in_stock):
    fund(account, 20)
    debit(
        account_id=account.pk,
        kind=Kind.REFUND,
        amount_micros=4_000,
        idempotency_key="test:a little",
    )
    page = shown(owner_client, reverse(CENTER))
    assert "which has $19.996 to spend" in page
    assert "it lacks $0.004" in page


def test_what_has_ended_is_listed_with_why(owner_client, staff, subscription):
    end(actor=staff, subscription=subscription, origin=ORIGIN, now=START + DAY)
    page = shown(owner_client, reverse(CENTER))
    assert "Ended subscriptions" in page
    assert "2 Mar 2026 Ended by MegaBrain" in page
    for name in ("subscription_resume", "subscription_pay", "subscription_cancel"):
        assert "ended" in sent(owner_client, url_of(name, subscription))


def test_the_history_shows_what_each_period_cost_then(owner_client, subscription):
    plan = subscription.plan
    plan.price_micros = 25 * DOLLAR
    plan.save()
    renew_due(START + 30 * DAY)
    page = shown(owner_client, reverse(CENTER))
    assert page.index("$25.00 $5.00") < page.index("$20.00 $30.00")
    assert "31 Mar 2026 – 30 Apr 2026" in page


def test_an_organization_has_a_center_of_its_own(billing_manager_client, organization, in_stock):
    fund(organization, 20)
    url = reverse(CENTER, kwargs={"slug": organization.slug})
    assert "among the keys of Acme" in shown(billing_manager_client, url)
    page = sent(
        billing_manager_client,
        reverse("billing:subscribe", kwargs={"plan": "token-plan-plus", "slug": "acme"}),
    )
    assert "in use from now on for all members" in page
    assert ProviderKey.objects.get().account == organization


def test_the_sidebar_leads_there_only_whom_it_lets_in(member_client, owner_client, organization):
    dashboard = reverse("dashboard", kwargs={"slug": "acme"})
    url = reverse(CENTER, kwargs={"slug": "acme"})
    assert url in owner_client.get(dashboard).content.decode()
    assert url not in member_client.get(dashboard).content.decode()


def test_the_page_asks_the_same_of_the_database_however_much_was_paid(
    owner, owner_client, account, subscription, django_assert_num_queries
):

    url = reverse(CENTER)
    owner_client.get(url)
    with CaptureQueriesContext(connection) as few:
        owner_client.get(url)
    fund(account, 500)
    for number in range(1, 9):
        renew_due(START + number * 30 * DAY)
    with django_assert_num_queries(len(few)):
        owner_client.get(url)


def test_the_secret_is_on_no_page(owner_client, subscription):
    key = ProviderKey.objects.get()
    pages = [
        reverse(CENTER),
        url_of("subscription_cancel", subscription),
        reverse("byok:keys"),
        *(reverse(f"byok:{name}", kwargs={"key_id": key.pk}) for name in ("details", "update")),
    ]
    for url in pages:
        page = owner_client.get(url).content.decode()
        assert plan_secret()[10:-4] not in page, url


def test_deleting_an_organization_says_that_its_subscription_ends_and_what_money_is_lost(
    owner, owner_client, organization, in_stock
):
    url = reverse("orgs:organization_delete", kwargs={"slug": "acme"})
    fund(organization, 20)
    subscribed(owner, organization)
    page = shown(owner_client, url)
    assert "Its subscription to Token Plan Plus ends; nothing is paid back." in page
    assert "is lost" not in page
    assert "is removed and charged no more" not in page
    fund(organization, 7)
    AutoTopUp.objects.create(
        account_id=organization.pk, card="pm_good", card_label="Visa ···· 4242"
    )
    page = shown(owner_client, url)
    assert "Its balance of $7.00 is lost." in page
    assert "Its card, Visa ···· 4242, is removed and charged no more." in page
    assert "those of its own stay valid at the providers" in page
