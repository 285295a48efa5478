"""Updating, switching, reminding and deleting from the page."""

from datetime import timedelta

import pytest
from django.utils import timezone

from byok.actions import add_key, delete_key
from byok.catalogue import version
from byok.models import Price, ProviderKey
from byok.vault import Secret
from megabrain.simulator.providers import sample_keys
from orgs.models import AuditEvent
from orgs.origin import Origin
from tests.byok.conftest import ANTHROPIC_SECRET, added, address, by_htmx, text_of

NEW_SECRET = "sk-ant-api03-sim-ok-replaced-0123456789"


# Updating ----------------------------------------------------------------------------------


def test_the_update_dialog_says_that_a_key_is_stored_and_shows_none_of_it(
    owner_client, anthropic_key
):
    page = owner_client.get(address("update", anthropic_key))
    assert "sk-ant-api03-…ghij is stored, saved just now." in text_of(page)
    assert "It stays in use until you save another one." in text_of(page)
    assert ANTHROPIC_SECRET not in page.content.decode()
    assert "<select" not in page.content.decode()


def test_an_update_replaces_the_secret_and_offers_a_test(owner_client, anthropic_key, keys_url):
    answer = owner_client.post(address("update", anthropic_key), {"secret": NEW_SECRET})
    assert answer.url == f"{keys_url}?saved={anthropic_key.pk}#key-{anthropic_key.pk}"
    assert ProviderKey.objects.get().secret.unseal() == Secret(NEW_SECRET)
    page = owner_client.get(answer.url)
    assert "The Anthropic key is replaced. Test it to be sure." in text_of(page)
    assert "Test it now" in text_of(page)


def test_an_update_by_htmx_swaps_the_list(owner_client, anthropic_key):
    answer = owner_client.post(
        address("update", anthropic_key), {"secret": NEW_SECRET}, headers=by_htmx()
    )
    assert 'id="keys" data-flush hx-swap-oob="true"' in answer.content.decode()
    assert "The Anthropic key is replaced." in text_of(answer)


def test_an_update_on_the_keys_own_page_leads_back_to_the_list(
    owner_client, anthropic_key, keys_url
):
    answer = owner_client.post(
        address("update", anthropic_key),
        {"secret": NEW_SECRET},
        headers=by_htmx(on=address("details", anthropic_key)),
    )
    assert answer["HX-Redirect"].startswith(keys_url)


@pytest.mark.parametrize("htmx", [False, True])
def test_an_update_with_something_wrong_keeps_the_stored_key(htmx, owner_client, anthropic_key):
    answer = owner_client.post(
        address("update", anthropic_key),
        {"secret": "Bearer canary-canary-canary"},
        headers=by_htmx() if htmx else {},
    )
    assert answer.status_code == 422
    assert "Leave out the word “Bearer”" in text_of(answer)
    assert "canary" not in answer.content.decode()
    assert ProviderKey.objects.get().secret.unseal() == Secret(ANTHROPIC_SECRET)


def test_the_very_same_key_is_doubted(owner_client, anthropic_key):
    answer = owner_client.post(address("update", anthropic_key), {"secret": ANTHROPIC_SECRET})
    assert answer.status_code == 422
    assert "This is the very key that is stored for Anthropic already." in text_of(answer)


def test_the_provider_of_a_key_cannot_be_changed(owner_client, anthropic_key):
    data = {"secret": NEW_SECRET, "provider": "openai"}
    owner_client.post(address("update", anthropic_key), data)
    assert ProviderKey.objects.get().provider == "anthropic"


def test_a_key_that_cannot_be_opened_can_be_entered_again(
    owner_client, anthropic_key, keys_url, settings
):
    page_url = address("update", anthropic_key)
    settings.MEGABRAIN_VAULT_KEYS = "other:MTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3BxcnN0dXY="
    assert "The stored key can no longer be opened" in text_of(owner_client.get(page_url))


# Switching ---------------------------------------------------------------------------------


def test_the_switch_turns_a_key_off_and_on_and_says_what_that_means(
    owner_client, anthropic_key, keys_url
):
    url = address("enabled", anthropic_key)
    answer = owner_client.post(url, {"enabled": "false"}, follow=True)
    assert "The Anthropic key is off: no call uses it until it is switched on again." in text_of(
        answer
    )
    assert not ProviderKey.objects.get().enabled
    answer = owner_client.post(url, {"enabled": "true"}, follow=True)
    assert "The Anthropic key is on: calls it can serve use it again." in text_of(answer)
    assert ProviderKey.objects.get().enabled


