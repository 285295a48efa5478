"""S34: an invitation is 256 random bits, kept as a digest, good once, for seven days, for whoever
has the invited address confirmed.
"""

import logging
import math
import os
import re
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone
from structlog.stdlib import ProcessorFormatter

from orgs.actions import (
    InvitationGone,
    NotTheInvited,
    accept_invitation,
    invite,
    remove_member,
    resend_invitation,
    revoke_invitation,
)
from orgs.actions.invitations import find_invitation
from orgs.models import Account, ApiToken, Invitation, Membership, User
from orgs.origin import Origin
from orgs.tokens import digest
from tests.conftest import person, signed_in
from tests.guarantees.canary import database_contents

ROUNDS = int(os.environ.get("MEGABRAIN_RACES", "8"))
ORIGIN = Origin()

pytestmark = pytest.mark.django_db(transaction=True)


def token_for(owner: User, account: Account, email: str = "new@example.com") -> str:
    """What the letter's link holds."""
    invite(actor=owner, account=account, email=email, role="member", origin=ORIGIN)
    return token_in(mail.outbox[-1])


def token_in(letter: mail.EmailMessage) -> str:
    found = re.search(r"/invitations/(\S+)/$", str(letter.body), re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture
def new(db: None) -> User:
    return person("new")


def is_member(user: User, account: Account) -> bool:
    return Membership.objects.filter(user=user, account=account).exists()


# What is kept ----------------------------------------------------------------------------


def test_the_link_holds_256_random_bits(owner, organization):
    tokens = {token_for(owner, organization, f"{number}@example.com") for number in range(20)}
    assert len(tokens) == 20
    for token in tokens:
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
        assert len(token) * math.log2(64) >= 256


def test_a_dump_of_the_database_opens_no_invitation(owner, organization, new):
    token = token_for(owner, organization)
    client = signed_in(new)
    client.get(f"/invitations/{token}/")
    dump = b"\n".join(database_contents().values())
    assert digest(token).encode() in dump
    assert token.encode() not in dump
    for stored in Invitation.objects.values_list("digest", "pk").get():
        for presented in (str(stored), str(stored).upper(), str(stored)[:43]):
            assert client.get(f"/invitations/{presented}/").status_code == 404
            assert client.post(f"/invitations/{presented}/").status_code == 404
    assert not is_member(new, organization)


# For whom, how often, how long -----------------------------------------------------------


@pytest.mark.parametrize(
    "end", ["used", "revoked", "resent", "expired", "guessed", "inviter removed"]
)
def test_a_link_that_is_over_makes_nobody_a_member(owner, organization, new, member, end):
    if end == "inviter removed":
        membership = Membership.objects.get(user=member, account=organization)
        Membership.objects.filter(pk=membership.pk).update(role="owner")
        token = token_for(member, organization)
        remove_member(actor=owner, membership=membership, origin=ORIGIN)
    else:
        token = token_for(owner, organization)
    invitation = Invitation.objects.get()
    if end == "used":
        accept_invitation(actor=new, token=token, origin=ORIGIN)
        Membership.objects.filter(user=new, account=organization).delete()
    elif end == "revoked":
        revoke_invitation(actor=owner, invitation=invitation, origin=ORIGIN)
    elif end == "resent":
        Invitation.objects.update(sent_at=timezone.now() - timedelta(minutes=2))
        resend_invitation(actor=owner, invitation=invitation, origin=ORIGIN)
    elif end == "expired":
        assert invitation.expires_at - invitation.created_at < timedelta(days=7, seconds=5)
        Invitation.objects.update(expires_at=timezone.now())
    elif end == "guessed":
        token = token[:-1] + ("A" if token[-1] != "A" else "B")
    with pytest.raises(InvitationGone):
        accept_invitation(actor=new, token=token, origin=ORIGIN)
    assert signed_in(new).post(f"/invitations/{token}/").status_code == 404
    assert not is_member(new, organization)


@pytest.mark.parametrize("who", ["another account", "unverified", "alias", "second address"])
def test_only_the_confirmed_invited_address_will_do(owner, organization, new, stranger, who):
    token = token_for(owner, organization)
    user = stranger
    if who == "unverified":
        user = new
        EmailAddress.objects.filter(user=new).update(verified=False)
    elif who == "alias":
        user = person("new+acme")
    elif who == "second address":
        # Entered while changing the address, and not confirmed so far.
        new.delete()
        EmailAddress.objects.create(user=stranger, email="new@example.com", verified=False)
    client = signed_in(user)
    page = client.get(f"/invitations/{token}/")
    assert b"Accept invitation" not in page.content
    assert client.post(f"/invitations/{token}/").status_code == 403
    with pytest.raises(NotTheInvited):
        accept_invitation(actor=user, token=token, origin=ORIGIN)
    assert not is_member(user, organization)
    assert find_invitation(token), "it still waits for the one it is for"


def test_it_takes_a_click_that_another_site_cannot_make(owner, organization, new):
    token = token_for(owner, organization)
    client = Client(enforce_csrf_checks=True)
    client.cookies = signed_in(new).cookies
    assert client.post(f"/invitations/{token}/").status_code == 403
    for method in (client.get, client.head, client.options, client.put, client.delete):
        method(f"/invitations/{token}/")
    assert not is_member(new, organization)


# At the same moment ----------------------------------------------------------------------


def at_once(*calls: Callable[[], object]) -> list[object]:
    results: list[object] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(number: int) -> None:
        start.wait(10)
        try:
            results[number] = calls[number]()
        except Exception as error:  # noqa: BLE001 -- handed to the test below.
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expected = (InvitationGone, NotTheInvited)
    assert not [
        result
        for result in results
        if isinstance(result, Exception) and not isinstance(result, expected)
    ]
    return results


def accept(user: User, token: str) -> Callable[[], object]:
    return lambda: accept_invitation(actor=user, token=token, origin=ORIGIN)


def joined(results: list[object]) -> int:
    return sum(isinstance(result, Membership) for result in results)


def fresh(owner: User, account: Account, number: int) -> tuple[User, str]:
    """Somebody new, and the link in their letter."""
    user = person(f"new{number}")
    return user, token_for(owner, account, user.email)


def test_a_link_used_many_times_at_once_makes_one_member(owner, organization, stranger):
    for number in range(ROUNDS):
        user, token = fresh(owner, organization, number)
        results = at_once(*[accept(user, token)] * 4, *[accept(stranger, token)] * 2)
        assert joined(results) == 1
        assert Membership.objects.filter(user=user, account=organization).count() == 1
    assert not is_member(stranger, organization)
    assert Membership.objects.for_account(organization).count() == 3 + ROUNDS


def test_an_invitation_is_either_accepted_or_revoked(owner, organization):
    for number in range(ROUNDS):
        user, token = fresh(owner, organization, number)
        invitation = Invitation.objects.get(email=user.email)
        results = at_once(
            accept(user, token),
            lambda invitation=invitation: revoke_invitation(  # type: ignore[misc]  # a default.
                actor=owner, invitation=invitation, origin=ORIGIN
            ),
        )
        invitation.refresh_from_db()
        assert (invitation.accepted_at is None) != (invitation.revoked_at is None)
        assert is_member(user, organization) == (invitation.accepted_at is not None)
        assert joined(results) == is_member(user, organization)


def test_a_link_is_either_used_or_replaced(owner, organization):
    for number in range(ROUNDS):
        user, token = fresh(owner, organization, number)
        Invitation.objects.update(sent_at=timezone.now() - timedelta(minutes=2))
        invitation = Invitation.objects.get(email=user.email)
        results = at_once(
            accept(user, token),
            lambda invitation=invitation: resend_invitation(  # type: ignore[misc]  # a default.
                actor=owner, invitation=invitation, origin=ORIGIN
            ),
        )
        assert sum(isinstance(result, InvitationGone) for result in results) == 1
        with pytest.raises(InvitationGone):
            find_invitation(token)
        assert joined(results) == is_member(user, organization)


def test_who_is_removed_while_they_accept_again_is_in_or_out_with_all_that_belongs_to_it(
    owner, organization
):
    for number in range(ROUNDS):
        user, token = fresh(owner, organization, number)
        membership = Membership.objects.create(account=organization, user=user, role="member")
        at_once(
            accept(user, token),
            lambda membership=membership: remove_member(  # type: ignore[misc]  # a default.
                actor=owner, membership=membership, origin=ORIGIN
            ),
        )
        assert not Invitation.objects.acceptable().filter(email=user.email).exists()
        assert not ApiToken.objects.filter(user=user, revoked_at__isnull=True).exists()


# Where the link must not get to ----------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/invitations/{}/", "/invitations/{}/more/", "/accounts/password/reset/key/1a-{}/"]
)
def test_no_log_line_holds_a_link(owner, organization, new, caplog, path):
    token = token_for(owner, organization)
    caplog.set_level(logging.DEBUG)
    link = path.format(token)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = signed_in(new).cookies
    strict.get(link)
    strict.post(link)  # A breach of CSRF protection,
    strict.delete(link)  # a wrong method,
    Invitation.objects.all().delete()
    strict.get(link)  # and what is not there: each is logged with its path.
    [formatter] = [
        handler.formatter
        for handler in logging.root.handlers
        if isinstance(handler.formatter, ProcessorFormatter)
    ]
    lines = [formatter.format(record) for record in caplog.records]
    assert any("/***" in line for line in lines), "what is hidden was there"
    assert not [line for line in lines if token in line]


def test_the_page_sends_its_address_nowhere(owner, organization, new):
    token = token_for(owner, organization)
    for client in (Client(), signed_in(new)):
        answer = client.get(f"/invitations/{token}/")
        assert answer["Referrer-Policy"] == "strict-origin"
        assert "no-store" in answer["Cache-Control"]
        body = answer.content.decode()
        assert not re.findall(r'(?:href|src|action)="https?://', body)
        holding = re.findall(rf'(\w+)="[^"]*{token}[^"]*"', body)
        assert set(holding) <= {"href", "action", "value"}
        for href in re.findall(rf'href="([^"]*{token}[^"]*)"', body):
            assert href.startswith(("/accounts/login/?next=", "/accounts/signup/?next="))
