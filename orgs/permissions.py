"""The one answer to "may this user do this here"."""

from enum import StrEnum

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from orgs.models import Account, Membership, User

Role = Membership.Role


class Permission(StrEnum):
    USE_ACCOUNT = "use_account"
    SEE_PROVIDERS = "see_providers"
    MANAGE_KEYS = "manage_keys"
    MANAGE_BILLING = "manage_billing"
    READ_AUDIT = "read_audit"
    MANAGE_MEMBERS = "manage_members"
    MANAGE_ORGANIZATION = "manage_organization"
    LEAVE = "leave"
    OWN_TOKENS = "own_tokens"
    SEE_ALL_USAGE = "see_all_usage"
    #: Of no role: what staff may do in the account of others, such as switch a key off.
    ASSIST = "assist"


_MEMBER = {
    Permission.USE_ACCOUNT,
    Permission.SEE_PROVIDERS,
    Permission.LEAVE,
    Permission.OWN_TOKENS,
}
_BILLING_MANAGER = _MEMBER | {
    Permission.MANAGE_KEYS,
    Permission.MANAGE_BILLING,
    Permission.READ_AUDIT,
    Permission.SEE_ALL_USAGE,
}
_GRANTS: dict[str, set[Permission]] = {
    Role.MEMBER: _MEMBER,
    Role.BILLING_MANAGER: _BILLING_MANAGER,
    Role.OWNER: _BILLING_MANAGER | {Permission.MANAGE_MEMBERS, Permission.MANAGE_ORGANIZATION},
}


class NotPermitted(Exception):
    """The user belongs to the account, but their role does not allow this."""


def granted_to(role: str) -> set[Permission]:
    """What a member with this role may do in the account."""
    return _GRANTS[role]


def permissions_of(user: User, account: Account) -> set[Permission]:
    """What `user` may do in `account` as its member; empty for strangers, staff among them."""
    if not user.is_active:
        return set()
    role = (
        Membership.objects.filter(account=account, user=user).values_list("role", flat=True).first()
    )
    return granted_to(role) if role else set()


def assists(user: User | AnonymousUser) -> bool:
    """Whether `user` is staff, who see every account in the admin and assist in it."""
    return user.is_active and user.is_staff


def is_assisting(user: User, account: Account) -> bool:
    """Whether whatever `user` does in `account` they do as MegaBrain's staff, being no member."""
    if not assists(user) or account.kind == Account.Kind.PLATFORM:
        return False
    return not permissions_of(user, account)


def may(user: User, permission: Permission, account: Account) -> bool:
    """Whether `user` may do `permission` in `account`.

    Staff manage the platform account, and assist in every other.
    """
    if not user.is_active:
        return False
    if user.is_staff and account.kind == Account.Kind.PLATFORM:
        return True
    if permission == Permission.ASSIST:
        return assists(user)
    return permission in permissions_of(user, account)


def those_who_may(permission: Permission, account: Account) -> QuerySet[User]:
    """The account's members who may do this there, in the order in which they came; of the
    platform account, which has no members, staff."""
    if account.kind == Account.Kind.PLATFORM:
        return staff()
    roles = [role for role in Role if permission in granted_to(role)]
    holders = User.objects.filter(
        memberships__account=account, memberships__role__in=roles, is_active=True
    )
    return holders.order_by("memberships__created_at")


def staff() -> QuerySet[User]:
    return User.objects.filter(is_staff=True, is_active=True).order_by("pk")


def require(user: User, permission: Permission, account: Account) -> None:
    """Raise `NotPermitted` unless `may` says yes. Actions call this first."""
    require_any(user, {permission}, account)


def require_any(user: User, permissions: set[Permission], account: Account) -> None:
    """Raise `NotPermitted` unless `user` may do one of these.

    As they are now: whoever asks may have loaded the person before they were shut out.
    """
    user = User.objects.get(pk=user.pk)
    if not any(may(user, permission, account) for permission in permissions):
        wanted = " or ".join(sorted(permissions))
        raise NotPermitted(f"{user} may not {wanted} in {account}.")
