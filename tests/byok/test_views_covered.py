"""The pages tell which models a key covers: what it lacks, what it alone has, and since when."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from byok.actions import add_key
from byok.catalogue import version
from byok.models import CatalogModel, Coverage, KeyTest, Offering, ProviderKey
from byok.vault import Secret
from byok.views.covered import SHOWN
from orgs.models import Account
from orgs.origin import Origin
from tests.byok.conftest import ANTHROPIC_SECRET, address, by_htmx, text_of

OPUS, SONNET = "claude-opus-4-8", "claude-sonnet-4-6"
MODELS = {OPUS: "anthropic/claude-opus-4.8", SONNET: "anthropic/claude-sonnet-4.6"}
NOT_LISTED = "not listed for this key"


def cover(key: ProviderKey, *ids: str, lacking: tuple[str, ...] = (), days: int = 0) -> None:
    """Its provider has listed these for the key, so many days ago."""
    listed_at = timezone.now() - timedelta(days=days, hours=2)
    ProviderKey.objects.filter(pk=key.pk).update(secret_changed_at=listed_at - timedelta(hours=1))
    Coverage.objects.update_or_create(
        key=key,
        defaults={
            "listed_at": listed_at,
            "upstream_ids": list(ids),
            "lacking": list(lacking),
        },
    )


@pytest.fixture
def chutes_key(owner, account) -> ProviderKey:
    return add_key(
        actor=owner,
        account=account,
        provider="chutes",
        secret=Secret("cpk_0123456789abcdefghij"),
        origin=Origin(),
    )


@pytest.fixture
def shared_key(owner, organization) -> ProviderKey:
    return add_key(
        actor=owner,
        account=organization,
        provider="anthropic",
        secret=Secret(ANTHROPIC_SECRET),
        origin=Origin(),
    )


def test_a_row_says_how_many_models_were_listed_for_the_key_and_when(
    owner_client, anthropic_key, keys_url
):
    assert "10 supported models" in text_of(owner_client.get(keys_url))
    assert "Listed" not in text_of(owner_client.get(keys_url))

    cover(anthropic_key, SONNET, lacking=(OPUS,))

    page = text_of(owner_client.get(keys_url))
    assert "9 of 10 supported models" in page
    assert "Listed 2 h ago" in page
    # What it lacks comes last.
    assert page.index(MODELS[SONNET]) < page.index(MODELS[OPUS])
    assert page.count(NOT_LISTED) == 1
    details = text_of(owner_client.get(address("details", anthropic_key)))
    assert "Models Listed for it 2 h ago" in details


def test_a_list_that_is_old_or_of_another_secret_takes_no_model_away(
    owner_client, anthropic_key, keys_url
):
    cover(anthropic_key, SONNET, lacking=(OPUS,), days=31)
    page = text_of(owner_client.get(keys_url))
    assert "10 supported models" in page
    assert "Listed " in page
    assert NOT_LISTED not in page
    ProviderKey.objects.update(secret_changed_at=timezone.now())
    assert "Listed" not in text_of(owner_client.get(keys_url))


def test_the_keys_own_models_are_among_them(owner_client, chutes_key, keys_url):
    assert "1 supported model" in text_of(owner_client.get(keys_url))
    cover(chutes_key, "Qwen3-30B-A3B", "Own/Model-2")
    page = text_of(owner_client.get(keys_url))
    assert "2 supported models" in page
    assert "Own/Model-2 from this key's own list chutes/Own/Model-2" in page
    assert page.count("chutes/qwen3-30b-a3b") == 1


def test_the_dialogs_show_what_is_known_of_the_key_and_search_it(
    owner_client, anthropic_key, chutes_key
):
    cover(anthropic_key, SONNET, lacking=(OPUS,))
    cover(chutes_key, "Own/Model-2")
    dialog = text_of(owner_client.get(address("update", anthropic_key), headers=by_htmx()))
    assert "Supported models 9 of 10" in dialog
    assert NOT_LISTED in dialog

    def found(provider: str, q: str) -> str:
        url = reverse("byok:models", kwargs={"provider": provider})
        return text_of(owner_client.get(url, {"q": q}, headers=by_htmx("model-list")))

    assert found("anthropic", "OPUS 4.8 claude-opus").endswith(MODELS[OPUS])
    assert NOT_LISTED in found("anthropic", "claude-opus-4.8")
    assert "chutes/Own/Model-2" in found("chutes", "own 2")
    assert found("chutes", "own 3") == "No model matches."
    # Before there is a key, what the catalogue has.
    assert "openai/gpt-6-luna" in found("openai", "luna")


def test_before_there_is_a_key_the_dialog_shows_what_the_catalogue_has(owner_client):
    page = text_of(owner_client.get(reverse("byok:add"), {"provider": "anthropic"}))
    assert "Supported models 10" in page
    assert MODELS[OPUS] in page


def test_a_row_of_very_many_models_leads_to_the_search(owner_client, chutes_key, keys_url):
    cover(chutes_key, *(f"Own-{number:04}" for number in range(SHOWN + 50)))
    page = owner_client.get(keys_url)
    assert f"{SHOWN + 51} supported models" in text_of(page)
    assert "and 51 more Search all" in text_of(page)
    models = reverse("byok:models", kwargs={"provider": "chutes"})
    assert f'href="{models}"' in page.content.decode()
    assert "chutes/Own-0249" in text_of(owner_client.get(models, {"q": "0249"}))


def test_a_member_sees_what_the_key_covers_and_when_it_was_listed_is_not_told(
    member_client, organization, shared_key
):
    cover(shared_key, SONNET, lacking=(OPUS,))
    url = reverse("byok:keys", kwargs={"slug": "acme"})
    page = member_client.get(url)
    assert "Anthropic 9 of 10 supported models" in text_of(page)
    assert f"{NOT_LISTED} {MODELS[OPUS]}" in text_of(page)
    assert "<time" not in page.content.decode()
    Account.objects.filter(pk=organization.pk).update(allowed_models=[MODELS[SONNET]])
    assert "Anthropic 1 supported model " in text_of(member_client.get(url))


def test_deleting_a_key_costs_what_it_covers_alone(owner, account, owner_client, anthropic_key):
    add_key(
        actor=owner,
        account=account,
        provider="bedrock",
        secret=Secret(
            '{"accessKeyId":"AKIA0123456789ABCDEF","secretAccessKey":"'
            + "x" * 40
            + '","region":"us-east-1"}'
        ),
        origin=Origin(),
    )
    bedrock = ProviderKey.objects.get(provider="bedrock")
    cover(anthropic_key, SONNET, lacking=(OPUS,))
    cover(bedrock, lacking=("{geo}.anthropic.claude-sonnet-4-6",))
    losing = text_of(owner_client.get(address("delete", anthropic_key)))
    lost, _, kept = losing.partition("Still served by the AWS Bedrock key")
    assert MODELS[SONNET] in lost
    # It never served that one, and Bedrock goes on to.
    assert MODELS[OPUS] not in losing
    assert "anthropic/claude-haiku-4.5" in kept


def test_the_route_says_that_a_key_does_not_list_the_model(owner_client, anthropic_key):
    cover(anthropic_key, SONNET, lacking=(OPUS,))
    query = {"model": MODELS[OPUS], "endpoint": "messages"}
    page = text_of(owner_client.get(reverse("byok:route"), query))
    assert "No key serves it." in page
    assert f"Anthropic does not list {MODELS[OPUS]} for this key." in page
    assert "A key of AWS Bedrock would." in page
    suggested = owner_client.get(reverse("byok:route")).content.decode()
    assert f'value="{MODELS[SONNET]}"' in suggested
    assert f'value="{MODELS[OPUS]}"' not in suggested


def test_the_route_of_a_keys_own_model_is_explained(owner_client, chutes_key):
    cover(chutes_key, "Own/Model-2")
    query = {"model": "chutes/own/model-2", "endpoint": "chat/completions"}
    page = owner_client.get(reverse("byok:route"), query)
    assert "chutes/Own/Model-2" in text_of(page)
    assert "Asked in Chat Completions for Own/Model-2" in text_of(page)
    assert 'value="chutes/Own/Model-2"' in page.content.decode()


def test_the_list_takes_as_many_queries_however_many_keys_have_lists(
    owner_client, anthropic_key, chutes_key, keys_url, django_assert_max_num_queries
):
    cover(anthropic_key, SONNET, lacking=(OPUS,))
    cover(chutes_key, "Own/Model-2")
    owner_client.get(keys_url)  # The first visit writes the session down.
    with django_assert_max_num_queries(12):
        owner_client.get(keys_url)


def test_a_row_whose_test_says_more_than_its_key_knows_has_its_own_models(owner_client, chutes_key):
    cover(chutes_key, "Own/Model-2")
    KeyTest.objects.create(
        key=chutes_key, state=KeyTest.State.PASSED, code="ok", finished_at=timezone.now()
    )
    row = owner_client.get(address("row", chutes_key), headers=by_htmx(f"key-{chutes_key.pk}"))
    assert "chutes/Own/Model-2" in text_of(row)


def test_set_up_never_names_a_model_that_the_keys_lack(owner_client, anthropic_key, account):
    from byok.catalogue.held import served_models

    assert MODELS[OPUS] in served_models(account)["messages"]
    cover(anthropic_key, SONNET, lacking=(OPUS,))
    assert MODELS[OPUS] not in served_models(account)["messages"]
    assert MODELS[SONNET] in served_models(account)["messages"]


def test_a_model_that_a_refresh_adds_is_the_keys_own_no_longer(owner_client, chutes_key, keys_url):
    cover(chutes_key, "Own/Model-2")
    model = CatalogModel.objects.create(id="chutes/own/model-2", name="Model 2")
    Offering.objects.create(model=model, provider="chutes", upstream_id="Own/Model-2", direct=True)
    version.changed()
    page = text_of(owner_client.get(keys_url))
    assert "Model 2 chutes/own/model-2" in page
    assert "from this key's own list" not in page
