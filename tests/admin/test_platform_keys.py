"""The platform's own provider keys, which are staff's to add, replace and switch."""

import pytest
from django.urls import reverse

from byok.models import ProviderKey
from orgs.changes import subscribe
from orgs.models import Account
from tests.admin.conftest import Desk, events, page_url, text_of
from tests.byok.conftest import ANTHROPIC_SECRET, OPENAI_SECRET

pytestmark = pytest.mark.django_db

ADD = "admin:byok_providerkey_add"


@pytest.fixture
def key(desk: Desk, platform: Account) -> ProviderKey:
    desk.send(reverse(ADD) + "?provider=openai", secret=OPENAI_SECRET)
    return ProviderKey.objects.get(account=platform)


def told(before: list[tuple[str, str, str]]) -> list[str]:
    return [event for event, *_ in events()[len(before) :]]


def test_a_provider_is_chosen_first(staff_client, key):
    page = text_of(staff_client.get(reverse(ADD)))
    assert 'href="?provider=anthropic"' in page
    assert 'href="?provider=openai"' not in page
    unknown = staff_client.get(reverse(ADD) + "?provider=nobody")
    assert 'href="?provider=anthropic"' in text_of(unknown)


def test_an_added_key_is_the_platform_s_and_told_in_its_trail(key, platform, staff):
    assert key.secret.unseal().reveal() == OPENAI_SECRET
    assert (key.created_by, key.enabled) == (staff, True)
    assert events()[-1] == ("byok.key.added", "staff@example.com", str(platform.pk))


def test_a_second_key_for_a_provider_is_refused(desk, key):
    before = events()
    page = desk.send(reverse(ADD) + "?provider=openai", secret=OPENAI_SECRET + "2")
    assert "The platform has a key for OpenAI already." in page
    assert events() == before


def test_a_secret_is_replaced(desk, key):
    heard: list[tuple[str, str]] = []
    unsubscribe = subscribe(lambda kind, changed: heard.append((kind, changed)))
    before = events()
    desk.send(reverse("admin:byok_providerkey_secret", args=[key.pk]), secret=OPENAI_SECRET + "22")
    unsubscribe()
    key.refresh_from_db()
    assert key.secret.unseal().reveal() == OPENAI_SECRET + "22"
    assert told(before) == ["byok.key.updated"]
    assert ("keys", str(key.account_id)) in heard


def test_a_doubtful_secret_is_saved_when_staff_insist(desk, key):
    url = reverse("admin:byok_providerkey_secret", args=[key.pk])
    page = desk.send(url, secret=ANTHROPIC_SECRET)
    assert "Save it anyway" in page
    key.refresh_from_db()
    assert key.secret.unseal().reveal() == OPENAI_SECRET
    desk.send(url, secret=ANTHROPIC_SECRET, insist="on")
    key.refresh_from_db()
    assert key.secret.unseal().reveal() == ANTHROPIC_SECRET


@pytest.mark.parametrize(
    ("action", "enabled", "event"),
    [
        ("disable", True, "byok.key.disabled"),
        ("enable", False, "byok.key.enabled"),
        ("delete", True, "byok.key.deleted"),
        ("test", True, "byok.key.tested"),
    ],
)
def test_everything_can_be_done_to_it(desk, key, action, enabled, event):
    ProviderKey.objects.update(enabled=enabled)
    before = events()
    desk.do(action, key)
    assert told(before) == [event]


def test_its_page_offers_the_form_for_its_secret(staff_client, key):
    page = text_of(staff_client.get(page_url(key)))
    assert reverse("admin:byok_providerkey_secret", args=[key.pk]) in page


def test_a_key_that_is_gone_is_not_found(staff_client, key):
    url = reverse("admin:byok_providerkey_secret", args=[key.pk])
    key.delete()
    assert staff_client.post(url, {"secret": OPENAI_SECRET}).status_code == 404
    assert staff_client.get(url.replace(str(key.pk), "nothing")).status_code == 404
