"""An organization's dashboard: everybody's usage for some, one's own for the others."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from byok.models import KeyTest, ProviderKey
from orgs.actions import create_token, invite
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from tests.conftest import person, signed_in
from tests.site.conftest import MakeCall, MakeKey

URL = "/orgs/acme/"
HTMX = {"HX-Request": "true"}

MakeCallOf = Callable[..., None]


@pytest.fixture
def acme_key(organization: Account, make_key: MakeKey) -> MakeKey:
    """A key of Acme."""

    def make(*args, **fields) -> ProviderKey:
        key = make_key(*args, **fields)
        ProviderKey.objects.filter(pk=key.pk).update(account=organization)
        return key

    return make


@pytest.fixture
def call_of(organization: Account, make_call: MakeCall) -> MakeCallOf:
    """A call that a person made for Acme."""

    def make(user: User, **fields) -> None:
        make_call(account_id=organization.pk, user_id=user.pk, **fields)

    return make


def text(client: Client, url: str = URL) -> str:
    return client.get(url).content.decode()


def titles(client: Client) -> list[str]:
    return [step.title for step in client.get(URL).context["steps"]]


def mark(client: Client) -> str:
    return str(client.get(URL).context["mark"])


@pytest.mark.parametrize("who", ["owner", "billing_manager"])
def test_who_may_see_everyones_usage_sees_it(
    organization, owner, member, make_call, call_of, request, who
):
    call_of(owner, market_micros=1_000_000)
    call_of(member, market_micros=2_000_000)
    make_call(market_micros=4_000_000)  # The owner's personal one.
    client = signed_in(request.getfixturevalue(who))
    response = client.get(URL)
    assert response.context["totals"].requests == 2
    page = response.content.decode()
    assert "What everybody used in Acme" in page
    assert "$3.00" in page
    assert {call.caller for call in response.context["calls"]} == {owner.email, member.email}
    assert member.email in page


def test_a_member_sees_only_their_own_calls(organization, owner, member, member_client, call_of):
    call_of(owner, market_micros=7_770_000, model="openai/secret-project")
    call_of(member, market_micros=2_000_000)
    response = member_client.get(URL)
    assert response.context["totals"].requests == 1
    page = response.content.decode()
    assert "What you used in Acme" in page
    assert "secret-project" not in page
    assert owner.email not in page
    assert "$7.77" not in page


def test_a_member_whose_colleagues_have_called_still_takes_first_steps(
    organization, owner, member_client, call_of
):
    call_of(owner)
    assert titles(member_client) == ["A provider key", "Create an API token", "Make the first call"]
    assert mark(member_client) == "000"


@pytest.mark.parametrize("url", [URL, f"{URL}?days=30", f"{URL}?show=cost"])
@pytest.mark.parametrize("who", ["stranger", "staff"])
def test_strangers_find_nothing(organization, owner, call_of, request, who, url):
    call_of(owner)
    client = signed_in(request.getfixturevalue(who))
    assert client.get(url).status_code == 404
    assert client.get(url, headers=HTMX).status_code == 404


def test_a_visitor_signs_in_first(organization, client):
    assert client.get(URL)["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize(
    ("who", "steps"),
    [
        (
            "owner",
            [
                "Add a provider key",
                "Test it",
                "Invite people",
                "Create an API token",
                "Make the first call",
            ],
        ),
        (
            "billing_manager",
            ["Add a provider key", "Test it", "Create an API token", "Make the first call"],
        ),
        ("member", ["A provider key", "Create an API token", "Make the first call"]),
    ],
)
def test_first_steps_are_those_that_a_role_may_take(organization, request, who, steps):
    client = signed_in(request.getfixturevalue(who))
    assert titles(client) == steps
    page = text(client)
    assert "Welcome to Acme" in page
    for step in client.get(URL).context["steps"]:
        assert client.get(step.url).status_code == 200, step.title
    assert (reverse("byok:add", args=["acme"]) in page) == (who != "member")
    assert ("An owner or a billing manager of Acme adds it." in page) == (who == "member")


def test_steps_tick_themselves_off(organization, owner, owner_client, acme_key):
    Membership.objects.filter(account=organization).exclude(user=owner).delete()
    assert mark(owner_client) == "00000"
    key = acme_key()
    assert mark(owner_client) == "10000"
    KeyTest.objects.create(key=key, state=KeyTest.State.PASSED, finished_at=timezone.now())
    assert mark(owner_client) == "11000"
    invite(actor=owner, account=organization, email="n@example.com", role="member", origin=Origin())
    assert mark(owner_client) == "11100"
    create_token(actor=owner, account=organization, name="ci", origin=Origin())
    assert mark(owner_client) == "11110"


def test_the_token_of_a_colleague_ticks_nothing(organization, owner, member, member_client):
    create_token(actor=owner, account=organization, name="ci", origin=Origin())
    create_token(actor=member, account=member.account, name="own", origin=Origin())
    assert mark(member_client) == "000"


def test_the_open_page_asks_the_organization_again(organization, member_client, acme_key):
    assert f'hx-get="{URL}?done=000"' in text(member_client)
    assert member_client.get(URL, {"done": "000"}, headers=HTMX).status_code == 204
    acme_key()
    fragment = member_client.get(URL, {"done": "000"}, headers=HTMX).content.decode()
    assert "1 of 3 done" in fragment


def test_the_last_step_leads_to_the_organizations_dashboard(
    organization, member, member_client, acme_key, call_of
):
    acme_key()
    create_token(actor=member, account=organization, name="ci", origin=Origin())
    call_of(member)
    fragment = member_client.get(URL, {"done": "110"}, headers=HTMX).content.decode()
    assert "hx-trigger" not in fragment
    assert f'href="{URL}"' in fragment


def test_the_health_of_keys_is_for_those_who_manage_them(
    organization, owner, billing_manager, member, acme_key, call_of
):
    key = acme_key(
        "openai", health=ProviderKey.Health.FAILING, health_message="OpenAI rejected it."
    )
    acme_key("deepseek", enabled=False)
    for user in (owner, billing_manager, member):
        call_of(user, provider="openai", provider_key_id=key.pk)
        page = text(signed_in(user))
        knows = user != member
        assert "OpenAI" in page
        assert ("OpenAI rejected it." in page) == knows
        assert ("sk-…cdef" in page) == knows
        assert ("DeepSeek" in page) == knows
        assert ("Manage keys" in page) == knows
        assert ("key is failing" in page) == knows


def test_without_a_key_a_member_is_told_who_can_add_one(
    organization, member, member_client, call_of
):
    call_of(member)
    page = text(member_client)
    assert "An owner or a billing manager can add one." in page
    assert reverse("byok:add", args=["acme"]) not in page


def test_a_caller_whose_account_is_gone_is_a_dash(organization, owner_client, call_of):
    leaver = person("leaver")
    call_of(leaver)
    call_of(leaver, outcome="byok_no_credit", status=403)
    leaver.delete()
    response = owner_client.get(URL)
    assert [call.caller for call in response.context["calls"]] == ["", ""]


def test_the_personal_dashboard_names_nobody(owner, owner_client, account, make_call):
    make_call(user_id=owner.pk)
    assert '<th scope="col">Member</th>' not in text(owner_client, "/dashboard/")


@pytest.mark.parametrize("who", ["owner", "billing_manager", "member"])
def test_the_number_of_queries_does_not_grow(
    organization, request, call_of, acme_key, who, django_assert_max_num_queries
):
    user = request.getfixturevalue(who)
    client = signed_in(user)
    client.get(URL)  # The first visit of a session is written down.
    with django_assert_max_num_queries(12):
        client.get(URL)
    call_of(user)
    acme_key("novita")
    with django_assert_max_num_queries(12) as few:
        client.get(URL)
    for number in range(8):
        colleague = person(f"colleague{number}")
        Membership.objects.create(account=organization, user=colleague, role="member")
        call_of(colleague)
        call_of(user, days_ago=number)
    for provider in ("anthropic", "openai", "deepseek"):
        acme_key(provider)
    with django_assert_max_num_queries(12) as many:
        client.get(URL, {"days": "30"})
    assert len(many) == len(few)
