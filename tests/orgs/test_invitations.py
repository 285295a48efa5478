"""The pages of invitations: sent, sent again, revoked, and where the link in the letter leads."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client, TestCase
from django.urls import reverse
from django.utils import timezone

from orgs.actions import create_organization, invite, revoke_invitation
from orgs.forms.members import InviteForm
from orgs.models import Account, AuditEvent, Invitation, Membership, User
from orgs.origin import Origin
from tests.conftest import person, signed_in
from tests.visitor import PASSWORD, Visitor, code_of_app

MEMBERS = "/orgs/acme/members/"
INVITE = "/orgs/acme/members/invite/"
HTMX = {
    "HX-Request": "true",
    "HX-Current-URL": f"http://testserver{MEMBERS}",
    "HX-Target": "dialogs",
}

LinkTo = Callable[..., str]

#: Letters go out when what they tell of is committed, and the page says whether they did.
committed = pytest.mark.django_db(transaction=True)

pytestmark = pytest.mark.usefixtures("organization", "no_attempts_yet")


def page(response) -> str:
    return " ".join(unescape(response.content.decode()).split())


def visitor_as(user: User) -> Visitor:
    """A browser in which `user` signed in just now, and whose letters go out."""
    visitor = Visitor()
    visitor.cookies = signed_in(user).cookies
    return visitor


@pytest.fixture
def boss(owner: User) -> Visitor:
    return visitor_as(owner)


def send(boss: Visitor, emails: str, role: str = "member", headers=None):
    return boss.post(INVITE, {"emails": emails, "role": role}, headers=headers or {})


@pytest.fixture
def link_to(owner: User, organization: Account) -> LinkTo:
    """Has the owner invite somebody; returns the path that the letter leads to."""

    def link_to(email: str = "new@example.com", role: str = "member") -> str:
        with TestCase.captureOnCommitCallbacks(execute=True):
            invite(actor=owner, account=organization, email=email, role=role, origin=Origin())
        return link_in(mail.outbox[-1])

    return link_to


def link_in(letter: mail.EmailMessage) -> str:
    found = re.search(r"^http://[^/]+(/invitations/\S+/)$", str(letter.body), re.MULTILINE)
    assert found, letter.body
    return found[1]


def open_to() -> set[str]:
    return set(Invitation.objects.open().values_list("email", flat=True))


def roles(account: Account) -> dict[str, str]:
    return dict(Membership.objects.for_account(account).values_list("user__email", "role"))


# Inviting --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "addresses", "malformed"),
    [
        ("a@example.com", ["a@example.com"], []),
        ("a@x.com,b@x.com;c@x.com d@x.com\r\n\te@x.com", [f"{x}@x.com" for x in "abcde"], []),
        (" A@X.com , a@x.com;; ", ["a@x.com"], []),
        ("Ann Smith <ann@x.com>, <bob@x.com>", ["ann@x.com", "bob@x.com"], []),
        ('"Smith, Ann" <ann@x.com>\n"Bob" <bob@x.com>', ["ann@x.com", "bob@x.com"], []),
        ("ann@x.com bob @x.com <>", ["ann@x.com"], ["bob", "@x.com"]),
        ("bob@x.com Ann <ann@x.com>", ["bob@x.com", "ann@x.com"], ["ann"]),
        ("ann@x.com <ann@x.com>", ["ann@x.com"], []),
        ("a@b c@@x.com .a@x.com a@x..com", [], ["a@b", "c@@x.com", ".a@x.com", "a@x..com"]),
        ("a@" + "ü" * 60 + ".com", [], ["a@" + "ü" * 60 + ".com"]),
        ("a@" + "x" * 250 + ".com", [], ["a@" + "x" * 250 + ".com"]),
        ("grüße@x.com", [], ["grüße@x.com"]),
    ],
)
def test_addresses_are_told_from_what_is_none(text, addresses, malformed):
    form = InviteForm({"emails": text, "role": "member"})
    assert form.is_valid(), form.errors
    assert (form.addresses, form.malformed) == (addresses, malformed)


@pytest.mark.parametrize("text", ["a" * 12_000, '"' * 12_000, "<" * 12_000, "a <" * 4_000])
def test_no_text_takes_long_to_read(text):
    before = time.thread_time()
    InviteForm({"emails": text, "role": "member"}).is_valid()
    assert time.thread_time() - before < 5


@committed
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_several_people_are_invited_at_once(boss, headers):
    form = page(boss.get(INVITE, headers=headers))
    assert "Provider keys, billing and the audit log, but not members." in form, (
        "each role is explained"
    )
    assert "which use the organization's provider keys and spend its balance." in form
    answer = send(boss, "a@x.com, b@x.com\nc@x.com", "billing_manager", headers)
    told = page(boss.get(answer["Location"])) if not headers else page(answer)
    assert "Invited 3 people." in told
    assert "<html" in told or told.startswith('<div id="people" class="stack" hx-swap-oob')
    for email in ("a@x.com", "b@x.com", "c@x.com"):
        assert email in told
    assert [letter.to for letter in mail.outbox] == [["a@x.com"], ["b@x.com"], ["c@x.com"]]
    assert set(Invitation.objects.values_list("role", flat=True)) == {"billing_manager"}


@committed
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_what_became_of_each_address_is_told_by_kind(boss, headers):
    send(boss, "waiting@example.com")
    answer = send(boss, "new@x.com member@example.com waiting@example.com foo b@r", headers=headers)
    told = page(answer)
    assert answer.status_code == 200
    for sentence in (
        "Invited new@x.com.",
        "member@example.com is a member already.",
        "waiting@example.com is invited already.",
        "foo, b@r are not e-mail addresses. Correct them below.",
    ):
        assert sentence in told
    assert "> foo b@r</textarea>" in told, "what has to be corrected is still there"
    assert ('id="people" class="stack" hx-swap-oob="true"' in told) == bool(headers)
    assert open_to() == {"new@x.com", "waiting@example.com"}


def test_when_nobody_could_be_invited_that_is_an_error(boss):
    answer = send(boss, "member@example.com foo", "owner")
    assert answer.status_code == 422
    assert 'value="owner"' in re.search(r"<input[^>]*checked[^>]*>", page(answer))[0]  # type: ignore[index]  # the assertion is that it is there.
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(
    ("emails", "role"),
    [
        ("", "member"),
        (" ,;\n ", "member"),
        ("a@x.com", ""),
        ("a@x.com", "admin"),
        ("a@x.com", "OWNER"),
        (" ".join(f"a{n}@x.com" for n in range(51)), "member"),
        ("a@x.com\x00", "member"),
        ("a" * 20_000, "member"),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_a_wrong_form_invites_nobody(boss, emails, role, headers):
    answer = send(boss, emails, role, headers)
    assert answer.status_code == 422
    assert page(answer).startswith("<dialog") == bool(headers)
    assert not Invitation.objects.exists()
    assert mail.outbox == []


@committed
def test_fifty_people_can_be_invited_at_once(boss):
    assert send(boss, " ".join(f"a{n}@x.com" for n in range(50))).status_code == 302
    assert len(mail.outbox) == len(open_to()) == 50


@pytest.fixture
def mail_server_away(settings) -> None:
    """Nobody listens on the first port."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1


