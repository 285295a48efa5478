"""The rules of invitations: to whom, how often, how long, and for whom."""

import re
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import TestCase
from django.utils import timezone

from orgs.actions import (
    AlreadyInvited,
    AlreadyMember,
    InvitationGone,
    NotTheInvited,
    TooManyInvitations,
    TooSoon,
    accept_invitation,
    create_organization,
    delete_organization,
    find_invitation,
    invite,
    remove_member,
    resend_invitation,
    revoke_invitation,
)
from orgs.actions.invitations import LETTERS_OF_A_PERSON, LETTERS_TO_AN_ADDRESS, forget_letters
from orgs.audit import Event
from orgs.forms.members import address_in
from orgs.models import Account, AuditEvent, Invitation, InvitationLetter, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from orgs.tasks import forget_letters as forget_letters_by_the_clock
from tests.conftest import person
from tests.visitor import html_of

ORIGIN = Origin()
Role = Membership.Role


def letter_to(
    account: Account, actor: User, email: str = "new@example.com", role: str = Role.MEMBER
) -> tuple[Invitation, str]:
    """An invitation, and the token in the letter that went out."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        invitation = invite(actor=actor, account=account, email=email, role=role, origin=ORIGIN)
    return invitation, token_in(mail.outbox[-1])


def token_in(letter: mail.EmailMessage) -> str:
    found = re.search(r"/invitations/(\S+)/$", str(letter.body), re.MULTILINE)
    assert found, letter.body
    return found[1]


def send_again(invitation: Invitation, actor: User) -> str:
    with TestCase.captureOnCommitCallbacks(execute=True):
        resend_invitation(actor=actor, invitation=invitation, origin=ORIGIN)
    return token_in(mail.outbox[-1])


def a_while_later() -> None:
    Invitation.objects.update(sent_at=timezone.now() - timedelta(minutes=2))


def test_the_letter_says_who_where_as_what_and_until_when(owner, organization, settings):
    settings.MEGABRAIN_BASE_URL = "https://brain.example"
    invitation, token = letter_to(organization, owner, role=Role.OWNER)
    [letter] = mail.outbox
    assert letter.to == ["new@example.com"]
    assert letter.subject == "Join Acme on MegaBrain"
    for text in (str(letter.body), html_of(letter)):
        assert f"https://brain.example/invitations/{token}/" in text
        assert "Owner (owner@example.com) invites you" in text
        assert "an owner" in text
        assert f"{invitation.expires_at:%Y, %H:%M} UTC" in text
    assert invitation.sent_at is not None
    assert Invitation.objects.get().sent_at == invitation.sent_at


def test_names_in_a_letter_are_neither_markup_nor_headers(owner, organization):
    Account.objects.filter(pk=organization.pk).update(name="<b>Ac\r\nBcc: me</b>")
    letter_to(organization, owner)
    [letter] = mail.outbox
    assert letter.subject == "Join <b>Ac Bcc: me</b> on MegaBrain"
    assert "<b>Ac" not in html_of(letter)
    assert letter.recipients() == ["new@example.com"]


def test_the_event_says_who_was_invited_as_what_and_no_more(owner, organization):
    invitation, token = letter_to(organization, owner)
    event = AuditEvent.objects.for_account(organization.pk).latest("sequence")
    assert event.event == Event.MEMBER_INVITED
    assert (event.target_label, event.details) == ("new@example.com", {"role": "member"})
    assert event.target_id == str(invitation.pk)
    assert token not in str(vars(event))


@pytest.mark.parametrize("who", ["billing_manager", "member", "stranger", "staff"])
def test_only_owners_invite_and_only_staff_may_help_them_to_undo_it(
    who, organization, owner, request
):
    actor = request.getfixturevalue(who)
    invitation, _ = letter_to(organization, owner)
    with pytest.raises(NotPermitted):
        letter_to(organization, actor, "x@example.com")
    with pytest.raises(NotPermitted):
        send_again(invitation, actor)
    if who != "staff":
        with pytest.raises(NotPermitted):
            revoke_invitation(actor=actor, invitation=invitation, origin=ORIGIN)
    assert Invitation.objects.open().count() == 1
    assert len(mail.outbox) == 1
    if who == "staff":
        revoke_invitation(actor=actor, invitation=invitation, origin=ORIGIN)
        assert not Invitation.objects.open().exists()


def test_nobody_is_invited_to_a_personal_account(owner):
    with pytest.raises(NotPermitted):
        invite(
            actor=owner, account=owner.account, email="x@example.com", role="owner", origin=ORIGIN
        )


def test_members_and_those_invited_are_not_invited_again(owner, organization):
    letter_to(organization, owner, "  New@Example.com ")
    for email, refusal in (
        ("new@example.com", AlreadyInvited),
        ("NEW@example.com", AlreadyInvited),
        ("Member@Example.com", AlreadyMember),
    ):
        with pytest.raises(refusal):
            invite(actor=owner, account=organization, email=email, role="member", origin=ORIGIN)
    assert Invitation.objects.get().email == "new@example.com"


def test_after_the_end_of_one_invitation_there_may_be_another(owner, organization):
    invitation, _ = letter_to(organization, owner)
    revoke_invitation(actor=owner, invitation=invitation, origin=ORIGIN)
    _, token = letter_to(organization, owner)
    new = person("new")
    accept_invitation(actor=new, token=token, origin=ORIGIN)
    remove_member(
        actor=owner,
        membership=Membership.objects.get(user=new, account=organization),
        origin=ORIGIN,
    )
    letter_to(organization, owner)
    assert Invitation.objects.count() == 3
    assert Invitation.objects.open().count() == 1


def test_an_address_gets_few_letters_a_day_however_they_come_about(owner, organization):
    for _ in range(LETTERS_TO_AN_ADDRESS - 1):
        invitation, _ = letter_to(organization, owner)
        revoke_invitation(actor=owner, invitation=invitation, origin=ORIGIN)
    invitation, _ = letter_to(organization, owner)
    a_while_later()
    with pytest.raises(TooManyInvitations, match=r"new@example\.com"):
        send_again(invitation, owner)
    with pytest.raises(AlreadyInvited):
        letter_to(organization, owner)
    letter_to(organization, owner, "other@example.com")
    assert len(mail.outbox) == LETTERS_TO_AN_ADDRESS + 1


def test_other_organizations_make_no_room_for_more_letters(owner, stranger):
    """Neither do deleted ones, other senders, and another spelling of the address."""
    spellings = [
        "a@x.example",
        "A@X.example",
        "ａ@x.example",
        "a@x\u00ad.example",
        "Ａ＠Ｘ．example",
    ]
    assert len(set(spellings)) == LETTERS_TO_AN_ADDRESS
    for number, email in enumerate(spellings):
        sender = (owner, stranger)[number % 2]
        account = create_organization(actor=sender, owner=sender, name="Acme", origin=ORIGIN)
        letter_to(account, sender, email)
        delete_organization(actor=sender, account=account, origin=ORIGIN)
    for sender in (owner, stranger):
        account = create_organization(actor=sender, owner=sender, name="Acme", origin=ORIGIN)
        with pytest.raises(TooManyInvitations, match=r"a@x\.example"):
            letter_to(account, sender, "a@X.Example")
    assert {letter.to[0] for letter in mail.outbox} == {"a@x.example"}


def sent_by(sender: User, letters: int, **fields: object) -> None:
    rows = InvitationLetter.objects.bulk_create(
        InvitationLetter(sender_id=sender.pk, email=f"{number}@example.com")
        for number in range(letters)
    )
    if fields:
        InvitationLetter.objects.filter(pk__in=[row.pk for row in rows]).update(**fields)


def test_a_person_sends_a_bounded_number_of_letters_a_day(owner, member, organization):
    sent_by(owner, LETTERS_OF_A_PERSON - 1)
    letter_to(organization, owner)
    other = create_organization(actor=owner, owner=owner, name="Other", origin=ORIGIN)
    for account in (organization, other):
        with pytest.raises(TooManyInvitations, match="You sent"):
            letter_to(account, owner, "other@example.com")
    Membership.objects.filter(user=member).update(role="owner")
    letter_to(organization, member, "other@example.com")


@pytest.mark.parametrize("forget", [forget_letters, forget_letters_by_the_clock])
def test_letters_count_for_a_day_and_are_forgotten(owner, organization, forget):
    sent_by(owner, LETTERS_OF_A_PERSON, created_at=timezone.now() - timedelta(days=1, seconds=1))
    letter_to(organization, owner)
    forget()
    assert InvitationLetter.objects.get().email == "new@example.com"


def test_a_letter_is_not_sent_twice_within_a_minute(owner, organization):
    invitation, _ = letter_to(organization, owner)
    with pytest.raises(TooSoon) as soon:
        send_again(invitation, owner)
    assert 1 <= soon.value.seconds <= 60
    a_while_later()
    assert send_again(invitation, owner)


def test_sending_again_starts_the_seven_days_anew_and_names_who_sent_it(
    owner, member, organization
):
    invitation, _ = letter_to(organization, owner)
    Membership.objects.filter(user=member, account=organization).update(role="owner")
    Invitation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    a_while_later()
    token = send_again(invitation, member)
    found = find_invitation(token)
    assert found.invited_by == member
    assert found.expires_at > timezone.now() + timedelta(days=6)
    event = AuditEvent.objects.for_account(organization.pk).latest("sequence")
    assert event.event == Event.INVITATION_RESENT


@pytest.fixture
def mail_server_away(settings) -> None:
    """Nobody listens on the first port."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1


