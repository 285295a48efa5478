"""The pages of models in a real browser, with as many as there may be."""

import re

import pytest
from django.test import Client
from playwright.sync_api import Page, expect

from orgs.models import User
from tests.browser.test_byok import add
from tests.browser.well_made import DESK, PHONE, assert_well_made
from tests.chromium import OpenPage, follow
from tests.many_models import fill

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def key(owner: User) -> None:
    """A key of Anthropic."""
    add(owner, "anthropic", "sk-ant-api03-simok0123456789abcdefghij")


@pytest.fixture
def many() -> None:
    """Two thousand models."""
    fill()


def names(page: Page) -> list[str]:
    return page.locator("#models tbody th a").all_inner_texts()


def test_a_model_is_found_filtered_sorted_opened_and_left(
    open_page: OpenPage, owner_client: Client, key: None, many: None
):
    page = open_page(owner_client)
    page.goto("/dashboard/")
    follow(page.get_by_role("link", name="Models", exact=True))
    told = page.locator("#models-count")
    expect(told).to_have_text("2,000 models")
    search = page.get_by_label("Search models")
    search.press_sequentially("claude", delay=20)
    expect(told).to_contain_text("of 2,000 models")
    expect(search).to_be_focused()
    expect(page).to_have_url(re.compile(r"/models/\?q=claude$"))
    page.get_by_label("My keys can serve it").check()
    expect(page).to_have_url(re.compile(r"\?q=claude&mine=on$"))
    page.get_by_label("Sort by").select_option(label="Cheapest input first")
    expect(page).to_have_url(re.compile(r"\?q=claude&mine=on&sort=input$"))
    expect(page.locator("#models tbody th a").first).to_have_text("Claude Haiku 5.5")
    page.go_back()
    expect(page.get_by_label("Sort by")).to_have_value("")
    expect(page.get_by_label("My keys can serve it")).to_be_checked()
    page.get_by_role("link", name="Claude Haiku 4.5").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Claude Haiku 4.5")
    page.go_back()
    expect(page.get_by_label("Search models")).to_have_value("claude")
    expect(page.get_by_label("My keys can serve it")).to_be_checked()
    # Letters are no steps: before the first choice there is the list without any.
    page.go_back()
    expect(page.get_by_label("My keys can serve it")).not_to_be_checked()
    page.go_back()
    expect(page).to_have_url(re.compile("/dashboard/$"))


def test_without_scripts_it_is_a_form(open_page: OpenPage, many: None):
    page = open_page(java_script_enabled=False)
    page.goto("/models/")
    page.get_by_label("Search models").fill("quartz")
    page.get_by_label("Provider").select_option(label="Novita")
    page.get_by_label("Tools").check()
    follow(page.get_by_role("button", name="Show models"))
    expect(page.get_by_label("Search models")).to_have_value("quartz")
    expect(page.get_by_label("Tools")).to_be_checked()
    first = names(page)
    assert len(first) == 50
    assert all(name.startswith("Quartz") for name in first)
    follow(page.get_by_role("link", name="Next"))
    assert names(page)
    assert not set(names(page)) & set(first)
    page.locator("#models tbody th a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Quartz")
    page.go_back()
    page.get_by_role("link", name="Clear search and filters").click()
    expect(page.get_by_label("Search models")).to_have_value("")


@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_they_are_well_made(
    open_page: OpenPage,
    owner_client: Client,
    key: None,
    complaints: list[str],
    viewport: dict[str, int],
    scheme: str,
):
    for client, address in (
        (owner_client, "/models/"),
        (None, "/models/?q=opsu"),
        (owner_client, "/models/deepseek/deepseek-v4-flash"),
        (None, "/models/zai-coding/glm-4.7"),
        (None, "/models/anthropic/claude-sonet-5"),
    ):
        page = open_page(client, viewport=viewport, color_scheme=scheme)
        page.goto(address)
        assert_well_made(page)
    # The last one is not there.
    assert [complaint for complaint in complaints if "404" not in complaint] == []
    complaints.clear()
