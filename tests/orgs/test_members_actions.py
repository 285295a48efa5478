"""The rules of memberships: who may change them, what goes with them, what is told of them."""

from datetime import timedelta

import pytest
from django.core import mail
from django.test import TestCase
from django.utils import timezone

from orgs.actions import (
    LastOwner,
    MemberGone,
    change_role,
    close_user,
    create_token,
    invite,
    leave_organization,
    limit_member,
    remove_member,
    reopen_user,
)
from orgs.models import Account, ApiToken, AuditEvent, Invitation, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.conftest import person
from tests.visitor import html_of

ORIGIN = Origin(address="192.0.2.7")
Role = Membership.Role


def membership_of(user: User, account: Account) -> Membership:
    return Membership.objects.get(user=user, account=account)


def events(account: Account) -> list[tuple[str, dict[str, object]]]:
    """What was told since Acme was created."""
    found = AuditEvent.objects.for_account(account.pk).filter(sequence__gt=1).order_by("sequence")
    return list(found.values_list("event", "details"))


def join(account: Account, name: str, role: str) -> User:
    user = person(name)
    Membership.objects.create(account=account, user=user, role=role)
    return user


def test_a_change_of_role_is_told_with_the_one_before(owner, member, organization):
    changed = change_role(
        actor=owner,
        membership=membership_of(member, organization),
        role=Role.BILLING_MANAGER,
        origin=ORIGIN,
    )
    assert changed
    [(event, details)] = events(organization)
    assert event == "org.member.role_changed"
    assert details == {
        "role": "billing_manager",
        "previous_role": "member",
        "invitations_withdrawn": None,
    }
    told = AuditEvent.objects.for_account(organization.pk).latest("sequence")
    assert (told.actor_id, told.target_label, told.address, told.changed) == (
        owner.pk,
        "member@example.com",
        "192.0.2.7",
        ["role"],
    )


def test_what_changes_nothing_is_not_told(owner, member, organization):
    membership = membership_of(member, organization)
    assert not change_role(actor=owner, membership=membership, role=Role.MEMBER, origin=ORIGIN)
    assert not limit_member(
        actor=owner, membership=membership, requests_per_minute=None, origin=ORIGIN
    )
    assert events(organization) == []


@pytest.mark.parametrize("who", ["billing_manager", "member", "stranger"])
def test_without_the_right_nothing_is_changed(who, owner, member, organization, request):
    actor = request.getfixturevalue(who)
    for membership in Membership.objects.for_account(organization):
        with pytest.raises(NotPermitted):
            change_role(actor=actor, membership=membership, role=Role.OWNER, origin=ORIGIN)
        with pytest.raises(NotPermitted):
            limit_member(actor=actor, membership=membership, requests_per_minute=1, origin=ORIGIN)
        with pytest.raises(NotPermitted):
            remove_member(actor=actor, membership=membership, origin=ORIGIN)
    assert events(organization) == []
    assert Membership.objects.for_account(organization).count() == 3


def test_who_was_an_owner_when_the_page_was_loaded_is_not_one_now(owner, member, organization):
    other = join(organization, "other", Role.OWNER)
    change_role(
        actor=other, membership=membership_of(owner, organization), role=Role.MEMBER, origin=ORIGIN
    )
    with pytest.raises(NotPermitted):
        remove_member(actor=owner, membership=membership_of(other, organization), origin=ORIGIN)


def test_staff_may_help_out_but_not_limit(staff, member, organization):
    membership = membership_of(member, organization)
    assert change_role(actor=staff, membership=membership, role=Role.OWNER, origin=ORIGIN)
    with pytest.raises(NotPermitted):
        limit_member(actor=staff, membership=membership, requests_per_minute=1, origin=ORIGIN)
    remove_member(actor=staff, membership=membership, origin=ORIGIN)
    assert [event for event, _ in events(organization)] == [
        "org.member.role_changed",
        "org.member.removed",
    ]


@pytest.mark.parametrize("role", [Role.MEMBER, Role.BILLING_MANAGER])
def test_staff_do_not_raise_themselves(owner, staff, organization, role):
    membership = Membership.objects.create(account=organization, user=staff, role=role)
    for wish in Role:
        with pytest.raises(NotPermitted):
            change_role(actor=staff, membership=membership, role=wish, origin=ORIGIN)
    assert membership_of(staff, organization).role == role
    assert events(organization) == []
    assert change_role(actor=owner, membership=membership, role=Role.OWNER, origin=ORIGIN)


