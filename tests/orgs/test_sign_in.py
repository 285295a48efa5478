"""Signing up, confirming the address, signing in and out, and getting back in."""

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import NoReverseMatch, reverse

from orgs.models import Account, AuditEvent, User
from tests.visitor import PASSWORD, Visitor, code_in, html_of, link_in


def events(user: User) -> list[str]:
    return list(
        AuditEvent.objects.for_account(user.account.pk)
        .order_by("sequence")
        .values_list("event", flat=True)
    )


def test_signing_up_opens_an_account_and_asks_for_the_code_in_the_mail(visitor: Visitor):
    answer = visitor.sign_up("New@Example.com", name="Ann")
    assert answer["Location"] == reverse("account_email_verification_sent")
    user = User.objects.get()
    assert (user.email, user.name, user.account.name) == ("new@example.com", "Ann", "Ann")
    assert user.account.kind == Account.Kind.PERSONAL
    assert "new@example.com" in visitor.page("account_email_verification_sent")
    assert not visitor.is_signed_in()
    [letter] = mail.outbox
    assert letter.to == ["new@example.com"]
    assert letter.subject == f"{code_in(letter)} is your MegaBrain code"


def test_the_code_confirms_the_address_and_signs_in(visitor: Visitor):
    visitor.sign_up()
    answer = visitor.confirm()
    assert answer["Location"] == reverse("dashboard")
    assert visitor.is_signed_in()
    user = User.objects.get()
    assert EmailAddress.objects.get(user=user).verified
    assert events(user) == ["account.opened", "security.email_verified", "security.signed_in"]


def test_the_code_may_be_typed_without_dash_and_in_lower_case(visitor: Visitor):
    visitor.sign_up()
    code = code_in(mail.outbox[0]).replace("-", " ").lower()
    visitor.send("account_email_verification_sent", code=code)
    assert visitor.is_signed_in()


def test_three_wrong_codes_end_the_attempt(visitor: Visitor):
    visitor.sign_up()
    for _ in range(3):
        answer = visitor.send("account_email_verification_sent", code="BBBB-BBBB")
    assert answer["Location"] == reverse("account_login")
    visitor.confirm()
    assert not visitor.is_signed_in()


def test_signing_in_later_sends_a_new_code_while_the_address_is_unconfirmed(visitor: Visitor):
    visitor.sign_up()
    another = Visitor()
    cache.clear()  # The pause between two letters to one address is over.
    answer = another.sign_in()
    assert answer["Location"] == reverse("account_email_verification_sent")
    assert len(mail.outbox) == 2
    another.confirm()
    assert another.is_signed_in()


def test_a_new_code_can_be_asked_for(visitor: Visitor):
    visitor.sign_up()
    first = code_in(mail.outbox[0])
    cache.clear()  # The pause between two letters to one address is over.
    visitor.send("account_email_verification_sent", action="resend")
    assert code_in(mail.outbox[1]) != first
    visitor.confirm()
    assert visitor.is_signed_in()


def test_a_short_or_common_password_is_refused_and_not_shown_again(visitor: Visitor):
    for password in ("k7#pQ", "password123"):
        answer = visitor.send("account_signup", email="new@example.com", password1=password)
        assert answer.status_code == 200
        assert password not in answer.content.decode()
    assert not User.objects.exists()


def test_people_sign_in_with_e_mail_and_password_and_return_to_where_they_were(ann: Visitor):
    ann.sign_out()
    assert not ann.is_signed_in()
    asked = ann.get(reverse("orgs:profile"))
    assert asked["Location"] == "/accounts/login/?next=/account/profile/"
    page = ann.get(asked["Location"]).content.decode()
    assert '<input type="hidden" name="next" value="/account/profile/">' in page
    answer = ann.send("account_login", login="NEW@example.com", password=PASSWORD, next="/status/")
    assert answer["Location"] == "/status/"
    assert ann.is_signed_in()
    assert events(User.objects.get())[-2:] == ["security.signed_out", "security.signed_in"]


def test_nobody_is_sent_to_another_site_after_signing_in(ann: Visitor):
    ann.sign_out()
    answer = ann.send(
        "account_login", login="new@example.com", password=PASSWORD, next="https://evil.example/"
    )
    assert answer["Location"] == reverse("dashboard")


