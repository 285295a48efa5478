"""Provider keys for the tests of this app."""

import html

import pytest
from django.http import HttpResponse
from django.urls import reverse
from django.utils.html import strip_tags

from byok.actions import add_key
from byok.models import ProviderKey
from byok.vault import Secret
from orgs.models import Account, User
from orgs.origin import Origin

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
