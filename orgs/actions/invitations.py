"""Invitations: an address is offered a role, and whoever has that address may take it, once.

The link in the letter holds 256 random bits, of which only the digest is kept. It works for seven
days, until it is used, revoked or sent again, and only for a person whose verified e-mail address
is the invited one.
"""

import secrets
import unicodedata
from datetime import timedelta
from functools import partial

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from orgs.actions.members import STAFF_TOO
from orgs.audit import Event, record
from orgs.changes import announce
from orgs.letters import send_letter
from orgs.models import Account, Invitation, InvitationLetter, Membership, User
from orgs.models.invitations import VALID_FOR
from orgs.origin import Origin
from orgs.permissions import NotPermitted, Permission, require, require_any
from orgs.tokens import digest

#: How many letters go to one address in a day, and from one person.
LETTERS_TO_AN_ADDRESS = 5
LETTERS_OF_A_PERSON = 500
RESEND_AFTER = timedelta(minutes=1)


class AlreadyMember(Exception):
    """The address belongs to a member."""


class AlreadyInvited(Exception):
    """The address has an open invitation, which can be sent again."""


class TooManyInvitations(Exception):
    """As many letters went out within a day as may; its text says to whom."""


class TooSoon(Exception):
    """The letter went out a moment ago; `seconds` until it can be sent again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Send it again in {seconds} seconds.")
        self.seconds = seconds


class InvitationGone(Exception):
    """Used, revoked, replaced by a later letter, expired, or never there."""


class NotTheInvited(Exception):
    """The person's verified e-mail address is not the invited one."""


def invite(*, actor: User, account: Account, email: str, role: str, origin: Origin) -> Invitation:
    """Offer `role` to `email`; the letter goes out on commit. `sent_at` says whether it did.

    That it is an address is for the form to make sure of. Raises `NotPermitted`, `AlreadyMember`,
    `AlreadyInvited`, `TooManyInvitations`.
    """
    email = canonical_address(email)
    token = _new_token()
    with transaction.atomic():
        account = Account.objects.locked(account)
        _require(actor, account)
        if Membership.objects.for_account(account).filter(user__email=email).exists():
            raise AlreadyMember(email)
        if Invitation.objects.for_account(account).open().filter(email=email).exists():
            raise AlreadyInvited(email)
        _count_letter(actor, email)
        invitation = Invitation.objects.create(
            account=account,
            email=email,
            role=role,
            digest=digest(token),
            invited_by=actor,
            expires_at=timezone.now() + VALID_FOR,
        )
        _told(Event.MEMBER_INVITED, invitation, actor, origin)
        transaction.on_commit(partial(_send, invitation, token))
    return invitation


def resend_invitation(*, actor: User, invitation: Invitation, origin: Origin) -> Invitation:
    """Send a new letter: its link works for another seven days, and the former one no more.

    Raises `NotPermitted`, `InvitationGone`, `TooSoon`, `TooManyInvitations`.
    """
    token = _new_token()
    with transaction.atomic():
        account = Account.objects.locked(invitation.account)
        _require(actor, account)
        invitation = _open(invitation)
        if invitation.sent_at is not None:
            wait = RESEND_AFTER - (timezone.now() - invitation.sent_at)
            if wait > timedelta():
                raise TooSoon(int(wait.total_seconds()) + 1)
        _count_letter(actor, invitation.email)
        invitation.digest = digest(token)
        invitation.expires_at = timezone.now() + VALID_FOR
        invitation.sent_at = None
        invitation.invited_by = actor
        invitation.save(update_fields=["digest", "expires_at", "sent_at", "invited_by"])
        _told(Event.INVITATION_RESENT, invitation, actor, origin)
        transaction.on_commit(partial(_send, invitation, token))
    return invitation


def revoke_invitation(*, actor: User, invitation: Invitation, origin: Origin) -> None:
    """The link stops working. Staff may do so, too. Raises `NotPermitted`, `InvitationGone`."""
    with transaction.atomic():
        account = Account.objects.locked(invitation.account)
        require_any(actor, STAFF_TOO, account)
        invitation = _open(invitation)
        invitation.revoked_at = timezone.now()
        invitation.save(update_fields=["revoked_at"])
        _told(Event.INVITATION_REVOKED, invitation, actor, origin)


def find_invitation(token: str) -> Invitation:
    """The invitation that a link names, if it can be accepted. Raises `InvitationGone`."""
    found = (
        Invitation.objects.acceptable()
        .select_related("account", "invited_by")
        .filter(digest=digest(token))
        .first()
    )
    if found is None:
        raise InvitationGone
    return found


