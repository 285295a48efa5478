"""An organization's provider keys in a real browser: as its billing manager, and as a member."""

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from byok.actions import add_key, delete_key
from byok.key_tests import Verdict, sentence
from byok.models import ProviderKey
from byok.vault import Secret
from orgs.actions import change_role, remove_member
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from tests.browser.test_byok import FOREIGN, REVOKED, WORKING, choose, row, toast
from tests.browser.well_made import DESK, PHONE, assert_well_made
from tests.chromium import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

KEYS = "/orgs/acme/byok/"
BOTH = pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])


def add(actor: User, account: Account, provider: str, secret: str) -> ProviderKey:
    return add_key(
        actor=actor, account=account, provider=provider, secret=Secret(secret), origin=Origin()
    )


@pytest.fixture
def keys(owner: User, billing_manager: User, organization: Account) -> dict[str, ProviderKey]:
    """A key that works, one that fails, and one whose adder has left."""
    keys = {
        "anthropic": add(billing_manager, organization, "anthropic", WORKING),
        "deepseek": add(owner, organization, "deepseek", "sk-sim-402-0123456789abcdefghij"),
        "openai": add(owner, organization, "openai", FOREIGN),
    }
    ProviderKey.objects.filter(provider="anthropic").update(
        health=ProviderKey.Health.WORKS, last_used_at=timezone.now()
    )
    ProviderKey.objects.filter(provider="deepseek").update(
        health=ProviderKey.Health.FAILING,
        health_code="no_credit",
        health_message=sentence("deepseek", Verdict("no_credit")),
    )
    return keys


@pytest.fixture
def left(owner: User, organization: Account, keys: dict[str, ProviderKey], stranger: User) -> None:
    """Whoever added the OpenAI key is no member any more."""
    ProviderKey.objects.filter(provider="openai").update(created_by=stranger)


def paste(page: Page, field: str, text: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    expect(page.get_by_label(field)).to_be_visible()
    page.get_by_label(field).press("ControlOrMeta+v")
    expect(page.get_by_label(field)).to_have_value(text)


def test_a_billing_manager_adds_tests_switches_updates_and_deletes_a_key(
    open_page: OpenPage,
    organization: Account,
    billing_manager_client: Client,
    worker: None,
    simulator: object,
):
    page = open_page(billing_manager_client)
    page.goto("/orgs/acme/")
    page.get_by_role("link", name="Bring Your Own Key (BYOK)").click()
    expect(page).to_have_url(KEYS)
    expect(page.get_by_text("No provider keys yet")).to_be_visible()

    choose(page, "Anthropic")
    paste(page, "Anthropic API key", REVOKED)
    page.get_by_role("button", name="Save key").click()
    expect(
        toast(page, "The Anthropic key is saved and in use for all members. Test it to be sure.")
    ).to_be_visible()
    anthropic = row(page, "Anthropic")
    expect(anthropic).to_contain_text("by you")

    page.get_by_role("button", name="Test it now").click()
    expect(toast(page, "Anthropic rejected this key")).to_be_visible()
    expect(page.locator("#banners")).to_contain_text(
        "The organization Acme's Anthropic key is failing."
    )

    page.get_by_role("link", name="Update the Anthropic key").click()
    paste(page, "Anthropic API key", WORKING)
    page.get_by_role("button", name="Replace key").click()
    expect(toast(page, "The Anthropic key is replaced.")).to_be_visible()
    page.get_by_role("button", name="Test the Anthropic key").click()
    expect(toast(page, "Anthropic accepted this key:")).to_be_visible()
    expect(anthropic).to_contain_text("Works")
    expect(page.locator("#banners")).not_to_contain_text("failing")

    switch = page.get_by_role("switch", name="Use the Anthropic key")
    switch.click()
    expect(toast(page, "The Anthropic key is off")).to_be_visible()
    expect(switch).not_to_be_checked()
    switch.click()
    expect(toast(page, "The Anthropic key is on")).to_be_visible()
    expect(switch).to_be_checked()

    page.get_by_role("link", name="Delete the Anthropic key").click()
    expect(page.get_by_role("dialog")).to_contain_text("Calls of all members for these models")
    page.get_by_role("button", name="Delete key").click()
    expect(toast(page, "The Anthropic key is deleted.")).to_be_visible()
    expect(page.get_by_text("No provider keys yet")).to_be_visible()
    expect(page).to_have_url(KEYS)
    assert not ProviderKey.objects.exists()


def test_a_member_sees_the_providers_and_nothing_to_press(
    open_page: OpenPage, member_client: Client, keys: dict[str, ProviderKey]
):
    page = open_page(member_client)
    page.goto("/orgs/acme/")
    page.get_by_role("link", name="Bring Your Own Key (BYOK)").click()
    main = page.get_by_role("main")
    for provider in ("Anthropic", "DeepSeek", "OpenAI"):
        expect(main.locator("summary").filter(has_text=provider)).to_be_visible()
    main.get_by_text("10 supported models").click()
    expect(main.get_by_text("anthropic/claude-haiku-4.5")).to_be_visible()
    expect(main.get_by_role("link", name="owner@example.com")).to_be_visible()
    expect(main.get_by_role("button")).to_have_count(0)
    expect(main.get_by_role("switch")).to_have_count(0)
    expect(page.locator("#banners")).not_to_contain_text("failing")
    for words in ("Works", "Failing", "…", "Add Key"):
        expect(main).not_to_contain_text(words)


# Meanwhile ---------------------------------------------------------------------------------


def test_a_key_that_another_manager_deleted_is_told_of_and_nothing_breaks(
    open_page: OpenPage,
    owner: User,
    billing_manager_client: Client,
    keys: dict[str, ProviderKey],
    complaints: list[str],
):
    page = open_page(billing_manager_client)
    page.goto(KEYS)
    delete_key(actor=owner, key=keys["openai"], origin=Origin())
    page.get_by_role("switch", name="Use the OpenAI key").click()
    expect(toast(page, "This no longer exists. Reload the page")).to_be_visible()
    page.get_by_role("link", name="Update the OpenAI key").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("switch", name="Use the OpenAI key")).to_have_count(0)
    assert [text for text in complaints if "404" not in text] == []
    complaints.clear()


