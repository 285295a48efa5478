"""S33: whatever its owners do to each other at the same moment, one of them is left."""

import os
from collections.abc import Callable

import pytest
from django.core import mail

from orgs.actions import (
    InvitationGone,
    LastOwner,
    MemberGone,
    NotTheInvited,
    TooManyTokens,
    accept_invitation,
    change_role,
    close_user,
    create_organization,
    create_token,
    invite,
    leave_organization,
    remove_member,
    reopen_user,
)
from orgs.audit import Event
from orgs.models import Account, ApiToken, AuditEvent, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.conftest import person
from tests.orgs.test_invitations_actions import token_in
from tests.together import Change, at_once, held

ROUNDS = int(os.environ.get("MEGABRAIN_RACES", "8"))
REFUSALS = (
    InvitationGone,
    LastOwner,
    MemberGone,
    NotPermitted,
    NotTheInvited,
    TooManyTokens,
)
ORIGIN = Origin()

pytestmark = pytest.mark.django_db(transaction=True)


def demote(actor: User, membership: Membership) -> Change:
    return lambda: change_role(
        actor=actor, membership=membership, role=Membership.Role.MEMBER, origin=ORIGIN
    )


def remove(actor: User, membership: Membership) -> Change:
    return lambda: remove_member(actor=actor, membership=membership, origin=ORIGIN)


def leave(user: User, account: Account) -> Change:
    return lambda: leave_organization(actor=user, account=account, origin=ORIGIN)


def close(actor: User, user: User) -> Change:
    return lambda: close_user(actor=actor, user=user, origin=ORIGIN)


def is_led(account: Account) -> bool:
    """Whether somebody can act as its owner, as long as anybody is in it who can sign in."""
    memberships = Membership.objects.for_account(account)
    members = memberships.filter(user__is_active=True)
    return memberships.owners().exists() or not members.exists()


