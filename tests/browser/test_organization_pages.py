"""An organization in Chromium, from its creation to its end, with scripts and without."""

import re

import pytest
from django.test import Client
from playwright.sync_api import Page, expect

from orgs.actions import create_organization
from orgs.models import Account, ApiToken, User
from orgs.origin import Origin
from orgs.tokens import looks_like_token
from tests.browser.well_made import assert_well_made
from tests.chromium import OpenPage
from tests.conftest import signed_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LAPTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
SCREENS = pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])


def open_switcher(page: Page) -> None:
    menu = page.get_by_role("button", name="Open the menu")
    if menu.is_visible():
        menu.click()
    page.locator(".switcher > summary").click()


@SCREENS
def test_an_organization_is_created_used_set_up_and_deleted(
    open_page: OpenPage, owner: User, owner_client: Client, screen
):
    page = open_page(owner_client, **screen)
    page.goto("/dashboard/")
    open_switcher(page)
    assert_well_made(page)
    page.get_by_role("link", name="New organization").click()
    expect(page.get_by_role("dialog", name="New organization")).to_be_visible()
    expect(page.get_by_label("Name")).to_be_focused()
    page.get_by_label("Name").press_sequentially("Ärzte & Co.")
    expect(page.get_by_label("Slug")).to_have_value("arzte-co")
    assert_well_made(page)
    page.get_by_label("Slug").fill("admin")
    page.get_by_role("button", name="Create organization").click()
    expect(page.get_by_text("This one is reserved.")).to_be_visible()
    expect(page.get_by_label("Slug"), "where something is wrong").to_be_focused()
    page.get_by_label("Slug").fill("clinic")
    page.get_by_label("Name").fill("Clinic")
    expect(page.get_by_label("Slug"), "what one has typed stays").to_have_value("clinic")
    page.get_by_role("button", name="Create organization").click()

    page.wait_for_url("**/orgs/clinic/")
    expect(page.get_by_text("Created Clinic.")).to_be_visible()
    expect(page.get_by_role("heading", name="Invite people")).to_be_visible()
    assert_well_made(page)

    page.goto("/orgs/clinic/tokens/")
    page.get_by_role("link", name="New token").first.click()
    page.get_by_role("textbox", name="Name", exact=True).fill("laptop")
    page.get_by_label("Requests a minute").fill("60")
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("#token-text")).to_be_visible()
    assert looks_like_token(page.locator("#token-text").inner_text().strip())
    assert_well_made(page)
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_text("60 requests a minute")).to_be_visible()
    assert ApiToken.objects.get().account.slug == "clinic"

    page.goto("/orgs/clinic/settings/")
    page.get_by_text("Allowed models", exact=True).first.click()
    page.get_by_role("searchbox", name="Search models").fill("haiku 4.5")
    page.locator("#model-choices .check:visible input").check()
    assert_well_made(page)
    page.get_by_label("Requests a minute, each member").fill("30")
    page.get_by_role("button", name="Save limits").click()
    expect(page.get_by_text("Saved what members of Clinic may use.")).to_be_visible()
    page.get_by_label("Slug", exact=True).fill("clinic-2")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/orgs/clinic-2/settings/")
    expect(page.get_by_text("has to send clinic-2 from now on")).to_be_visible()

    page.get_by_role("link", name="Delete organization").click()
    dialog = page.get_by_role("dialog", name="Delete Clinic?")
    expect(dialog).to_contain_text("1 API token stops working")
    expect(page.get_by_label("Type clinic-2 to confirm")).to_be_focused()
    page.get_by_label("Type clinic-2 to confirm").fill("clinic")
    dialog.get_by_role("button", name="Delete organization").click()
    expect(page.get_by_text("That is not clinic-2. Nothing was deleted.")).to_be_visible()
    assert_well_made(page)
    page.get_by_label("Type clinic-2 to confirm").fill("clinic-2")
    dialog.get_by_role("button", name="Delete organization").click()
    page.wait_for_url("**/dashboard/")
    expect(page.get_by_text("Deleted Clinic")).to_be_visible()
    assert not Account.objects.filter(kind=Account.Kind.ORGANIZATION).exists()
    assert not ApiToken.objects.exists()


def test_without_scripts_it_all_works(open_page: OpenPage, owner_client: Client):
    page = open_page(owner_client, java_script_enabled=False)
    page.goto("/dashboard/")
    page.locator(".switcher > summary").click()
    page.get_by_role("link", name="New organization").click()
    page.get_by_label("Name").fill("Clinic")
    page.get_by_role("button", name="Create organization").click()
    expect(page).to_have_url(re.compile("/orgs/clinic/$"))
    page.goto("/orgs/clinic/settings/")
    page.get_by_label("Requests a minute, each API token").fill("5")
    page.get_by_role("button", name="Save limits").click()
    expect(page.get_by_text("Saved what members of Clinic may use.")).to_be_visible()
    page.get_by_role("link", name="Delete organization").click()
    page.get_by_label("Type clinic to confirm").fill("clinic")
    page.get_by_role("button", name="Delete organization").click()
    expect(page.get_by_text("Deleted Clinic")).to_be_visible()


@SCREENS
def test_one_of_many_accounts_is_found_and_switched_to(
    open_page: OpenPage, owner: User, owner_client: Client, screen
):
    for number in range(30):
        create_organization(actor=owner, owner=owner, name=f"Team {number}", origin=Origin())
    page = open_page(owner_client, **screen)
    page.goto("/docs/")
    page.goto("/account/profile/")
    open_switcher(page)
    new = page.get_by_role("link", name="New organization")
    expect(new, "however long the list is").to_be_in_viewport()
    assert_well_made(page)
    page.get_by_role("searchbox", name="Search accounts").fill("team 17")
    expect(page.locator("#accounts li:visible")).to_have_count(1)
    page.get_by_role("link", name="Team 17").click()
    page.wait_for_url("**/orgs/team-17/")
    page.goto("/account/profile/")
    expect(page.locator(".switcher > summary")).to_contain_text("Team 17")


@SCREENS
def test_the_focus_comes_back_from_the_dialog_of_the_menu(
    open_page: OpenPage, owner_client: Client, screen
):
    page = open_page(owner_client, **screen)
    page.goto("/dashboard/")
    open_switcher(page)
    page.get_by_role("link", name="New organization").click()
    expect(page.get_by_label("Name")).to_be_focused()
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    back = page.locator(".switcher > summary" if screen is LAPTOP else "#main")
    expect(back).to_be_focused()


@SCREENS
@pytest.mark.parametrize("who", ["billing_manager", "member"])
def test_what_others_see_is_well_made(
    open_page: OpenPage, organization: Account, request: pytest.FixtureRequest, who: str, screen
):
    page = open_page(signed_in(request.getfixturevalue(who)), **screen)
    for address in ("", "tokens/", "tokens/create/"):
        page.goto(f"/orgs/acme/{address}")
        assert_well_made(page)
