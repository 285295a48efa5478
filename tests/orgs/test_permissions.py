"""Who may do what: the table of the design, cell by cell."""

import pytest
from django.urls import reverse

from orgs.actions import change_role, close_user, remove_member
from orgs.models import Account, Membership
from orgs.origin import Origin
from orgs.permissions import NotPermitted, Permission, may, permissions_of, require
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db

EVERYONE = {
    Permission.USE_ACCOUNT,
    Permission.SEE_PROVIDERS,
    Permission.LEAVE,
    Permission.OWN_TOKENS,
}
MANAGERS = {
    Permission.MANAGE_KEYS,
    Permission.MANAGE_BILLING,
    Permission.READ_AUDIT,
    Permission.SEE_ALL_USAGE,
}
OWNERS = {Permission.MANAGE_MEMBERS, Permission.MANAGE_ORGANIZATION}
TABLE = {
    Membership.Role.OWNER: EVERYONE | MANAGERS | OWNERS,
    Membership.Role.BILLING_MANAGER: EVERYONE | MANAGERS,
    Membership.Role.MEMBER: EVERYONE,
}


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", Membership.Role)
def test_a_role_holds_what_the_table_says(organization, request, role, permission):
    assert may(request.getfixturevalue(role), permission, organization) == (
        permission in TABLE[role]
    )


@pytest.mark.parametrize("permission", Permission)
def test_a_stranger_may_nothing(organization, account, stranger, permission):
    assert not may(stranger, permission, organization)
    assert not may(stranger, permission, account)
    with pytest.raises(NotPermitted):
        require(stranger, permission, account)


@pytest.mark.parametrize("permission", Permission)
def test_staff_only_assist_in_the_accounts_of_others(organization, account, staff, permission):
    for each in (organization, account):
        assert may(staff, permission, each) == (permission == Permission.ASSIST)
        assert permissions_of(staff, each) == set()


def test_only_staff_manage_the_platform_account(owner, staff):
    platform = Account.objects.platform()
    assert platform == Account.objects.platform() == Account.objects.named("platform")
    assert may(staff, Permission.MANAGE_KEYS, platform)
    assert not may(owner, Permission.MANAGE_KEYS, platform)


def test_a_person_holds_everything_in_their_own_account(owner, account):
    assert permissions_of(owner, account) == TABLE[Membership.Role.OWNER]


def test_a_deactivated_person_may_nothing(owner, staff, account, organization):
    for user in (owner, staff):
        user.is_active = False
        for each in (account, organization, Account.objects.platform()):
            assert not any(may(user, permission, each) for permission in Permission)
            assert permissions_of(user, each) == set()


def test_without_a_slug_the_account_is_ones_own(owner_client, organization, account):
    page = owner_client.get(reverse("dashboard"))
    assert page.context["request"].account == account


def test_with_a_slug_it_is_that_organization(member_client, organization, member):
    request = member_client.get(reverse("dashboard", args=["acme"])).context["request"]
    assert request.account == organization
    assert request.membership.user == member
    assert request.permissions == TABLE[Membership.Role.MEMBER]


@pytest.mark.parametrize("who", ["stranger", "staff"])
def test_a_stranger_cannot_tell_an_organization_from_none(request, organization, who):
    client = signed_in(request.getfixturevalue(who))
    pages = [client.get(reverse("dashboard", args=[slug])) for slug in ("acme", "none")]
    assert [page.status_code for page in pages] == [404, 404]
    assert "Acme" not in pages[0].content.decode()


@pytest.mark.parametrize("who", ["owner", "stranger"])
def test_a_personal_account_has_no_address_with_a_slug(request, owner, who):
    client = signed_in(request.getfixturevalue(who))
    assert client.get(reverse("dashboard", args=[owner.account.slug])).status_code == 404


def test_a_member_without_the_right_is_refused_openly(member_client, organization):
    page = member_client.get(reverse("orgs:settings", args=["acme"]))
    assert page.status_code == 403
    assert "Acme" in page.content.decode()


def test_what_a_role_may_ends_with_the_role(owner, billing_manager, organization):
    client, url = signed_in(billing_manager), reverse("byok:keys", args=["acme"])
    membership = Membership.objects.get(account=organization, user=billing_manager)
    assert Permission.MANAGE_KEYS in client.get(url).context["request"].permissions
    change_role(actor=owner, membership=membership, role=Membership.Role.MEMBER, origin=Origin())
    assert Permission.MANAGE_KEYS not in client.get(url).context["request"].permissions
    remove_member(actor=owner, membership=membership, origin=Origin())
    assert client.get(url).status_code == 404


def test_who_is_shut_out_is_signed_out(member, staff, organization):
    client = signed_in(member)
    close_user(actor=staff, user=member, origin=Origin())
    page = client.get(reverse("dashboard", args=["acme"]))
    assert page["Location"].startswith(reverse("account_login"))
