"""People and their personal accounts."""

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
    """Call `actor` and their personal account `name`; without one, both go by the address."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        if user.name == name:
            return
        user.name = actor.name = name
        user.save(update_fields=["name"])
        account = user.account
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

    The open invitations they sent are withdrawn. For staff. Says whether that changed anything.
    Raises `NotPermitted`, and `LastOwner` while an organization has no other owner.
    """
    with transaction.atomic():
        memberships = _held_memberships(user)
        require(actor, Permission.ASSIST, user.account)
        if user == actor:
            raise NotPermitted("Nobody closes their own account.")
        for membership in memberships:
            if membership.account.is_organization and membership.role == Membership.Role.OWNER:
                require_another_owner(membership)
            withdraw_invitations(membership)
        drop_sessions(UserSession.objects.filter(user=user))
        return _set_active(user, actor, memberships, origin, active=False)


def reopen_user(*, actor: User, user: User, origin: Origin) -> bool:
    """Let a person in again. For staff. Says whether it changed anything. Raises `NotPermitted`."""
    with transaction.atomic():
        memberships = _held_memberships(user)
        require(actor, Permission.ASSIST, user.account)
        return _set_active(user, actor, memberships, origin, active=True)


def _held_memberships(user: User) -> list[Membership]:
    """All of a person's memberships, with every account held, in one order for everybody."""
    accounts = Account.objects.filter(memberships__user=user).order_by("pk")
    list(accounts.select_for_update(no_key=True, of=("self",)))
    return list(Membership.objects.filter(user=user).select_related("account"))


def _set_active(
    user: User, actor: User, memberships: list[Membership], origin: Origin, *, active: bool
) -> bool:
    if not User.objects.filter(pk=user.pk, is_active=not active).update(is_active=active):
        return False
    user.is_active = active
    for membership in memberships:
        announce("account", str(membership.account_id))
    record(
        event=Event.USER_REOPENED if active else Event.USER_CLOSED,
        account=user.account,
        actor=actor,
        target=user,
        origin=origin,
        changed=["is_active"],
    )
    return True
