"""The page that says which key a call would use, in a real browser."""

import pytest
from django.test import Client
from playwright.sync_api import Page, expect

from byok.models import ProviderKey
from orgs.models import User
from tests.browser.test_byok import add
from tests.browser.well_made import DESK, PHONE, assert_well_made
from tests.chromium import OpenPage, follow

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ROUTE = "/account/byok/route/"
MODEL = "openai/gpt-oss-120b"


@pytest.fixture
def keys(owner: User) -> None:
    """A key that fails, one that works, and one that is off."""
    add(owner, "novita", "sk_sim-402-0123456789abcdefghij")
    add(owner, "fireworks", "fw_simok0123456789abcdefghij")
    add(owner, "bedrock", '{"apiKey": "ABSKsimok0123456789abcdefghij", "region": "us-east-1"}')
    ProviderKey.objects.filter(provider="novita").update(health=ProviderKey.Health.FAILING)
    ProviderKey.objects.filter(provider="bedrock").update(enabled=False)


def tried(page: Page) -> list[str]:
    stops = page.get_by_role("list", name="Keys that are tried").get_by_role("link")
    expect(stops.first).to_be_visible()
    return stops.all_inner_texts()


def test_it_is_asked_by_keyboard_and_the_focus_stays_where_it_was(
    open_page: OpenPage, owner_client: Client, keys: None
):
    page = open_page(owner_client)
    page.goto("/account/byok/")
    follow(page.get_by_role("link", name="Which key would be used?"))
    model = page.get_by_label("Model")
    model.fill(MODEL)
    model.press("Enter")
    assert tried(page) == ["Fireworks", "Novita"]
    expect(model).to_be_focused()
    expect(page.get_by_text("The AWS Bedrock key is switched off.")).to_be_visible()
    page.get_by_label("Your agent speaks").select_option(label="Embeddings")
    expect(page.get_by_text("No key serves it.")).to_be_visible()
    page.go_back()
    assert tried(page) == ["Fireworks", "Novita"]
    expect(page.get_by_role("heading", level=1)).to_have_text("Which key would be used?")


def test_without_scripts_it_answers_as_well(open_page: OpenPage, owner_client: Client, keys: None):
    page = open_page(owner_client, java_script_enabled=False)
    page.goto(ROUTE)
    page.get_by_label("Model").fill("openai/gpt-oss-12b")
    page.get_by_role("button", name="Show the route").click()
    page.get_by_role("link", name=MODEL).click()
    assert tried(page) == ["Fireworks", "Novita"]
    expect(page.get_by_label("Model")).to_have_value(MODEL)


@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "dark"), (PHONE, "light")])
def test_it_is_well_made(
    open_page: OpenPage, owner_client: Client, keys: None, viewport: dict[str, int], scheme: str
):
    page = open_page(owner_client, viewport=viewport, color_scheme=scheme)
    for query in ("", f"?model={MODEL}&endpoint=responses", "?model=gpt-oss-12b&endpoint=messages"):
        page.goto(ROUTE + query)
        assert_well_made(page)
