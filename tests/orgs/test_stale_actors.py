"""Whoever was loaded before they were shut out, or lost their role, can do nothing any more."""

from collections.abc import Callable

import pytest

from byok.actions import add_key
from byok.vault import Secret
from orgs.actions import (
    NotTheInvited,
    accept_invitation,
    change_limits,
    change_organization,
    change_role,
    close_user,
    create_organization,
    create_token,
    delete_organization,
    invite,
    leave_organization,
    limit_member,
    remove_member,
    rename_user,
    reopen_user,
    resend_invitation,
    revoke_invitation,
    revoke_token,
)
from orgs.models import Account, ApiToken, AuditEvent, Invitation, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.byok.conftest import ANTHROPIC_SECRET
from tests.conftest import person
from tests.orgs.test_invitations_actions import letter_to
from tests.together import meanwhile

ORIGIN = Origin()
Role = Membership.Role
Deed = Callable[[User, Account, Membership], object]

#: What an owner does in the organization, to one of its members.
DEEDS: dict[str, Deed] = {
    "make a token": lambda actor, account, other: create_token(
        actor=actor, account=account, name="ci", origin=ORIGIN
    ),
    "make a personal token": lambda actor, account, other: create_token(
        actor=actor, account=actor.account, name="ci", origin=ORIGIN
    ),
    "revoke an own token": lambda actor, account, other: revoke_token(
        actor=actor, token=ApiToken.objects.get(user=actor), origin=ORIGIN
    ),
    "revoke a token": lambda actor, account, other: revoke_token(
        actor=actor, token=ApiToken.objects.get(user=other.user), origin=ORIGIN
    ),
    "invite": lambda actor, account, other: invite(
        actor=actor, account=account, email="x@example.com", role="owner", origin=ORIGIN
    ),
    "send again": lambda actor, account, other: resend_invitation(
        actor=actor, invitation=Invitation.objects.get(), origin=ORIGIN
    ),
    "revoke an invitation": lambda actor, account, other: revoke_invitation(
        actor=actor, invitation=Invitation.objects.get(), origin=ORIGIN
    ),
    "change a role": lambda actor, account, other: change_role(
        actor=actor, membership=other, role=Role.OWNER, origin=ORIGIN
    ),
    "limit": lambda actor, account, other: limit_member(
        actor=actor, membership=other, requests_per_minute=1, origin=ORIGIN
    ),
    "remove": lambda actor, account, other: remove_member(
        actor=actor, membership=other, origin=ORIGIN
    ),
    "leave": lambda actor, account, other: leave_organization(
        actor=actor, account=account, origin=ORIGIN
    ),
    "rename the organization": lambda actor, account, other: change_organization(
        actor=actor, account=account, name="Other", slug="other", origin=ORIGIN
    ),
    "limit the organization": lambda actor, account, other: change_limits(
        actor=actor,
        account=account,
        allowed_models=None,
        member_requests_per_minute=1,
        token_requests_per_minute=1,
        origin=ORIGIN,
    ),
    "delete the organization": lambda actor, account, other: delete_organization(
        actor=actor, account=account, origin=ORIGIN
    ),
    "open an organization": lambda actor, account, other: create_organization(
        actor=actor, owner=actor, name="Other", origin=ORIGIN
    ),
    "take another name": lambda actor, account, other: rename_user(
        actor=actor, name="Other", origin=ORIGIN
    ),
    "add a key": lambda actor, account, other: add_key(
        actor=actor,
        account=account,
        provider="anthropic",
        secret=Secret(ANTHROPIC_SECRET),
        origin=ORIGIN,
    ),
    "close": lambda actor, account, other: close_user(actor=actor, user=other.user, origin=ORIGIN),
    "open again": lambda actor, account, other: reopen_user(
        actor=actor, user=other.user, origin=ORIGIN
    ),
}


@pytest.fixture
def second(organization: Account) -> User:
    """Another owner of Acme, who is staff: there is nothing that they may not do."""
    second = person("second", is_staff=True)
    Membership.objects.create(account=organization, user=second, role=Role.OWNER)
    return second


@pytest.mark.django_db
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("ended", ["before", "not"])
def test_who_was_shut_out_does_nothing(second, owner, member, organization, staff, deed, ended):
    for user in (member, second):
        create_token(actor=user, account=organization, name="ci", origin=ORIGIN)
    letter_to(organization, owner)
    Invitation.objects.update(sent_at=None)
    other = Membership.objects.get(account=organization, user=member)
    loaded = User.objects.get(pk=second.pk)
    if ended == "not":
        DEEDS[deed](loaded, organization, other)
        return
    close_user(actor=staff, user=second, origin=ORIGIN)
    before = AuditEvent.objects.count()
    assert loaded.is_active, "as far as they know"
    with pytest.raises(NotPermitted):
        DEEDS[deed](loaded, organization, other)
    assert AuditEvent.objects.count() == before


@pytest.mark.django_db
def test_who_was_shut_out_accepts_nothing(owner, organization, staff):
    _, token = letter_to(organization, owner)
    new = person("new")
    loaded = User.objects.get(pk=new.pk)
    close_user(actor=staff, user=new, origin=ORIGIN)
    with pytest.raises(NotTheInvited):
        accept_invitation(actor=loaded, token=token, origin=ORIGIN)
    assert not Membership.objects.filter(account=organization, user=new).exists()


@pytest.mark.django_db(transaction=True)
def test_an_owner_who_is_being_demoted_revokes_nobodys_token(owner, member, organization):
    token, _ = create_token(actor=member, account=organization, name="ci", origin=ORIGIN)
    second = person("second")
    theirs = Membership.objects.create(account=organization, user=second, role=Role.OWNER)
    outcome = meanwhile(
        lambda: change_role(actor=owner, membership=theirs, role=Role.MEMBER, origin=ORIGIN),
        lambda: revoke_token(actor=second, token=token, origin=ORIGIN),
    )
    assert isinstance(outcome, NotPermitted)
    token.refresh_from_db()
    assert token.revoked_at is None
