"""The provider key page in a real browser, with a worker and the simulator behind it."""

import contextlib
from datetime import datetime, timedelta
from time import monotonic

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Error, Locator, Page, Route, expect

from byok.actions import add_key
from byok.key_tests import Verdict, sentence
from byok.models import KeyTest, ProviderKey
from byok.vault import Secret
from orgs.models import Account, User
from orgs.origin import Origin
from tests.browser.well_made import DESK, PHONE, assert_well_made
from tests.chromium import PATIENCE, OpenPage, follow

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

KEYS = "/account/byok/"
WORKING = "sk-ant-api03-sim-ok-0123456789abcdefghij"
REVOKED = "sk-ant-api03-sim-401-0123456789abcdefghi"
FOREIGN = "sk-proj-sim-ok-0123456789abcdefghijklmno"


def add(owner: User, provider: str, secret: str) -> ProviderKey:
    return add_key(
        actor=owner,
        account=owner.account,
        provider=provider,
        secret=Secret(secret),
        origin=Origin(),
    )


@pytest.fixture
def keys(owner: User) -> dict[str, ProviderKey]:
    """A key that works, one that fails, one that is off and one that is being tested."""
    secrets = {
        "anthropic": WORKING,
        "deepseek": "sk-sim-402-0123456789abcdefghij",
        "fireworks": "fw_simok0123456789abcdefghij",
        "openai": FOREIGN,
    }
    keys = {provider: add(owner, provider, secret) for provider, secret in secrets.items()}
    found = ProviderKey.objects
    found.filter(provider="anthropic").update(
        health=ProviderKey.Health.WORKS,
        last_used_at=timezone.now(),
        remind_on=timezone.now().date(),
    )
    found.filter(provider="deepseek").update(
        health=ProviderKey.Health.FAILING,
        health_code="no_credit",
        health_message=sentence("deepseek", Verdict("no_credit")),
    )
    found.filter(provider="fireworks").update(enabled=False)
    return keys


