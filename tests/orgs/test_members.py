"""The pages of members: the list, one member, and the end of a membership."""

import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import UsageRecord
from orgs.actions import create_organization, create_token
from orgs.models import Account, ApiToken, AuditEvent, Invitation, Membership, User
from orgs.models.invitations import VALID_FOR
from orgs.origin import Origin
from tests.conftest import signed_in

MEMBERS = "/orgs/acme/members/"
LEAVE = "/orgs/acme/leave/"
HTMX = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{MEMBERS}"}
DIALOG = {**HTMX, "HX-Target": "dialogs"}

pytestmark = pytest.mark.usefixtures("organization")


def page(response) -> str:
    return unescape(response.content.decode())


def listed(told: str) -> list[str]:
    members = told.partition("Members, by e-mail address")[2]
    return re.findall(r">([^<>]+@example\.com)</(?:a|span)>", members)


def membership_of(user: User, slug: str = "acme") -> Membership:
    return Membership.objects.get(user=user, account__slug=slug)


def url(name: str, user: User, **more) -> str:
    place = {"slug": "acme", "id": membership_of(user).pk, **more}
    return reverse(f"orgs:{name}", kwargs=place)


def token_of(user: User, account: Account, name: str = "laptop") -> ApiToken:
    return create_token(actor=user, account=account, name=name, origin=Origin())[0]


def old_session(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def fill(account: Account, count: int) -> None:
    """Many more members."""
    people = User.objects.bulk_create(
        User(email=f"person{number:05}@example.com", name=f"Person {number}")
        for number in range(count)
    )
    Membership.objects.bulk_create(
        Membership(account=account, user=person, role=Membership.Role.MEMBER) for person in people
    )


def invited(account: Account, *emails: str, **fields) -> list[Invitation]:
    return Invitation.objects.bulk_create(
        Invitation(
            account=account,
            email=email,
            digest=uuid.uuid4().hex,
            **{
                "role": Membership.Role.MEMBER,
                "expires_at": timezone.now() + VALID_FOR,
                "sent_at": timezone.now(),
                **fields,
            },
        )
        for email in emails
    )


# The list --------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "billing_manager", "member"])
def test_every_member_sees_who_is_here_and_only_owners_manage_them(role, organization, request):
    user = request.getfixturevalue(role)
    invited(organization, "new@example.com")
    told = page(signed_in(user).get(MEMBERS))
    for name in ("owner", "billing_manager", "member"):
        assert f"{name}@example.com" in told
    assert "3 members" in told
    assert reverse("orgs:leave", args=["acme"]) in told
    for owners_only in ("Invite people", "new@example.com", "Manage ", url("member", user) + '"'):
        assert (owners_only in told) == (role == "owner"), owners_only


@pytest.mark.parametrize("person", ["stranger", "staff"])
def test_strangers_do_not_find_it(person, request):
    client = signed_in(request.getfixturevalue(person))
    assert client.get(MEMBERS).status_code == 404
    assert client.get(LEAVE).status_code == 404


def test_a_visitor_is_asked_to_sign_in(client):
    for address in (MEMBERS, LEAVE, "/orgs/acme/members/invite/"):
        assert client.get(address)["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=OWNER@", {"owner"}),
        ("q=billing", {"billing_manager"}),
        ("q=+member++", {"member"}),
        ("q=example.com&role=billing_manager", {"billing_manager"}),
        ("role=owner", {"owner"}),
        ("q=nobody", set()),
        ("q=%25", set()),
        ("q=_manager", {"billing_manager"}),
        ("role=admin", {"owner", "billing_manager", "member"}),
        ("q=" + "a" * 300, {"owner", "billing_manager", "member"}),
        ("q=%00", {"owner", "billing_manager", "member"}),
        ("after=%00", {"owner", "billing_manager", "member"}),
        ("after=zzz", set()),
        ("before=a", {"owner", "billing_manager", "member"}),
    ],
)
def test_people_are_found_by_name_address_and_role(owner_client, query, found):
    response = owner_client.get(f"{MEMBERS}?{query}")
    assert response.status_code == 200
    assert {email.partition("@")[0] for email in listed(page(response))} == found
    assert ("Nobody here" in page(response)) == (not found)


def test_searching_by_htmx_brings_the_list_alone(owner_client):
    told = page(owner_client.get(f"{MEMBERS}?q=owner", headers=HTMX))
    assert told.lstrip().startswith('<div id="people"')
    assert "hx-swap-oob" not in told
    assert "1 member matches" in told


