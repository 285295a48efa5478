"""Who may do what: the table of the design, cell by cell."""

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404

from orgs.access import account_or_404
from orgs.actions import create_user
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted, Permission, may, permissions_of, require

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


@pytest.fixture
def team() -> Account:
    return Account.objects.create(kind=Account.Kind.ORGANIZATION, name="Acme", slug="acme")


def joined(team: Account, role: Membership.Role) -> User:
    user = create_user(email=f"{role}@example.com", password="tulip-lantern", origin=Origin())
    Membership.objects.create(account=team, user=user, role=role)
    return user


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", Membership.Role)
def test_a_role_holds_what_the_table_says(team, role, permission):
    user = joined(team, role)
    assert may(user, permission, team) == (permission in TABLE[role])


@pytest.mark.parametrize("permission", Permission)
def test_a_stranger_may_nothing(team, account, stranger, permission):
    assert not may(stranger, permission, team)
    assert not may(stranger, permission, account)
    with pytest.raises(NotPermitted):
        require(stranger, permission, account)


@pytest.mark.parametrize("permission", Permission)
def test_staff_may_nothing_in_the_accounts_of_others(account, staff, permission):
    assert not may(staff, permission, account)


def test_only_staff_manage_the_platform_account(owner, staff):
    platform = Account.objects.platform()
    assert platform == Account.objects.platform() == Account.objects.named("platform")
    assert may(staff, Permission.MANAGE_KEYS, platform)
    assert not may(owner, Permission.MANAGE_KEYS, platform)


def test_a_person_holds_everything_in_their_own_account(owner, account):
    assert permissions_of(owner, account) == set(Permission)


def test_a_deactivated_person_may_nothing(owner, account):
    owner.is_active = False
    assert not any(may(owner, permission, account) for permission in Permission)


def test_without_a_slug_the_account_is_ones_own(owner, account):
    assert account_or_404(owner, None, Permission.MANAGE_KEYS) == account


def test_a_stranger_cannot_tell_an_organization_from_none(team, stranger):
    for slug in ("acme", "none"):
        with pytest.raises(Http404):
            account_or_404(stranger, slug, Permission.USE_ACCOUNT)


def test_a_personal_account_has_no_address_for_others(owner, stranger):
    with pytest.raises(Http404):
        account_or_404(stranger, owner.account.slug, Permission.USE_ACCOUNT)


def test_a_member_without_the_right_is_refused_openly(team):
    member = joined(team, Membership.Role.MEMBER)
    assert account_or_404(member, "acme", Permission.USE_ACCOUNT) == team
    with pytest.raises(PermissionDenied):
        account_or_404(member, "acme", Permission.MANAGE_KEYS)
