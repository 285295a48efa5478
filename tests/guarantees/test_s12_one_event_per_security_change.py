"""S12 for what django-allauth changes: without its audit event, nothing about signing in does."""

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session
from django.core import mail
from django.urls import reverse

from orgs.models import Account, AuditEvent, User
from tests.visitor import PASSWORD, Visitor, code_in, code_of_app


def everything() -> dict[str, list[object]]:
    rows = {
        "users": User.objects,
        "accounts": Account.objects,
        "addresses": EmailAddress.objects,
        "factors": Authenticator.objects,
        "events": AuditEvent.objects,
    }
    return {name: list(found.order_by("pk").values()) for name, found in rows.items()}


@pytest.fixture
def nothing_recorded(ann: Visitor, request) -> Visitor:
    """Ann, in front of a site whose audit log refuses every event."""
    ann.set_up_app()
    ann.send("account_email", email="next@example.com", action_add="1")
    request.getfixturevalue("broken_audit_log")
    ann.raise_request_exception = False
    return ann


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("orgs:rename", {"name": "Other"}),
        ("account_change_password", {"oldpassword": PASSWORD, "password1": "marble-candle-77"}),
        ("mfa_deactivate_totp", {}),
        ("mfa_generate_recovery_codes", {}),
        ("account_logout", {}),
    ],
)
def test_a_security_change_without_its_event_does_not_happen(
    nothing_recorded: Visitor, name: str, fields: dict[str, str]
):
    before = everything()
    assert nothing_recorded.send(name, **fields).status_code == 500
    assert everything() == before
    assert nothing_recorded.is_signed_in()


def test_the_address_is_not_changed_without_its_event(nothing_recorded: Visitor):
    before = everything()
    answer = nothing_recorded.send("account_email_verification_sent", code=code_in(mail.outbox[-1]))
    assert answer.status_code == 500
    assert everything() == before


def test_an_app_is_not_set_up_without_its_event(ann: Visitor, request):
    ann.page("mfa_activate_totp")
    key = ann.session["mfa.totp.secret"]
    request.getfixturevalue("broken_audit_log")
    ann.raise_request_exception = False
    before = everything()
    assert ann.send("mfa_activate_totp", code=code_of_app(key)).status_code == 500
    assert everything() == before


def test_nobody_signs_up_or_in_without_an_event(visitor: Visitor, broken_audit_log):
    visitor.raise_request_exception = False
    before = everything()
    assert visitor.sign_up().status_code == 500
    assert everything() == before
    assert visitor.sign_in("owner@example.com", "correct horse battery staple").status_code == 500
    assert not visitor.is_signed_in()


def test_sessions_do_not_end_without_an_event(ann: Visitor, request):
    Visitor().sign_in()
    request.getfixturevalue("broken_audit_log")
    ann.raise_request_exception = False
    before = Session.objects.count()
    assert ann.post(reverse("orgs:end_other_sessions")).status_code == 500
    assert Session.objects.count() == before
