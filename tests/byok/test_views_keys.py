"""The list of provider keys."""

from datetime import timedelta

import pytest
from django.utils import timezone

from byok.actions import add_key
from byok.models import KeyTest, ProviderKey
from byok.providers import PROVIDERS
from byok.vault import Secret
from orgs.origin import Origin
from tests.byok.conftest import address, by_htmx, text_of

Health = ProviderKey.Health


def test_without_keys_it_says_what_they_are_for_and_offers_the_first(owner_client, keys_url):
    page = owner_client.get(keys_url)
    assert "No provider keys yet" in text_of(page)
    assert "Add your first key" in text_of(page)


def test_it_says_who_gets_billed(owner_client, keys_url):
    assert "its provider bills you, and MegaBrain charges nothing" in text_of(
        owner_client.get(keys_url)
    )


def test_a_row_shows_provider_hint_and_supported_models(owner_client, anthropic_key, keys_url):
    page = owner_client.get(keys_url)
    assert "sk-ant-api03-…ghij" in text_of(page)
    assert "10 supported models" in text_of(page)
    assert "anthropic/claude-haiku-4.5" in text_of(page)


def test_rows_stand_in_the_order_of_their_providers_names(owner, account, owner_client, keys_url):
    for provider in ("openai", "novita", "anthropic"):
        add_key(
            actor=owner,
            account=account,
            provider=provider,
            secret=Secret(f"{provider}-" + "x" * 30),
            origin=Origin(),
        )
    names = [row.name for row in owner_client.get(keys_url).context["rows"]]
    assert names == ["Anthropic", "Novita", "OpenAI"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "Never used"),
        ({"health": Health.WORKS}, "Works"),
        ({"health": Health.FAILING, "health_code": "rejected"}, "Failing Rejected"),
        ({"health": Health.FAILING, "health_code": "no_credit"}, "Failing Out of credit"),
        ({"health": Health.FAILING, "health_code": "no_access"}, "Failing No access"),
        (
            {
                "health": Health.COOLING,
                "health_code": "rate_limited",
                "health_at": lambda: timezone.now() + timedelta(hours=1),
            },
            "Cooling down Rate limited",
        ),
        ({"health": Health.WORKS, "last_used_at": timezone.now}, "Works Used just now"),
        ({"last_used_at": timezone.now}, "Not tested Used just now"),
        ({"remind_on": timezone.now().date()}, "Due for replacement"),
        ({"provider": "long-gone"}, "Not supported Provider no longer supported"),
        ({"secret": None}, "Unreadable Enter it again"),
    ],
)
def test_a_row_says_how_its_key_is_doing(
    state, words, owner_client, anthropic_key, keys_url, settings
):
    if "secret" in state:
        settings.MEGABRAIN_VAULT_KEYS = "other:" + "MTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3BxcnN0dXY="
    else:
        now = {field: value() if callable(value) else value for field, value in state.items()}
        ProviderKey.objects.update(**now)
    assert words in text_of(owner_client.get(keys_url))


def test_cooling_down_ends_by_itself(owner_client, anthropic_key, keys_url):
    ProviderKey.objects.update(
        health=Health.COOLING,
        health_code="rate_limited",
        health_message="Anthropic is limiting its calls.",
        health_at=timezone.now() - timedelta(seconds=61),
    )
    page = text_of(owner_client.get(keys_url))
    assert "Works" in page
    assert "Cooling" not in page
    details = text_of(owner_client.get(address("details", anthropic_key)))
    assert "Anthropic is limiting its calls." not in details


def test_a_test_that_met_a_limit_stays_told_when_the_limit_is_over(
    owner_client, anthropic_key, keys_url
):
    before = timezone.now() - timedelta(seconds=61)
    ProviderKey.objects.update(health=Health.COOLING, health_code="rate_limited", health_at=before)
    KeyTest.objects.create(
        key=anthropic_key, state=KeyTest.State.FAILED, code="rate_limited", finished_at=before
    )
    page = text_of(owner_client.get(keys_url))
    assert "Works Last test: Rate limited" in page


def test_a_test_that_could_not_open_the_vault_says_so(owner_client, anthropic_key, keys_url):
    KeyTest.objects.create(
        key=anthropic_key,
        state=KeyTest.State.FAILED,
        code="vault_closed",
        finished_at=timezone.now(),
    )
    assert "Last test: Vault out of reach" in text_of(owner_client.get(keys_url))