def test_the_search_finds_invitations_too(owner_client, organization):
    invited(organization, "new@example.com", "old@example.com")
    told = page(owner_client.get(f"{MEMBERS}?q=NEW@"))
    assert "new@example.com" in told
    assert "old@example.com" not in told
    assert "new@example.com" not in page(owner_client.get(f"{MEMBERS}?role=owner"))


def test_pages_go_through_everybody_once_and_back(owner_client, organization):
    fill(organization, 117)
    expected = sorted(
        Membership.objects.for_account(organization).values_list("user__email", flat=True)
    )

    def walk(address: str, rel: str) -> list[list[str]]:
        pages = []
        while address:
            told = page(owner_client.get(address))
            pages.append(listed(told))
            link = re.search(rf'rel="{rel}" href="([^"]+)"', told)
            address = link[1] if link else ""
        return pages

    onwards = walk(MEMBERS, "next")
    assert [len(emails) for emails in onwards] == [50, 50, 20]
    assert [email for emails in onwards for email in emails] == expected
    back = walk(f"{MEMBERS}?after={onwards[1][-1]}", "prev")
    assert list(reversed(back)) == onwards


def test_a_search_is_kept_from_page_to_page(owner_client, organization):
    fill(organization, 60)
    told = page(owner_client.get(f"{MEMBERS}?q=person&role=member"))
    link = re.search(r'rel="next" href="([^"]+)"', told)
    assert link
    rest = page(owner_client.get(link[1]))
    assert "60 members match" in rest
    assert rest.count('id="member-') == 10


def test_the_list_takes_the_same_few_queries_for_three_members_and_for_five_thousand(
    owner_client, organization, django_assert_num_queries, django_assert_max_num_queries
):
    owner_client.get(MEMBERS)  # The first page of a session also notes that there is one.
    with django_assert_max_num_queries(12) as few:
        owner_client.get(MEMBERS)
    fill(organization, 5000)
    invited(organization, *(f"new{number}@example.com" for number in range(400)))
    with django_assert_num_queries(len(few)):
        told = page(owner_client.get(MEMBERS))
    assert "person00040@example.com" in told
    assert "5,003 members" in told
    assert "400 open invitations" in told
    with django_assert_max_num_queries(len(few)):
        told = page(owner_client.get(f"{MEMBERS}?after=person02500@example.com"))
    assert "person02501@example.com" in told
    assert "open invitations" not in told, "they stand on the first page"


def test_pages_of_invitations_go_through_all_of_them_once_and_back(owner_client, organization):
    emails = [f"new{number:02}@example.com" for number in range(25)]
    made = invited(organization, *emails)
    for age, invitation in enumerate(made):  # In pairs of one moment.
        created_at = timezone.now() - timedelta(hours=age // 2)
        Invitation.objects.filter(pk=invitation.pk).update(created_at=created_at)
    expected = Invitation.objects.order_by("-created_at", "-pk").values_list("email", flat=True)

    def walk(address: str, rel: str) -> list[list[str]]:
        pages = []
        while address:
            told = page(owner_client.get(address))
            pages.append(re.findall(r'class="address">([^<]+)<', told))
            assert "25 open invitations" in told
            pager = told.partition('aria-label="Pages of invitations"')[2].partition("</nav>")[0]
            link = re.search(rf'rel="{rel}" href="([^"]+)"', pager)
            address = link[1] if link else ""
        return pages

    onwards = walk(f"{MEMBERS}?q=new", "next")
    assert [len(emails) for emails in onwards] == [10, 10, 5]
    assert [email for emails in onwards for email in emails] == [*expected]
    last = Invitation.objects.get(email=onwards[1][-1])
    back = walk(f"{MEMBERS}?q=new&invited_after={last.pk}", "prev")
    assert list(reversed(back)) == onwards


def test_a_page_of_invitations_that_have_gone_shows_the_first(owner_client, organization):
    *_, oldest = invited(organization, *(f"new{number}@example.com" for number in range(3)))
    elsewhere = uuid.uuid4()
    for place in (oldest.pk, elsewhere, "nowhere", "%00"):
        for name in ("invited_after", "invited_before"):
            told = page(owner_client.get(f"{MEMBERS}?{name}={place}"))
            assert told.count('id="invitation-'), (name, place)


def test_the_address_of_a_search_holds_nothing_empty(owner_client):
    for query, held in (("q=&role=", MEMBERS), ("q=own&role=", f"{MEMBERS}?q=own")):
        assert owner_client.get(f"{MEMBERS}?{query}", headers=HTMX)["HX-Push-Url"] == held


def test_who_calls_with_a_personal_token_is_active_here(owner_client, organization, member, owner):
    def call(account: Account, user: User, hours: int) -> None:
        at = timezone.now() - timedelta(hours=hours)
        UsageRecord.objects.create(
            account_id=account.pk, user_id=user.pk, status=200, latency_ms=1, created_at=at
        )

    for hours in (5, 3, 4):
        call(organization, member, hours)
    call(member.account, member, 2)
    for address in (MEMBERS, url("member", member)):
        told = page(owner_client.get(address))
        assert told.count("3 h ago") == 1
        assert "2 h ago" not in told
    token_of(member, organization)
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=30))
    for address in (MEMBERS, url("member", member)):
        assert "3 h ago" not in page(owner_client.get(address))
    assert page(owner_client.get(MEMBERS)).count("30 min ago") == 1


