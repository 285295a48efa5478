"""The one answer to "may this user do this here"."""

from enum import StrEnum

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


def permissions_of(user: User, account: Account) -> set[Permission]:
    """What `user` may do in `account`; empty for strangers."""
    role = (
        Membership.objects.filter(account=account, user=user).values_list("role", flat=True).first()
    )
    return _GRANTS[role] if role else set()


def may(user: User, permission: Permission, account: Account) -> bool:
    """Whether `user` may do `permission` in `account`. Staff manage the platform account."""
    if account.kind == Account.Kind.PLATFORM:
        return user.is_active and user.is_staff
    return user.is_active and permission in permissions_of(user, account)


def require(user: User, permission: Permission, account: Account) -> None:
    """Raise `NotPermitted` unless `may` says yes. Actions call this first."""
    if not may(user, permission, account):
        raise NotPermitted(f"{user} may not {permission} in {account}.")
