"""What every change of a key or of the catalogue begins with."""

from orgs.models import Account, User
from orgs.permissions import Permission, require_any


class KeyGone(Exception):
    """The key was deleted by someone else in the meantime."""


class AccountGone(KeyGone):
    """The account was deleted in the meantime, and its keys with it."""


def hold(account: Account, actor: User | None, *permissions: Permission) -> Account:
    """The account, held until the transaction ends, once `actor` may do one of these in it."""
    try:
        account = Account.objects.locked(account)
    except Account.DoesNotExist:
        raise AccountGone from None
    if actor is not None:
        require_any(actor, set(permissions), account)
    return account
