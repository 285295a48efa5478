"""From the invitation in the mail to the first call, in Chromium; and the pages of members."""

import re
from datetime import timedelta

import pytest
import requests
from django.core import mail
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, Request, expect

from orgs.actions import create_token, invite
from orgs.models import Account, ApiToken, Invitation, Membership, User
from orgs.origin import Origin
from orgs.tokens import looks_like_token
from tests.browser.well_made import DESK, PHONE, assert_well_made
from tests.chromium import OpenPage
from tests.conftest import person, signed_in
from tests.gateway_fixture import AddKey, RunningGateway
from tests.visitor import PASSWORD, code_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MEMBERS = "/orgs/acme/members/"
looks = pytest.mark.parametrize(
    ("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"]
)


def link_in(letter: mail.EmailMessage) -> str:
    found = re.search(r"(/invitations/\S+/)$", str(letter.body), re.MULTILINE)
    assert found
    return found[1]


def invitation_of(owner: User, account: Account, email: str = "new@example.com") -> str:
    invite(actor=owner, account=account, email=email, role="member", origin=Origin())
    return link_in(mail.outbox[-1])


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_from_the_invitation_to_the_first_call(
    open_page: OpenPage,
    owner_client: Client,
    organization: Account,
    gateway: RunningGateway,
    key: AddKey,
    scripts: bool,
):
    key("openai", account=organization)
    page = open_page(owner_client, java_script_enabled=scripts)
    page.goto(MEMBERS)
    page.get_by_role("link", name="Invite people").click()
    page.get_by_label("E-mail addresses").fill("new@example.com")
    page.get_by_role("button", name="Send invitations").click()
    expect(page.get_by_text("Invited new@example.com.")).to_be_visible()
    expect(page.get_by_role("rowheader", name="new@example.com")).to_be_visible()

    new = open_page(java_script_enabled=scripts)
    new.goto(link_in(mail.outbox[-1]))
    expect(new.get_by_role("heading", name="Join Acme")).to_be_visible()
    new.get_by_role("link", name="Sign up").click()
    new.get_by_label("E-mail").fill("new@example.com")
    new.get_by_label("Password", exact=True).fill(PASSWORD)
    new.get_by_role("button", name="Create account").click()
    expect(new.get_by_role("heading", name="Check your mail")).to_be_visible()
    new.get_by_label("Code").fill(code_in(mail.outbox[-1]))
    new.get_by_role("button", name="Confirm").click()
    new.get_by_role("button", name="Accept invitation").click()
    expect(new.get_by_text("Welcome to Acme.")).to_be_visible()
    expect(new).to_have_url(re.compile("/orgs/acme/$"))

    new.goto("/orgs/acme/tokens/")
    new.get_by_role("link", name="New token").first.click()
    new.get_by_role("textbox", name="Name", exact=True).fill("laptop")
    new.get_by_role("button", name="Create token").click()
    token = new.locator("#token-text").inner_text().strip()
    assert looks_like_token(token)
    answer = requests.post(
        f"{gateway.base_url}/chat/completions",
        json={
            "model": "openai/gpt-6-luna",
            "messages": [{"role": "user", "content": "say: pong"}],
        },
        headers={"authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "pong"
    assert answer.headers["x-megabrain-payer"] == "byok"
    record = ApiToken.objects.get()
    assert (record.account, record.user.email) == (organization, "new@example.com")


def test_the_link_is_told_to_nobody_by_the_page_it_leads_to(
    open_page: OpenPage, owner: User, organization: Account
):
    """No request that the page makes, or that leaves it, says in its headers where it comes from;
    and yet the form is taken for one of ours.
    """
    link = invitation_of(owner, organization)
    token = link.split("/")[2]
    told: list[str] = []

    def listen(request: Request) -> None:
        headers = request.all_headers()
        told.extend(f"{name}: {value}" for name, value in headers.items() if token in value)

    page = open_page(signed_in(person("new")))
    page.on("request", listen)
    page.goto(link)
    page.get_by_role("button", name="Theme: dark").click()
    page.get_by_role("link", name="Docs").click()
    page.go_back()
    page.get_by_role("button", name="Accept invitation").click()
    expect(page.get_by_text("Welcome to Acme.")).to_be_visible()
    assert told == []


def test_an_invitation_is_sent_again_and_revoked_where_it_stands(
    open_page: OpenPage, owner: User, owner_client: Client, organization: Account
):
    invitation_of(owner, organization)
    Invitation.objects.update(sent_at=timezone.now() - timedelta(minutes=5))
    page = open_page(owner_client)
    page.goto(MEMBERS)
    page.get_by_role("button", name="Send the letter to new@example.com again").click()
    expect(page.get_by_text("Sent new@example.com another letter.")).to_be_visible()
    assert len(mail.outbox) == 2
    again = page.get_by_role("button", name="Send the letter to new@example.com again")
    expect(again, "the focus stays, though the list is another").to_be_focused()
    page.get_by_role("link", name="Revoke the invitation of new@example.com").click()
    page.get_by_role("button", name="Revoke invitation").click()
    expect(page.get_by_text("Revoked the invitation of new@example.com.")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", name="open invitation")).to_have_count(0)


def test_members_are_found_as_one_types(open_page: OpenPage, owner_client: Client, organization):
    page = open_page(owner_client)
    page.goto(MEMBERS)
    expect(page.locator("#people tbody tr")).to_have_count(3)
    page.get_by_role("searchbox").press_sequentially("billing")
    expect(page.locator("#people tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("q=billing"))
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.get_by_role("searchbox").fill("")
    page.get_by_label("Role").select_option("owner")
    expect(page).to_have_url(re.compile("role=owner"))
    expect(page.locator("#people tbody tr")).to_have_count(1)
    page.reload()
    expect(page.locator("#people tbody tr"), "the address holds the filter").to_have_count(1)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_member_is_promoted_limited_and_removed(
    open_page: OpenPage,
    owner_client: Client,
    organization: Account,
    member: User,
    scripts: bool,
):
    create_token(actor=member, account=organization, name="laptop", origin=Origin())
    page = open_page(owner_client, java_script_enabled=scripts)
    page.goto(MEMBERS)
    page.get_by_role("link", name="member@example.com", exact=True).click()
    page.get_by_role("link", name="Change role").click()
    page.get_by_role("radio", name="Billing manager").check()
    page.get_by_role("button", name="Change role").click()
    expect(page.get_by_text("Member is now a billing manager of Acme.")).to_be_visible()
    page.get_by_role("link", name="Change limit").click()
    page.get_by_label("Requests a minute").fill("90")
    page.get_by_role("button", name="Save limit").click()
    expect(page.get_by_text("90 requests a minute", exact=True)).to_be_visible()
    page.get_by_role("link", name="Revoke the token laptop").click()
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("No API token in use")).to_be_visible()
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove member").click()
    expect(page.get_by_text("Removed Member.")).to_be_visible()
    expect(page.get_by_text("2 members")).to_be_visible()


@looks
def test_pages_of_members_are_well_made(
    open_page: OpenPage,
    owner: User,
    member: User,
    organization: Account,
    viewport: dict[str, int],
    scheme: str,
):
    create_token(actor=member, account=organization, name="laptop", origin=Origin())
    for name in ("new", "late", "unsent"):
        invitation_of(owner, organization, f"{name}@example.com")
    Invitation.objects.filter(email="late@example.com").update(expires_at=timezone.now())
    Invitation.objects.filter(email="unsent@example.com").update(sent_at=None)
    page = open_page(signed_in(owner), viewport=viewport, color_scheme=scheme)
    membership = Membership.objects.get(user=member, account=organization)
    of_member = f"{MEMBERS}{membership.pk}/"
    for address in (
        MEMBERS,
        f"{MEMBERS}?q=nobody",
        of_member,
        f"{of_member}role/",
        f"{of_member}limit/",
        f"{of_member}remove/",
        "/orgs/acme/leave/",
        f"{MEMBERS}invite/",
    ):
        page.goto(address)
        assert_well_made(page)
    page.goto(MEMBERS)
    page.get_by_role("link", name="Invite people").click()
    expect(page.get_by_label("E-mail addresses")).to_be_focused()
    assert_well_made_dialog(page)
    page.get_by_label("E-mail addresses").fill("a@example.com member@example.com nobody")
    page.get_by_role("button", name="Send invitations").click()
    expect(page.get_by_text("member@example.com is a member already.")).to_be_visible()
    assert_well_made_dialog(page)
    page.goto(MEMBERS)
    page.get_by_role("link", name="Leave organization").click()
    assert_well_made_dialog(page)


def assert_well_made_dialog(page: Page) -> None:
    expect(page.get_by_role("dialog")).to_be_visible()
    assert_well_made(page)


@looks
def test_pages_of_an_invitation_are_well_made(
    open_page: OpenPage,
    owner: User,
    stranger: User,
    organization: Account,
    viewport: dict[str, int],
    scheme: str,
    complaints: list[str],
):
    link = invitation_of(owner, organization)
    for user in (None, stranger, owner, person("new")):
        client = signed_in(user) if user else None
        page = open_page(client, viewport=viewport, color_scheme=scheme)
        page.goto(link)
        assert_well_made(page)
    page.goto("/invitations/nothing/")
    assert_well_made(page)
    complaints[:] = [told for told in complaints if "404" not in told]
