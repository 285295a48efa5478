"""The pages of signing in, and Profile & security: well made at every size and in both themes."""

import pytest
from playwright.sync_api import Page, expect

from orgs.models import User
from tests.browser.well_made import DESK, PHONE, assert_well_made
from tests.chromium import OpenPage
from tests.conftest import PASSWORD, signed_in
from tests.visitor import code_of_app

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

looks = pytest.mark.parametrize(
    ("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"]
)

SIGNED_OUT = [
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/accounts/password/reset/sent/",
    "/accounts/password/reset/key/1a-used/",
    "/accounts/inactive/",
]
SIGNED_IN = [
    "/account/profile/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/app/activate/",
    "/accounts/passkeys/add/",
    "/accounts/reauthenticate/?next=/account/profile/",
    "/accounts/logout/",
]
PROTECTED = [
    "/account/profile/",
    "/accounts/2fa/recovery-codes/",
    "/accounts/2fa/recovery-codes/generate/",
    "/accounts/2fa/app/deactivate/",
    "/accounts/2fa/reauthenticate/?next=/account/profile/",
]


@looks
def test_signed_out_pages_are_well_made(open_page: OpenPage, viewport: dict[str, int], scheme: str):
    page = open_page(viewport=viewport, color_scheme=scheme)
    for address in SIGNED_OUT:
        page.goto(address)
        assert_well_made(page)
    page.goto("/accounts/signup/")
    page.get_by_label("E-mail").fill("new@example.com")
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_text("This password is too short")).to_be_visible()
    assert_well_made(page)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    assert_well_made(page)


@looks
def test_profile_and_security_pages_are_well_made(
    owner: User, open_page: OpenPage, viewport: dict[str, int], scheme: str
):
    page = open_page(signed_in(owner), viewport=viewport, color_scheme=scheme)
    for address in SIGNED_IN:
        page.goto(address)
        assert_well_made(page)
    set_up_app(page)
    for address in PROTECTED:
        page.goto(address)
        assert_well_made(page)


def set_up_app(page: Page) -> None:
    page.goto("/accounts/2fa/app/activate/")
    key = page.locator(".copyable code").inner_text()
    page.get_by_label("Code from the app").fill(code_of_app(key))
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()


def test_a_password_can_be_looked_at_before_it_is_sent(page: Page):
    page.goto("/accounts/login/")
    field = page.get_by_label("Password", exact=True)
    expect(page.get_by_label("E-mail")).to_be_focused()
    field.fill("tulip")
    expect(field).to_have_attribute("type", "password")
    page.get_by_role("button", name="Show what is typed").click()
    expect(field).to_have_attribute("type", "text")
