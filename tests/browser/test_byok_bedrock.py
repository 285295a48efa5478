"""A credential in JSON, in a real browser: looked at while it is typed, saved, and tested."""

import json

import pytest
from django.test import Client
from playwright.sync_api import expect

from byok.models import ProviderKey
from megabrain.simulator.providers.bedrock import PROVIDER as SIMULATED
from tests.browser.test_byok import KEYS, row, toast
from tests.browser.well_made import DESK, PHONE, assert_well_made
from tests.chromium import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LABEL = "AWS Bedrock credentials (JSON)"
GOOD = SIMULATED.sample_key
LOOKS = [
    ("{", "Not complete JSON yet."),
    ("[]", "This is JSON, but not an object in braces."),
    ('{"region": "us-east-1"}', "Still missing: accessKeyId, secretAccessKey."),
    ('{"apiKey": "ABSK"}', "Still missing: region."),
    (GOOD.replace("us-east-1", "us-east"), "Does not look right yet: region."),
    (GOOD.replace("AKIA", "akia"), "Does not look right yet: accessKeyId."),
    (GOOD, "This looks complete."),
    ("", ""),
]


def test_it_is_looked_at_while_it_is_typed_then_saved_and_tested(
    open_page: OpenPage, owner_client: Client, worker: None, simulator: object
):
    page = open_page(owner_client)
    page.goto(KEYS)
    page.get_by_role("link", name="Add Key").click()
    page.get_by_label("Provider", exact=True).select_option(label="AWS Bedrock")
    area = page.get_by_label(LABEL)
    look = page.locator("#id_secret_look")
    for text, says in LOOKS:
        area.fill(text)
        expect(look).to_have_text(says)

    area.fill(json.dumps({**json.loads(GOOD), "region": "us-east-1.example"}))
    page.get_by_role("button", name="Save key").click()
    expect(page.locator("#verdict")).to_contain_text("The region is none of AWS.")
    expect(area).to_be_focused()
    area.fill(GOOD)
    page.get_by_role("button", name="Save key").click()
    expect(toast(page, "The AWS Bedrock key is saved and in use.")).to_be_visible()
    expect(row(page, "AWS Bedrock")).to_contain_text("AKIA…7890")
    page.get_by_role("button", name="Test it now").click()
    expect(toast(page, "AWS Bedrock accepted this key: claude-haiku-4.5")).to_be_visible()
    page.get_by_role("link", name="Update the AWS Bedrock key").click()
    expect(page.get_by_label(LABEL)).to_have_value("")
    assert ProviderKey.objects.get().hint == "AKIA…7890"


@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_the_form_is_well_made(open_page: OpenPage, owner_client: Client, viewport, scheme):
    page = open_page(owner_client, viewport=viewport, color_scheme=scheme)
    page.goto("/account/byok/add/?provider=bedrock")
    page.get_by_label(LABEL).fill("{")
    page.get_by_text("IAM policy").click()
    assert_well_made(page)