def test_staff_who_are_owners_change_their_own_role(owner, staff, organization):
    membership = Membership.objects.create(
        account=organization, user=staff, role=Membership.Role.OWNER
    )
    assert change_role(actor=staff, membership=membership, role=Role.MEMBER, origin=ORIGIN)
    with pytest.raises(NotPermitted):
        change_role(actor=staff, membership=membership, role=Role.OWNER, origin=ORIGIN)


def test_the_last_owner_can_neither_be_demoted_nor_removed_nor_leave(owner, organization):
    membership = membership_of(owner, organization)
    with pytest.raises(LastOwner):
        change_role(actor=owner, membership=membership, role=Role.MEMBER, origin=ORIGIN)
    with pytest.raises(LastOwner):
        remove_member(actor=owner, membership=membership, origin=ORIGIN)
    with pytest.raises(LastOwner):
        leave_organization(actor=owner, account=organization, origin=ORIGIN)
    assert events(organization) == []


def test_an_owner_who_cannot_sign_in_does_not_count(owner, staff, organization):
    other = join(organization, "other", Role.OWNER)
    close_user(actor=staff, user=other, origin=ORIGIN)
    with pytest.raises(LastOwner):
        leave_organization(actor=owner, account=organization, origin=ORIGIN)
    with pytest.raises(LastOwner):
        close_user(actor=staff, user=owner, origin=ORIGIN)
    # Nor are they needed.
    remove_member(actor=owner, membership=membership_of(other, organization), origin=ORIGIN)
    assert Membership.objects.for_account(organization).owners().get().user == owner


def test_a_personal_account_keeps_its_person(owner, staff):
    membership = membership_of(owner, owner.account)
    with pytest.raises(MemberGone):
        change_role(actor=owner, membership=membership, role=Role.MEMBER, origin=ORIGIN)
    with pytest.raises(MemberGone):
        remove_member(actor=staff, membership=membership, origin=ORIGIN)
    with pytest.raises(LastOwner):
        leave_organization(actor=owner, account=owner.account, origin=ORIGIN)
    assert membership_of(owner, owner.account).role == Role.OWNER


def test_a_member_who_is_gone_is_not_changed(owner, member, organization):
    membership = membership_of(member, organization)
    remove_member(actor=owner, membership=membership, origin=ORIGIN)
    with pytest.raises(MemberGone):
        remove_member(actor=owner, membership=membership, origin=ORIGIN)
    with pytest.raises(MemberGone):
        change_role(actor=owner, membership=membership, role=Role.OWNER, origin=ORIGIN)
    with pytest.raises(MemberGone):
        limit_member(actor=owner, membership=membership, requests_per_minute=1, origin=ORIGIN)
    with pytest.raises(NotPermitted):
        leave_organization(actor=member, account=organization, origin=ORIGIN)


def test_members_of_an_organization_that_is_gone_are_not_changed(owner, member, organization):
    membership = membership_of(member, organization)
    organization.delete()
    for change in (
        lambda: remove_member(actor=owner, membership=membership, origin=ORIGIN),
        lambda: change_role(actor=owner, membership=membership, role="owner", origin=ORIGIN),
    ):
        with pytest.raises(Account.DoesNotExist):
            change()


def test_tokens_end_with_the_membership_and_do_not_come_back_with_a_new_one(
    owner, member, organization
):
    token, _ = create_token(actor=member, account=organization, name="ci", origin=ORIGIN)
    mine, _ = create_token(actor=member, account=member.account, name="mine", origin=ORIGIN)
    before, _ = create_token(actor=member, account=organization, name="old", origin=ORIGIN)
    long_ago = timezone.now() - timedelta(days=9)
    ApiToken.objects.filter(pk=before.pk).update(revoked_at=long_ago)
    remove_member(actor=owner, membership=membership_of(member, organization), origin=ORIGIN)
    Membership.objects.create(account=organization, user=member, role=Role.MEMBER)
    assert set(ApiToken.objects.usable()) == {mine}
    before.refresh_from_db()
    assert before.revoked_at == long_ago
    event, details = events(organization)[-1]
    assert (event, details["tokens_revoked"]) == ("org.member.removed", 1)
    assert token.pk


