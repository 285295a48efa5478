"""The Usage pages in a real browser: filters, pages and a request, with and without scripts."""

import random
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect

from billing.usage import record_usage
from orgs.actions import create_token
from orgs.models import Account, User
from orgs.origin import Origin
from tests.billing.calls import any_call
from tests.browser.well_made import DESK, PHONE, assert_well_made
from tests.chromium import OpenPage, follow

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def busy(owner: User, organization: Account) -> None:
    """Sixty calls of the owner's for each of their accounts."""
    for account in (owner.account, organization):
        token, _ = create_token(actor=owner, account=account, name="laptop", origin=Origin())
        record_usage(
            [
                any_call(
                    random.Random(number),
                    account_id=account.pk,
                    user_id=owner.pk,
                    token_id=token.pk,
                    model="anthropic/claude-sonnet-5.5",
                    payer="byok" if number % 3 else "balance",
                    status=403 if number % 10 == 0 else 200,
                    outcome="byok_no_credit" if number % 10 == 0 else "ok",
                    attempts=[{"provider": "anthropic", "key": "x", "outcome": "ok", "ms": 5}],
                    client="a-very-long-name-of-an-agent/1.0 " * 3,
                    created_at=timezone.now() - timedelta(hours=number * 9),
                )
                for number in range(60)
            ]
        )


def test_requests_are_filtered_paged_and_opened(
    open_page: OpenPage, owner_client: Client, busy: None
):
    page = open_page(owner_client)
    page.goto("/dashboard/")
    follow(page.get_by_role("link", name="Usage", exact=True))
    told = page.get_by_role("status").filter(has_text="days of UTC")
    expect(told).to_contain_text("60 requests")
    page.get_by_label("Paid by").select_option(label="Balance")
    expect(told).to_contain_text("20 requests")
    expect(page).to_have_url(re.compile(r"payer=balance"))
    page.get_by_label("Status").select_option(label="Refused")
    expect(told).to_contain_text("2 requests")
    page.go_back()
    page.wait_for_load_state()
    expect(told).to_contain_text("20 requests")
    page.get_by_label("Paid by").select_option(label="Any payer")
    expect(told).to_contain_text("60 requests")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newer")).to_be_visible()
    page.get_by_role("link", name="Tokens", exact=True).click()
    expect(page.locator(".chart-title")).to_have_text("Tokens a day")
    page.locator("#usage tbody th a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Request")
    expect(page.get_by_text("x-megabrain-attempts: 1")).to_be_visible()


def test_without_scripts_it_is_a_form_and_the_file_comes(
    open_page: OpenPage, owner_client: Client, busy: None
):
    page = open_page(owner_client, java_script_enabled=False)
    page.goto("/orgs/acme/usage/")
    page.get_by_label("Period").select_option(label="7 days")
    page.get_by_label("Member").fill("owner@example.com")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_label("Member")).to_have_value("owner@example.com")
    expect(page.get_by_label("Period")).to_have_value("7")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export CSV").click()
    assert re.fullmatch(r"usage-acme-[-\d]+\.csv", downloading.value.suggested_filename)


@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_they_are_well_made(
    open_page: OpenPage,
    owner_client: Client,
    busy: None,
    viewport: dict[str, int],
    scheme: str,
):
    page = open_page(owner_client, viewport=viewport, color_scheme=scheme)
    for address in (
        "/account/usage/",
        "/orgs/acme/usage/?period=dates",
        "/account/usage/?model=none",
    ):
        page.goto(address)
        assert_well_made(page)
    page.goto("/orgs/acme/usage/")
    page.locator("#usage tbody th a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Request")
    assert_well_made(page)
