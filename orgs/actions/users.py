"""People and their personal accounts."""

from collections.abc import Callable, Mapping
from functools import partial

from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.db import IntegrityError, transaction

from orgs.actions.members import require_another_owner, withdraw_invitations
from orgs.audit import Event, record
from orgs.changes import announce
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted, Permission, require
from orgs.sessions import drop_sessions


class EmailTaken(Exception):
    """Somebody has an account with this e-mail address."""


def create_user(
    *,
    email: str,
    password: str,
    name: str = "",
    is_staff: bool = False,
    email_verified: bool = False,
    origin: Origin,
) -> User:
    """A person who can sign in, with a personal account, as an operator makes one.

    People who sign up themselves come through allauth and `open_personal_account`.
    Raises `EmailTaken`.
    """
    user = User(email=User.objects.normalize_email(email).lower(), name=name, is_staff=is_staff)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            EmailAddress.objects.create(
                user=user, email=user.email, verified=email_verified, primary=True
            )
            _open_account(user, actor=None, origin=origin)
    except IntegrityError:
        if User.objects.filter(email=user.email).exists():
            raise EmailTaken(f"{user.email} has an account already.") from None
        raise
    return user


def open_personal_account(user: User, origin: Origin) -> Account:
    """The personal account of someone who has just signed up, with them as its owner."""
    with transaction.atomic():
        return _open_account(user, actor=user, origin=origin)


def _open_account(user: User, *, actor: User | None, origin: Origin) -> Account:
    account = Account.objects.create(
        kind=Account.Kind.PERSONAL,
        name=user.get_short_name()[:100],
        # Unique by itself, tells nothing of the person, and takes no name an organization may want.
        slug=f"personal-{user.pk}",
        user=user,
    )
    Membership.objects.create(account=account, user=user, role=Membership.Role.OWNER)
    record(event=Event.ACCOUNT_OPENED, account=account, actor=actor, target=account, origin=origin)
    return account


def rename_user(*, actor: User, name: str, origin: Origin) -> None:
    """Call `actor` and their personal account `name`; without one, both go by the address.

    Raises `NotPermitted`.
    """
    with transaction.atomic():
        account = Account.objects.locked(actor.account)
        user = User.objects.locked(actor)
        if not user.is_active:
            raise NotPermitted(f"{user} may not change their name.")
        if user.name == name:
            return
        user.name = actor.name = name
        user.save(update_fields=["name"])
        account.name = user.get_short_name()[:100]
        account.save(update_fields=["name"])
        record(
            event=Event.NAME_CHANGED,
            account=account,
            actor=user,
            target=account,
            origin=origin,
            changed=["name"],
        )
        announce("account", str(account.pk))


def close_user(*, actor: User, user: User, origin: Origin) -> bool:
    """Shut a person out: sign-in, sessions and API tokens end at once, nothing is deleted.

    The open invitations they sent are withdrawn. An organization in which nobody else is left
    sleeps until they come back. The log of each account that the person is in tells of it. For
    staff. Says whether that changed anything.

    Raises `NotPermitted`, and `LastOwner` while members of an organization have no other owner.
    """
    return _with_all_held(user, partial(_close, actor=actor, origin=origin))


def _close(user: User, memberships: list[Membership], *, actor: User, origin: Origin) -> bool:
    require(actor, Permission.ASSIST, user.account)
    if user == actor:
        raise NotPermitted("Nobody closes their own account.")
    if not user.is_active:
        return False
    for membership in memberships:
        if _is_needed(membership):
            require_another_owner(membership)
    withdrawn = {each.account_id: withdraw_invitations(each) for each in memberships}
    drop_sessions(UserSession.objects.filter(user=user))
    _set_active(user, False)
    for membership in memberships:
        details = {"invitations_withdrawn": withdrawn[membership.account_id] or None}
        _told(Event.USER_CLOSED, user, membership.account, actor, origin, details)
    return True


def _is_needed(membership: Membership) -> bool:
    """Whether the person is an owner of an organization that others are in."""
    account = membership.account
    if not account.is_organization or membership.role != Membership.Role.OWNER:
        return False
    others = account.memberships.filter(user__is_active=True).exclude(pk=membership.pk)
    return others.exists()


def reopen_user(*, actor: User, user: User, origin: Origin) -> bool:
    """Let a person in again. For staff. Says whether it changed anything.

    Raises `NotPermitted`, and `LastOwner` for a member of an organization that sleeps: one of its
    owners has to come back before.
    """
    return _with_all_held(user, partial(_reopen, actor=actor, origin=origin))


def _reopen(user: User, memberships: list[Membership], *, actor: User, origin: Origin) -> bool:
    require(actor, Permission.ASSIST, user.account)
    if user.is_active:
        return False
    for membership in memberships:
        if membership.role != Membership.Role.OWNER:
            require_another_owner(membership)
    _set_active(user, True)
    for membership in memberships:
        _told(Event.USER_REOPENED, user, membership.account, actor, origin)
    return True


def _with_all_held(user: User, change: Callable[[User, list[Membership]], bool]) -> bool:
    """Call `change(user, memberships)` while all accounts of the person are held, and then they.

    Whoever joins or opens an organization holds themselves, so that it happens before or after.
    Before, but after the accounts were looked up, means to begin again with one account more.
    """
    while True:
        with transaction.atomic():
            accounts = Account.objects.filter(memberships__user=user).order_by("pk")
            held = {account.pk for account in accounts.select_for_update(no_key=True, of=("self",))}
            current = User.objects.locked(user)
            of_person = Membership.objects.filter(user=user).select_related("account")
            memberships = list(of_person.order_by("account_id"))
            if all(membership.account_id in held for membership in memberships):
                changed = change(current, memberships)
                user.is_active = current.is_active
                return changed


def _set_active(user: User, active: bool) -> None:
    user.is_active = active
    user.save(update_fields=["is_active"])


def _told(
    event: Event,
    user: User,
    account: Account,
    actor: User,
    origin: Origin,
    details: Mapping[str, int | None] | None = None,
) -> None:
    record(
        event=event,
        account=account,
        actor=actor,
        target=user,
        origin=origin,
        changed=["is_active"],
        details=details,
    )
    announce("account", str(account.pk))