@committed
@pytest.mark.usefixtures("mail_server_away")
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_with_the_mail_server_away_the_rest_is_left_to_be_tried_later(boss, headers, settings):
    told = page(send(boss, "a@x.com b@x.com c@x.com d@x.com", headers=headers))
    assert "a@x.com, b@x.com are invited, but the mail server did not take the letter." in told
    assert "The mail server does not answer, so the addresses below were not invited yet." in told
    assert "> c@x.com d@x.com</textarea>" in told
    assert open_to() == {"a@x.com", "b@x.com"}
    listed = page(boss.get(MEMBERS))
    assert listed.count("not sent") == 2

    invitation = Invitation.objects.get(email="a@x.com")
    again = reverse("orgs:invitation_resend", args=["acme", invitation.pk])
    told = page(boss.post(again, follow=True))
    assert "The mail server did not take the letter to a@x.com." in told
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    told = page(boss.post(again, follow=True))
    assert "Sent a@x.com another letter." in told
    assert told.count("not sent") == 1


def test_too_many_letters_are_refused_in_words(boss):
    for _ in range(5):
        send(boss, "new@example.com")
        Invitation.objects.open().update(revoked_at=timezone.now())
    answer = send(boss, "new@example.com")
    assert answer.status_code == 422
    assert "new@example.com was sent 5 letters within a day." in page(answer)


