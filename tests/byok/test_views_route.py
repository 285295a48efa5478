"""The page that says which key a call would use, and the choice of what happens when one fails."""

import pytest
from django.db import transaction
from django.urls import reverse

from byok.actions import add_key, set_enabled
from byok.catalogue import version
from byok.models import Price, ProviderKey
from byok.vault import Secret
from orgs.models import AuditEvent
from orgs.origin import Origin
from tests.byok.conftest import ANTHROPIC_SECRET, added, address, text_of

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


def test_without_a_key_it_says_that_the_balance_pays_where_megabrain_has_one(
    owner_client, anthropic_key, platform_key
):
    onward = "goes out with MegaBrain's own keys and draws on the balance"
    platform_key("openai")
    assert onward not in text_of(asked(owner_client))
    novita = platform_key("novita")
    ProviderKey.objects.filter(pk=novita.pk).update(hint="MegaBrain's own hint")
    page = asked(owner_client)
    assert onward in text_of(page)
    assert "A call for it fails." not in text_of(page)
    assert reverse("billing:balance") in page.content.decode()
    assert "hint" not in text_of(page)
    ProviderKey.objects.filter(pk=novita.pk).update(enabled=False)
    assert onward not in text_of(asked(owner_client))


def test_what_has_no_price_is_not_said_to_be_paid_from_the_balance(
    owner_client, anthropic_key, platform_key
):
    platform_key("novita")
    with transaction.atomic():
        version.changed()
        Price.objects.filter(offering__model=MODEL).delete()
    page = text_of(asked(owner_client))
    assert "A call for it fails." in page
    assert "balance" not in page[page.index("No key serves it.") :]


def test_it_says_that_the_balance_comes_after_the_keys_where_all_are_to_fall_back(
    owner_client, add, platform_key
):
    onward = "If every key fails, the call goes on to MegaBrain's own keys and draws on the balance"
    add("novita", "sk_0123456789abcdefghij")
    add("fireworks", "fw_0123456789abcdefghij")
    balance = ProviderKey.OnFailure.BALANCE
    ProviderKey.objects.filter(provider="novita").update(on_failure=balance)
    platform_key("novita")
    assert onward not in text_of(asked(owner_client))
    ProviderKey.objects.filter(provider="fireworks").update(on_failure=balance)
    assert onward in text_of(asked(owner_client))


def test_a_key_that_cannot_be_opened_keeps_the_balance_out(owner_client, add, platform_key):
    key = add("novita", "sk_0123456789abcdefghij")
    platform_key("novita")
    other = ProviderKey.objects.exclude(pk=key.pk).values("secret")[:1]
    ProviderKey.objects.filter(pk=key.pk).update(secret=other)  # Sealed for another row.
    page = text_of(asked(owner_client))
    assert "The stored Novita key can no longer be opened." in page
    assert "A call for it fails." in page


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
    owner_client, add, anthropic_key, platform_key, django_assert_max_num_queries
):
    platform_key("novita")
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


def test_of_an_organizations_key_its_own_balance_is_spoken_of(owner, owner_client, organization):
    key = added(owner, organization, "anthropic", ANTHROPIC_SECRET)
    url = reverse("byok:failure", kwargs={"slug": "acme", "key_id": key.pk})
    page = text_of(owner_client.post(url, {"on_failure": "balance"}, follow=True))
    assert "may go on to the organization's MegaBrain balance" in page


def test_a_choice_that_is_none_changes_nothing(owner_client, anthropic_key):
    answer = owner_client.post(address("failure", anthropic_key), {"on_failure": "pray"})
    assert answer.status_code == 422
    anthropic_key.refresh_from_db()
    assert anthropic_key.on_failure == ProviderKey.OnFailure.ERROR