def test_a_closed_account_cannot_be_signed_in_to(ann: Visitor):
    ann.sign_out()
    User.objects.update(is_active=False)
    assert ann.sign_in()["Location"] == reverse("account_inactive")
    assert "This account is closed" in ann.page("account_inactive")
    assert not ann.is_signed_in()


def test_signing_out_takes_a_button_not_a_link(ann: Visitor):
    assert "Sign out?" in ann.page("account_logout")
    assert ann.is_signed_in()
    assert ann.sign_out()["Location"] == reverse("home")
    assert not ann.is_signed_in()


def test_a_forgotten_password_is_replaced_through_a_link_that_works_once(ann: Visitor):
    ann.sign_out()
    visitor = Visitor()
    answer = visitor.send("account_reset_password", email="new@example.com")
    assert answer["Location"] == reverse("account_reset_password_done")
    link = link_in(mail.outbox[-1])
    form = visitor.get(link)
    assert "set-password" in form["Location"], "the key leaves the address at once"
    answer = visitor.post(form["Location"], {"password1": "marble-candle-77"})
    assert answer["Location"] == reverse("dashboard")
    assert visitor.is_signed_in()
    assert events(User.objects.get())[-2:] == ["security.password_reset", "security.signed_in"]
    assert mail.outbox[-1].subject == "Your MegaBrain password was reset"

    again = Visitor().get(link)
    assert "This link no longer works" in again.content.decode()
    assert Visitor().sign_in().status_code == 200, "the old password is gone"
    assert Visitor().sign_in(password="marble-candle-77").status_code == 302


def test_resetting_the_password_ends_every_session(ann: Visitor):
    visitor = Visitor()
    visitor.send("account_reset_password", email="new@example.com")
    form = visitor.get(link_in(mail.outbox[-1]))
    visitor.post(form["Location"], {"password1": "marble-candle-77"})
    assert visitor.is_signed_in()
    assert not ann.is_signed_in()


def test_links_in_letters_lead_to_our_own_address_whatever_the_request_says(ann: Visitor, settings):
    settings.ALLOWED_HOSTS = ["*"]
    Visitor().post(
        reverse("account_reset_password"),
        {"email": "new@example.com"},
        headers={"host": "evil.example"},
    )
    letter = mail.outbox[-1]
    assert settings.MEGABRAIN_BASE_URL in letter.body
    assert "evil.example" not in str(letter.body) + html_of(letter)


@pytest.mark.parametrize(
    "name",
    ["account_set_password", "account_confirm_email", "socialaccount_signup", "mfa_trust"],
)
def test_pages_we_do_not_use_do_not_exist(name: str):
    with pytest.raises(NoReverseMatch):
        reverse(name)


def test_letters_come_as_text_and_as_html(visitor: Visitor):
    visitor.sign_up()
    [letter] = mail.outbox
    assert code_in(letter) in html_of(letter)
    assert letter.from_email.startswith("MegaBrain <")


def test_without_a_mail_server_the_page_says_where_the_letter_is(visitor: Visitor, settings):
    settings.MEGABRAIN_MAIL_IN_TERMINAL = True
    visitor.sign_up()
    assert "printed in the terminal" in visitor.page("account_email_verification_sent")
    settings.MEGABRAIN_MAIL_IN_TERMINAL = False
    assert "printed in the terminal" not in visitor.page("account_email_verification_sent")


def test_the_terminal_shows_the_letter_with_its_code(visitor: Visitor, settings, capsys):
    settings.EMAIL_BACKEND = "orgs.terminal_mail.EmailBackend"
    visitor.sign_up()
    printed = capsys.readouterr().out
    assert "E-mail to new@example.com" in printed
    assert "is your MegaBrain code" in printed
    assert "<html" not in printed


@pytest.mark.django_db(transaction=True)
def test_a_mail_server_that_is_away_stops_nobody(settings, no_attempts_yet):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    answer = Client().post(
        reverse("account_signup"), {"email": "new@example.com", "password1": PASSWORD}
    )
    assert answer["Location"] == reverse("account_email_verification_sent")
    assert User.objects.filter(email="new@example.com").exists()