def test_the_switch_by_htmx_answers_with_its_row(owner_client, anthropic_key):
    row = f"key-{anthropic_key.pk}"
    answer = owner_client.post(
        address("enabled", anthropic_key), {"enabled": "false"}, headers=by_htmx(row)
    )
    content = answer.content.decode().strip()
    assert content.startswith(f'<tr id="{row}" data-key data-dimmed')
    assert 'aria-checked="false"' in content


def test_pressing_the_switch_in_two_windows_is_one_change(owner_client, anthropic_key):
    for _ in range(2):
        owner_client.post(address("enabled", anthropic_key), {"enabled": "false"})
    assert AuditEvent.objects.filter(event="byok.key.disabled").count() == 1


@pytest.mark.parametrize("value", ["", "off", "null"])
def test_the_switch_takes_only_on_and_off(value, owner_client, anthropic_key):
    answer = owner_client.post(address("enabled", anthropic_key), {"enabled": value})
    assert answer.status_code == 400
    assert ProviderKey.objects.get().enabled


def test_a_switched_off_failing_key_no_longer_alarms_the_frame(owner_client, anthropic_key):
    ProviderKey.objects.update(health=ProviderKey.Health.FAILING, health_code="rejected")
    row = f"key-{anthropic_key.pk}"
    answer = owner_client.post(
        address("enabled", anthropic_key), {"enabled": "false"}, headers=by_htmx(row)
    )
    content = answer.content.decode()
    assert content.count('id="banners"') == content.count('id="nav-alert"') == 1
    assert "key is failing" not in content


# Reminding ---------------------------------------------------------------------------------


def test_a_reminder_is_kept_and_cleared(owner_client, anthropic_key):
    day = timezone.now().date() + timedelta(days=90)
    url = address("reminder", anthropic_key)
    page = owner_client.post(url, {"remind_on": day.isoformat()}, follow=True)
    assert ProviderKey.objects.get().remind_on == day
    assert "will be marked for replacement on" in text_of(page)
    assert f'value="{day.isoformat()}"' in page.content.decode()
    page = owner_client.post(url, {"remind_on": ""}, follow=True)
    assert ProviderKey.objects.get().remind_on is None
    assert "The reminder of the Anthropic key is gone." in text_of(page)


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2001-01-01", "Choose a day in the future."),
        ("soon", "Enter a valid date."),
    ],
)
def test_a_reminder_has_to_be_a_day_to_come(day, reason, owner_client, anthropic_key):
    page = owner_client.post(address("reminder", anthropic_key), {"remind_on": day})
    assert page.status_code == 422
    assert reason in text_of(page)
    assert ProviderKey.objects.get().remind_on is None


# Deleting ----------------------------------------------------------------------------------


def fireworks_and_novita(owner) -> tuple[ProviderKey, ProviderKey]:
    """Two keys that share some models."""
    first, second = (
        add_key(
            actor=owner,
            account=owner.account,
            provider=provider,
            secret=Secret(f"{provider}-" + "x" * 30),
            origin=Origin(),
        )
        for provider in ("fireworks", "novita")
    )
    return first, second


def test_the_delete_dialog_names_the_models_that_no_key_serves_any_more(
    owner_client, anthropic_key
):
    page = text_of(owner_client.get(address("delete", anthropic_key)))
    assert "Served by no other key" in page
    assert "Calls for these models will fail until you have a key in use that can serve" in page
    assert "anthropic/claude-haiku-4.5" in page
    assert "Still served" not in page


@pytest.mark.parametrize("name", ["delete", "disable"])
def test_the_models_that_the_balance_would_pay_for_are_named_apart_from_those_that_would_fail(
    owner, account, owner_client, platform_key, name
):
    """MegaBrain's own keys serve some of the models of this one."""
    key = added(owner, account, "fireworks", "fw_sim-ok_0123456789abcdefghij")
    url = address(name, key)

    def told() -> tuple[set[str], set[str]]:
        consequences = owner_client.get(url).context["consequences"]
        lost, paid = consequences.lost.entries, consequences.paid.entries
        return {model.id for model in lost}, {model.id for model in paid}

    all_models, paid = told()
    assert all_models
    assert not paid
    platform_key("anthropic")
    assert told() == (all_models, set())
    assert "balance" not in text_of(owner_client.get(url))
    platform_key("novita")
    lost, paid = told()
    assert lost
    assert paid
    assert (lost | paid, lost & paid) == (all_models, set())
    page = text_of(owner_client.get(url))
    fails, draws = page.index("Served by no other key"), page.index("Paid from the balance")
    assert "which no other key serves, go out with MegaBrain's own and draw on your balance" in page
    assert all(fails < page.index(id_) < draws for id_ in lost)
    assert all(draws < page.index(id_) for id_ in paid)


