"""The frame: who sees which entries and banners."""

import re
import uuid

import pytest
from allauth.account.models import EmailAddress
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from byok.models import ProviderKey
from orgs.access import LAST_ACCOUNT
from orgs.actions import create_organization, remove_member
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from tests.conftest import signed_in
from tests.site.conftest import MakeKey

URL = "/dashboard/"
ACME = "/orgs/acme/"


def entries(client: Client, url: str = URL) -> list[str]:
    frame = client.get(url).context["frame"]
    return [entry.label for group in frame.groups for entry in group.entries]


def titles(client: Client) -> list[str]:
    return [banner.title for banner in client.get(URL).context["frame"].banners]


def test_the_owner_sees_every_entry(owner_client: Client):
    assert entries(owner_client) == [
        "Dashboard",
        "Models",
        "Usage",
        "API tokens",
        "Bring Your Own Key (BYOK)",
        "Billing",
        "Subscription Center",
        "Activity",
        "Profile & security",
        "Docs",
    ]


#: For those who manage billing.
MONEY = {"Billing", "Subscription Center"}


@pytest.mark.parametrize(
    ("who", "more"),
    [
        ("owner", {*MONEY, "Audit log", "Settings"}),
        ("billing_manager", {*MONEY, "Audit log"}),
        ("member", set()),
    ],
)
def test_a_role_sees_only_what_it_may_open(
    organization: Account, request: pytest.FixtureRequest, who: str, more: set[str]
):
    client = signed_in(request.getfixturevalue(who))
    everyones = {
        "Dashboard",
        "Models",
        "Usage",
        "API tokens",
        "Members",
        "Bring Your Own Key (BYOK)",
        "Docs",
    }
    assert set(entries(client, ACME)) == everyones | more
    for group in client.get(ACME).context["frame"].groups:
        for entry in group.entries:
            assert client.get(entry.url).status_code in {200, 302}, entry.label
            assert entry.url.startswith(ACME) or entry.label in {"Models", "Docs"}


@pytest.mark.parametrize(
    "name", ["dashboard", "models", "orgs:tokens", "byok:keys", "billing:balance", "orgs:profile"]
)
def test_the_entry_of_the_page_one_is_on_is_marked(owner_client: Client, name: str):
    page = owner_client.get(reverse(name)).content.decode()
    assert f'href="{reverse(name)}" aria-current="page"' in page


@pytest.mark.parametrize("name", ["dashboard", "orgs:tokens", "byok:keys", "orgs:settings"])
def test_one_entry_is_marked_in_an_organization(
    owner_client: Client, organization: Account, name: str
):
    url = reverse(name, args=["acme"])
    page = owner_client.get(url).content.decode()
    assert re.findall('href="([^"]+)" aria-current="page"', page) == [url]


def test_the_switcher_lists_the_accounts_one_belongs_to(
    owner: User, owner_client: Client, stranger: User, organization: Account
):
    create_organization(actor=stranger, owner=stranger, name="Other", origin=Origin())
    for url, current in ((URL, owner.account.name), (ACME, "Acme")):
        accounts = owner_client.get(url).context["frame"].accounts
        assert [(choice.name, choice.url) for choice in accounts] == [
            (owner.account.name, URL),
            ("Acme", ACME),
        ]
        assert [choice.name for choice in accounts if choice.current] == [current]
        page = owner_client.get(url).content.decode()
        assert f'href="{reverse("orgs:organization_create")}"' in page
        assert 'id="account-filter"' not in page


def test_of_many_accounts_one_is_looked_for(owner: User, owner_client: Client):
    for number in range(10):
        create_organization(actor=owner, owner=owner, name=f"Team {number}", origin=Origin())
    page = owner_client.get(URL).content.decode()
    assert 'data-filter="#accounts"' in page
    assert "Organization · team-7" in page


