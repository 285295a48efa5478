"""The frame: who sees which entries and banners."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse

from byok.models import ProviderKey
from orgs.models import Account, Membership, User
from tests.site.conftest import MakeKey

URL = "/dashboard/"


def entries(client: Client) -> list[str]:
    frame = client.get(URL).context["frame"]
    return [entry.label for group in frame.groups for entry in group.entries]


def titles(client: Client) -> list[str]:
    return [banner.title for banner in client.get(URL).context["frame"].banners]


def test_the_owner_sees_every_entry(owner_client: Client):
    assert entries(owner_client) == [
        "Dashboard",
        "API tokens",
        "Bring Your Own Key (BYOK)",
        "Activity",
        "Profile & security",
        "Docs",
    ]


def test_a_role_sees_only_what_it_may_open(owner_client: Client, owner: User, account: Account):
    Membership.objects.filter(user=owner, account=account).update(role=Membership.Role.MEMBER)
    shown = entries(owner_client)
    assert "API tokens" in shown
    assert not {"Activity", "Bring Your Own Key (BYOK)"} & set(shown)


@pytest.mark.parametrize("name", ["dashboard", "orgs:tokens", "byok:keys", "orgs:profile"])
def test_the_entry_of_the_page_one_is_on_is_marked(owner_client: Client, name: str):
    page = owner_client.get(reverse(name)).content.decode()
    assert f'href="{reverse(name)}" aria-current="page"' in page


def test_the_switcher_lists_the_accounts_one_belongs_to(owner_client: Client, owner: User):
    acme = Account.objects.create(kind=Account.Kind.ORGANIZATION, name="Acme", slug="acme")
    Account.objects.create(kind=Account.Kind.ORGANIZATION, name="Other", slug="other")
    Membership.objects.create(account=acme, user=owner, role=Membership.Role.MEMBER)
    accounts = owner_client.get(URL).context["frame"].accounts
    assert [(choice.name, choice.current) for choice in accounts] == [
        (owner.account.name, True),
        ("Acme", False),
    ]


def test_a_calm_account_has_no_banner(owner_client: Client, settings):
    settings.MEGABRAIN_SIMULATOR = False
    assert titles(owner_client) == []


def test_the_simulator_is_announced_on_every_page(owner_client: Client, settings):
    settings.MEGABRAIN_SIMULATOR = True
    assert titles(owner_client) == ["Simulator mode."]


def test_an_unconfirmed_address_is_reminded(owner_client: Client, owner: User):
    EmailAddress.objects.filter(user=owner).update(verified=False)
    assert titles(owner_client) == ["Confirm your e-mail address."]


def test_failing_keys_are_named_until_they_are_off(owner_client: Client, make_key: MakeKey):
    make_key("openai", health=ProviderKey.Health.FAILING)
    key = make_key("anthropic", health=ProviderKey.Health.FAILING)
    make_key("novita", health=ProviderKey.Health.FAILING)
    assert titles(owner_client) == ["Your Anthropic, Novita and OpenAI keys are failing."]
    page = owner_client.get(URL).content.decode()
    assert "Calls that only they can serve fail until they are fixed." in page
    ProviderKey.objects.filter(provider="novita").update(enabled=False)
    assert titles(owner_client) == ["Your Anthropic and OpenAI keys are failing."]
    ProviderKey.objects.filter(pk=key.pk).update(enabled=False)
    assert titles(owner_client) == ["Your OpenAI key is failing."]


def test_another_accounts_keys_make_no_banner(stranger_client: Client, make_key: MakeKey):
    make_key("openai", health=ProviderKey.Health.FAILING)
    assert titles(stranger_client) == []


def test_the_drawer_opens_without_script(owner_client: Client):
    page = owner_client.get(URL).content.decode()
    assert 'popovertarget="sidebar"' in page
    assert re.search('id="sidebar"[^>]* popover>', page)


def test_markup_in_a_name_is_inert(owner_client: Client, owner: User):
    Account.objects.filter(user=owner).update(name='<img src=x onerror="alert(1)">')
    assert b"<img" not in owner_client.get(URL).content