def is_for(user: User, invitation: Invitation) -> bool:
    """Whether the invited address is `user`'s, and verified."""
    # Compared as they are: without case, PostgreSQL would hold `ı` for `i`. Only a domain has two
    # spellings, and the letter that verified the address went to the same one for both.
    verified = EmailAddress.objects.filter(user=user, user__is_active=True, verified=True)
    addresses = verified.values_list("email", flat=True)
    return any(_is_same(email, invitation.email) for email in addresses)


def accept_invitation(*, actor: User, token: str, origin: Origin) -> Membership:
    """Make `actor` a member with the offered role; who is one already keeps the role they have.

    Raises `InvitationGone`, also for all but one of those who accept at once, and `NotTheInvited`.
    """
    with transaction.atomic():
        found = find_invitation(token)
        try:
            account = Account.objects.locked(found.account)
        except Account.DoesNotExist:
            raise InvitationGone from None
        # Held, so that nobody joins while they are shut out.
        if not is_for(User.objects.locked(actor), found):
            raise NotTheInvited(found.email)
        still = Invitation.objects.acceptable().filter(pk=found.pk, digest=digest(token))
        if not still.update(accepted_at=timezone.now()):
            raise InvitationGone
        membership, joined = Membership.objects.select_related("account", "user").get_or_create(
            account=account, user=actor, defaults={"role": found.role}
        )
        record(
            event=Event.MEMBER_JOINED,
            account=account,
            actor=actor,
            target=membership,
            origin=origin,
            details={"role": membership.role, "was_a_member": None if joined else True},
        )
        announce("account", str(account.pk))
        # Personal API tokens open the organizations of their person.
        announce("account", str(actor.account.pk))
    return membership


def _require(actor: User, account: Account) -> None:
    """Invitations are of organizations; nobody else may be in a personal account."""
    require(actor, Permission.MANAGE_MEMBERS, account)
    if not account.is_organization:
        raise NotPermitted(f"{account} is a personal account.")


def _open(invitation: Invitation) -> Invitation:
    """The invitation as it is now that nobody else can change it."""
    current = Invitation.objects.open().select_related("account").filter(pk=invitation.pk).first()
    if current is None:
        raise InvitationGone
    return current


def _count_letter(sender: User, email: str) -> None:
    """Whichever organization it is for. Raises `TooManyInvitations`."""
    User.objects.locked(sender)  # So that letters sent at the same moment count each other.
    letters = InvitationLetter.objects.of_a_day()
    if letters.filter(email=email).count() >= LETTERS_TO_AN_ADDRESS:
        raise TooManyInvitations(
            f"{email} was sent {LETTERS_TO_AN_ADDRESS} letters within a day. Try again tomorrow."
        )
    if letters.filter(sender_id=sender.pk).count() >= LETTERS_OF_A_PERSON:
        raise TooManyInvitations(
            f"You sent {LETTERS_OF_A_PERSON} invitations within a day. Try again tomorrow."
        )
    InvitationLetter.objects.create(email=email, sender_id=sender.pk)


def _told(event: Event, invitation: Invitation, actor: User, origin: Origin) -> None:
    record(
        event=event,
        account=invitation.account,
        actor=actor,
        target=invitation,
        origin=origin,
        details={"role": invitation.role},
    )


def _send(invitation: Invitation, token: str) -> None:
    path = reverse("orgs:invitation", args=[token])
    sent = send_letter(
        "orgs/email/invitation",
        invitation.email,
        {"invitation": invitation, "link": f"{settings.MEGABRAIN_BASE_URL}{path}"},
    )
    if sent:
        invitation.sent_at = timezone.now()
        Invitation.objects.filter(pk=invitation.pk, digest=invitation.digest).update(
            sent_at=invitation.sent_at
        )


def canonical_address(email: str) -> str:
    """The one spelling of an address, as a letter to it is addressed. Raises UnicodeError."""
    return _with_one_domain(unicodedata.normalize("NFKC", email.strip()).lower())


def _is_same(email: str, canonical: str) -> bool:
    try:
        return _with_one_domain(email) == canonical
    except UnicodeError:
        return False


def _with_one_domain(email: str) -> str:
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.encode('idna').decode('idna')}"


def forget_letters() -> None:
    """Those of which nobody asks any more."""
    day_ago = timezone.now() - timedelta(days=1)
    InvitationLetter.objects.filter(created_at__lt=day_ago).delete()


def _new_token() -> str:
    return secrets.token_urlsafe(32)
