"""API tokens and Activity in Chromium, with its scripts and without."""

import re

import pytest
from django.test import Client
from playwright.sync_api import Page, expect

from orgs.actions import change_organization, invite
from orgs.models import Account, ApiToken, User
from orgs.origin import Origin
from orgs.tokens import digest, looks_like_token
from tests.browser.well_made import assert_well_made
from tests.chromium import OpenPage
from tests.conftest import signed_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LAPTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


def create(page: Page, name: str) -> str:
    """Make a token by hand; returns what is shown."""
    page.goto("/account/tokens/")
    page.get_by_role("link", name="New token").first.click()
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("#token-text")).to_be_visible()
    shown = page.locator("#token-text").inner_text().strip()
    assert looks_like_token(shown)
    return shown


@pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_a_token_is_made_copied_and_revoked(
    open_page: OpenPage, owner: User, owner_client: Client, screen
):
    page = open_page(owner_client, **screen)
    page.goto("/account/tokens/")
    assert_well_made(page)
    page.get_by_role("link", name="New token").first.click()
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_be_focused()
    page.get_by_text("Allowed models", exact=True).first.click()
    page.get_by_role("searchbox", name="Search models").fill("haiku 4.5")
    expect(page.locator("#model-choices .check:visible")).to_have_count(1)
    page.locator("#model-choices .check:visible input").check()
    assert_well_made(page)
    page.get_by_role("textbox", name="Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Create token").click()
    shown = page.locator("#token-text").inner_text().strip()
    token = ApiToken.objects.get()
    assert token.digest == digest(shown)
    assert token.allowed_models == ["anthropic/claude-haiku-4.5"]
    assert_well_made(page)

    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog"), "what is shown once stays").to_be_visible()
    page.get_by_text("Claude Code", exact=True).click()
    expect(page.get_by_text(f"export ANTHROPIC_AUTH_TOKEN={shown}")).to_be_visible()
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert shown not in page.content()
    expect(page.get_by_role("link", name="New token").first).to_be_focused()

    page.get_by_role("link", name="Revoke the token laptop").click()
    expect(page.get_by_role("dialog", name="Revoke “laptop”?")).to_be_visible()
    assert_well_made(page)
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("Revoked “laptop”.")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(f"#token-{token.pk}")).to_have_count(0)
    assert not ApiToken.objects.usable().exists()


def test_a_token_is_copied_to_the_clipboard(open_page: OpenPage, owner_client: Client):
    page = open_page(owner_client, permissions=["clipboard-read", "clipboard-write"])
    shown = create(page, "laptop")
    page.get_by_role("button", name="Copy API token").click()
    assert page.evaluate("navigator.clipboard.readText()") == shown


def test_neither_reload_nor_back_shows_a_token_again(open_page: OpenPage, owner_client: Client):
    page = open_page(owner_client)
    shown = create(page, "laptop")
    page.reload()
    assert shown not in page.content()
    page.goto("/account/activity/")
    page.go_back()
    assert shown not in page.content()
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert shown not in kept


def test_without_scripts_it_all_works(open_page: OpenPage, owner_client: Client):
    page = open_page(owner_client, java_script_enabled=False)
    shown = create(page, "laptop")
    assert shown not in page.url
    page.get_by_text("Codex", exact=True).click()
    expect(page.get_by_text(f"export MEGABRAIN_TOKEN={shown}").first).to_be_visible()
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="Revoke the token laptop").click()
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("Revoked “laptop”.")).to_be_visible()
    page.goto("/account/activity/")
    page.get_by_label("Event").first.select_option("token")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#events tbody tr")).to_have_count(2)


@pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_activity_is_filtered_and_told_in_detail(open_page: OpenPage, owner_client: Client, screen):
    page = open_page(owner_client, **screen)
    create(page, "laptop")
    page.goto("/account/activity/")
    assert_well_made(page)
    page.get_by_label("Event").first.select_option("token.created")
    expect(page.locator("#events tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("event=token.created"))
    page.get_by_role("link", name="You created the API token laptop").click()
    expect(page.get_by_role("dialog")).to_contain_text("Unaltered")
    assert_well_made(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.reload()
    expect(page.locator("#events tbody tr"), "the address holds the filter").to_have_count(1)
    page.goto(page.get_by_role("link", name="You created").get_attribute("href") or "")
    assert_well_made(page)


@pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_longest_addresses_leave_the_log_whole(
    open_page: OpenPage, owner: User, organization: Account, screen
):
    User.objects.filter(pk=owner.pk).update(email=f"{'o' * 60}@a-long-name-of-a-domain.example.com")
    owner.refresh_from_db()
    origin = Origin(address="2001:db8:1234:5678:9abc:def0:1234:5678")
    for number in range(3):
        address = f"{'n' * 60}{number}@example.com"
        invite(actor=owner, account=organization, email=address, role="member", origin=origin)
    happened_at = Origin(address="192.168.100.200")
    change_organization(
        actor=owner, account=organization, name="A" * 100, slug="acme", origin=happened_at
    )
    page = open_page(signed_in(owner), **screen)
    page.goto("/orgs/acme/audit/")
    assert_well_made(page)
    for part in page.locator(".table-scroll").all():
        assert part.evaluate("part => part.scrollWidth - part.clientWidth") == 0
    for cell in page.locator('td[data-label="Address"] > *').all():
        lines = "text => text.clientHeight / parseFloat(getComputedStyle(text).lineHeight)"
        assert cell.evaluate(lines) < 2
    assert page.get_by_text("192.168.100.200").evaluate("it => it.scrollWidth <= it.clientWidth")
