"""Passkeys in Chromium, with an authenticator that Chromium plays itself."""

import re

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from playwright.sync_api import CDPSession, Page, Route, expect

from orgs.models import AuditEvent, User
from tests.browser.test_byok import wait_for
from tests.visitor import PASSWORD, code_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def device(page: Page) -> CDPSession:
    """The page's computer can make and use passkeys, and its owner always agrees."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
    return session


@pytest.fixture
def signed_up(page: Page, device: CDPSession) -> Page:
    """Somebody who has just signed up."""
    page.goto("/accounts/signup/")
    page.get_by_label("E-mail").fill("new@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.get_by_label("Code").fill(code_in(mail.outbox[-1]))
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    return page


@pytest.fixture
def with_passkey(signed_up: Page) -> Page:
    add_passkey(signed_up, "Laptop")
    expect(signed_up.get_by_role("heading", name="Recovery codes")).to_be_visible()
    return signed_up


def add_passkey(page: Page, name: str) -> None:
    page.goto("/account/profile/")
    page.get_by_role("link", name="Add passkey").click()
    page.get_by_role("textbox", name="Name").fill(name)
    page.get_by_role("button", name="Create passkey").click()


def sign_out(page: Page) -> None:
    page.goto("/accounts/logout/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile(r"://[^/]+/$"))


def test_a_passkey_is_made_and_signs_in_by_itself(with_passkey: Page):
    page = with_passkey
    page.get_by_role("link", name="I have saved them").click()
    expect(page.get_by_text("Laptop")).to_be_visible()
    sign_out(page)
    page.goto("/accounts/login/?next=/account/profile/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("heading", name="Profile & security")).to_be_visible()
    event = AuditEvent.objects.newest_first().first()
    assert event is not None
    assert (event.event, event.details) == ("security.signed_in", {"method": "passkey"})
    assert mail.outbox[-1].subject == "A passkey was added to your MegaBrain account"


def test_a_passkey_is_the_second_step_after_the_password(with_passkey: Page):
    page = with_passkey
    sign_out(page)
    page.goto("/accounts/login/")
    page.get_by_label("E-mail").fill("new@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    page.get_by_role("button", name="Use your passkey").click()
    page.wait_for_url("**/dashboard/")


def test_a_passkey_confirms_who_one_is(with_passkey: Page):
    page = with_passkey
    page.goto("/accounts/reauthenticate/?next=/account/profile/")
    page.get_by_role("link", name="Use a passkey").click()
    page.get_by_role("button", name="Use your passkey").click()
    expect(page.get_by_role("heading", name="Profile & security")).to_be_visible()


def test_a_passkey_can_be_renamed_and_removed(with_passkey: Page):
    page = with_passkey
    page.goto("/account/profile/")
    page.get_by_role("link", name="Rename the passkey Laptop").click()
    page.get_by_role("textbox", name="Name").fill("Work <b>laptop</b>")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Work <b>laptop</b>", exact=True)).to_be_visible()
    page.get_by_role("link", name="Remove the passkey Work <b>laptop</b>").click()
    page.get_by_role("button", name="Remove the passkey").click()
    expect(page.get_by_text("The passkey is removed.")).to_be_visible()
    assert not Authenticator.objects.exists(), "recovery codes go with the last factor"
    account = User.objects.get().account
    told = AuditEvent.objects.for_account(account.pk).order_by("sequence")
    assert [event.event for event in told][-4:] == [
        "security.passkey_added",
        "security.recovery_codes_generated",
        "security.passkey_renamed",
        "security.passkey_removed",
    ]


def test_one_device_makes_one_passkey(with_passkey: Page):
    add_passkey(with_passkey, "Again")
    expect(with_passkey.get_by_role("alert")).to_contain_text("has a passkey for your account")
    assert Authenticator.objects.filter(type="webauthn").count() == 1


def test_when_the_owner_declines_the_page_says_what_to_do(with_passkey: Page, device: CDPSession):
    page = with_passkey
    sign_out(page)
    device.send("WebAuthn.disable")
    device.send("WebAuthn.enable")
    # A computer without the passkey that the account has.
    device.send(
        "WebAuthn.addVirtualAuthenticator", {"options": {**DEVICE, "isUserVerified": False}}
    )
    page.goto("/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("No passkey was used")
    assert page.url.endswith("/accounts/login/")


def test_without_a_host_name_the_page_says_why_it_cannot_work(open_page, live_server):
    page = open_page()
    page.goto(live_server.url.replace("localhost", "127.0.0.1") + "/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("Open this page as http://localhost:")


def test_without_javascript_the_password_is_what_is_offered(open_page):
    page = open_page(java_script_enabled=False)
    page.goto("/accounts/login/")
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()


def test_its_button_waits_for_the_script_that_it_needs(page: Page):
    held: list[Route] = []
    page.route("**/passkeys*.js", lambda route: held.append(route))
    page.goto("/accounts/login/", wait_until="commit")
    button = page.get_by_role("button", name="Sign in with a passkey")
    expect(button).to_be_disabled()
    wait_for(page, held)
    held[0].continue_()
    expect(button).to_be_enabled()
