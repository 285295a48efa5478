"""Find the account a page is about, and turn away who may not see it."""

from django.core.exceptions import PermissionDenied
from django.http import Http404

from orgs.models import Account, User
from orgs.permissions import Permission, permissions_of


def account_or_404(user: User, slug: str | None, permission: Permission) -> Account:
    """The user's personal account (no slug) or the organization with that slug.

    A stranger gets 404, so that nothing tells whether it exists; a member without the right 403.
    """
    if slug is None:
        account = user.account
    else:
        found = Account.objects.filter(kind=Account.Kind.ORGANIZATION, slug=slug).first()
        if found is None:
            raise Http404
        account = found
    held = permissions_of(user, account)
    if not held:
        raise Http404
    if permission not in held:
        raise PermissionDenied
    return account