PAIRS: dict[str, Callable[[User, Membership, Membership], tuple[Change, ...]]] = {
    "demote each other": lambda staff, a, b: (demote(a.user, b), demote(b.user, a)),
    "remove each other": lambda staff, a, b: (remove(a.user, b), remove(b.user, a)),
    "demote themselves": lambda staff, a, b: (demote(a.user, a), demote(b.user, b)),
    "leave": lambda staff, a, b: (leave(a.user, a.account), leave(b.user, b.account)),
    "demote and leave": lambda staff, a, b: (demote(a.user, b), leave(a.user, a.account)),
    "are closed by staff": lambda staff, a, b: (close(staff, a.user), close(staff, b.user)),
    "closed, removed": lambda staff, a, b: (close(staff, a.user), remove(a.user, b)),
    "all at once": lambda staff, a, b: (
        demote(a.user, b),
        remove(b.user, a),
        leave(b.user, b.account),
        close(staff, a.user),
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_two_owners_at_the_same_moment_leave_one(owner, stranger, member, staff, pair):
    for number in range(ROUNDS):
        User.objects.update(is_active=True)
        account = create_organization(
            actor=owner, owner=owner, name=f"Acme {number}", origin=ORIGIN
        )
        first = Membership.objects.select_related("user", "account").get(account=account)
        second = Membership.objects.create(
            account=account, user=stranger, role=Membership.Role.OWNER
        )
        Membership.objects.create(account=account, user=member, role=Membership.Role.MEMBER)
        results = at_once(*PAIRS[pair](staff, first, second), refusals=REFUSALS)
        assert Membership.objects.for_account(account).owners().exists(), results


@pytest.mark.parametrize("pair", PAIRS)
def test_without_other_members_it_is_led_or_sleeps(owner, stranger, staff, pair):
    for number in range(ROUNDS):
        User.objects.update(is_active=True)
        account = create_organization(
            actor=owner, owner=owner, name=f"Acme {number}", origin=ORIGIN
        )
        first = Membership.objects.select_related("user", "account").get(account=account)
        second = Membership.objects.create(
            account=account, user=stranger, role=Membership.Role.OWNER
        )
        results = at_once(*PAIRS[pair](staff, first, second), refusals=REFUSALS)
        assert is_led(account), results


def test_who_joins_as_an_owner_while_being_shut_out_leads_nothing(owner, member, staff):
    """The former owner leaves as soon as there is another, who must still be one afterwards."""
    for number in range(ROUNDS):
        account = create_organization(
            actor=owner, owner=owner, name=f"Acme {number}", origin=ORIGIN
        )
        Membership.objects.create(account=account, user=member, role=Membership.Role.MEMBER)
        new = person(f"new{number}")
        invite(actor=owner, account=account, email=new.email, role="owner", origin=ORIGIN)
        token = token_in(mail.outbox[-1])

        def take_over(new: User = new, token: str = token, account: Account = account) -> None:
            accept_invitation(actor=new, token=token, origin=ORIGIN)
            leave_organization(actor=owner, account=account, origin=ORIGIN)

        results = at_once(held(new), take_over, close(staff, new), refusals=REFUSALS)
        assert is_led(account), results
        assert Membership.objects.for_account(account).owners().exists(), results


def test_nobody_opens_an_organization_after_being_shut_out(owner, staff):
    for number in range(ROUNDS):
        new = person(f"new{number}")

        def open_one(new: User = new) -> Account:
            return create_organization(actor=new, owner=new, name="Acme", origin=ORIGIN)

        opened, closed = at_once(held(new), open_one, close(staff, new), refusals=(NotPermitted,))[
            1:
        ]
        assert closed is True
        if isinstance(opened, Account):
            at = {
                event.event: event.created_at
                for event in AuditEvent.objects.filter(account_id__in=[opened.pk, new.account.pk])
            }
            assert at[Event.ORG_CREATED] < at[Event.USER_CLOSED]
        else:
            assert not Membership.objects.filter(user=new, account__kind="organization").exists()


def test_an_organization_sleeps_with_its_only_member_and_wakes_with_them(owner, staff):
    account = create_organization(actor=owner, owner=owner, name="Acme", origin=ORIGIN)
    assert close(staff, owner)()
    owner.refresh_from_db()
    assert not owner.is_active
    assert not Membership.objects.for_account(account).owners().exists()
    assert reopen_user(actor=staff, user=owner, origin=ORIGIN)
    assert create_token(actor=owner, account=account, name="ci", origin=ORIGIN)


def test_an_only_owner_whom_others_need_is_not_shut_out(owner, organization, staff):
    with pytest.raises(LastOwner, match=r"owner@example\.com is the only owner of Acme"):
        close(staff, owner)()
    owner.refresh_from_db()
    assert owner.is_active


def test_who_is_shut_out_needs_no_owner_and_comes_back_after_one(
    owner, member, billing_manager, organization, staff
):
    for user in (member, billing_manager, owner):
        assert close(staff, user)()
    with pytest.raises(LastOwner, match="Acme has no owner who can sign in"):
        reopen_user(actor=staff, user=member, origin=ORIGIN)
    assert is_led(organization)
    for user in (owner, member):
        assert reopen_user(actor=staff, user=user, origin=ORIGIN)
    assert is_led(organization)


def test_nobody_makes_a_token_while_their_membership_ends(owner, member, organization):
    """Neither is there a token afterwards that a new membership would bring to life."""
    for _ in range(ROUNDS):
        membership, _ = Membership.objects.get_or_create(
            account=organization, user=member, defaults={"role": Membership.Role.MEMBER}
        )

        def make() -> object:
            return create_token(actor=member, account=organization, name="ci", origin=ORIGIN)

        at_once(make, remove(owner, membership), make, make, refusals=REFUSALS)
        assert not ApiToken.objects.filter(
            user=member, account=organization, revoked_at__isnull=True
        ).exists()
