"""The Billing page and the limits of spending in Chromium, wide and narrow, light and dark."""

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect

from billing.models import LedgerEntry, Wallet
from orgs.actions import create_token
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from tests.billing.wallets import Payer, credited
from tests.browser.well_made import assert_well_made
from tests.chromium import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LAPTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
SCREENS = pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])
DOLLAR = 1_000_000


def spent(account: Account, user: User, calls: int) -> None:
    """Twenty dollars, of which so many calls took a little each, and one is under way."""
    credited(account.pk, 20 * DOLLAR)
    token, _ = create_token(actor=user, account=account, name="laptop", origin=Origin())
    payer = Payer(account.pk, user.pk, token.pk)
    for number in range(calls):
        payer.call(DOLLAR, 1_234 + number)
    payer.reserve(2 * DOLLAR)


@SCREENS
def test_an_empty_balance_is_well_made(open_page: OpenPage, owner_client: Client, screen):
    page = open_page(owner_client, **screen)
    page.goto("/account/billing/")
    expect(page.get_by_text("Nothing was added or spent yet")).to_be_visible()
    assert_well_made(page)


@SCREENS
def test_a_balance_is_read_filtered_exported_and_watched(
    open_page: OpenPage, owner: User, account: Account, owner_client: Client, screen
):
    spent(account, owner, 30)
    page = open_page(owner_client, **screen)
    page.goto("/dashboard/")
    if screen is PHONE:
        page.get_by_role("button", name="Open the menu").click()
    page.get_by_role("link", name="Billing", exact=True).click()
    page.wait_for_url("**/account/billing/")
    expect(page.locator("#balance")).to_contain_text("$2.0000")
    assert_well_made(page)

    page.get_by_role("link", name="Older").click()
    expect(page.locator("#entry-1")).to_contain_text("+$20.000000")
    assert_well_made(page)
    page.get_by_label("Kind").select_option("Credit granted")
    expect(page.locator("#ledger tbody tr")).to_have_count(1)
    page.get_by_label("Period").select_option("From … to …")
    page.get_by_label("to", exact=True).fill("2020-01-01")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    assert_well_made(page)
    page.get_by_role("link", name="Show everything").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    assert download.value.suggested_filename.startswith("ledger-")

    dollars = page.get_by_label("Dollars").and_(page.locator("#id_below"))
    dollars.fill("a lot")
    page.locator("#alert").get_by_role("button", name="Save").click()
    expect(page.get_by_text("Enter an amount in dollars, such as 20 or 2.50.")).to_be_visible()
    assert_well_made(page)
    dollars.fill("25")
    page.locator("#alert").get_by_role("button", name="Save").click()
    expect(
        page.get_by_text("You will get an e-mail when the balance is below $25.00.")
    ).to_be_visible()
    expect(page.locator("#low")).to_be_visible()
    assert_well_made(page)


@SCREENS
def test_a_frozen_balance_is_well_made(
    open_page: OpenPage, owner: User, account: Account, owner_client: Client, screen
):
    spent(account, owner, 1)
    Wallet.objects.update(frozen_at=timezone.now(), frozen_why="It has drifted.")
    page = open_page(owner_client, **screen)
    page.goto("/account/billing/")
    expect(page.get_by_text("The balance is frozen.")).to_be_visible()
    assert_well_made(page)


@SCREENS
def test_an_organization_limits_what_members_and_tokens_spend(
    open_page: OpenPage,
    organization: Account,
    member: User,
    billing_manager_client: Client,
    member_client: Client,
    screen,
):
    spent(organization, member, 3)
    page = open_page(billing_manager_client, **screen)
    page.goto("/orgs/acme/billing/")
    assert_well_made(page)
    page.get_by_role("link", name="Change limit").click()
    expect(page.get_by_label("Dollars a day, each member")).to_be_focused()
    assert_well_made(page)
    page.get_by_label("Dollars a day, each member").fill("-1")
    page.get_by_role("button", name="Save limit").click()
    expect(page.get_by_text("such as 20 or 2.50")).to_be_visible()
    page.get_by_label("Dollars a day, each member").fill("5")
    page.get_by_role("button", name="Save limit").click()
    page.wait_for_url("**/orgs/acme/members/")
    expect(page.get_by_text("may now spend $5.00 of its balance a day")).to_be_visible()
    assert_well_made(page)
    page.get_by_role("link", name="Limit what Member spends").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert_well_made(page)
    page.get_by_label("Dollars a day").fill("7.5")
    page.get_by_role("button", name="Save limit").click()
    row = page.locator("tr", has_text="member@example.com")
    expect(row).to_contain_text("$7.50")
    assert Membership.objects.get(user=member, account=organization).daily_limit_micros == 7_500_000

    page = open_page(member_client, **screen)
    page.goto("/orgs/acme/tokens/")
    assert_well_made(page)
    page.get_by_role("link", name="Limit what the token laptop spends").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert_well_made(page)
    page.get_by_label("Dollars a month").fill("20")
    page.get_by_role("button", name="Save limit").click()
    expect(page.locator("tbody tr").first).to_contain_text("$20.00 a month")


def test_without_scripts_it_all_works(
    open_page: OpenPage, owner: User, account: Account, owner_client: Client
):
    spent(account, owner, 2)
    page = open_page(owner_client, java_script_enabled=False)
    page.goto("/account/billing/")
    page.get_by_label("Kind").select_option("Credit granted")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#ledger tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    assert download.value.path().read_text().count(LedgerEntry.Kind.GRANT) == 1
    page.locator("#id_below").fill("0.50")
    page.locator("#alert").get_by_role("button", name="Save").click()
    expect(page.get_by_text("when the balance is below $0.50")).to_be_visible()
    page.get_by_role("link", name="API tokens", exact=True).last.click()
    page.get_by_role("link", name="Limit what the token laptop spends").click()
    page.get_by_label("Dollars a month").fill("3")
    page.get_by_role("button", name="Save limit").click()
    expect(page.get_by_text("“laptop” may now spend $3.00")).to_be_visible()
