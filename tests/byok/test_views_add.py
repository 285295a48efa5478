"""Adding a key: choosing the provider, pasting the secret, and all that can be wrong with it."""

import re

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from byok.actions import add_key
from byok.catalogue import version
from byok.models import ProviderKey
from byok.providers import PROVIDERS
from byok.vault import Secret
from orgs.origin import Origin
from tests.byok.conftest import ANTHROPIC_SECRET, OPENAI_SECRET, by_htmx, text_of

ADD = "/account/byok/add/"


def told(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def options_of(response) -> list[tuple[str, str, bool]]:
    """The providers one can choose: id, what is written, whether it can be chosen."""
    found = re.findall(r'<option value="([a-z-]+)"([^>]*)>([^<]*)<', response.content.decode())
    return [(value, label, "disabled" not in state) for value, state, label in found]


# Choosing ----------------------------------------------------------------------------------


def test_providers_stand_in_alphabetical_order(owner_client):
    labels = [label for _, label, _ in options_of(owner_client.get(ADD))]
    assert labels == sorted((provider.name for provider in PROVIDERS.values()), key=str.lower)


def test_a_configured_provider_is_marked_and_cannot_be_chosen(owner_client, anthropic_key):
    options = {value: (label, free) for value, label, free in options_of(owner_client.get(ADD))}
    assert options["anthropic"] == ("Anthropic (configured)", False)
    assert options["openai"] == ("OpenAI", True)


def test_without_a_choice_there_is_no_field_for_a_secret(owner_client):
    assert 'name="secret"' not in owner_client.get(ADD).content.decode()


def test_without_javascript_choosing_leads_to_a_page_with_the_providers_form(owner_client):
    page = owner_client.get(ADD, {"provider": "deepseek"})
    assert page.templates[0].name == "byok/add.html"
    assert "DeepSeek API key" in text_of(page)
    assert '<option value="deepseek" selected' in page.content.decode()


def test_with_htmx_choosing_swaps_in_only_the_providers_part(owner_client):
    part = owner_client.get(ADD, {"provider": "deepseek"}, headers=by_htmx("chosen"))
    content = part.content.decode().strip()
    assert content.startswith('<div class="stack" id="chosen">')
    assert "<select" not in content
    assert "<html" not in content


def test_with_htmx_it_opens_as_a_dialog(owner_client):
    part = owner_client.get(ADD, headers=by_htmx()).content.decode()
    assert "<dialog" in part
    assert "<html" not in part


def test_the_form_links_to_where_the_provider_issues_keys_and_makes_its_promise(owner_client):
    page = owner_client.get(ADD, {"provider": "openai"})
    assert PROVIDERS["openai"].console_url in page.content.decode()
    assert "Get a key from OpenAI" in text_of(page)
    assert "Nobody can view it again, you included" in text_of(page)
    assert "Matching is automatic" in text_of(page)


def test_a_direct_provider_warns_that_its_own_entry_has_to_be_chosen(owner_client):
    text = text_of(owner_client.get(ADD, {"provider": "zai-coding"}))
    assert "Only calls for a model whose name begins with zai-coding/ use this key" in text
    assert "zai-coding/glm-4.7" in text
    assert "Matching is automatic" not in text


def test_a_configured_provider_in_the_address_leads_to_its_key(owner_client, anthropic_key):
    page = owner_client.get(ADD, {"provider": "anthropic"})
    assert "You have added a key for Anthropic already." in text_of(page)
    assert 'name="secret"' not in page.content.decode()


def test_when_every_provider_is_configured_it_says_so(owner, account, owner_client):
    for provider in PROVIDERS:
        add_key(
            actor=owner,
            account=account,
            provider=provider,
            secret=Secret(f"{provider}-" + "x" * 30),
            origin=Origin(),
        )
    assert "Every provider is set up" in text_of(owner_client.get(ADD))


@pytest.mark.parametrize("provider", ["", "nobody", "../admin", "<script>"])
def test_an_unknown_provider_in_the_address_is_no_choice(owner_client, provider):
    page = owner_client.get(ADD, {"provider": provider})
    assert page.status_code == 200
    assert 'name="secret"' not in page.content.decode()


# Saving ------------------------------------------------------------------------------------


def post(client, secret: str, provider: str = "anthropic", htmx: bool = False, **more: str):
    data = {"provider": provider, "secret": secret, **more}
    return client.post(ADD, data, headers=by_htmx() if htmx else {})


def test_a_saved_key_appears_and_its_test_is_offered(owner_client, keys_url):
    answer = post(owner_client, ANTHROPIC_SECRET)
    key = ProviderKey.objects.get()
    assert answer.status_code == 302
    assert answer.url == f"{keys_url}?saved={key.pk}#key-{key.pk}"
    assert told(answer) == ["The Anthropic key is saved and in use. Test it to be sure."]
    assert "Test it now" in text_of(owner_client.get(answer.url))


def test_with_htmx_the_list_is_swapped_and_a_toast_comes_along(owner_client):
    answer = post(owner_client, ANTHROPIC_SECRET, htmx=True)
    content = answer.content.decode()
    assert answer.status_code == 200
    assert 'id="keys" data-flush hx-swap-oob="true"' in content
    assert "Test it now" in text_of(answer)
    assert "The Anthropic key is saved and in use." in text_of(answer)
    assert 'hx-swap-oob="beforeend:#toasts"' in content
    assert "<dialog" not in content


def test_with_htmx_on_another_page_one_is_taken_to_the_list(owner_client, keys_url):
    headers = by_htmx(on="/account/byok/add/")
    data = {"provider": "anthropic", "secret": ANTHROPIC_SECRET}
    answer = owner_client.post(ADD, data, headers=headers)
    assert answer["HX-Redirect"].startswith(f"{keys_url}?saved=")


def test_what_surrounds_a_pasted_key_is_trimmed(owner_client):
    post(owner_client, f'  "{ANTHROPIC_SECRET}"\r\n')
    assert ProviderKey.objects.get().secret.unseal() == Secret(ANTHROPIC_SECRET)


REFUSED = [
    ("", "Paste the key here."),
    ("   ", "Paste the key here."),
    (f"Bearer {ANTHROPIC_SECRET}", "Leave out the word “Bearer”"),
    (f"x-api-key: {ANTHROPIC_SECRET}", "Leave out the name of the header"),
    (f"ANTHROPIC_API_KEY={ANTHROPIC_SECRET}", "Leave out the name in front of the equals sign"),
    ("sk-ant-api03-canary canary-canary-canary", "contains a space"),
    ("sk-ant-api03-canary\ncanary-canary", "contains a line break"),
    ("sk-ant-api03-canary\x00canary-canary", ""),
    ("sk-ant-…nary", "This is a shortened display"),
    ("sk-ant-api03-canary-cánary-canary", "a character that no key has"),
    ("canary" * 1000, "longer than 4,096 characters"),
]


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(("typed", "reason"), REFUSED)
def test_what_cannot_be_a_key_is_refused_with_a_reason_and_never_repeated(
    typed, reason, htmx, owner_client
):
    answer = post(owner_client, typed, htmx=htmx)
    assert answer.status_code == 422
    assert reason in text_of(answer)
    assert not ProviderKey.objects.exists()
    assert "canary" not in answer.content.decode()
    assert ANTHROPIC_SECRET not in answer.content.decode()


def test_with_htmx_only_the_verdict_is_swapped_so_that_the_field_keeps_what_was_typed(
    owner_client,
):
    answer = post(owner_client, "Bearer x", htmx=True)
    assert (answer["HX-Retarget"], answer["HX-Reswap"]) == ("#verdict", "innerHTML")
    assert "<input" not in answer.content.decode()


def test_a_key_of_another_company_is_doubted_and_saved_if_one_insists(owner_client):
    answer = post(owner_client, OPENAI_SECRET)
    assert answer.status_code == 422
    assert "This looks like an OpenAI key, not an Anthropic one." in text_of(answer)
    assert "Save it anyway" in text_of(answer)
    assert not ProviderKey.objects.exists()
    assert OPENAI_SECRET not in answer.content.decode()

    assert post(owner_client, OPENAI_SECRET, insist="on").status_code == 302
    assert ProviderKey.objects.get().secret.unseal() == Secret(OPENAI_SECRET)


def test_insisting_does_not_help_what_cannot_be_a_key(owner_client):
    assert post(owner_client, "Bearer x", insist="on").status_code == 422
    assert not ProviderKey.objects.exists()


def test_a_secret_saved_before_in_this_account_is_doubted(owner_client, anthropic_key):
    answer = post(owner_client, ANTHROPIC_SECRET, provider="openai")
    assert answer.status_code == 422
    assert "This key is saved already in Anthropic." in text_of(answer)
    assert post(owner_client, ANTHROPIC_SECRET, "openai", insist="on").status_code == 302


def test_a_second_key_for_a_provider_is_refused_with_what_to_do(owner_client, anthropic_key):
    answer = post(owner_client, "sk-ant-api03-another-0123456789abcdefgh", htmx=True)
    assert answer.status_code == 422
    assert "You have added a key for Anthropic already. Update that one instead." in text_of(answer)
    answer = post(owner_client, "sk-ant-api03-another-0123456789abcdefgh")
    assert answer.status_code == 422
    assert "You have added a key for Anthropic already. Update that one" in text_of(answer)
    assert ProviderKey.objects.get().secret.unseal() == Secret(ANTHROPIC_SECRET)


def test_saving_for_an_unknown_provider_is_not_found(owner_client):
    assert post(owner_client, ANTHROPIC_SECRET, provider="nobody").status_code == 404
    assert not ProviderKey.objects.exists()


def test_no_other_field_of_the_key_can_be_set(owner_client, owner, stranger):
    post(
        owner_client,
        ANTHROPIC_SECRET,
        enabled="false",
        managed_by="someone",
        account=str(stranger.account.pk),
        created_by=str(stranger.pk),
        health="works",
        on_failure="balance",
    )
    key = ProviderKey.objects.get()
    assert (key.enabled, key.managed_by, key.health) == (True, "", "untested")
    assert key.on_failure == ProviderKey.OnFailure.ERROR
    assert (key.account, key.created_by) == (owner.account, owner)


# Models ------------------------------------------------------------------------------------


def test_supported_models_are_searched_by_name_and_by_id(owner_client):
    url = reverse("byok:models", kwargs={"provider": "anthropic"})
    by_name = text_of(owner_client.get(url, {"q": "HAIKU 4.5"}, headers=by_htmx("model-list")))
    assert by_name == "Claude Haiku 4.5 anthropic/claude-haiku-4.5"
    by_id = text_of(owner_client.get(url, {"q": "claude-haiku-4.5"}, headers=by_htmx("model-list")))
    assert by_id == by_name
    nothing = owner_client.get(url, {"q": "gemini"}, headers=by_htmx("model-list"))
    assert text_of(nothing) == "No model matches."


def test_without_javascript_supported_models_are_a_page_of_their_own(owner_client):
    url = reverse("byok:models", kwargs={"provider": "anthropic"})
    page = owner_client.get(url, {"q": '"><script>'})
    assert "Models of Anthropic" in text_of(page)
    assert 'value="&quot;&gt;&lt;script&gt;"' in page.content.decode()
    assert owner_client.get(reverse("byok:models", kwargs={"provider": "no"})).status_code == 404


def test_a_model_that_staff_took_out_is_not_listed(owner_client):
    from byok.models import Offering

    url = reverse("byok:models", kwargs={"provider": "anthropic"})
    Offering.objects.filter(provider="anthropic", model="anthropic/claude-haiku-4.5").update(
        enabled=False
    )
    version.changed()
    assert "claude-haiku-4.5" not in text_of(owner_client.get(url))