def test_last_active_is_about_the_tokens_of_this_organization(owner_client, organization, member):
    token_of(member, member.account)
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(hours=2))
    assert "2 h ago" not in page(owner_client.get(MEMBERS))
    for name in ("laptop", "ci"):
        token_of(member, organization, name)
    ApiToken.objects.filter(name="ci").update(last_used_at=timezone.now() - timedelta(hours=3))
    assert page(owner_client.get(MEMBERS)).count("3 h ago") == 1


def test_a_limit_is_the_members_own_or_else_everybodys(owner_client, organization, member):
    assert "a minute" not in page(owner_client.get(MEMBERS))
    Account.objects.filter(pk=organization.pk).update(member_requests_per_minute=60)
    Membership.objects.filter(user=member, account=organization).update(requests_per_minute=1200)
    told = page(owner_client.get(MEMBERS))
    assert told.count("60 a minute") == 2
    assert told.count("1,200 a minute") == 1


def test_names_and_addresses_with_markup_stay_text(owner_client, organization, member):
    User.objects.filter(pk=member.pk).update(name="<b>&\"'{{7*7}}")
    for address in (MEMBERS, url("member", member), url("member_remove", member)):
        response = owner_client.get(address)
        assert b"<b>" not in response.content
        assert "<b>&\"'{{7*7}}" in page(response)


def test_whoever_was_shut_out_is_marked(owner_client, member):
    User.objects.filter(pk=member.pk).update(is_active=False)
    assert "account closed" in page(owner_client.get(MEMBERS))


# One member ------------------------------------------------------------------------------

OWNERS = ["member", "member_role", "member_limit", "member_remove"]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", [*OWNERS, "invite", "member_token_revoke"])
@pytest.mark.parametrize(
    ("person", "status"),
    [("billing_manager", 403), ("member", 403), ("stranger", 404), ("staff", 404)],
)
def test_only_owners_manage_members(person, status, name, method, organization, member, request):
    token = token_of(member, organization)
    more = {"token": token.pk} if name == "member_token_revoke" else {}
    address = (
        reverse("orgs:invite", args=["acme"]) if name == "invite" else url(name, member, **more)
    )
    client = signed_in(request.getfixturevalue(person))
    events = AuditEvent.objects.count()
    answer = getattr(client, method)(
        address, {"role": "owner", "requests_per_minute": 5, "emails": "x@example.com"}
    )
    assert answer.status_code == (405 if (name, method) == ("member", "post") else status)
    assert AuditEvent.objects.count() == events


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", OWNERS)
def test_a_member_of_another_account_is_not_found(owner_client, stranger, name, method):
    other = create_organization(actor=stranger, owner=stranger, name="Other", origin=Origin())
    for membership in (
        Membership.objects.get(account=other),
        Membership.objects.get(account=stranger.account),
    ):
        address = reverse(f"orgs:{name}", kwargs={"slug": "acme", "id": membership.pk})
        answer = getattr(owner_client, method)(address, {"role": "member"})
        assert answer.status_code == (405 if (name, method) == ("member", "post") else 404)
        assert Membership.objects.get(pk=membership.pk).role == Membership.Role.OWNER


