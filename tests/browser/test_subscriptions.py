"""The Subscription Center in Chromium: from an empty account to a first call to a cancellation."""

import pytest
import requests
from django.test import Client
from playwright.sync_api import Page, expect

from billing.models import Subscription, Wallet
from billing.subscriptions.actions import cancel
from billing.subscriptions.renewing import renew_due
from byok.models import ProviderKey
from orgs.models import Account, User
from tests.billing.subscribing import DAY, DOLLAR, ORIGIN, START, fund, stock, subscribed
from tests.browser.well_made import DESK, PHONE, assert_well_made
from tests.chromium import OpenPage, follow
from tests.conftest import signed_in
from tests.gateway_fixture import RunningGateway

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

BOTH = pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])
CENTER = "/account/subscriptions/"


def told(page: Page, words: str) -> None:
    expect(page.locator("#toasts").get_by_text(words)).to_be_visible()


def granted(page: Page, email: str) -> None:
    """Staff add $50 in the admin."""
    page.goto("/admin/billing/wallet/")
    page.get_by_role("link", name="Grant credit").click()
    page.get_by_label("Account").fill(email)
    page.get_by_label("Dollars").fill("50")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Grant $50.00").click()
    expect(page.get_by_role("status")).to_contain_text("$50.00 added.")


def new_token(page: Page) -> str:
    """Makes an API token on its page, and copies it."""
    page.get_by_role("link", name="API tokens").first.click()
    page.get_by_role("link", name="New token").first.click()
    page.get_by_role("textbox", name="Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Create token").click()
    token = page.locator("#token-text").inner_text().strip()
    page.get_by_role("link", name="I have copied it").click()
    return token


def test_from_an_empty_account_to_a_subscription_to_a_first_call_to_a_cancellation(
    open_page: OpenPage,
    owner: User,
    owner_client: Client,
    account: Account,
    staff: User,
    gateway: RunningGateway,
):
    stock(staff, 1)
    page = open_page(owner_client)
    dialog = page.get_by_role("dialog")
    page.goto("/dashboard/")
    page.get_by_role("link", name="Subscription Center").click()
    expect(page).to_have_url(CENTER)
    expect(page.get_by_text("The balance has $0.00: it lacks $20.00.")).to_be_visible()
    expect(page.get_by_role("link", name="Subscribe to Token Plan Plus")).to_have_count(0)
    page.get_by_role("link", name="Add credits").click()
    expect(page.get_by_text("Nothing was added or spent yet")).to_be_visible()

    granted(open_page(signed_in(staff)), owner.email)
    page.reload()
    expect(page.locator("#balance")).to_contain_text("$50.00")
    follow(page.get_by_role("link", name="Subscription Center"))
    page.get_by_role("link", name="Subscribe to Token Plan Plus").click()
    expect(dialog).to_contain_text("$20.00 is taken from the balance now, which leaves $30.00")
    dialog.get_by_role("button", name="Subscribe and pay").click()
    told(page, "Subscribed to Token Plan Plus.")
    expect(page.get_by_text("Next billing date")).to_be_visible()

    # The first call goes out with the key, and draws on no balance.
    answer = requests.post(
        f"{gateway.base_url}/chat/completions",
        json={
            "model": "minimax/minimax-m2.5",
            "messages": [{"role": "user", "content": "Say hello."}],
        },
        headers={"authorization": f"Bearer {new_token(page)}"},
        timeout=30,
    )
    key = ProviderKey.objects.get(account=account)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-megabrain-payer"] == "byok"
    assert answer.headers["x-megabrain-key"] == str(key.pk)[:8]
    assert Wallet.objects.get(pk=account.pk).posted_micros == 30 * DOLLAR

    # Switching the key off says first what it does not change.
    follow(page.get_by_role("link", name="Subscription Center"))
    follow(page.get_by_role("link", name="MiniMax key"))
    follow(page.get_by_role("link", name="All keys"))
    expect(page.get_by_text("Token Plan Plus", exact=True)).to_be_visible()
    page.get_by_role("switch", name="Use the MiniMax key").click()
    expect(dialog).to_contain_text("Billing goes on until you cancel in the Subscription Center")
    dialog.get_by_role("button", name="Switch off").click()
    told(page, "The MiniMax key is off")
    expect(page.get_by_role("switch", name="Use the MiniMax key")).not_to_be_checked()
    page.get_by_role("switch", name="Use the MiniMax key").click()
    told(page, "The MiniMax key is on")

    # Cancelled, it is there until its period ends.
    page.get_by_role("link", name="Delete the MiniMax key").click()
    follow(dialog.get_by_role("link", name="Subscription Center"))
    expect(page).to_have_url(CENTER)
    page.get_by_role("link", name="Cancel subscription").click()
    dialog.get_by_role("button", name="Cancel subscription").click()
    told(page, "Cancelled Token Plan Plus.")
    expect(page.get_by_role("button", name="Resume subscription")).to_be_visible()
    renew_due(Subscription.objects.get().renews_at)
    page.reload()
    expect(page.get_by_text("Ended subscriptions")).to_be_visible()
    page.goto("/account/byok/")
    expect(page.get_by_text("No provider keys yet")).to_be_visible()


@BOTH
def test_its_pages_are_well_made(
    open_page: OpenPage,
    owner: User,
    owner_client: Client,
    account: Account,
    staff: User,
    viewport: dict[str, int],
    scheme: str,
):
    page = open_page(owner_client, viewport=viewport, color_scheme=scheme)

    def looked_at(*addresses: str) -> None:
        for address in addresses:
            page.goto(address)
            assert_well_made(page)

    stock(staff, 1)
    fund(account, 1)
    looked_at(CENTER)
    fund(account, 19)
    looked_at(CENTER, f"{CENTER}token-plan-plus/subscribe/", "/docs/subscriptions/")
    subscription = subscribed(owner, account, START)
    key = ProviderKey.objects.get()
    looked_at(
        CENTER,
        f"{CENTER}{subscription.pk}/cancel/",
        "/account/byok/",
        *(f"/account/byok/{key.pk}/{name}/" for name in ("details", "update", "disable", "delete")),
    )
    renew_due(START + 30 * DAY)
    looked_at(CENTER)
    fund(account, 20)
    renew_due(START + 31 * DAY)
    cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START + 32 * DAY)
    looked_at(CENTER)
    renew_due(START + 60 * DAY)
    looked_at(CENTER)


@BOTH
def test_its_dialogs_are_well_made(
    open_page: OpenPage,
    owner: User,
    owner_client: Client,
    organization: Account,
    staff: User,
    viewport: dict[str, int],
    scheme: str,
):
    stock(staff, 1)
    fund(organization, 50)
    page = open_page(owner_client, viewport=viewport, color_scheme=scheme)
    page.goto("/orgs/acme/subscriptions/")
    page.get_by_role("link", name="Subscribe to Token Plan Plus").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("for all members")
    assert_well_made(page)
    dialog.get_by_role("button", name="Subscribe and pay").click()
    told(page, "for all members")
    page.get_by_role("link", name="Cancel subscription").click()
    expect(dialog).to_contain_text("nothing more is charged")
    assert_well_made(page)
    page.goto("/orgs/acme/byok/")
    page.get_by_role("switch", name="Use the MiniMax key").click()
    expect(dialog).to_contain_text("Billing goes on")
    assert_well_made(page)
