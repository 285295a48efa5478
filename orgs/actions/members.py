"""Members of an organization: their role, their limit, and the end of their membership.

An organization always keeps an owner who can sign in. Whoever changes that holds the account's
row, so that two owners who demote each other at the same moment do it one after the other.
"""

from functools import partial

from django.db import transaction
from django.utils import timezone

from orgs.audit import Event, record
from orgs.changes import announce
from orgs.letters import send_letter
from orgs.models import Account, ApiToken, Invitation, Membership, User
from orgs.origin import Origin
from orgs.permissions import Permission, granted_to, require, require_any

STAFF_TOO = {Permission.MANAGE_MEMBERS, Permission.ASSIST}


class LastOwner(Exception):
    """The organization would be left without an owner."""


class MemberGone(Exception):
    """The person is no member any more."""


def change_role(*, actor: User, membership: Membership, role: str, origin: Origin) -> bool:
    """Give a member another role. Says whether that changed anything.

    Whoever may no longer manage members takes the open invitations they sent with them. A letter
    tells the person, unless it was themselves.
    Raises `NotPermitted`, `LastOwner`, `MemberGone`.
    """
    with transaction.atomic():
        account = Account.objects.locked(membership.account)
        require_any(actor, STAFF_TOO, account)
        membership = current(membership)
        if membership.user == actor:
            # Assisting others is not for raising oneself.
            require(actor, Permission.MANAGE_MEMBERS, account)
        if membership.role == role:
            return False
        if membership.role == Membership.Role.OWNER:
            require_another_owner(membership)
        previous, membership.role = membership.role, role
        membership.save(update_fields=["role"])
        withdrawn = 0
        if Permission.MANAGE_MEMBERS not in granted_to(role):
            withdrawn = withdraw_invitations(membership)
        record(
            event=Event.MEMBER_ROLE_CHANGED,
            account=account,
            actor=actor,
            target=membership,
            origin=origin,
            changed=["role"],
            details={
                "role": role,
                "previous_role": previous,
                "invitations_withdrawn": withdrawn or None,
            },
        )
        announce("account", str(account.pk))
        _write_to("member_role_changed", membership, actor, previous=Membership.Role(previous))
    return True


def limit_member(
    *, actor: User, membership: Membership, requests_per_minute: int | None, origin: Origin
) -> bool:
    """What this member may ask for in place of what each may; None for the same as the others.

    Says whether that changed anything. Raises `NotPermitted`, `MemberGone`.
    """
    with transaction.atomic():
        account = Account.objects.locked(membership.account)
        require(actor, Permission.MANAGE_MEMBERS, account)
        membership = current(membership)
        if membership.requests_per_minute == requests_per_minute:
            return False
        previous, membership.requests_per_minute = (
            membership.requests_per_minute,
            requests_per_minute,
        )
        membership.save(update_fields=["requests_per_minute"])
        record(
            event=Event.MEMBER_LIMITED,
            account=account,
            actor=actor,
            target=membership,
            origin=origin,
            changed=["requests_per_minute"],
            details={
                "requests_per_minute": requests_per_minute,
                "previous_requests_per_minute": previous,
            },
        )
        announce("account", str(account.pk))
    return True


def remove_member(*, actor: User, membership: Membership, origin: Origin) -> None:
    """End a membership: the person's access and API tokens in the account end with it, at once.

    A letter tells them, unless it was themselves. Raises `NotPermitted`, `LastOwner`, `MemberGone`.
    """
    with transaction.atomic():
        account = Account.objects.locked(membership.account)
        require_any(actor, STAFF_TOO, account)
        membership = current(membership)
        _end(membership, Event.MEMBER_REMOVED, actor, origin)
        _write_to("member_removed", membership, actor)


def leave_organization(*, actor: User, account: Account, origin: Origin) -> None:
    """End one's own membership, as `remove_member` does. Raises as it does."""
    with transaction.atomic():
        account = Account.objects.locked(account)
        require(actor, Permission.LEAVE, account)
        membership = Membership.objects.select_related("account", "user").get(
            account=account, user=actor
        )
        _end(membership, Event.MEMBER_LEFT, actor, origin)


def require_another_owner(membership: Membership) -> None:
    """Raise `LastOwner` unless somebody else owns the account. Call it holding the account."""
    others = Membership.objects.for_account(membership.account).owners().exclude(pk=membership.pk)
    if not others.exists():
        if membership.role != Membership.Role.OWNER:
            raise LastOwner(f"{membership.account} has no owner who can sign in.")
        raise LastOwner(f"{membership.user} is the only owner of {membership.account}.")


def current(membership: Membership) -> Membership:
    """The membership as it is now that nobody else can change it."""
    found = (
        Membership.objects.select_related("account", "user")
        .filter(pk=membership.pk, account__kind=Account.Kind.ORGANIZATION)
        .first()
    )
    if found is None:
        raise MemberGone(str(membership.pk))
    return found


def _write_to(letter: str, membership: Membership, actor: User, **more: object) -> None:
    """Tell a person on commit what somebody else did to their membership."""
    user = membership.user
    if user != actor:
        told = {"account": membership.account, "actor": actor, "membership": membership, **more}
        transaction.on_commit(partial(send_letter, f"orgs/email/{letter}", user.email, told))


def _end(membership: Membership, event: Event, actor: User, origin: Origin) -> None:
    if membership.account.is_personal:
        raise LastOwner(f"{membership.account} is a personal account.")
    if membership.role == Membership.Role.OWNER:
        require_another_owner(membership)
    # Revoked, not only out of use: a return to the organization must not bring them back.
    tokens = ApiToken.objects.for_account(membership.account).filter(
        user=membership.user, revoked_at__isnull=True
    )
    revoked = tokens.update(revoked_at=timezone.now())
    withdrawn = withdraw_invitations(membership)
    record(
        event=event,
        account=membership.account,
        actor=actor,
        target=membership,
        origin=origin,
        details={
            "role": membership.role,
            "tokens_revoked": revoked or None,
            "invitations_withdrawn": withdrawn or None,
        },
    )
    announce("account", str(membership.account_id))
    membership.delete()


def withdraw_invitations(membership: Membership) -> int:
    """Revoke the open ones that this member sent; says how many.

    Who was trusted to invite may have invited an address of their own.
    """
    sent = Invitation.objects.for_account(membership.account).open()
    return sent.filter(invited_by=membership.user).update(revoked_at=timezone.now())
