"""Provider keys for the tests of this app."""

import html
from collections.abc import Iterator

import pytest
from django.http import HttpResponse
from django.urls import reverse
from django.utils.html import strip_tags

from byok import key_tests
from byok.actions import add_key
from byok.models import KeyTest, ProviderKey
from byok.providers import PROVIDERS
from byok.vault import Secret
from orgs.models import Account, User
from orgs.origin import Origin
from tests.byok.publisher import Publisher, publishing

ANTHROPIC_SECRET = "sk-ant-api03-sim-ok-0123456789abcdefghij"
OPENAI_SECRET = "sk-proj-sim-ok-0123456789abcdefghijklmnop"


@pytest.fixture
def anthropic_key(owner: User, account: Account) -> ProviderKey:
    """The owner's key for Anthropic, never tested."""
    return add_key(
        actor=owner,
        account=account,
        provider="anthropic",
        secret=Secret(ANTHROPIC_SECRET),
        origin=Origin(),
    )


def added(owner: User, account: Account, provider: str, secret: str) -> ProviderKey:
    key = add_key(
        actor=owner, account=account, provider=provider, secret=Secret(secret), origin=Origin()
    )
    return ProviderKey.objects.get(pk=key.pk)


def result_of(key: ProviderKey) -> KeyTest:
    """The result of a test of this key, performed here and now."""
    test = KeyTest.objects.create(key=key)
    key_tests.perform(test.pk)
    test.refresh_from_db()
    key.refresh_from_db()
    return test


@pytest.fixture
def publisher(settings) -> Iterator[Publisher]:
    """In the place of every provider: of Novita, whose list is public, and of all with a key."""
    with publishing() as publisher:
        settings.MEGABRAIN_UPSTREAM_URLS = dict.fromkeys(PROVIDERS, publisher.address)
        yield publisher


@pytest.fixture
def keys_url() -> str:
    return reverse("byok:keys")


def address(name: str, key: ProviderKey) -> str:
    """Where that is done with this key."""
    return reverse(f"byok:{name}", kwargs={"key_id": key.pk})


def by_htmx(target: str = "dialogs", on: str = "/account/byok/") -> dict[str, str]:
    """The headers htmx sends from an element that is swapped into `target`, on that page."""
    return {
        "HX-Request": "true",
        "HX-Target": target,
        "HX-Current-URL": f"http://testserver{on}",
    }


def text_of(response: HttpResponse) -> str:
    """What a reader sees of an answer: its text without tags, on one line."""
    content = response.content.decode().replace("</dt>", " ")
    return " ".join(html.unescape(strip_tags(content)).split())