def test_the_inviter_is_named_and_an_expired_invitation_marked(link_to, boss, billing_manager):
    link_to()
    assert "You" in page(boss.get(MEMBERS)).split("Open invitations, newest first")[-1]
    Invitation.objects.update(
        invited_by=billing_manager, expires_at=timezone.now() - timedelta(seconds=1)
    )
    told = page(boss.get(MEMBERS)).split("Open invitations, newest first")[-1]
    assert "Billing_Manager" in told
    assert "expired" in told
    Invitation.objects.update(invited_by=None)
    assert boss.get(MEMBERS).status_code == 200


@committed
@pytest.mark.parametrize("target", [None, "people"], ids=["page", "htmx"])
def test_an_invitation_is_sent_again_and_its_former_link_is_void(link_to, boss, target):
    former = link_to()
    headers = {**HTMX, "HX-Target": target} if target else {}
    again = reverse("orgs:invitation_resend", args=["acme", Invitation.objects.get().pk])
    answer = boss.post(again, headers=headers, follow=True)
    assert "You can send it again in" in page(answer)
    assert len(mail.outbox) == 1

    Invitation.objects.update(sent_at=timezone.now() - timedelta(minutes=2))
    told = page(boss.post(again, headers=headers, follow=True))
    assert "Sent new@example.com another letter." in told
    if target:
        assert told.startswith('<div id="people" class="stack">')
    latter = link_in(mail.outbox[-1])
    assert Visitor().get(former).status_code == 404
    assert Visitor().get(latter).status_code == 200


@committed
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_an_old_session_confirms_who_it_is_before_another_letter_goes_out(link_to, owner, headers):
    former = link_to()
    Invitation.objects.update(sent_at=timezone.now() - timedelta(minutes=2))
    client = Client()
    client.force_login(owner)
    again = reverse("orgs:invitation_resend", args=["acme", Invitation.objects.get().pk])
    answer = client.post(again, headers=headers)
    asked = answer["HX-Redirect" if headers else "Location"]
    assert asked.startswith(reverse("account_reauthenticate"))
    assert len(mail.outbox) == 1
    assert Visitor().get(former).status_code == 200
    # Taking an invitation back is never held up.
    client.post(reverse("orgs:invitation_revoke", args=["acme", Invitation.objects.get().pk]))
    assert not Invitation.objects.open().exists()


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_an_invitation_is_revoked_in_a_dialog(link_to, boss, headers):
    link = link_to()
    address = reverse("orgs:invitation_revoke", args=["acme", Invitation.objects.get().pk])
    assert "stops working at once" in page(boss.get(address, headers=headers))
    assert open_to() == {"new@example.com"}
    told = page(boss.post(address, headers=headers, follow=True))
    assert "Revoked the invitation of new@example.com." in told
    assert Visitor().get(link).status_code == 404
    for method in (boss.get, boss.post):
        assert method(address).status_code == 404


def test_after_a_change_the_list_keeps_what_was_searched_for(boss):
    send(boss, "a@x.com b@x.com")
    invitation = Invitation.objects.get(email="a@x.com")
    address = reverse("orgs:invitation_revoke", args=["acme", invitation.pk])
    searching = {**HTMX, "HX-Current-URL": f"http://testserver{MEMBERS}?q=a@x"}
    told = page(boss.post(address, headers=searching))
    assert "0 members match" in told
    assert "b@x.com" not in told


@pytest.mark.parametrize("name", ["invitation_resend", "invitation_revoke"])
def test_invitations_of_another_organization_are_not_found(boss, stranger, name):
    create_organization(actor=stranger, owner=stranger, name="Other", slug="other", origin=Origin())
    visitor_as(stranger).post("/orgs/other/members/invite/", {"emails": "a@x.com", "role": "owner"})
    invitation = Invitation.objects.get()
    assert boss.post(reverse(f"orgs:{name}", args=["acme", invitation.pk])).status_code == 404
    assert boss.post(reverse(f"orgs:{name}", args=["other", invitation.pk])).status_code == 404
    assert open_to() == {"a@x.com"}


