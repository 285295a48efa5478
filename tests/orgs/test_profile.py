"""Profile & security: one page for name, address, password, second factor and sessions."""

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.urls import reverse

from orgs.models import Account, AuditEvent, User
from tests.orgs.test_sign_in import events
from tests.visitor import PASSWORD, Visitor


def test_the_page_shows_who_one_is_and_what_protects_one(ann: Visitor):
    page = ann.page("orgs:profile")
    for words in ("new@example.com", "confirmed", "Passkeys", "Authenticator app", "this one"):
        assert words in page
    assert "Recovery codes" not in page, "they belong to a second factor"
    ann.set_up_app()
    assert "10 unused" in ann.page("orgs:profile")


def test_strangers_are_asked_to_sign_in(visitor: Visitor):
    answer = visitor.get(reverse("orgs:profile"))
    assert answer["Location"] == "/accounts/login/?next=/account/profile/"


@pytest.mark.parametrize("name", ["orgs:rename", "orgs:end_other_sessions"])
def test_nothing_is_changed_by_a_link(ann: Visitor, name: str):
    assert ann.get(reverse(name)).status_code == 405


def test_the_name_is_changed_here_and_on_the_account(ann: Visitor):
    answer = ann.send("orgs:rename", name="Ann Arbor")
    assert answer["Location"] == reverse("orgs:profile")
    assert User.objects.get().name == "Ann Arbor"
    assert Account.objects.get(user__isnull=False).name == "Ann Arbor"
    assert "You are now called Ann Arbor." in ann.page("orgs:profile")
    assert events(User.objects.get())[-1] == "account.name_changed"


def test_saving_the_same_name_again_is_no_event(ann: Visitor):
    before = AuditEvent.objects.count()
    ann.send("orgs:rename", name="Ann")
    assert AuditEvent.objects.count() == before


def test_without_a_name_one_goes_by_the_address(ann: Visitor):
    ann.send("orgs:rename", name="")
    assert Account.objects.get(user__isnull=False).name == "new"


def test_a_name_too_long_is_refused_with_the_reason(ann: Visitor):
    answer = ann.send("orgs:rename", name="n" * 101)
    assert answer.status_code == 422
    assert "at most 100 characters" in answer.content.decode()
    assert User.objects.get().name == "Ann"


def test_the_address_changes_once_the_code_sent_to_it_is_entered(ann: Visitor):
    mail.outbox.clear()
    answer = ann.send("account_email", email="Next@example.com", action_add="1")
    assert answer["Location"] == reverse("account_email_verification_sent")
    [letter] = mail.outbox
    assert letter.to == ["next@example.com"]
    assert User.objects.get().email == "new@example.com"
    assert ann.confirm()["Location"] == reverse("orgs:profile")
    user = User.objects.get()
    assert user.email == "next@example.com"
    assert [(each.email, each.verified) for each in EmailAddress.objects.all()] == [
        ("next@example.com", True)
    ]
    event = AuditEvent.objects.newest_first().first()
    assert event is not None
    assert event.event == "security.email_changed"
    assert event.details == {"previous": "new@example.com"}
    notice = mail.outbox[-1]
    assert notice.to == ["new@example.com"], "the old address is told"
    assert "next@example.com" in notice.body


def test_the_address_of_another_account_cannot_be_taken(ann: Visitor):
    other = Visitor()
    other.sign_up("other@example.com")
    other.confirm()
    cache.clear()  # The pause between two letters to one address is over.
    ann.send("account_email", email="other@example.com", action_add="1")
    answer = ann.confirm()
    assert "Another account has this e-mail address" in answer.content.decode()
    assert User.objects.filter(email="new@example.com").exists()


def test_the_password_is_changed_with_the_old_one(ann: Visitor):
    wrong = ann.send("account_change_password", oldpassword="wrong", password1="marble-candle-77")
    assert "This is not your current password" in wrong.content.decode()
    ann.send("account_change_password", oldpassword=PASSWORD, password1="marble-candle-77")
    assert User.objects.get().check_password("marble-candle-77")
    assert "Your password is changed" in ann.page("orgs:profile")
    assert mail.outbox[-1].subject == "Your MegaBrain password was changed"
    assert events(User.objects.get())[-1] == "security.password_changed"


def test_no_page_shows_a_password_that_was_typed(ann: Visitor):
    for name, fields in {
        "account_change_password": {"oldpassword": "CANARY-one", "password1": "CANARY-two"},
        "account_reauthenticate": {"password": "CANARY-three"},
    }.items():
        assert "CANARY" not in ann.send(name, **fields).content.decode()


def test_the_index_pages_of_allauth_lead_here(ann: Visitor):
    for name in ("mfa_index", "mfa_list_webauthn", "usersessions_list"):
        assert ann.get(reverse(name))["Location"] == reverse("orgs:profile")


def test_events_of_signing_in_stand_in_the_person_s_own_log(ann: Visitor):
    user = User.objects.get()
    for event in AuditEvent.objects.for_account(user.account.pk):
        assert event.actor_id == user.pk
        assert event.address == "127.0.0.1"
