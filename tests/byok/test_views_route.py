"""The page that says which key a call would use, and the choice of what happens when one fails."""

import pytest
from django.urls import reverse

from byok.actions import add_key, set_enabled
from byok.models import ProviderKey
from byok.vault import Secret
from orgs.models import AuditEvent
from orgs.origin import Origin
from tests.byok.conftest import address, text_of

MODEL = "openai/gpt-oss-120b"


@pytest.fixture
def add(owner, account):
    def add(provider: str, secret: str) -> ProviderKey:
        return add_key(
            actor=owner,
            account=account,
            provider=provider,
            secret=Secret(secret),
            origin=Origin(),
        )

    return add


def asked(client, model: str = MODEL, **more: str):
    query = {"model": model, "endpoint": "chat/completions", **more}
    return client.get(reverse("byok:route"), query)


def test_it_lists_the_keys_in_their_order_and_says_why_others_are_skipped(
    owner_client, owner, add, anthropic_key
):
    novita = add("novita", "sk_0123456789abcdefghij")
    add("fireworks", "fw_0123456789abcdefghij")
    page = text_of(asked(owner_client))
    assert page.index("1. Novita") < page.index("2. Fireworks")
    assert "Novita is asked first" in page
    assert "Fireworks is asked if every key before it fails" in page
    assert f"Anthropic does not serve {MODEL} to this key." in page
    set_enabled(actor=owner, key=novita, enabled=False, origin=Origin())
    page = text_of(asked(owner_client))
    assert "1. Fireworks" in page
    assert "The Novita key is switched off." in page


def test_a_failing_key_comes_last_and_the_page_says_why(owner_client, add):
    add("novita", "sk_0123456789abcdefghij")
    add("fireworks", "fw_0123456789abcdefghij")
    ProviderKey.objects.filter(provider="novita").update(health=ProviderKey.Health.FAILING)
    page = text_of(asked(owner_client))
    assert page.index("1. Fireworks") < page.index("2. Novita")
    assert "The last call with this key failed" in page


def test_without_a_key_it_says_whose_would_do(owner_client, anthropic_key):
    page = text_of(asked(owner_client))
    assert "No key serves it." in page
    assert "A key of AWS Bedrock or Fireworks or Novita would." in page
    assert f"{reverse('byok:add')}?provider=fireworks" in asked(owner_client).content.decode()


def test_before_a_model_is_named_it_suggests_some_that_the_keys_serve(owner_client, anthropic_key):
    page = owner_client.get(reverse("byok:route"))
    assert "Which model?" in text_of(page)
    assert (
        "?model=anthropic/claude-haiku-5.5&amp;endpoint=chat/completions" in page.content.decode()
    )


def test_a_misspelt_model_is_met_with_those_that_may_be_meant(owner_client, anthropic_key):
    page = text_of(asked(owner_client, "openai/gpt-oss-12b"))
    assert "No model is called openai/gpt-oss-12b. Did you mean" in page
    assert MODEL in page


def test_any_spelling_of_a_model_will_do(owner_client, anthropic_key):
    page = text_of(asked(owner_client, " Claude-Haiku-4-5-20251001 "))
    assert "anthropic/claude-haiku-4.5" in page
    assert "1. Anthropic" in page


def test_a_call_in_another_dialect_names_the_one_that_is_spoken(owner_client, anthropic_key):
    page = text_of(asked(owner_client, "anthropic/claude-haiku-5.5", endpoint="responses"))
    assert "Asked in Messages for claude-haiku-5-5, translated." in page
    page = text_of(asked(owner_client, "anthropic/claude-haiku-5.5", endpoint="messages"))
    assert "Asked in Messages for claude-haiku-5-5, as the agent sends it." in page


def test_an_endpoint_that_is_none_is_refused(owner_client, anthropic_key):
    assert asked(owner_client, endpoint="nowhere").status_code == 422


def test_the_page_takes_few_queries_however_many_keys_there_are(
    owner_client, add, anthropic_key, django_assert_max_num_queries
):
    add("novita", "sk_0123456789abcdefghij")
    add("fireworks", "fw_0123456789abcdefghij")
    asked(owner_client)  # The first visit writes the session down.
    with django_assert_max_num_queries(12):
        asked(owner_client)


def test_the_choice_for_a_failing_key_is_kept_and_told_to_the_log(owner_client, anthropic_key):
    url = address("failure", anthropic_key)
    page = owner_client.post(url, {"on_failure": "balance"}, follow=True)
    assert "may go on to your MegaBrain balance" in text_of(page)
    anthropic_key.refresh_from_db()
    assert anthropic_key.on_failure == ProviderKey.OnFailure.BALANCE
    event = AuditEvent.objects.filter(event="byok.key.failure_changed").get()
    assert event.target_label == "Anthropic"
    owner_client.post(url, {"on_failure": "balance"})
    assert AuditEvent.objects.filter(event="byok.key.failure_changed").count() == 1


def test_a_choice_that_is_none_changes_nothing(owner_client, anthropic_key):
    answer = owner_client.post(address("failure", anthropic_key), {"on_failure": "pray"})
    assert answer.status_code == 422
    anthropic_key.refresh_from_db()
    assert anthropic_key.on_failure == ProviderKey.OnFailure.ERROR