# Accepting -------------------------------------------------------------------------------


def test_looking_at_an_invitation_changes_nothing(link_to, boss):
    link = link_to()
    new = visitor_as(person("new"))
    events = AuditEvent.objects.count()
    for client in (Visitor(), boss, new):
        for method in (client.get, client.head):
            answer = method(link)
            assert answer.status_code == 200
            assert answer["Cache-Control"] == "no-store"
            assert answer["Referrer-Policy"] == "strict-origin"
    assert AuditEvent.objects.count() == events
    assert open_to() == {"new@example.com"}


def test_a_visitor_learns_who_invites_to_what_and_no_address(link_to, boss, owner, organization):
    Account.objects.filter(pk=organization.pk).update(name="<Acme>")
    told = page(Visitor().get(link_to(role="billing_manager")))
    assert "Join <Acme>" in told
    assert "Owner invites you" in told
    assert "as a billing manager" in told
    assert "n•••@e•••.com" in told
    for secret in ("new@example.com", "owner@example.com", "example.com", "member@", "acme"):
        assert secret not in told.replace("n•••@e•••.com", ""), secret


def test_signing_up_leads_back_through_the_code_in_the_mail(link_to, boss, organization):
    link = link_to()
    visitor = Visitor()
    told = page(visitor.get(link))
    found = re.search(r'href="(/accounts/signup/\?next=[^"]+)"', told)
    assert found
    form = page(visitor.get(found[1]))
    assert f'name="next" value="{link}"' in form
    assert "new@example.com" not in form
    answer = visitor.sign_up("new@example.com", next=link)
    code_page = page(visitor.get(answer["Location"]))
    assert "Check your mail" in code_page
    assert visitor.confirm()["Location"] == link
    assert "Accept invitation" in page(visitor.get(link))
    answer = visitor.post(link)
    assert answer["Location"] == "/orgs/acme/"
    assert "Welcome to Acme." in page(visitor.get(answer["Location"]))
    assert roles(organization)["new@example.com"] == "member"


def test_a_new_code_and_a_wrong_one_do_not_lose_the_way_back(link_to, boss):
    link = link_to()
    visitor = Visitor()
    visitor.sign_up("new@example.com", next=link)
    visitor.send("account_email_verification_sent", code="BBBB-BBBB")
    assert visitor.confirm()["Location"] == link


def test_signing_in_leads_back_also_from_the_way_to_sign_up(link_to, boss):
    link = link_to()
    person("new")
    visitor = Visitor()
    sign_up = re.search(r'href="(/accounts/signup/[^"]+)"', page(visitor.get(link)))
    assert sign_up
    sign_in = re.search(r'href="(/accounts/login/\?next=[^"]+)"', page(visitor.get(sign_up[1])))
    assert sign_in
    form = page(visitor.get(sign_in[1]))
    assert f'name="next" value="{link}"' in form
    answer = visitor.send(
        "account_login", login="new@example.com", password="correct horse battery staple", next=link
    )
    assert answer["Location"] == link
    assert "Accept invitation" in page(visitor.get(link))


def test_with_a_second_factor_signing_in_leads_back_too(link_to, boss):
    link = link_to()
    visitor = Visitor()
    visitor.sign_up("new@example.com")
    visitor.confirm()
    key = visitor.set_up_app()
    visitor.sign_out()
    answer = visitor.send("account_login", login="new@example.com", password=PASSWORD, next=link)
    assert answer["Location"].startswith(reverse("mfa_authenticate"))
    answer = visitor.send("mfa_authenticate", code=code_of_app(key))
    assert answer["Location"] == link


