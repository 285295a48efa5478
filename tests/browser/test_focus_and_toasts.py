"""Where the focus goes and where messages appear, when something is refused or gone."""

import pytest
from django.test import Client
from playwright.sync_api import Page, Route, expect

from byok.models import KeyTest
from orgs.actions import create_token
from orgs.models import User
from orgs.origin import Origin
from tests.browser.test_byok import (
    FOREIGN,
    KEYS,
    WORKING,
    add,
    choose,
    later,
    toast,
    wait_for,
)
from tests.chromium import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def answer_posts(page: Page, status: int) -> None:
    """From now on the server answers nothing but this to what is sent."""
    page.route(
        "**/*",
        lambda route: (
            route.fulfill(status=status, body="")
            if route.request.method == "POST"
            else route.continue_()
        ),
    )


def forget(complaints: list[str], status: int) -> None:
    """Take out the complaints that were provoked, and only those."""
    provoked = (f"status of {status}", f"Error Code {status}")  # Chromium's words, and htmx's.
    complaints[:] = [said for said in complaints if not any(words in said for words in provoked)]


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_failure_in_a_dialog_is_told_inside_it(
    open_page: OpenPage, owner_client: Client, complaints: list[str], status: int
):
    page = open_page(owner_client)
    page.goto(KEYS)
    choose(page, "Anthropic")
    page.get_by_label("Anthropic API key").fill(WORKING)
    answer_posts(page, status)
    page.get_by_role("button", name="Save key").click()
    told = page.get_by_role("dialog").locator(".toast")
    expect(told).to_have_count(1)
    told.get_by_role("button", name="Dismiss").click()
    expect(told).to_have_count(0)
    expect(page.get_by_label("Anthropic API key")).to_have_value(WORKING)
    forget(complaints, status)


def test_the_same_failure_is_told_once(
    open_page: OpenPage, owner_client: Client, owner: User, complaints: list[str]
):
    add(owner, "anthropic", WORKING)
    page = open_page(owner_client)
    page.goto(KEYS)
    answer_posts(page, 500)
    for _ in range(3):
        with page.expect_response(lambda response: response.status == 500):
            page.get_by_role("switch", name="Use the Anthropic key").click()
        expect(page.locator(".toast")).to_have_count(1)
        expect(page.get_by_role("switch", name="Use the Anthropic key")).to_be_enabled()
    forget(complaints, 500)


def test_of_many_messages_the_last_three_are_kept(open_page: OpenPage, owner_client: Client):
    page = open_page(owner_client)
    page.goto(KEYS)
    page.evaluate(
        """() => ["one", "two", "three", "four"].forEach((text) => {
          const template = document.getElementById("toast-template");
          const toast = template.content.firstElementChild.cloneNode(true);
          toast.querySelector("p").textContent = text;
          document.getElementById("toasts").append(toast);
        })"""
    )
    expect(page.locator(".toast p")).to_have_text(["two", "three", "four"])


@pytest.mark.parametrize("secret", ["Bearer " + WORKING, FOREIGN])
def test_after_a_refusal_the_field_has_the_focus_and_is_told_to_be_wrong(
    open_page: OpenPage, owner_client: Client, secret: str
):
    page = open_page(owner_client)
    page.goto(KEYS)
    choose(page, "Anthropic")
    field = page.get_by_label("Anthropic API key")
    field.fill(secret)
    page.get_by_role("button", name="Save key").click()
    expect(page.locator("#verdict")).not_to_be_empty()
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_attribute("aria-describedby", "verdict")


def test_after_a_deletion_the_focus_is_on_the_page(
    open_page: OpenPage, owner_client: Client, owner: User
):
    add(owner, "anthropic", WORKING)
    page = open_page(owner_client)
    page.goto(KEYS)
    page.get_by_role("link", name="Delete the Anthropic key").click()
    page.get_by_role("button", name="Delete key").click()
    expect(toast(page, "The Anthropic key is deleted.")).to_be_visible()
    expect(page.locator("#main")).to_be_focused()


def test_after_an_update_the_focus_is_back_on_its_button(
    open_page: OpenPage, owner_client: Client, owner: User
):
    add(owner, "anthropic", WORKING)
    page = open_page(owner_client)
    page.goto(KEYS)
    page.get_by_role("link", name="Update the Anthropic key").click()
    page.get_by_label("Anthropic API key").fill(WORKING + "x")
    page.get_by_role("button", name="Replace key").click()
    expect(toast(page, "The Anthropic key is replaced.")).to_be_visible()
    expect(page.get_by_role("link", name="Update the Anthropic key")).to_be_focused()


def test_a_control_that_waits_keeps_the_focus_while_something_else_settles(
    open_page: OpenPage, owner_client: Client, owner: User
):
    add(owner, "anthropic", WORKING)
    KeyTest.objects.create(key=add(owner, "openai", FOREIGN), created_at=later())
    page = open_page(owner_client)
    pressed: list[Route] = []
    page.route("**/enabled/", lambda route: pressed.append(route))
    page.goto(KEYS)
    switch = page.get_by_role("switch", name="Use the Anthropic key")
    switch.focus()
    page.keyboard.press("Space")
    wait_for(page, pressed)
    # The other key's row is asked about meanwhile, and what is new of it settles.
    for _ in range(2):
        with page.expect_response("**/row/**"):
            pass
    pressed[0].continue_()
    expect(switch).not_to_be_checked()
    expect(switch).to_be_focused()


def test_who_moves_on_as_a_dialog_closes_is_not_called_back(
    open_page: OpenPage, owner_client: Client, owner: User
):
    add(owner, "anthropic", WORKING)
    page = open_page(owner_client)
    page.goto(KEYS)
    page.get_by_role("link", name="Delete the Anthropic key").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    switch = page.get_by_role("switch", name="Use the Anthropic key")
    # The browser closes a dialog at once, and tells of it only when this script has ended.
    page.locator("dialog").evaluate(
        "(dialog, next) => { dialog.close(); next.focus(); }", switch.element_handle()
    )
    expect(page.locator("dialog")).to_have_count(0)
    expect(switch).to_be_focused()


def test_after_a_token_is_revoked_the_focus_is_on_the_page(
    open_page: OpenPage, owner_client: Client, owner: User
):
    create_token(actor=owner, account=owner.account, name="laptop", origin=Origin())
    page = open_page(owner_client)
    page.goto("/account/tokens/")
    page.get_by_role("link", name="Revoke the token laptop").click()
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("Revoked “laptop”.")).to_be_visible()
    expect(page.locator("#main")).to_be_focused()