@pytest.mark.parametrize("end", ["demoted", "removed", "left", "closed"])
def test_invitations_of_who_may_no_longer_invite_are_withdrawn(owner, staff, organization, end):
    other = join(organization, "other", Role.OWNER)
    for email in ("a@example.com", "b@example.com"):
        invite(actor=other, account=organization, email=email, role=Role.OWNER, origin=ORIGIN)
    kept = invite(
        actor=owner, account=organization, email="c@example.com", role="member", origin=ORIGIN
    )
    membership = membership_of(other, organization)
    if end == "demoted":
        change_role(actor=owner, membership=membership, role=Role.MEMBER, origin=ORIGIN)
    elif end == "removed":
        remove_member(actor=owner, membership=membership, origin=ORIGIN)
    elif end == "left":
        leave_organization(actor=other, account=organization, origin=ORIGIN)
    else:
        close_user(actor=staff, user=other, origin=ORIGIN)
        reopen_user(actor=staff, user=other, origin=ORIGIN)
    assert list(Invitation.objects.open()) == [kept]
    if end != "closed":
        assert events(organization)[-1][1]["invitations_withdrawn"] == 2


def test_an_owner_made_billing_manager_keeps_tokens_but_not_the_invitations(owner, organization):
    other = join(organization, "other", Role.OWNER)
    create_token(actor=other, account=organization, name="ci", origin=ORIGIN)
    invite(actor=other, account=organization, email="a@example.com", role="member", origin=ORIGIN)
    change_role(
        actor=owner,
        membership=membership_of(other, organization),
        role=Role.BILLING_MANAGER,
        origin=ORIGIN,
    )
    assert ApiToken.objects.usable().count() == 1
    assert not Invitation.objects.open().exists()


def test_a_limit_is_told(owner, member, organization):
    membership = membership_of(member, organization)
    assert limit_member(actor=owner, membership=membership, requests_per_minute=7, origin=ORIGIN)
    assert limit_member(actor=owner, membership=membership, requests_per_minute=None, origin=ORIGIN)
    assert events(organization) == [
        ("org.member.limited", {"requests_per_minute": 7, "previous_requests_per_minute": None}),
        ("org.member.limited", {"requests_per_minute": None, "previous_requests_per_minute": 7}),
    ]


# Letters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("actor", ["owner", "staff"])
def test_whoever_gets_another_role_is_written_to(request, actor, member, organization):
    by = request.getfixturevalue(actor)
    for _ in range(2):  # The second changes nothing.
        with TestCase.captureOnCommitCallbacks(execute=True):
            change_role(
                actor=by,
                membership=membership_of(member, organization),
                role=Role.OWNER,
                origin=ORIGIN,
            )
    [letter] = mail.outbox
    assert letter.to == ["member@example.com"]
    assert letter.subject == "Your role in Acme on MegaBrain has changed"
    for text in (str(letter.body), html_of(letter)):
        assert "you were a member and are now an owner" in text
        assert by.email in text
        assert "/orgs/acme/" in text


@pytest.mark.parametrize("actor", ["owner", "staff"])
def test_whoever_is_removed_is_written_to(request, actor, member, organization):
    by = request.getfixturevalue(actor)
    with TestCase.captureOnCommitCallbacks(execute=True):
        remove_member(actor=by, membership=membership_of(member, organization), origin=ORIGIN)
    [letter] = mail.outbox
    assert letter.to == ["member@example.com"]
    assert letter.subject == "You were removed from Acme on MegaBrain"
    for text in (str(letter.body), html_of(letter)):
        assert by.email in text
        assert "agents that use them are turned away" in text


def test_nobody_is_written_to_of_what_they_did_themselves(owner, member, organization):
    join(organization, "second", Role.OWNER)
    with TestCase.captureOnCommitCallbacks(execute=True):
        leave_organization(actor=member, account=organization, origin=ORIGIN)
        change_role(
            actor=owner,
            membership=membership_of(owner, organization),
            role=Role.MEMBER,
            origin=ORIGIN,
        )
    assert mail.outbox == []


def test_a_refused_change_writes_to_nobody(owner, member, organization):
    with TestCase.captureOnCommitCallbacks(execute=True):
        with pytest.raises(NotPermitted):
            remove_member(
                actor=member, membership=membership_of(owner, organization), origin=ORIGIN
            )
        with pytest.raises(LastOwner):
            change_role(
                actor=owner,
                membership=membership_of(owner, organization),
                role=Role.MEMBER,
                origin=ORIGIN,
            )
    assert mail.outbox == []


def test_a_mail_server_that_is_away_keeps_nobody_in(owner, member, organization, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    with TestCase.captureOnCommitCallbacks(execute=True):
        remove_member(actor=owner, membership=membership_of(member, organization), origin=ORIGIN)
    assert not Membership.objects.filter(user=member, account=organization).exists()
