"""What members and API tokens may spend of a balance: who says so, and where it shows."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from orgs.actions import (
    MemberGone,
    TokenGone,
    create_token,
    limit_member_spending,
    limit_members_spending,
    limit_token_spending,
    remove_member,
    revoke_token,
)
from orgs.models import Account, ApiToken, AuditEvent, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.billing.wallets import Payer, credited
from tests.conftest import signed_in

MEMBERS = reverse("orgs:members", args=["acme"])
FOR_ALL = reverse("orgs:members_spending", args=["acme"])
DOLLAR = 1_000_000
BAD = pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("-5", "such as 20 or 2.50"),
        ("5 dollars", "such as 20 or 2.50"),
        ("1e9", "such as 20 or 2.50"),
        ("Infinity", "such as 20 or 2.50"),
        ("1,00", "such as 20 or 2.50"),
        ("0.1234567", "6 decimals at most"),
        ("1000001", "Enter $1,000,000 at most."),
        ("9" * 40, "Enter $1,000,000 at most."),
    ],
)
GOOD = pytest.mark.parametrize(
    ("typed", "micros"),
    [("5", 5 * DOLLAR), ("$1,234.50", 1_234_500_000), (".000001", 1), ("0", 0), ("", None)],
)

pytestmark = pytest.mark.django_db


def text(response) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", response.content.decode())).split())


def of_member(membership: Membership) -> str:
    return reverse("orgs:member_spending", args=["acme", membership.pk])


def of_token(token: ApiToken, slug: str = "acme") -> str:
    return reverse("orgs:token_spending", kwargs={"slug": slug, "id": token.pk})


def row_of(client: Client, user: User) -> str:
    """The line of the list of members about this person."""
    page = client.get(MEMBERS).content.decode()
    rows = re.findall(r'<tr id="member-.*?</tr>', page, re.DOTALL)
    [row] = [row for row in rows if user.email in row]
    return " ".join(re.sub("<[^>]+>", " ", row).split())


def _listed(client: Client):
    return client.get(MEMBERS).context["page"].members


def spend(account: Account, token: ApiToken, micros: int) -> None:
    Payer(account.pk, token.user_id, token.pk).call(micros, micros)


@pytest.fixture
def membership(organization, member) -> Membership:
    return Membership.objects.get(account=organization, user=member)


@pytest.fixture
def token(organization, member) -> ApiToken:
    return create_token(actor=member, account=organization, name="laptop", origin=Origin())[0]


@GOOD
def test_a_limit_for_each_member_is_set_exactly_as_typed(
    billing_manager_client, organization, typed, micros
):
    Account.objects.filter(pk=organization.pk).update(member_daily_limit_micros=7)
    assert billing_manager_client.post(FOR_ALL, {"daily_limit": typed})["Location"] == MEMBERS
    organization.refresh_from_db()
    assert organization.member_daily_limit_micros == micros


@GOOD
def test_a_members_own_limit_is_set_exactly_as_typed(
    billing_manager_client, membership, typed, micros
):
    Membership.objects.filter(pk=membership.pk).update(daily_limit_micros=7)
    url = of_member(membership)
    assert billing_manager_client.post(url, {"daily_limit": typed})["Location"] == MEMBERS
    membership.refresh_from_db()
    assert membership.daily_limit_micros == micros


@GOOD
def test_a_limit_of_ones_own_token_is_set_exactly_as_typed(member_client, token, typed, micros):
    ApiToken.objects.update(monthly_limit=7)
    response = member_client.post(of_token(token), {"monthly_limit": typed})
    assert response["Location"] == reverse("orgs:tokens", args=["acme"])
    token.refresh_from_db()
    assert token.monthly_limit == micros


@GOOD
def test_a_token_is_made_with_a_limit(member_client, organization, typed, micros):
    url = reverse("orgs:token_create", args=["acme"])
    assert member_client.post(url, {"name": "ci", "monthly_limit": typed}).status_code == 200
    assert ApiToken.objects.get().monthly_limit == micros


@BAD
def test_what_is_no_amount_is_refused_in_words(
    organization, membership, token, owner_client, member_client, typed, said
):
    create = reverse("orgs:token_create", args=["acme"])
    for client, url, field in (
        (owner_client, FOR_ALL, "daily_limit"),
        (owner_client, of_member(membership), "daily_limit"),
        (member_client, of_token(token), "monthly_limit"),
        (member_client, create, "monthly_limit"),
    ):
        answer = client.post(url, {"name": "ci", field: typed})
        assert answer.status_code == 422, url
        assert said in text(answer)
    assert organization.member_daily_limit_micros is None
    assert not Membership.objects.exclude(daily_limit_micros=None).exists()
    assert ApiToken.objects.get().monthly_limit is None


@pytest.mark.parametrize(
    ("who", "may"),
    [
        ("owner", True),
        ("billing_manager", True),
        ("member", False),
        ("stranger", False),
        ("staff", False),
    ],
)
def test_those_who_manage_billing_limit_members_and_nobody_else(
    organization, membership, request, who, may
):
    actor = request.getfixturevalue(who)

    def limit_all() -> bool:
        return limit_members_spending(
            actor=actor, account=organization, daily_limit_micros=DOLLAR, origin=Origin()
        )

    def limit_one() -> bool:
        return limit_member_spending(
            actor=actor, membership=membership, daily_limit_micros=DOLLAR, origin=Origin()
        )

    for limit in (limit_all, limit_one):
        if may:
            assert limit()
            assert not limit(), "the second time nothing changes"
        else:
            with pytest.raises(NotPermitted):
                limit()
    client = signed_in(actor)
    status = 200 if may else 403 if who == "member" else 404
    assert client.get(FOR_ALL).status_code == status
    assert client.get(of_member(membership)).status_code == status
    if who in {"owner", "billing_manager", "member"}:
        assert (of_member(membership) in client.get(MEMBERS).content.decode()) is may


def test_a_personal_account_has_no_members_to_limit(owner, account):
    with pytest.raises(NotPermitted):
        limit_members_spending(
            actor=owner, account=account, daily_limit_micros=DOLLAR, origin=Origin()
        )
    with pytest.raises(MemberGone):
        limit_member_spending(
            actor=owner,
            membership=Membership.objects.get(account=account),
            daily_limit_micros=DOLLAR,
            origin=Origin(),
        )


def test_who_left_cannot_be_limited(owner, membership):
    remove_member(actor=owner, membership=membership, origin=Origin())
    with pytest.raises(MemberGone):
        limit_member_spending(
            actor=owner, membership=membership, daily_limit_micros=DOLLAR, origin=Origin()
        )


@pytest.mark.parametrize("who", ["owner", "stranger", "staff"])
def test_nobody_limits_the_token_of_another(token, request, who):
    actor = request.getfixturevalue(who)
    with pytest.raises(NotPermitted):
        limit_token_spending(actor=actor, token=token, monthly_limit=0, origin=Origin())
    assert signed_in(actor).get(of_token(token)).status_code == 404


def test_a_revoked_token_has_no_limit_to_change(token, member, member_client):
    revoke_token(actor=member, token=token, origin=Origin())
    assert member_client.get(of_token(token)).status_code == 404
    with pytest.raises(TokenGone):
        limit_token_spending(actor=member, token=token, monthly_limit=0, origin=Origin())


def test_each_change_is_told_in_dollars(owner, member, organization, membership, token):
    limit_members_spending(
        actor=owner, account=organization, daily_limit_micros=5 * DOLLAR, origin=Origin()
    )
    limit_member_spending(
        actor=owner, membership=membership, daily_limit_micros=2_500_000, origin=Origin()
    )
    limit_token_spending(actor=member, token=token, monthly_limit=20 * DOLLAR, origin=Origin())
    told = AuditEvent.objects.for_account(organization.pk).order_by("-sequence")[:3]
    assert [str(event) for event in reversed(told)] == [
        "owner@example.com changed what each member may spend",
        "owner@example.com changed what member@example.com may spend",
        f"member@example.com changed what the API token {token} may spend",
    ]
    client = signed_in(owner)
    for event, said in zip(
        reversed(told),
        (
            "Daily limit for each member $5.00 Previous daily limit for each member none",
            "Daily limit $2.50 Previous daily limit none",
            "Monthly limit $20.00 Previous monthly limit none",
        ),
        strict=True,
    ):
        url = reverse("orgs:activity_event", args=["acme", event.sequence])
        assert said in text(client.get(url))


def test_the_list_shows_what_applies_and_what_was_spent_today(
    organization, membership, member, token, owner, owner_client
):
    credited(organization.pk, 20 * DOLLAR)
    spend(organization, token, 1_250_000)
    Payer(organization.pk, member.pk, token.pk).reserve(250_000)
    limit_members_spending(
        actor=owner, account=organization, daily_limit_micros=5 * DOLLAR, origin=Origin()
    )
    assert "$5.00 $1.5000 today" in row_of(owner_client, member), "what is held counts"
    limit_member_spending(actor=owner, membership=membership, daily_limit_micros=0, origin=Origin())
    assert "$0.00 $1.5000 today" in row_of(owner_client, member), "nothing is a limit too"
    assert "$5.00" in row_of(owner_client, owner)
    assert "Spent today: $1.5000 ." in text(owner_client.get(of_member(membership)))
    page = owner_client.get(reverse("orgs:member", args=["acme", membership.pk]))
    assert "$0.00 of the balance · $1.5000 spent today" in text(page)


def test_members_see_their_own_spending_and_not_that_of_others(
    organization, owner, member, membership, token, member_client, owner_client
):
    limit_members_spending(
        actor=owner, account=organization, daily_limit_micros=7 * DOLLAR, origin=Origin()
    )
    credited(organization.pk, 20 * DOLLAR)
    spend(organization, token, DOLLAR)
    own, _ = create_token(actor=owner, account=organization, name="ci", origin=Origin())
    spend(organization, own, 3 * DOLLAR)
    assert "$1.0000 today" in row_of(member_client, member)
    assert "$7.00" in row_of(member_client, member)
    assert "today" not in row_of(member_client, owner)
    assert "$" not in row_of(member_client, owner)
    assert row_of(member_client, owner).endswith("None –"), "which is not the same"
    told = {each.membership.user_id: each.daily_limit for each in _listed(member_client)}
    assert told.pop(member.pk) == 7 * DOLLAR
    assert set(told.values()) == {None}
    assert "$7.00" in row_of(owner_client, member)


def test_yesterday_and_last_month_are_over(organization, owner, member, token, member_client):
    credited(organization.pk, 20 * DOLLAR)
    payer = Payer(organization.pk, member.pk, token.pk)
    payer.resolve(payer.reserve(DOLLAR, at=timezone.now() - timedelta(days=32)), DOLLAR)
    assert "today" not in row_of(member_client, member)
    shown = text(member_client.get(reverse("orgs:tokens", args=["acme"])))
    assert "$1.0000" not in shown


def test_tokens_show_their_limit_and_what_they_spent_this_month(
    organization, member, token, member_client
):
    credited(organization.pk, 20 * DOLLAR)
    spend(organization, token, 1_234_567)
    limit_token_spending(actor=member, token=token, monthly_limit=20 * DOLLAR, origin=Origin())
    page = member_client.get(reverse("orgs:tokens", args=["acme"])).content.decode()
    [row] = re.findall(rf'<tr id="token-{token.pk}">.*?</tr>', page, re.DOTALL)
    told = " ".join(re.sub("<[^>]+>", " ", row).split())
    assert "$20.00 a month" in told
    assert told.endswith("$1.2346")
    assert "Spent this month: $1.234567 ." in text(member_client.get(of_token(token)))


def test_a_member_is_told_what_they_may_spend(organization, owner, member_client):
    limit_members_spending(
        actor=owner, account=organization, daily_limit_micros=5 * DOLLAR, origin=Origin()
    )
    shown = text(member_client.get(reverse("orgs:tokens", args=["acme"])))
    assert "Acme allows you $5.00 of its balance a day." in shown


@pytest.mark.parametrize("path", ["members", "tokens"])
def test_the_lists_take_the_same_few_queries_for_many(
    organization, owner, owner_client, django_assert_max_num_queries, path
):
    for number in range(30):
        create_token(actor=owner, account=organization, name=f"ci {number}", origin=Origin())
    url = reverse(f"orgs:{path}", args=["acme"])
    owner_client.get(url)
    with django_assert_max_num_queries(12):
        owner_client.get(url)


def test_an_old_session_confirms_who_it_is_before_more_is_spent(owner, membership, member, token):
    for user, url in ((owner, FOR_ALL), (owner, of_member(membership)), (member, of_token(token))):
        client = signed_in(user, ago=86_400)
        for answer in (client.get(url), client.post(url, {"daily_limit": "1"})):
            assert answer["Location"].startswith(reverse("account_reauthenticate"))
    assert not Membership.objects.exclude(daily_limit_micros=None).exists()