def test_a_disabled_key_is_dimmed_and_its_switch_is_off(owner_client, anthropic_key, keys_url):
    assert "data-dimmed" not in owner_client.get(keys_url).content.decode()
    ProviderKey.objects.update(enabled=False)
    page = owner_client.get(keys_url).content.decode()
    assert "data-dimmed" in page
    assert 'aria-checked="false"' in page


def test_every_button_says_what_it_does_to_which_key(owner_client, anthropic_key, keys_url):
    page = owner_client.get(keys_url).content.decode()
    for action in ("Use", "Test", "Update", "Delete", "Details of"):
        assert f'aria-label="{action} the Anthropic key"' in page


def test_a_key_that_was_just_saved_offers_a_test(owner_client, anthropic_key, keys_url):
    assert "Test it now" not in text_of(owner_client.get(keys_url))
    page = owner_client.get(f"{keys_url}?saved={anthropic_key.pk}")
    assert "Test it now" in text_of(page)


def test_the_result_of_a_test_that_says_nothing_of_the_key_stays_on_its_row(
    owner_client, anthropic_key, keys_url
):
    KeyTest.objects.create(
        key=anthropic_key,
        state=KeyTest.State.FAILED,
        code="unreachable",
        message="Anthropic could not be reached.",
        finished_at=timezone.now(),
    )
    assert "Last test: Provider unreachable, just now" in text_of(owner_client.get(keys_url))


def test_the_result_of_a_test_of_the_former_secret_does_not_stay(
    owner_client, anthropic_key, keys_url
):
    before = anthropic_key.secret_changed_at - timedelta(minutes=1)
    KeyTest.objects.create(
        key=anthropic_key,
        state=KeyTest.State.FAILED,
        code="unreachable",
        message="Anthropic could not be reached.",
        created_at=before,
        finished_at=before,
    )
    assert "Last test" not in text_of(owner_client.get(keys_url))


def test_only_the_latest_test_counts(owner_client, anthropic_key, keys_url):
    for minutes, code in ((1, "timed_out"), (3, "unreachable"), (2, "overloaded")):
        at = timezone.now() - timedelta(minutes=minutes)
        KeyTest.objects.create(
            key=anthropic_key,
            state=KeyTest.State.FAILED,
            code=code,
            message=code,
            created_at=at,
            finished_at=at,
        )
    ProviderKey.objects.update(secret_changed_at=timezone.now() - timedelta(hours=1))
    assert "Last test: Timed out, 1 min ago" in text_of(owner_client.get(keys_url))


def test_a_visitor_who_is_not_signed_in_is_sent_to_sign_in(client, anthropic_key, keys_url):
    for url in (keys_url, address("details", anthropic_key), address("update", anthropic_key)):
        answer = client.get(url)
        assert answer.status_code == 302
        assert answer.url.startswith("/accounts/login/")


def test_it_is_kept_out_of_every_cache(owner_client, anthropic_key, keys_url):
    for url in (keys_url, address("details", anthropic_key), address("update", anthropic_key)):
        assert "no-store" in owner_client.get(url)["Cache-Control"]
        assert "no-store" in owner_client.get(url, headers=by_htmx())["Cache-Control"]


def test_it_takes_as_many_queries_for_one_key_as_for_one_of_each_provider(
    owner, account, owner_client, anthropic_key, keys_url, django_assert_max_num_queries
):
    owner_client.get(keys_url)  # What is remembered after the first time is remembered now.
    with django_assert_max_num_queries(12) as with_one:
        owner_client.get(keys_url)
    for provider in PROVIDERS:
        if provider != "anthropic":
            key = add_key(
                actor=owner,
                account=account,
                provider=provider,
                secret=Secret(f"{provider}-" + "x" * 30),
                origin=Origin(),
            )
            KeyTest.objects.create(
                key=key, state=KeyTest.State.PASSED, message="Fine.", finished_at=timezone.now()
            )
    with django_assert_max_num_queries(12) as with_all:
        owner_client.get(keys_url)
    assert len(with_all) == len(with_one)


def test_a_keys_own_page_and_dialogs_stay_within_twelve_queries(
    owner_client, anthropic_key, django_assert_max_num_queries
):
    for name in ("details", "update", "delete"):
        owner_client.get(address(name, anthropic_key))
        with django_assert_max_num_queries(12):
            owner_client.get(address(name, anthropic_key))
