"""Codes from an authenticator app, and the recovery codes for when it is gone."""

from allauth.mfa.models import Authenticator
from django.core import mail
from django.core.cache import cache
from django.urls import reverse

from orgs.models import AuditEvent, User
from tests.orgs.test_sign_in import events
from tests.visitor import PASSWORD, Visitor, code_of_app, link_in


def test_with_an_app_the_password_alone_does_not_sign_in(ann: Visitor):
    key = ann.set_up_app()
    ann.sign_out()
    answer = ann.sign_in()
    assert answer["Location"] == reverse("mfa_authenticate")
    assert not ann.is_signed_in()
    assert "Code from your app" in ann.page("mfa_authenticate")
    cache.clear()  # The code that set it up counts as used; a period has passed.
    answer = ann.send("mfa_authenticate", code=code_of_app(key))
    assert answer["Location"] == reverse("dashboard")
    assert ann.is_signed_in()
    signed_in = AuditEvent.objects.newest_first().first()
    assert signed_in is not None
    assert signed_in.details == {"method": "password and code"}


def test_setting_up_the_app_shows_a_picture_that_needs_no_exception_in_the_policy(ann: Visitor):
    page = ann.page("mfa_activate_totp")
    assert '<svg class="qr" role="img"' in page
    assert "data:" not in page


def test_a_wrong_code_does_not_turn_it_on(ann: Visitor):
    ann.page("mfa_activate_totp")
    answer = ann.send("mfa_activate_totp", code="000000")
    assert "This code is not right" in answer.content.decode()
    assert not Authenticator.objects.exists()


def test_turning_it_on_gives_recovery_codes_and_is_told_by_mail_and_in_the_log(ann: Visitor):
    ann.set_up_app()
    assert len(set(ann.recovery_codes())) == 10
    assert "Two-factor authentication is on" in [letter.subject for letter in mail.outbox]
    assert events(User.objects.get())[-2:] == [
        "security.two_factor_enabled",
        "security.recovery_codes_generated",
    ]


def test_a_recovery_code_signs_in_once(ann: Visitor):
    ann.set_up_app()
    code = ann.recovery_codes()[0]
    for attempt in ("first", "second"):
        ann.sign_out()
        ann.sign_in()
        ann.send("mfa_authenticate", code=code)
        assert ann.is_signed_in() == (attempt == "first")
    assert events(User.objects.get()).count("security.recovery_code_used") == 1


def test_a_code_of_the_app_signs_in_once(ann: Visitor):
    key = ann.set_up_app()
    cache.clear()
    code = code_of_app(key)
    for attempt in ("first", "second"):
        ann.sign_out()
        ann.sign_in()
        ann.send("mfa_authenticate", code=code)
        assert ann.is_signed_in() == (attempt == "first")


def test_a_wrong_code_after_the_right_password_is_in_the_log(ann: Visitor):
    ann.set_up_app()
    ann.sign_out()
    ann.sign_in()
    ann.send("mfa_authenticate", code="000000")
    assert not ann.is_signed_in()
    assert events(User.objects.get())[-1] == "security.two_factor_failed"


def test_new_recovery_codes_replace_the_old_ones(ann: Visitor):
    ann.set_up_app()
    old = ann.recovery_codes()
    ann.send("mfa_generate_recovery_codes")
    new = ann.recovery_codes()
    assert len(new) == 10
    assert not set(old) & set(new)
    ann.sign_out()
    ann.sign_in()
    ann.send("mfa_authenticate", code=old[0])
    assert not ann.is_signed_in()


def test_recovery_codes_come_as_a_file_that_says_whose_they_are(ann: Visitor):
    ann.set_up_app()
    answer = ann.get(reverse("mfa_download_recovery_codes"))
    assert answer["Content-Disposition"] == 'attachment; filename="recovery-codes.txt"'
    text = answer.content.decode()
    assert "new@example.com" in text
    assert all(code in text for code in ann.recovery_codes())
    assert "no-store" in answer["Cache-Control"]


def test_without_the_app_the_password_is_enough_again(ann: Visitor):
    ann.set_up_app()
    answer = ann.send("mfa_deactivate_totp")
    assert answer["Location"] == reverse("mfa_index")
    assert not Authenticator.objects.exists(), "recovery codes go with the last factor"
    assert events(User.objects.get())[-1] == "security.two_factor_disabled"
    ann.sign_out()
    ann.sign_in()
    assert ann.is_signed_in()


def test_a_new_password_through_the_mail_does_not_get_around_the_second_factor(ann: Visitor):
    ann.set_up_app()
    visitor = Visitor()
    visitor.send("account_reset_password", email="new@example.com")
    form = visitor.get(link_in(mail.outbox[-1]))
    answer = visitor.post(form["Location"], {"password1": "marble-candle-77"})
    assert answer["Location"] == reverse("mfa_authenticate")
    assert not visitor.is_signed_in()


def test_the_keys_of_the_app_and_the_codes_are_sealed_in_the_database(ann: Visitor):
    key = ann.set_up_app()
    stored = repr(list(Authenticator.objects.values_list("data", flat=True)))
    assert key not in stored
    seed = Authenticator.objects.get(type="recovery_codes").wrap()
    assert len(seed.get_unused_codes()) == 10


def test_a_former_secret_key_still_opens_what_it_sealed(ann: Visitor, settings):
    key = ann.set_up_app()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret key of more than fifty characters, for tests"
    visitor = Visitor()
    cache.clear()
    visitor.sign_in()
    visitor.send("mfa_authenticate", code=code_of_app(key))
    assert visitor.is_signed_in()


def test_without_the_former_secret_key_nobody_passes_and_nothing_breaks(ann: Visitor, settings):
    key = ann.set_up_app()
    codes = ann.recovery_codes()
    settings.SECRET_KEY = "another secret key of more than fifty characters, for tests"
    cache.clear()
    visitor = Visitor()
    visitor.sign_in()
    for code in (code_of_app(key), codes[0]):
        answer = visitor.send("mfa_authenticate", code=code)
        assert "This code is not right" in answer.content.decode()
    assert not visitor.is_signed_in()


def test_the_second_step_cannot_be_reached_without_the_first(visitor: Visitor):
    assert visitor.get(reverse("mfa_authenticate"))["Location"] == reverse("account_login")


def test_the_second_step_can_be_left_for_another_account(ann: Visitor):
    ann.set_up_app()
    ann.sign_out()
    ann.sign_in()
    assert 'form="leave"' in ann.page("mfa_authenticate")
    ann.send("account_logout", next=reverse("account_login"))
    assert "Sign in" in ann.page("account_login")
    assert ann.send("account_login", login="new@example.com", password=PASSWORD).status_code == 302
