"""An endpoint of one's own: offered where the operator allows it, entered, sealed, never shown."""

import json

import pytest

from byok.management.commands.add_key import Command
from byok.models import ProviderKey
from tests.byok.conftest import by_htmx, text_of

ADD = "/account/byok/add/"
KEY = "own-key-0123456789abcdefwxyz"
TYPED = {
    "provider": "custom",
    "base_url": "https://Own.example.com/v1/",
    "secret": f" {KEY}\n",
    "models": "Own-Model:7b\n\nother\n",
}


@pytest.fixture
def _allowed(settings):
    settings.MEGABRAIN_CUSTOM_ENDPOINTS = True


allowed = pytest.mark.usefixtures("_allowed")


def test_it_is_not_there_unless_the_operator_allows_it(owner_client, account):
    assert "Custom endpoint" not in text_of(owner_client.get(ADD))
    assert 'name="base_url"' not in owner_client.get(ADD, {"provider": "custom"}).content.decode()
    assert owner_client.post(ADD, TYPED).status_code == 404
    assert "custom" not in list(_choices())
    assert not ProviderKey.objects.for_account(account).exists()


def _choices() -> list[str]:
    parser = Command().create_parser("manage.py", "add_key")
    (provider,) = [each for each in parser._actions if each.dest == "provider"]
    return list(provider.choices or ())


@allowed
def test_its_form_asks_for_address_key_and_models_and_says_how_to_ask_for_them(owner_client):
    page = owner_client.get(ADD, {"provider": "custom"})
    shown, text = page.content.decode(), text_of(page)

    for field in ("base_url", "secret", "models"):
        assert f'name="{field}"' in shown
    assert "Only calls for custom/ and then the id of one of its models use this key" in text
    assert "Matching is automatic" not in text
    assert 'href=""' not in shown


@allowed
def test_what_was_entered_is_sealed_together_and_its_hint_is_of_the_key_alone(
    owner_client, account, keys_url
):
    answer = owner_client.post(ADD, TYPED)

    key = ProviderKey.objects.for_account(account).get()
    assert answer["Location"].startswith(keys_url)
    assert json.loads(key.secret.unseal().reveal()) == {
        "base_url": "https://own.example.com/v1",
        "api_key": KEY,
        "models": ["Own-Model:7b", "other"],
    }
    assert key.hint == "…wxyz"
    page = owner_client.get(keys_url)
    assert "Custom endpoint" in text_of(page)
    assert "own.example.com" not in page.content.decode()


@allowed
@pytest.mark.parametrize(
    ("field", "typed", "says"),
    [
        ("base_url", "", "Enter the address at which the API begins."),
        ("base_url", "http://llm.example.com", "has to begin with https://"),
        ("base_url", "https://10.0.0.1/v1", "Only public addresses can be reached"),
        ("base_url", "https://llm.internal", "a name inside a network"),
        ("secret", "", "Paste the key here."),
        ("secret", f"Bearer {KEY}", "Leave out the word"),
        ("models", "two words", "The id of a model has no spaces"),
    ],
)
@pytest.mark.parametrize("htmx", [False, True], ids=["whole page", "htmx"])
def test_what_cannot_be_used_is_refused_by_its_field_and_the_key_not_shown(
    field, typed, says, htmx, owner_client, account
):
    headers = by_htmx() if htmx else {}

    answer = owner_client.post(ADD, {**TYPED, field: typed}, headers=headers)

    assert answer.status_code == 422
    assert says in text_of(answer)
    assert KEY not in answer.content.decode()
    assert not ProviderKey.objects.for_account(account).exists()


@allowed
def test_a_doubt_can_be_overruled(owner_client, account):
    typed = {**TYPED, "secret": "sk-ant-api03-0123456789abcdefwxyz"}

    assert "looks like an Anthropic key" in text_of(owner_client.post(ADD, typed))
    assert owner_client.post(ADD, {**typed, "insist": "on"}).status_code == 302
    assert ProviderKey.objects.for_account(account).get().hint.endswith("wxyz")


@allowed
def test_updating_begins_with_empty_fields(owner_client, account, keys_url, settings):
    owner_client.post(ADD, TYPED)
    key = ProviderKey.objects.for_account(account).get()
    url = f"{keys_url}{key.pk}/update/"

    assert "own.example.com" not in owner_client.get(url).content.decode()
    owner_client.post(url, {**TYPED, "base_url": "https://other.example.com", "models": ""})

    key.refresh_from_db()
    assert json.loads(key.secret.unseal().reveal())["base_url"] == "https://other.example.com"

    settings.MEGABRAIN_CUSTOM_ENDPOINTS = False
    assert owner_client.get(url).status_code == 404
    assert "Not supported" in text_of(owner_client.get(keys_url))


def test_the_platform_has_none_and_no_key_for_direct_calls(staff_client, settings):
    settings.MEGABRAIN_CUSTOM_ENDPOINTS = True
    page = text_of(staff_client.get("/admin/byok/providerkey/add/"))

    assert "Anthropic" in page
    for name in ("Custom endpoint", "Z.ai Coding Plan", "Chutes"):
        assert name not in page
