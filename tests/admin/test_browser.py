"""The admin in a browser, whose complaints (of the Content-Security-Policy, say) fail the test."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from byok.models import ProviderKey
from orgs.models import Account
from tests.admin.conftest import ADMINS, NAMES, Found, list_url, page_url
from tests.byok.conftest import OPENAI_SECRET
from tests.chromium import OpenPage
from tests.conftest import signed_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_every_list_and_page_is_drawn_under_the_strict_policy(
    acme: Found, staff, open_page: OpenPage, color_scheme
):
    page = open_page(signed_in(staff), color_scheme=color_scheme)
    page.goto(reverse("admin:index"))
    expect(page.get_by_role("heading", name="Administration")).to_be_visible()
    for name in NAMES:
        page.goto(list_url(name))
        expect(page).to_have_title(f"{page.locator('h1').inner_text()} · MegaBrain admin")
        row = ADMINS[name].model._default_manager.first()
        if row is not None:
            page.goto(page_url(row))
            expect(page.locator("form[id$=_form]")).to_be_visible()


def test_rows_are_ticked_and_changed(acme: Found, staff, member, open_page: OpenPage):
    page = open_page(signed_in(staff))
    page.goto(list_url("orgs_user"))
    page.get_by_label("Select this object for an action - member@example.com").check()
    expect(page.get_by_text("1 of 5 selected")).to_be_visible()
    page.get_by_label("Action:").select_option("Close the account")
    page.get_by_role("button", name="Go").click()
    page.get_by_role("button", name="Close the account").click()
    expect(page.get_by_role("status")).to_have_text("member@example.com: the account is closed.")
    member.refresh_from_db()
    assert not member.is_active


def test_a_key_of_the_platform_is_added_and_replaced(platform: Account, staff, open_page: OpenPage):
    page = open_page(signed_in(staff))
    page.goto(list_url("byok_providerkey"))
    page.get_by_role("link", name="Add a platform key").click()
    page.get_by_role("link", name="OpenAI").click()
    page.get_by_label("OpenAI API key").fill(OPENAI_SECRET)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("The OpenAI key is saved.")
    page.get_by_role("link", name="Replace the secret").click()
    page.get_by_label("OpenAI API key").fill("two words")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Nothing was saved. Paste the key again.")).to_be_visible()
    expect(page.get_by_label("OpenAI API key")).to_have_value("")
    page.get_by_label("OpenAI API key").fill(OPENAI_SECRET + "22")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("The OpenAI key is replaced.")
    assert ProviderKey.objects.get().secret.unseal().reveal() == OPENAI_SECRET + "22"