def test_the_page_of_a_member_lists_their_tokens_in_use_here(owner_client, organization, member):
    token_of(member, organization, "in use")
    token_of(member, member.account, "personal")
    ended = token_of(member, organization, "ended")
    ApiToken.objects.filter(pk=ended.pk).update(revoked_at=timezone.now())
    told = page(owner_client.get(url("member", member)))
    assert "in use" in told
    assert "personal" not in told
    assert "ended" not in told.split("API tokens in use")[-1]


def test_the_page_of_a_member_takes_few_queries(
    owner_client, organization, member, django_assert_num_queries, django_assert_max_num_queries
):
    token_of(member, organization)
    owner_client.get(url("member", member))
    address = url("member", member)
    with django_assert_max_num_queries(12) as one:
        owner_client.get(address)
    for number in range(20):
        token_of(member, organization, str(number))
    with django_assert_num_queries(len(one)):
        owner_client.get(address)


@pytest.mark.parametrize("headers", [{}, DIALOG], ids=["page", "htmx"])
def test_an_owner_changes_a_role(owner_client, member, headers):
    address = url("member_role", member)
    form = page(owner_client.get(address, headers=headers))
    assert ("<html" in form) == (not headers)
    assert 'value="member"' in form
    assert "checked" in form
    answer = owner_client.post(address, {"role": "billing_manager"}, headers=headers)
    assert answer["HX-Redirect" if headers else "Location"] == url("member", member)
    assert membership_of(member).role == Membership.Role.BILLING_MANAGER
    assert "Member is now a billing manager of Acme." in page(
        owner_client.get(url("member", member))
    )


@pytest.mark.parametrize("role", ["", "admin", "OWNER", "owner,member", "owner\x00"])
def test_there_are_three_roles_and_no_other(owner_client, member, role):
    answer = owner_client.post(url("member_role", member), {"role": role})
    assert answer.status_code == 422
    assert membership_of(member).role == Membership.Role.MEMBER


@pytest.mark.parametrize("headers", [{}, DIALOG], ids=["page", "htmx"])
def test_the_only_owner_stays_one_and_is_told_what_to_do(owner_client, owner, headers):
    for address, data in (
        (url("member_role", owner), {"role": "member"}),
        (LEAVE, {}),
    ):
        answer = owner_client.post(address, data, headers=headers)
        assert answer.status_code == 422
        assert "only owner" in page(answer)
        assert re.search(r"[Mm]ake another member an owner", page(answer))
    assert membership_of(owner).role == Membership.Role.OWNER


def test_an_owner_who_gives_the_role_away_ends_up_on_a_page_they_may_see(
    owner_client, owner, member
):
    Membership.objects.filter(pk=membership_of(member).pk).update(role="owner")
    answer = owner_client.post(url("member_role", owner), {"role": "member"})
    assert answer["Location"] == MEMBERS
    assert owner_client.get(MEMBERS).status_code == 200
    assert owner_client.get(url("member", member)).status_code == 403


@pytest.mark.parametrize("headers", [{}, DIALOG], ids=["page", "htmx"])
def test_an_owner_limits_a_member_and_lifts_it_again(owner_client, member, headers):
    address = url("member_limit", member)
    for typed, kept in (("90", 90), ("", None)):
        answer = owner_client.post(address, {"requests_per_minute": typed}, headers=headers)
        assert answer["HX-Redirect" if headers else "Location"] == url("member", member)
        assert membership_of(member).requests_per_minute == kept


@pytest.mark.parametrize("typed", ["0", "-1", "1.5", "many", "9" * 30])
def test_a_limit_lets_something_through(owner_client, member, typed):
    answer = owner_client.post(url("member_limit", member), {"requests_per_minute": typed})
    assert answer.status_code == 422
    assert membership_of(member).requests_per_minute is None


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", ["invite", "member_role", "member_limit", "member_remove"])
def test_an_old_session_confirms_who_it_is_first(owner, member, name, method):
    address = reverse("orgs:invite", args=["acme"]) if name == "invite" else url(name, member)
    data = {"role": "owner", "emails": "x@example.com", "requests_per_minute": "1"}
    answer = getattr(old_session(owner), method)(address, data)
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_reauthenticate"))
    assert membership_of(member).role == Membership.Role.MEMBER
    assert membership_of(member).requests_per_minute is None
    assert not Invitation.objects.exists()


def test_what_takes_rights_away_from_oneself_or_a_token_is_not_held_up(owner, member, organization):
    token = token_of(member, organization)
    old_session(owner).post(url("member_token_revoke", member, token=token.pk))
    assert not ApiToken.objects.usable().exists()
    old_session(member).post(LEAVE)
    assert not Membership.objects.filter(user=member, account=organization).exists()