@pytest.mark.usefixtures("mail_server_away")
def test_a_letter_that_does_not_go_out_is_told_and_can_be_sent_at_once(
    owner, organization, settings
):
    with TestCase.captureOnCommitCallbacks(execute=True):
        invitation = invite(
            actor=owner, account=organization, email="new@example.com", role="member", origin=ORIGIN
        )
    assert invitation.sent_at is None
    assert Invitation.objects.open().get().sent_at is None
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert find_invitation(send_again(invitation, owner)).sent_at


@pytest.mark.parametrize("invited", ["münchen.example", "xn--mnchen-3ya.example"])
@pytest.mark.parametrize("verified", ["münchen.example", "xn--mnchen-3ya.example"])
def test_a_domain_of_another_alphabet_is_one_in_both_spellings(
    owner, organization, invited, verified
):
    _, token = letter_to(organization, owner, f"a@{invited}")
    assert Invitation.objects.get().email == "a@münchen.example"
    new = person("new")
    EmailAddress.objects.filter(user=new).update(email=f"a@{verified}")
    assert accept_invitation(actor=new, token=token, origin=ORIGIN)


@pytest.mark.parametrize(
    ("invited", "verified"),
    [
        ("bob@github.com", "bob@gıthub.com"),
        ("bib@github.com", "bıb@github.com"),
        ("bob@github.com", "bob@githuß.com"),
        ("sam@github.com", "ſam@github.com"),
        ("sam@github.com", "ｓam@github.com"),
        ("bob@github.com", f"bob@{'ü' * 60}.com"),
    ],
)
def test_an_address_that_looks_like_the_invited_one_is_another(
    owner, organization, invited, verified
):
    _, token = letter_to(organization, owner, invited)
    other = person("other")
    EmailAddress.objects.filter(user=other).update(email=verified)
    with pytest.raises(NotTheInvited):
        accept_invitation(actor=other, token=token, origin=ORIGIN)
    assert not Membership.objects.filter(user=other, account=organization).exists()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ＢＯＢ＠ＧＩＴＨＵＢ．ＣＯＭ", "bob@github.com"),
        ("ℂ@github.com", "c@github.com"),
        ("K@github.com", "k@github.com"),
        ("bob@git\u00adhub.com", "bob@github.com"),
        ("bo\u00adb@github.com", None),
        ("bob@github.com\u202e", None),
        (f"bob@{'ü' * 60}.com", None),
        ("bob@", None),
        ("bob", None),
    ],
)
def test_an_address_has_one_spelling_or_is_none(text, address):
    assert address_in(text) == address