def test_what_is_sold_at_no_price_is_not_said_to_draw_on_the_balance(
    owner, account, owner_client, platform_key
):
    key = added(owner, account, "fireworks", "fw_sim-ok_0123456789abcdefghij")
    platform_key("fireworks")
    url = address("delete", key)
    assert owner_client.get(url).context["consequences"].paid
    Price.objects.all().delete()
    version.changed()
    assert not owner_client.get(url).context["consequences"].paid
    assert "balance" not in text_of(owner_client.get(url))


def test_of_a_direct_providers_key_all_is_said_to_fail(owner, account, owner_client, platform_key):
    platform_key("zai-coding")
    key = added(owner, account, "zai-coding", sample_keys()["zai-coding"])
    page = text_of(owner_client.get(address("delete", key)))
    assert "Served by no other key" in page
    assert "balance" not in page


def test_the_delete_dialog_names_the_models_that_another_key_still_serves(owner_client, owner):
    fireworks, _ = fireworks_and_novita(owner)
    consequences = owner_client.get(address("delete", fireworks)).context["consequences"]
    assert consequences.heirs == ["Novita"]
    kept = {model.id for model in consequences.kept.entries}
    lost = {model.id for model in consequences.lost.entries}
    assert kept
    assert not kept & lost


def test_a_key_that_is_off_inherits_nothing(owner_client, owner):
    fireworks, novita = fireworks_and_novita(owner)
    ProviderKey.objects.filter(pk=novita.pk).update(enabled=False)
    consequences = owner_client.get(address("delete", fireworks)).context["consequences"]
    assert (consequences.kept.entries, consequences.heirs) == ([], [])
    assert "It is off, so nothing changes" in text_of(owner_client.get(address("delete", novita)))


def test_deleting_says_that_the_key_stays_valid_at_its_provider(
    owner_client, anthropic_key, keys_url
):
    page = owner_client.post(address("delete", anthropic_key), follow=True)
    assert page.redirect_chain == [(keys_url, 302)]
    assert "It stays valid at Anthropic until you revoke it there." in text_of(page)
    assert "No provider keys yet" in text_of(page)
    assert not ProviderKey.objects.exists()


def test_deleting_by_htmx_swaps_the_list(owner_client, anthropic_key):
    answer = owner_client.post(address("delete", anthropic_key), headers=by_htmx())
    assert 'id="keys" data-flush hx-swap-oob="true"' in answer.content.decode()
    assert "No provider keys yet" in text_of(answer)


def test_looking_at_the_dialog_deletes_nothing(owner_client, anthropic_key):
    owner_client.get(address("delete", anthropic_key))
    owner_client.head(address("delete", anthropic_key))
    assert ProviderKey.objects.exists()


def test_a_key_that_is_gone_is_not_found(owner_client, anthropic_key, owner):
    urls = {name: address(name, anthropic_key) for name in ("update", "delete", "details", "row")}
    delete_key(actor=owner, key=anthropic_key, origin=Origin())
    for url in urls.values():
        assert owner_client.get(url).status_code == 404
    assert owner_client.post(urls["update"], {"secret": NEW_SECRET}).status_code == 404
    assert not ProviderKey.objects.exists()


def test_the_address_of_the_reminder_leads_to_the_page_with_its_form(owner_client, anthropic_key):
    answer = owner_client.get(address("reminder", anthropic_key))
    assert answer["Location"] == address("details", anthropic_key)


def test_an_address_that_only_takes_a_form_says_so_in_a_page(owner_client, anthropic_key):
    answer = owner_client.get(address("test", anthropic_key))
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert 'id="sidebar"' in answer.content.decode()
    assert "Nothing was changed" in text_of(answer)


def test_neither_on_nor_off_is_refused_in_a_page(owner_client, anthropic_key):
    answer = owner_client.post(address("enabled", anthropic_key), {"enabled": "perhaps"})
    assert answer.status_code == 400
    assert "We could not read that request" in text_of(answer)