# Their API tokens ------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, DIALOG], ids=["page", "htmx"])
def test_an_owner_revokes_a_members_token(owner_client, organization, member, headers):
    token = token_of(member, organization)
    address = url("member_token_revoke", member, token=token.pk)
    assert "Revoke “laptop”?" in page(owner_client.get(address, headers=headers))
    assert ApiToken.objects.usable().filter(pk=token.pk).exists()
    answer = owner_client.post(address, headers=headers)
    assert answer["HX-Redirect" if headers else "Location"] == url("member", member)
    assert not ApiToken.objects.usable().filter(pk=token.pk).exists()
    assert "can no longer be used" in page(owner_client.get(address))


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_owner_finds_neither_personal_tokens_nor_those_of_another_member(
    owner_client, organization, member, billing_manager, method
):
    personal = token_of(member, member.account)
    another = token_of(billing_manager, organization)
    for token in (personal, another):
        address = url("member_token_revoke", member, token=token.pk)
        assert getattr(owner_client, method)(address).status_code == 404
    assert ApiToken.objects.usable().count() == 2


# The end of a membership -----------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, DIALOG], ids=["page", "htmx"])
def test_removing_names_what_is_lost_and_then_ends_it(owner_client, organization, member, headers):
    for name in ("laptop", "ci"):
        token_of(member, organization, name)
    token_of(member, member.account, "personal")
    invited(organization, "new@example.com", invited_by=member)
    address = url("member_remove", member)
    told = page(owner_client.get(address, headers=headers))
    assert "member@example.com" in told
    assert "2 API tokens" in told
    assert "1 open invitation" in told
    assert membership_of(member)

    answer = owner_client.post(address, headers=headers)
    assert answer["HX-Redirect" if headers else "Location"] == MEMBERS
    assert not Membership.objects.filter(user=member, account=organization).exists()
    assert [token.name for token in ApiToken.objects.usable()] == ["personal"]
    assert not Invitation.objects.open().exists()
    assert "Removed Member." in page(owner_client.get(MEMBERS))
    assert owner_client.get(address).status_code == 404
    assert owner_client.post(address).status_code == 404


@pytest.mark.parametrize("end", ["removed", "left"])
def test_a_former_member_finds_nothing_at_once(owner_client, member, member_client, end):
    pages = [MEMBERS, LEAVE, "/orgs/acme/", "/orgs/acme/tokens/", "/orgs/acme/byok/"]
    for address in pages:
        assert member_client.get(address).status_code == 200
    if end == "removed":
        owner_client.post(url("member_remove", member))
    else:
        assert member_client.post(LEAVE)["Location"] == reverse("dashboard")
    for address in pages:
        assert member_client.get(address).status_code == 404
        assert member_client.post(address).status_code in (404, 405)
    assert member_client.get(reverse("dashboard")).status_code == 200


def test_owners_leave_rather_than_remove_themselves(owner_client, owner, member):
    Membership.objects.filter(pk=membership_of(member).pk).update(role="owner")
    for method in ("get", "post"):
        answer = getattr(owner_client, method)(url("member_remove", owner))
        assert answer["Location"] == LEAVE
    assert membership_of(owner)


@pytest.mark.parametrize("headers", [{}, DIALOG], ids=["page", "htmx"])
@pytest.mark.parametrize("role", ["billing_manager", "member"])
def test_everybody_but_the_only_owner_may_leave(role, organization, headers, request):
    user = request.getfixturevalue(role)
    token_of(user, organization)
    client = signed_in(user)
    told = page(client.get(LEAVE, headers=headers))
    assert "1 API token" in told
    assert "Your personal account stays" in told
    answer = client.post(LEAVE, headers=headers)
    assert answer["HX-Redirect" if headers else "Location"] == reverse("dashboard")
    assert "You left Acme." in page(client.get(reverse("dashboard")))
    assert not ApiToken.objects.usable().exists()


def test_the_only_owner_is_told_why_they_cannot_leave(owner_client):
    told = page(owner_client.get(LEAVE))
    assert "You are its only owner" in told
    assert reverse("orgs:settings", args=["acme"]) in told
    assert "Leave organization" not in told


def test_nobody_leaves_a_personal_account(owner_client, owner):
    slug = owner.account.slug
    assert owner_client.post(f"/orgs/{slug}/leave/").status_code == 404
    assert owner.account.memberships.count() == 1