def test_accepting_makes_a_member_with_the_offered_role(owner, organization):
    invitation, token = letter_to(organization, owner, role=Role.BILLING_MANAGER)
    new = person("new")
    membership = accept_invitation(actor=new, token=token, origin=ORIGIN)
    assert (membership.account, membership.user) == (organization, new)
    assert membership.role == Role.BILLING_MANAGER
    invitation.refresh_from_db()
    assert invitation.accepted_at is not None
    event = AuditEvent.objects.for_account(organization.pk).latest("sequence")
    assert (event.event, event.actor_id) == (Event.MEMBER_JOINED, new.pk)
    assert event.details == {"role": "billing_manager", "was_a_member": None}


def test_a_member_who_accepts_keeps_the_role_they_have(owner, member, organization):
    """Who was invited under an address that they took later."""
    _, token = letter_to(organization, owner, role=Role.OWNER)
    EmailAddress.objects.filter(user=member).update(email="new@example.com")
    membership = accept_invitation(actor=member, token=token, origin=ORIGIN)
    assert membership.role == Role.MEMBER
    assert Membership.objects.filter(user=member, account=organization).count() == 1
    with pytest.raises(InvitationGone):
        find_invitation(token)


@pytest.mark.parametrize("why", ["stranger", "unverified", "closed"])
def test_others_than_the_invited_cannot_accept(owner, organization, stranger, why):
    _, token = letter_to(organization, owner)
    actor = stranger
    if why != "stranger":
        actor = person("new")
    if why == "unverified":
        EmailAddress.objects.filter(user=actor).update(verified=False)
    if why == "closed":
        User.objects.filter(pk=actor.pk).update(is_active=False)
    with pytest.raises(NotTheInvited):
        accept_invitation(actor=actor, token=token, origin=ORIGIN)
    assert not Membership.objects.filter(user=actor, account=organization).exists()
    assert find_invitation(token), "it is still there for the one it is for"


def test_what_is_over_cannot_be_changed_any_more(owner, organization):
    invitation, token = letter_to(organization, owner)
    accept_invitation(actor=person("new"), token=token, origin=ORIGIN)
    for change in (resend_invitation, revoke_invitation):
        with pytest.raises(InvitationGone):
            change(actor=owner, invitation=invitation, origin=ORIGIN)
    assert Invitation.objects.get().revoked_at is None


def test_an_invitation_goes_with_its_organization(owner, organization):
    _, token = letter_to(organization, owner)
    organization.delete()
    with pytest.raises(InvitationGone):
        find_invitation(token)
    with pytest.raises(InvitationGone):
        accept_invitation(actor=person("new"), token=token, origin=ORIGIN)
