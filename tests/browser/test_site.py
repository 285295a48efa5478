"""The frame and the public pages in a real browser: looks, reach, and life without script."""

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect

from billing.models import UsageRecord
from billing.usage import record_usage
from byok.models import ProviderKey
from byok.vault import Secret
from orgs.models import Account
from tests.browser.well_made import DESK, PHONE, assert_well_made
from tests.chromium import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PUBLIC = [
    "/",
    "/docs/",
    "/docs/byok/",
    "/docs/models/",
    "/docs/agents/",
    "/docs/organizations/",
    "/docs/errors/",
    "/docs/api/",
    "/status/",
]


@pytest.fixture
def busy(account: Account) -> Account:
    """An account with a failing key and some calls."""
    key = ProviderKey.objects.create(
        account=account,
        provider="openai",
        secret=Secret("sk-proj-sim-401-0123456789abcdef"),
        hint="sk-proj-…cdef",
        health=ProviderKey.Health.FAILING,
        health_message="OpenAI rejected this key.",
    )
    for outcome, status in (("ok", 200), ("byok_key_rejected", 403)):
        record_usage(
            [
                UsageRecord(
                    account_id=account.id,
                    endpoint="responses",
                    model="openai/gpt-6-luna",
                    provider="openai",
                    provider_key_id=key.id,
                    payer="byok",
                    status=status,
                    outcome=outcome,
                    input_tokens=12_345,
                    output_tokens=678,
                    market_micros=54_321,
                    latency_ms=2_345,
                    created_at=timezone.now(),
                )
            ]
        )
    return account


@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_public_pages_are_well_made(open_page: OpenPage, viewport: dict[str, int], scheme: str):
    page = open_page(viewport=viewport, color_scheme=scheme)
    for address in PUBLIC:
        page.goto(address)
        assert_well_made(page)


@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_the_dashboard_is_well_made(
    open_page: OpenPage,
    busy: Account,
    owner_client: Client,
    stranger_client: Client,
    viewport: dict[str, int],
    scheme: str,
):
    for client in (owner_client, stranger_client):
        page = open_page(client, viewport=viewport, color_scheme=scheme)
        page.goto("/dashboard/")
        assert_well_made(page)


def test_a_step_ticks_itself_off_on_the_open_page(
    open_page: OpenPage, owner_client: Client, account: Account
):
    page = open_page(owner_client)
    page.goto("/dashboard/")
    progress = page.locator(".progress-text")
    expect(progress).to_have_text("0 of 4 done")
    ProviderKey.objects.create(
        account=account, provider="openai", secret=Secret("sk-proj-sim-ok-0123456789abcdef")
    )
    expect(progress).to_have_text("1 of 4 done")
    expect(page.get_by_role("link", name="Test the key")).to_be_visible()


def test_the_theme_changes_at_once_and_is_remembered(open_page: OpenPage, owner_client: Client):
    page = open_page(owner_client, color_scheme="light")
    page.goto("/dashboard/")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(background)
    with page.expect_response("**/theme/"):
        page.get_by_role("button", name="Theme: dark").click()
    assert page.evaluate(background) != light
    page.goto("/docs/")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(page.get_by_role("button", name="Theme: dark")).to_have_attribute("aria-pressed", "true")


def test_without_script_the_drawer_the_theme_and_the_menu_work(
    open_page: OpenPage, owner_client: Client
):
    page = open_page(owner_client, viewport=PHONE, java_script_enabled=False)
    page.goto("/dashboard/")
    tokens = page.get_by_role("link", name="API tokens")
    expect(tokens).to_be_hidden()
    page.get_by_role("button", name="Open the menu").click()
    expect(tokens).to_be_visible()
    page.get_by_text("Personal account").first.click()
    expect(page.get_by_role("link", name="Sign out")).to_be_visible()
    page.get_by_text("Personal account").first.click()
    page.get_by_role("button", name="Theme: dark").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.url.endswith("/dashboard/")


def test_a_snippet_is_copied_whole(open_page: OpenPage):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto("/docs/agents/")
    block = page.locator("figure.code").first
    block.get_by_role("button").click()
    expect(block.get_by_text("Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == block.locator("code").inner_text()
    assert copied.startswith("curl ")


def test_the_switcher_closes_on_escape_and_elsewhere(open_page: OpenPage, owner_client: Client):
    page = open_page(owner_client)
    page.goto("/dashboard/")
    summary = page.locator(".switcher > summary")
    sign_out = page.get_by_role("link", name="Sign out")
    summary.click()
    expect(sign_out).to_be_visible()
    page.keyboard.press("Escape")
    expect(sign_out).to_be_hidden()
    expect(summary).to_be_focused()
    summary.click()
    page.locator("h1").click()
    expect(sign_out).to_be_hidden()


def test_a_link_to_an_error_code_marks_its_entry(open_page: OpenPage):
    page = open_page()
    page.goto("/docs/errors/#byok_no_credit")
    entry = page.locator("#byok_no_credit")
    expect(entry).to_be_in_viewport()
    assert entry.evaluate("entry => entry.matches(':target')")


def test_the_keyboard_reaches_the_content_first(open_page: OpenPage, owner_client: Client):
    page = open_page(owner_client)
    page.goto("/dashboard/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
