"""Changes of keys ask whoever signed in a while ago to say again who they are."""

import time

import pytest
from django.test import Client

from byok.models import KeyTest, ProviderKey
from tests.byok.conftest import ANTHROPIC_SECRET, address, by_htmx
from tests.conftest import signed_in


@pytest.fixture
def stale_client(owner) -> Client:
    """The owner's browser, an hour after signing in."""
    client = signed_in(owner)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time() - 3600}]
    session.save()
    return client


def changes(key: ProviderKey) -> list[tuple[str, dict[str, str]]]:
    return [
        ("/account/byok/add/", {"provider": "openai", "secret": "sk-proj-canary-canary-canary"}),
        (address("update", key), {"secret": "sk-ant-api03-canary-canary"}),
        (address("enabled", key), {"enabled": "false"}),
        (address("reminder", key), {"remind_on": "2040-01-01"}),
        (address("delete", key), {}),
    ]


def test_a_change_asks_first_and_changes_nothing(stale_client, anthropic_key):
    before = list(ProviderKey.objects.values())
    for url, data in changes(anthropic_key):
        answer = stale_client.post(url, data)
        assert answer.status_code == 302
        assert answer.url.startswith("/accounts/reauthenticate/")
    assert list(ProviderKey.objects.values()) == before


def test_with_htmx_the_whole_page_goes_there(stale_client, anthropic_key):
    for url, data in changes(anthropic_key):
        answer = stale_client.post(url, data, headers=by_htmx())
        assert answer["HX-Redirect"].startswith("/accounts/reauthenticate/")
        assert answer.content == b""


def test_a_secret_that_was_posted_is_dropped_and_not_kept_for_later(stale_client, anthropic_key):
    for url, data in changes(anthropic_key):
        stale_client.post(url, data)
    assert "canary" not in str(dict(stale_client.session))


def test_the_dialogs_ask_before_anything_is_typed(stale_client, anthropic_key):
    for url in ("/account/byok/add/", address("update", anthropic_key)):
        assert stale_client.get(url).url.startswith("/accounts/reauthenticate/")
        assert stale_client.get(url, headers=by_htmx())["HX-Redirect"].startswith(
            "/accounts/reauthenticate/"
        )


def test_looking_and_testing_do_not_ask(stale_client, anthropic_key, keys_url):
    assert stale_client.get(keys_url).status_code == 200
    assert stale_client.get(address("details", anthropic_key)).status_code == 200
    stale_client.post(address("test", anthropic_key))
    assert KeyTest.objects.exists()


def test_after_saying_who_one_is_one_is_back_at_the_dialog(stale_client, anthropic_key):
    asked = stale_client.get("/account/byok/add/")
    answer = stale_client.post(asked.url, {"password": "correct horse battery staple"})
    assert answer.status_code == 302
    assert answer.url == "/account/byok/add/"
    saved = stale_client.post(
        answer.url, {"provider": "openai", "secret": ANTHROPIC_SECRET, "insist": "on"}
    )
    assert saved.url.startswith("/account/byok/?saved=")