def row(page: Page, provider: str) -> Locator:
    """The row of the table that is about this provider's key."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=provider, exact=True))


def later() -> datetime:
    """When a test of a key was asked for that is not given up while a test looks at it."""
    return timezone.now() + timedelta(minutes=5)


def toast(page: Page, words: str) -> Locator:
    return page.locator(".toast").filter(has_text=words)


def choose(page: Page, provider: str) -> None:
    page.get_by_role("button", name="Add Key").or_(page.get_by_role("link", name="Add Key")).click()
    page.get_by_label("Provider", exact=True).select_option(label=provider)
    expect(page.get_by_label(f"{provider} API key")).to_be_visible()


# The life of a key -------------------------------------------------------------------------


def test_a_key_is_added_tested_switched_off_updated_and_deleted(
    open_page: OpenPage, owner_client: Client, worker: None, simulator: object
):
    page = open_page(owner_client)
    page.goto(KEYS)
    expect(page.get_by_text("No provider keys yet")).to_be_visible()

    choose(page, "Anthropic")
    page.get_by_label("Anthropic API key").fill(REVOKED)
    page.get_by_role("button", name="Save key").click()
    expect(
        toast(page, "The Anthropic key is saved and in use. Test it to be sure.")
    ).to_be_visible()
    anthropic = row(page, "Anthropic")
    expect(anthropic).to_contain_text("Never used")
    expect(anthropic).to_contain_text("sk-ant-api03-…fghi")
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.get_by_role("button", name="Test it now").click()
    failed = toast(page, "Anthropic rejected this key: it is wrong, revoked or expired.")
    expect(failed).to_be_visible()
    expect(anthropic).to_contain_text("Failing")
    expect(page.locator("#banners")).to_contain_text("Your Anthropic key is failing.")
    failed.get_by_role("button", name="Dismiss").click()
    expect(failed).to_have_count(0)

    page.get_by_role("link", name="Update the Anthropic key").click()
    page.get_by_label("Anthropic API key").fill(WORKING)
    page.get_by_role("button", name="Replace key").click()
    expect(toast(page, "The Anthropic key is replaced.")).to_be_visible()
    expect(page.locator("#banners")).not_to_contain_text("failing")
    page.get_by_role("button", name="Test the Anthropic key").click()
    expect(toast(page, "Anthropic accepted this key:")).to_be_visible()
    expect(anthropic).to_contain_text("Works")

    page.get_by_role("switch", name="Use the Anthropic key").click()
    expect(toast(page, "The Anthropic key is off")).to_be_visible()
    expect(page.get_by_role("switch", name="Use the Anthropic key")).not_to_be_checked()
    assert not ProviderKey.objects.get().enabled

    page.get_by_role("link", name="Delete the Anthropic key").click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete the Anthropic key?")
    page.get_by_role("button", name="Delete key").click()
    expect(toast(page, "The Anthropic key is deleted.")).to_be_visible()
    expect(page.get_by_text("No provider keys yet")).to_be_visible()
    assert not ProviderKey.objects.exists()


def test_the_same_without_javascript(
    open_page: OpenPage, owner_client: Client, worker: None, simulator: object
):
    page = open_page(owner_client, java_script_enabled=False)
    page.goto(KEYS)
    page.get_by_role("link", name="Add Key").click()
    page.get_by_label("Provider", exact=True).select_option(label="Anthropic")
    page.get_by_role("button", name="Continue").click()

    page.get_by_label("Anthropic API key").fill("Bearer " + WORKING)
    page.get_by_role("button", name="Save key").click()
    expect(page.get_by_text("Leave out the word “Bearer”")).to_be_visible()
    expect(page.get_by_label("Anthropic API key")).to_have_value("")
    page.get_by_label("Anthropic API key").fill(FOREIGN)
    page.get_by_role("button", name="Save key").click()
    expect(page.get_by_text("This looks like an OpenAI key")).to_be_visible()
    page.get_by_label("Anthropic API key").fill(WORKING)
    page.get_by_role("button", name="Save key").click()
    expect(page.get_by_text("The Anthropic key is saved and in use.")).to_be_visible()

    page.get_by_role("button", name="Test it now").click()
    expect(page.get_by_text("Testing the Anthropic key.")).to_be_visible()
    for _ in range(50):
        if row(page, "Anthropic").get_by_text("Works").count():
            break
        page.wait_for_timeout(200)
        follow(page.get_by_role("link", name="Refresh"))
    expect(row(page, "Anthropic")).to_contain_text("Tested just now")

    page.get_by_role("switch", name="Use the Anthropic key").click()
    expect(page.get_by_text("The Anthropic key is off")).to_be_visible()

    page.get_by_text("10 supported models").click()
    expect(page.get_by_text("anthropic/claude-haiku-4.5")).to_be_visible()

    page.get_by_role("link", name="Update the Anthropic key").click()
    page.get_by_label("Anthropic API key").fill(WORKING + "x")
    page.get_by_role("button", name="Replace key").click()
    expect(page.get_by_text("The Anthropic key is replaced.")).to_be_visible()

    page.get_by_role("link", name="Details of the Anthropic key").click()
    page.get_by_label("Remind me to replace it on").fill("2099-12-31")
    page.get_by_role("button", name="Save reminder").click()
    expect(page.get_by_text("marked for replacement on 31 December 2099")).to_be_visible()

    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete key").click()
    expect(page.get_by_text("No provider keys yet")).to_be_visible()


# What was typed ----------------------------------------------------------------------------


def test_a_refused_key_stays_in_the_field_until_it_is_mended(
    open_page: OpenPage, owner_client: Client
):
    page = open_page(owner_client)
    page.goto(KEYS)
    choose(page, "Anthropic")
    field = page.get_by_label("Anthropic API key")
    field.fill("Bearer " + WORKING)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Leave out the word")).to_be_visible()
    expect(field).to_have_value("Bearer " + WORKING)
    field.fill(FOREIGN)
    page.keyboard.press("Enter")
    expect(page.get_by_text("This looks like an OpenAI key, not an Anthropic one.")).to_be_visible()
    page.get_by_label("Save it anyway").check()
    page.get_by_role("button", name="Save key").click()
    expect(row(page, "Anthropic")).to_be_visible()
    assert ProviderKey.objects.get().secret.unseal() == Secret(FOREIGN)


def test_the_eye_shows_and_hides_what_is_typed(open_page: OpenPage, owner_client: Client):
    page = open_page(owner_client)
    page.goto(KEYS)
    choose(page, "Anthropic")
    field = page.get_by_label("Anthropic API key")
    field.fill(WORKING)
    expect(field).to_have_attribute("type", "password")
    page.get_by_role("button", name="Show what is typed").click()
    expect(field).to_have_attribute("type", "text")
    page.get_by_role("button", name="Hide what is typed").click()
    expect(field).to_have_attribute("type", "password")
    expect(field).to_have_attribute("autocomplete", "off")


def test_choosing_another_provider_forgets_what_was_typed_for_the_first(
    open_page: OpenPage, owner_client: Client
):
    page = open_page(owner_client)
    page.goto(KEYS)
    choose(page, "Anthropic")
    page.get_by_label("Anthropic API key").fill(WORKING)
    page.get_by_label("Provider", exact=True).select_option(label="OpenAI")
    expect(page.get_by_label("OpenAI API key")).to_have_value("")


def test_supported_models_are_found_as_one_types(open_page: OpenPage, owner_client: Client):
    page = open_page(owner_client)
    page.goto(KEYS)
    choose(page, "Novita")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Supported models").click()
    models = dialog.locator(".model-list li")
    before = models.count()
    search = dialog.get_by_role("searchbox")
    search.press_sequentially("gpt-oss-20b")
    expect(models).to_have_count(1)
    search.press("Enter")
    expect(dialog.get_by_label("Novita API key")).to_be_visible()
    search.fill("")
    expect(models).to_have_count(before)


# Waiting -----------------------------------------------------------------------------------


def test_leaving_during_a_test_and_coming_back_shows_its_result(
    open_page: OpenPage, owner_client: Client, owner: User, worker: None, simulator: object
):
    add(owner, "anthropic", WORKING)
    page = open_page(owner_client)
    page.goto(KEYS)
    with page.expect_response("**/test/"):
        page.get_by_role("button", name="Test the Anthropic key").click()
    page.goto("/dashboard/")
    page.goto(KEYS)
    expect(row(page, "Anthropic")).to_contain_text("Works")
    expect(row(page, "Anthropic")).to_contain_text("Tested")


def test_while_a_test_runs_nothing_else_on_the_row_is_disturbed(
    open_page: OpenPage, owner_client: Client, owner: User
):
    key = add(owner, "anthropic", WORKING)
    page = open_page(owner_client)
    page.goto(KEYS)
    page.get_by_text("10 supported models").click()
    page.get_by_role("button", name="Test the Anthropic key").focus()
    page.keyboard.press("Enter")
    expect(row(page, "Anthropic")).to_contain_text("Testing…")
    KeyTest.objects.filter(key=key).update(created_at=later())
    expect(page.get_by_role("button", name="Test the Anthropic key")).to_be_focused()
    with page.expect_response("**/row/**"):
        pass
    expect(page.get_by_text("anthropic/claude-haiku-4.5")).to_be_visible()
    KeyTest.objects.filter(key=key).update(
        state=KeyTest.State.PASSED, message="It works.", finished_at=timezone.now()
    )
    expect(toast(page, "It works.")).to_be_visible()
    expect(page.get_by_text("anthropic/claude-haiku-4.5")).to_be_visible()
    expect(page.get_by_role("button", name="Test the Anthropic key")).to_be_focused()


def test_what_is_pressed_is_not_overtaken_by_the_answer_about_a_test(
    open_page: OpenPage, owner_client: Client, owner: User
):
    key = add(owner, "anthropic", WORKING)
    page = open_page(owner_client)
    asked: list[Route] = []
    page.route("**/row/**", lambda route: route.continue_() if asked else asked.append(route))
    pressed: list[Route] = []
    page.route("**/enabled/", lambda route: pressed.append(route))
    page.goto(KEYS)
    page.get_by_role("button", name="Test the Anthropic key").click()
    wait_for(page, asked)
    KeyTest.objects.filter(key=key).update(
        state=KeyTest.State.PASSED, message="It works.", finished_at=timezone.now()
    )
    switch = page.get_by_role("switch", name="Use the Anthropic key")
    switch.focus()
    page.keyboard.press("Space")
    wait_for(page, pressed)
    with contextlib.suppress(Error):  # Nobody may wait for it any more.
        asked[0].continue_()
    page.wait_for_timeout(500)
    pressed[0].continue_()
    expect(toast(page, "The Anthropic key is off")).to_be_visible()
    expect(switch).not_to_be_checked()
    expect(switch).to_be_focused()


def test_when_what_is_pressed_fails_the_test_is_asked_about_all_the_same(
    open_page: OpenPage, owner_client: Client, owner: User, complaints: list[str]
):
    key = add(owner, "anthropic", WORKING)
    page = open_page(owner_client)
    page.route("**/enabled/", lambda route: route.fulfill(status=500, body=""))
    page.goto(KEYS)
    page.get_by_role("button", name="Test the Anthropic key").click()
    expect(row(page, "Anthropic")).to_contain_text("Testing…")
    page.get_by_role("switch", name="Use the Anthropic key").click()
    expect(toast(page, "the server answered 500")).to_be_visible()
    KeyTest.objects.filter(key=key).update(
        state=KeyTest.State.PASSED, message="It works.", finished_at=timezone.now()
    )
    expect(toast(page, "It works.")).to_be_visible()
    complaints[:] = [said for said in complaints if "500" not in said]


def wait_for(page: Page, routes: list[Route]) -> None:
    until = monotonic() + PATIENCE / 1000
    while not routes:
        assert monotonic() < until
        page.wait_for_timeout(50)


def test_without_a_worker_the_page_says_so_and_stops_asking(
    open_page: OpenPage, owner_client: Client, owner: User
):
    key = add(owner, "anthropic", WORKING)
    page = open_page(owner_client)
    page.goto(KEYS)
    page.get_by_role("button", name="Test the Anthropic key").click()
    expect(row(page, "Anthropic")).to_contain_text("Testing…")
    long_ago = timezone.now() - timedelta(seconds=30)
    ProviderKey.objects.update(secret_changed_at=long_ago)
    KeyTest.objects.filter(key=key).update(created_at=long_ago)
    expect(toast(page, "No worker took this test up within 20 seconds.")).to_be_visible()
    expect(row(page, "Anthropic")).to_contain_text("Last test: No result in time")


def test_on_its_own_page_a_key_is_tested_too(
    open_page: OpenPage, owner_client: Client, owner: User, worker: None, simulator: object
):
    add(owner, "anthropic", WORKING)
    page = open_page(owner_client)
    page.goto(KEYS)
    follow(page.get_by_role("link", name="Anthropic", exact=True))
    page.get_by_role("button", name="Test the Anthropic key").click()
    expect(toast(page, "Anthropic accepted this key:")).to_be_visible()
    expect(page.locator("#about")).to_contain_text("Works")
    expect(page.locator("#about .history").first).to_contain_text("Anthropic accepted this key:")


# Everyone ----------------------------------------------------------------------------------


def test_the_keyboard_is_enough(
    open_page: OpenPage, owner_client: Client, worker: None, simulator: object
):
    page = open_page(owner_client)
    page.goto(KEYS)
    page.get_by_role("link", name="Add Key").focus()
    page.keyboard.press("Enter")
    select = page.get_by_label("Provider", exact=True)
    expect(select).to_be_focused()
    page.keyboard.type("Anth")
    expect(page.get_by_label("Anthropic API key")).to_be_visible()
    expect(select).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Anthropic API key")).to_be_focused()
    page.keyboard.type(WORKING)
    page.keyboard.press("Enter")
    expect(row(page, "Anthropic")).to_be_visible()
    expect(page.get_by_role("link", name="Add Key")).to_be_focused()

    page.get_by_role("link", name="Delete the Anthropic key").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("link", name="Delete the Anthropic key")).to_be_focused()

    page.get_by_role("switch", name="Use the Anthropic key").focus()
    page.keyboard.press("Space")
    expect(toast(page, "The Anthropic key is off")).to_be_visible()
    expect(page.get_by_role("switch", name="Use the Anthropic key")).to_be_focused()


@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_every_page_and_dialog_is_well_made(
    open_page: OpenPage,
    owner_client: Client,
    stranger_client: Client,
    keys: dict[str, ProviderKey],
    account: Account,
    viewport: dict[str, int],
    scheme: str,
):
    page = open_page(stranger_client, viewport=viewport, color_scheme=scheme)
    page.goto(KEYS)
    expect(page.get_by_text("No provider keys yet")).to_be_visible()
    assert_well_made(page)

    KeyTest.objects.create(key=keys["openai"], created_at=later())
    page = open_page(owner_client, viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page.goto(KEYS)
    page.get_by_text("12 supported models").click()
    expect(row(page, "OpenAI")).to_contain_text("Testing…")
    assert_well_made(page)

    choose(page, "Novita")
    assert_well_made(page)
    page.get_by_label("Novita API key").fill("Bearer x")
    page.get_by_role("button", name="Save key").click()
    expect(page.get_by_text("Leave out the word")).to_be_visible()
    assert_well_made(page)
    page.get_by_label("Novita API key").fill("sk-ant-" + "x" * 30)
    page.get_by_role("button", name="Save key").click()
    expect(page.get_by_text("This looks like an Anthropic key")).to_be_visible()
    page.get_by_role("dialog").get_by_text("Supported models").click()
    assert_well_made(page)
    page.get_by_role("link", name="Close").click()

    for name, button in (("Update", "Replace key"), ("Delete", "Delete key")):
        page.get_by_role("link", name=f"{name} the Anthropic key").click()
        expect(page.get_by_role("button", name=button)).to_be_visible()
        assert_well_made(page)
        page.get_by_role("link", name="Close").click()

    page.get_by_role("switch", name="Use the Anthropic key").click()
    expect(toast(page, "The Anthropic key is off")).to_be_visible()
    assert_well_made(page)

    key = keys["deepseek"].pk
    for address in (
        f"{KEYS}{key}/details/",
        f"{KEYS}{key}/update/",
        f"{KEYS}{key}/delete/",
        f"{KEYS}add/",
        f"{KEYS}add/?provider=novita",
        f"{KEYS}models/novita/",
    ):
        page.goto(address)
        assert_well_made(page)


def test_nothing_of_a_row_is_out_of_sight_at_any_width(keys, open_page: OpenPage, owner_client):
    page = open_page(owner_client)
    page.goto(KEYS)
    hidden = {}
    for width in (320, 390, 640, 760, 900, 1024, 1180, 1280, 1600):
        page.set_viewport_size({"width": width, "height": 800})
        hidden[width] = page.locator(".table-scroll").evaluate(
            "area => area.scrollWidth - area.clientWidth"
        )
    assert set(hidden.values()) == {0}, hidden