def test_another_address_is_told_which_is_needed_and_may_sign_out(
    link_to, boss, stranger, organization
):
    link = link_to()
    visitor = visitor_as(stranger)
    told = page(visitor.get(link))
    assert "n•••@e•••.com" in told
    assert "you are signed in as <strong>stranger@example.com</strong>" in told
    assert "new@example.com" not in told
    assert "Accept" not in told
    answer = visitor.post(link)
    assert answer.status_code == 403
    assert "To accept it, sign out" in page(answer)
    assert "stranger@example.com" not in roles(organization)
    answer = visitor.send("account_logout", next=link)
    assert answer["Location"] == link
    assert "Sign up" in page(visitor.get(link))


def test_an_unconfirmed_address_has_to_be_confirmed_first(link_to, boss, organization):
    link = link_to()
    new = person("new")
    EmailAddress.objects.filter(user=new).update(verified=False)
    visitor = visitor_as(new)
    told = page(visitor.get(link))
    assert "Confirm your e-mail address first." in told
    assert reverse("account_email") in told
    assert "Accept" not in told
    assert visitor.post(link).status_code == 403
    assert "new@example.com" not in roles(organization)


def test_a_visitor_who_posts_is_shown_the_invitation(link_to, boss, organization):
    link = link_to()
    answer = Visitor().post(link)
    assert answer["Location"] == link
    assert len(roles(organization)) == 3


def test_a_member_is_greeted_whichever_way_they_come(link_to, boss, member, organization):
    link = link_to()
    new = visitor_as(person("new"))
    assert new.post(link).status_code == 302
    for visitor in (new, visitor_as(member)):
        for method in (visitor.get, visitor.post):
            answer = method(link)
            assert answer.status_code == 200
            assert "You are a member already" in page(answer)
            assert "/orgs/acme/" in page(answer)
    unused = link_to("other@example.com")
    assert "You are a member already" in page(visitor_as(member).get(unused))
    assert len(roles(organization)) == 4


@pytest.mark.parametrize("end", ["used", "revoked", "expired", "resent", "guessed", "odd"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_what_does_not_work_looks_the_same_whatever_the_reason(
    link_to, boss, owner, organization, stranger, end, method
):
    link = link_to()
    invitation = Invitation.objects.get()
    if end == "used":
        visitor_as(person("new")).post(link)
    elif end == "revoked":
        revoke_invitation(actor=owner, invitation=invitation, origin=Origin())
    elif end == "expired":
        Invitation.objects.update(expires_at=timezone.now())
    elif end == "resent":
        Invitation.objects.update(sent_at=None)
        boss.post(reverse("orgs:invitation_resend", args=["acme", invitation.pk]))
    elif end == "guessed":
        link = reverse("orgs:invitation", args=["A" * 43])
    else:
        link = "/invitations/%00%ff'\"<b>é/"
    nowhere = "/invitations/nothing/"
    for visitor in (Visitor(), visitor_as(stranger)):
        answer, expected = getattr(visitor, method)(link), getattr(visitor, method)(nowhere)
        assert answer.status_code == 404
        assert answer["Cache-Control"] == "no-store"
        assert "Ask whoever invited you for a new one." in page(answer)
        assert "Acme" not in page(answer)
        without_tokens = r'name="csrfmiddlewaretoken" value="\w+"'
        assert re.sub(without_tokens, "", page(answer)) == re.sub(
            without_tokens, "", page(expected)
        )
    assert "stranger@example.com" not in roles(organization)


@committed
def test_without_a_mail_server_one_is_told_where_the_letters_are(boss, organization, settings):
    for in_terminal in (True, False):
        settings.MEGABRAIN_MAIL_IN_TERMINAL = in_terminal
        assert ("printed in the terminal" in page(boss.get(INVITE))) == in_terminal
        told = page(send(boss, f"new{in_terminal:d}@example.com", headers=HTMX))
        assert ("see the terminal" in told) == in_terminal
        told = page(send(boss, "owner@example.com", headers=HTMX))
        assert ("printed in the terminal" in told) == in_terminal


@committed
@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("owner", "As an owner you have the say over Acme"),
        ("billing_manager", "you look after the provider keys of Acme and its balance"),
        ("member", "you can use the provider keys of Acme and its balance"),
    ],
)
def test_the_offer_says_what_its_role_is_for(link_to, role, said):
    told = page(visitor_as(person("new")).get(link_to(role=role)))
    assert said in told