@pytest.mark.parametrize(
    ("ending", "words"), [("demoted", "You may not do this"), ("removed", "This no longer exists")]
)
def test_a_manager_who_is_one_no_more_is_told_so_where_they_are(
    ending: str,
    words: str,
    open_page: OpenPage,
    owner: User,
    billing_manager: User,
    organization: Account,
    billing_manager_client: Client,
    keys: dict[str, ProviderKey],
    complaints: list[str],
):
    page = open_page(billing_manager_client)
    page.goto(KEYS)
    choose(page, "Novita")
    page.get_by_label("Novita API key").fill("sk_" + "x" * 40)
    theirs = Membership.objects.get(account=organization, user=billing_manager)
    if ending == "demoted":
        role = Membership.Role.MEMBER
        change_role(actor=owner, membership=theirs, role=role, origin=Origin())
    else:
        remove_member(actor=owner, membership=theirs, origin=Origin())
    page.get_by_role("button", name="Save key").click()
    expect(page.get_by_role("dialog").locator(".toast").filter(has_text=words)).to_be_visible()
    assert not ProviderKey.objects.filter(provider="novita").exists()
    assert [text for text in complaints if "403" not in text and "404" not in text] == []
    complaints.clear()


# Everyone ----------------------------------------------------------------------------------


@BOTH
def test_a_managers_pages_are_well_made(
    open_page: OpenPage,
    billing_manager_client: Client,
    keys: dict[str, ProviderKey],
    left: None,
    viewport: dict[str, int],
    scheme: str,
):
    page = open_page(billing_manager_client, viewport=viewport, color_scheme=scheme)
    page.goto(KEYS)
    expect(row(page, "OpenAI")).to_contain_text("by stranger@example.com, a former member")
    assert_well_made(page)
    for address in (
        f"{KEYS}{keys['openai'].pk}/details/",
        f"{KEYS}{keys['openai'].pk}/delete/",
        f"{KEYS}add/?provider=openai",
        f"{KEYS}models/openai/",
    ):
        page.goto(address)
        assert_well_made(page)


@BOTH
def test_a_members_page_is_well_made(
    open_page: OpenPage,
    member_client: Client,
    keys: dict[str, ProviderKey],
    viewport: dict[str, int],
    scheme: str,
):
    page = open_page(member_client, viewport=viewport, color_scheme=scheme)
    page.goto(KEYS)
    page.get_by_text("10 supported models").click()
    assert_well_made(page)
    ProviderKey.objects.all().delete()
    page.reload()
    expect(page.get_by_text("No providers yet")).to_be_visible()
    assert_well_made(page)


def test_nothing_of_a_row_is_out_of_sight_at_any_width(
    open_page: OpenPage, billing_manager_client: Client, keys: dict[str, ProviderKey], left: None
):
    page = open_page(billing_manager_client)
    page.goto(KEYS)
    hidden = {}
    for width in (320, 390, 640, 760, 900, 1024, 1180, 1280, 1600):
        page.set_viewport_size({"width": width, "height": 800})
        hidden[width] = page.locator(".table-scroll").evaluate(
            "area => area.scrollWidth - area.clientWidth"
        )
    assert set(hidden.values()) == {0}, hidden
