import re

import pytest
from django.test import Client
from django.urls import reverse

from byok.providers import PROVIDERS
from megabrain.gateway.errors import MANNERS, Code
from megabrain.site.docs import PAGES
from megabrain.site.error_codes import ERROR_CODES, ErrorCode

pytestmark = pytest.mark.django_db

ADDRESSES = [reverse("docs"), *(reverse("docs_page", args=[page.slug]) for page in PAGES)]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_page_opens_for_a_stranger(client: Client, address: str):
    response = client.get(address)
    assert response.status_code == 200
    assert len(re.findall("<h1", response.content.decode())) == 1


def test_an_unknown_page_is_not_found(client: Client):
    assert client.get("/docs/nothing/").status_code == 404


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_link_inside_leads_somewhere(client: Client, address: str):
    page = client.get(address).content.decode()
    for link in set(re.findall(r'href="(/docs/[^"]*|#[^"]*)"', page)):
        path, _, anchor = link.partition("#")
        target = client.get(path).content.decode() if path else page
        assert f'id="{anchor}"' in target or not anchor, link


def test_every_error_code_of_the_gateway_is_documented():
    assert {entry.code for entry in ERROR_CODES} == {code.value for code in Code}


@pytest.mark.parametrize("entry", ERROR_CODES, ids=lambda entry: entry.code)
def test_an_entry_names_the_statuses_that_callers_see(entry: ErrorCode):
    manner = MANNERS[Code(entry.code)]
    for status in {manner.chat, manner.responses, manner.messages}:
        assert str(status) in entry.statuses
    assert ("for Responses" in entry.statuses) == (manner.responses != manner.chat)
    assert ("for Messages" in entry.statuses) == (manner.messages != manner.chat)


def test_each_error_code_has_one_entry_that_can_be_linked_to(client: Client):
    page = client.get(reverse("docs_page", args=["errors"])).content.decode()
    for entry in ERROR_CODES:
        assert page.count(f'id="{entry.code}"') == 1
        assert entry.remedy.endswith(".")


def test_every_provider_is_in_the_guide(client: Client):
    page = client.get(reverse("docs_page", args=["byok"])).content.decode()
    for provider in PROVIDERS.values():
        assert provider.name in page
        assert provider.console_url in page


AGENTS = (
    "curl",
    "openai-sdk",
    "anthropic-sdk",
    "claude-code",
    "codex",
    "kilo-code",
    "cline",
    "opencode",
    "aider",
)


def test_every_agent_is_set_up_with_our_real_address(client: Client, settings):
    settings.MEGABRAIN_BASE_URL = "https://gateway.example"
    page = client.get(reverse("docs_page", args=["agents"])).content.decode()
    sections = dict(re.findall(r'<h2 id="([^"]+)">(.*?)(?=<h2|</main>)', page, re.DOTALL))
    for agent in AGENTS:
        assert "https://gateway.example" in sections[agent], agent
        assert "mb-your-token" in sections[agent], agent


def test_it_is_said_whose_keys_and_whose_balance_an_organizations_token_uses(client: Client):
    page = client.get(reverse("docs_page", args=["api"])).content.decode()
    assert "its provider keys serve, and its balance pays, never yours" in page


def test_the_limits_are_those_in_force(client: Client, settings):
    settings.MEGABRAIN_REQUESTS_PER_MINUTE = 4321
    page = client.get(reverse("docs_page", args=["api"])).content.decode()
    assert "4,321 a minute" in page