@pytest.mark.parametrize(
    "name", ["docs", "models", "orgs:profile", "orgs:organization_create", "status"]
)
def test_pages_about_no_account_keep_the_one_visited_last(
    owner_client: Client, organization: Account, name: str
):
    for visited, kept in ((ACME, "Acme"), (URL, "Owner")):
        owner_client.get(visited)
        frame = owner_client.get(reverse(name)).context.get("frame")
        assert frame is None or frame.current.name == kept
    owner_client.get(ACME)
    assert owner_client.get("/")["Location"] == ACME


def test_an_account_one_was_removed_from_is_not_kept(
    owner: User, member: User, member_client: Client, organization: Account
):
    member_client.get(ACME)
    membership = Membership.objects.get(account=organization, user=member)
    remove_member(actor=owner, membership=membership, origin=Origin())
    frame = member_client.get(reverse("orgs:profile")).context["frame"]
    assert frame.current == member.account
    assert [choice.name for choice in frame.accounts] == [member.account.name]
    assert member_client.get("/")["Location"] == URL


def test_a_session_that_names_an_account_of_others_shows_ones_own(
    stranger: User, stranger_client: Client, organization: Account
):
    for left in (organization.pk, stranger.account.pk, uuid.UUID(int=1)):
        session = stranger_client.session
        session[LAST_ACCOUNT] = str(left)
        session.save()
        page = stranger_client.get(reverse("orgs:profile"))
        assert page.context["frame"].current == stranger.account
        assert "Acme" not in page.content.decode()


@pytest.mark.parametrize(
    ("who", "url", "status", "shown"),
    [
        ("member", "/orgs/acme/settings/", 403, "Acme"),
        ("member", "/orgs/acme/nothing/", 404, "Member"),
        ("member", f"/orgs/acme/tokens/{uuid.UUID(int=1)}/revoke/", 404, "Acme"),
        ("stranger", "/orgs/acme/", 404, "Stranger"),
        ("stranger", "/orgs/acme/settings/", 404, "Stranger"),
        ("stranger", "/orgs/none/", 404, "Stranger"),
        ("owner", f"/orgs/acme/members/invitations/{uuid.UUID(int=1)}/resend/", 405, "Owner"),
    ],
)
def test_an_error_page_has_a_frame_that_leads_somewhere(
    organization: Account, request: pytest.FixtureRequest, who, url, status, shown
):
    response = signed_in(request.getfixturevalue(who)).get(url)
    assert response.status_code == status
    page = response.content.decode()
    assert f"<strong>{shown}</strong>" in page.split("<summary>")[1].split("</summary>")[0]
    assert ("Acme" in page) == (who != "stranger")


def test_switching_costs_little(
    owner: User, owner_client: Client, organization: Account, django_assert_num_queries
):
    """Of a page of an organization: no more queries than of the same personal page."""
    for name in ("orgs:tokens", "orgs:profile"):
        owner_client.get(URL)
        owner_client.get(reverse(name))
        with CaptureQueriesContext(connection) as personal:
            owner_client.get(reverse(name))
        owner_client.get(ACME)
        url = reverse(name, args=["acme"] if name == "orgs:tokens" else [])
        owner_client.get(url)
        with CaptureQueriesContext(connection) as of_acme:
            owner_client.get(url)
        assert len(of_acme) <= len(personal) <= 12
        for number in range(20):
            create_organization(actor=owner, owner=owner, name=f"{name} {number}", origin=Origin())
        with django_assert_num_queries(len(of_acme)):
            owner_client.get(url)


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


def test_of_many_failing_keys_three_are_named(owner_client: Client, make_key: MakeKey):
    for provider in ("nvidia", "openai", "anthropic", "novita", "neuralwatt"):
        make_key(provider, health=ProviderKey.Health.FAILING)
    assert titles(owner_client) == [
        "Your Anthropic, Neuralwatt, Novita and 2 other keys are failing."
    ]


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


@pytest.mark.parametrize(("who", "led"), [("staff", True), ("owner", False), ("member", False)])
def test_the_menu_leads_staff_to_the_admin(
    organization: Account, request: pytest.FixtureRequest, who: str, led: bool
):
    page = signed_in(request.getfixturevalue(who)).get(URL).content.decode()
    assert ('href="/admin/"' in page) == led
