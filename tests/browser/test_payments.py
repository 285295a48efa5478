"""Paying in, in a browser: to the checkout and back, against the stand-in of Stripe."""

import re
from time import monotonic

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from billing.models import Payment, Wallet
from billing.payments import cards
from orgs.models import Account, User
from tests.chromium import PATIENCE, OpenPage, follow
from tests.fake_stripe import FakeStripe
from tests.stripe_fixture import DOLLAR, begun

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@pytest.fixture
def till(stripe: FakeStripe, live_server, settings) -> FakeStripe:
    """It brings buyers back to this site, and tells it what they paid."""
    settings.MEGABRAIN_BASE_URL = live_server.url
    stripe.webhook = live_server.url + reverse("billing:stripe_webhook")
    return stripe


def pay(page: Page, amount: str) -> None:
    page.goto("/account/billing/")
    form = page.locator("#add-credits form")
    form.get_by_label("Amount").fill(amount)
    form.get_by_label("Keep the card for automatic top-ups").check()
    form.get_by_role("button", name="Continue to payment").click()
    expect(page.get_by_role("heading", name="Checkout")).to_be_visible()
    page.get_by_role("button", name="Pay").click()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_credit_is_bought_and_topped_up_by_itself(
    open_page: OpenPage, owner_client: Client, account: Account, till, viewport, scheme
):
    page = open_page(owner_client, viewport=viewport, color_scheme=scheme)
    pay(page, "25")
    expect(page.get_by_text("$25.00 was added")).to_be_visible()
    assert Wallet.objects.get(pk=account.pk).posted_micros == 25 * DOLLAR
    fits(page)
    cards.save_cards()
    page.get_by_role("link", name="Back to Billing").click()
    page.locator("#auto-top-up").get_by_role("link", name="Turn on").click()
    page.get_by_label("When the balance is below").fill("10")
    page.get_by_label("Charge this card without asking again").check()
    fits(page)
    page.get_by_role("button", name="Turn on").click()
    expect(page.locator("#auto-top-up")).to_contain_text("falls below $10.00, Visa ···· 4242")
    fits(page)
    page.get_by_role("link", name="Payments", exact=True).click()
    expect(page.get_by_role("row", name=re.compile("25.00.*Paid"))).to_be_visible()
    fits(page)
    follow(page.get_by_role("link", name="Back to Billing"))
    follow(page.locator("#auto-top-up").get_by_role("button", name="Turn off"))
    page.locator("#auto-top-up").get_by_role("link", name="Remove the card").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Visa ···· 4242 is charged no more")
    fits(page)
    dialog.get_by_role("button", name="Remove the card").click()
    expect(page.locator("#auto-top-up")).to_contain_text("Off. To turn it on, add credits once")
    assert till.detached == ["pm_good"]


def test_news_of_a_payment_leaves_the_keyboard_where_it_is(
    open_page: OpenPage, owner_client: Client, owner: User, account: Account, till
):
    payment = begun(owner, account)
    page = open_page(owner_client)
    page.goto(f"/account/billing/payments/{payment.pk}/?back=paid")
    expect(page.get_by_text("This page looks by itself")).to_be_visible()
    page.get_by_role("link", name="Back to Billing").focus()
    assert till.deliver(till.pay(payment.reference)) == 200
    expect(page.get_by_role("status").filter(has_text="$25.00 was added")).to_be_visible()
    expect(page.get_by_role("link", name="Back to Billing")).to_be_focused()


def fits(page: Page) -> None:
    """Nothing of the page is wider than the window."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_it_works_without_scripts(open_page: OpenPage, owner_client: Client, account, till):
    """And with our policy, under which forms lead to ourselves alone."""
    page = open_page(owner_client, java_script_enabled=False)
    pay(page, "40")
    page.wait_for_url(re.compile("back=paid"))
    until = monotonic() + PATIENCE / 1000
    while not page.get_by_text("$40.00 was added").is_visible() and monotonic() < until:
        page.wait_for_timeout(100)
        page.reload()
    expect(page.get_by_text("$40.00 was added")).to_be_visible()


def test_whoever_leaves_the_checkout_can_go_on_with_it(
    open_page: OpenPage, owner_client: Client, owner: User, account, till
):
    payment = begun(owner, account)
    page = open_page(owner_client)
    page.goto(f"/account/billing/payments/{payment.pk}/checkout/")
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_text("nothing was charged")).to_be_visible()
    page.get_by_role("link", name="Continue to payment").click()
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_text("$25.00 was added")).to_be_visible()
    assert Payment.objects.count() == 1


def test_the_way_back_from_the_checkout_is_the_billing_page(
    open_page: OpenPage, owner_client: Client, account, till
):
    """The page in between leaves no trace in the browser's history that would lead on again."""
    page = open_page(owner_client)
    page.goto("/account/billing/")
    page.locator("#add-credits").get_by_role("button", name="Continue to payment").click()
    expect(page.get_by_role("heading", name="Checkout")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(re.compile("/account/billing/$"))
