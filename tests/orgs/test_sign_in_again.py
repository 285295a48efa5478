"""Confirming who one is before keys and security settings are touched."""

import pytest
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path, reverse

from orgs.access import recent_login_required
from orgs.models import User
from tests.visitor import PASSWORD, Visitor, code_of_app

HTMX = {"hx-request": "true", "hx-current-url": "http://testserver/account/profile/?tab=1"}


@recent_login_required
def change_a_key(request: HttpRequest) -> HttpResponse:
    return HttpResponse("changed")


urlpatterns = [path("change/", change_a_key)]


@pytest.fixture(autouse=True)
def one_more_page(settings):
    """A page that asks for a recent login, beside all the others."""
    from megabrain import urls

    class WithOneMore:
        urlpatterns = [*urls.urlpatterns, path("change/", change_a_key)]

    settings.ROOT_URLCONF = WithOneMore


def a_while_ago(client: Client) -> None:
    """Let the last proof of who this is be sixteen minutes old."""
    session = client.session
    for proof in session["account_authentication_methods"]:
        proof["at"] -= 16 * 60
    session.save()


def test_whoever_has_just_signed_in_is_not_asked(ann: Visitor):
    assert ann.get("/change/").content == b"changed"
    assert ann.post("/change/").content == b"changed"
    ann.sign_out()
    ann.sign_in()
    assert ann.get("/change/").content == b"changed"


def test_after_a_while_the_password_is_asked_for_and_the_page_comes_back(ann: Visitor):
    a_while_ago(ann)
    answer = ann.get("/change/?step=2")
    assert answer["Location"] == "/accounts/reauthenticate/?next=%2Fchange%2F%3Fstep%3D2"
    page = ann.get(answer["Location"]).content.decode()
    assert "Confirm it is you" in page
    wrong = ann.send("account_reauthenticate", password="wrong", next="/change/?step=2")
    assert "This is not your password" in wrong.content.decode()
    right = ann.send("account_reauthenticate", password=PASSWORD, next="/change/?step=2")
    assert right["Location"] == "/change/?step=2"
    assert ann.get("/change/?step=2").content == b"changed"


def test_what_was_posted_is_neither_done_nor_kept(ann: Visitor):
    a_while_ago(ann)
    answer = ann.post(
        "/change/",
        {"secret": "sk-canary-0123456789"},
        headers={"referer": "http://testserver/account/profile/?tab=1"},
    )
    where = "/accounts/reauthenticate/?next=%2Faccount%2Fprofile%2F%3Ftab%3D1"
    assert answer["Location"] == where
    assert "canary" not in repr(dict(ann.session))
    assert "Nothing was changed yet" in ann.get(where).content.decode()


def test_who_asks_for_no_more_than_the_head_of_a_page_is_told_nothing_of_changes(ann: Visitor):
    a_while_ago(ann)
    where = ann.head("/change/?step=2")["Location"]
    assert where == "/accounts/reauthenticate/?next=%2Fchange%2F%3Fstep%3D2"
    assert "Nothing was changed yet" not in ann.get(where).content.decode()


def test_a_form_from_another_site_does_not_say_where_to_come_back_to(ann: Visitor):
    a_while_ago(ann)
    answer = ann.post("/change/", headers={"referer": "https://evil.example/trap"})
    assert answer["Location"] == "/accounts/reauthenticate/?next=%2Fdashboard%2F"


def test_an_htmx_request_becomes_a_navigation_that_comes_back_to_the_page(ann: Visitor):
    a_while_ago(ann)
    answer = ann.post("/change/", headers=HTMX)
    assert answer.content == b""
    assert answer["HX-Redirect"].startswith("/accounts/reauthenticate/?next=/account/profile/")


def test_nobody_signed_out_gets_that_far(visitor: Visitor):
    assert visitor.get("/change/")["Location"] == "/accounts/login/?next=/change/"


def test_a_code_of_the_app_or_a_recovery_code_will_do_instead(ann: Visitor):
    key = ann.set_up_app()
    recovery = ann.recovery_codes()[0]
    cache.clear()
    for code in (code_of_app(key), recovery):
        a_while_ago(ann)
        where = ann.get("/change/")["Location"]
        page = ann.get(where).content.decode()
        assert reverse("mfa_reauthenticate") in page
        answer = ann.send("mfa_reauthenticate", code=code, next="/change/")
        assert answer["Location"] == "/change/"
        assert ann.get("/change/").content == b"changed"


@pytest.mark.parametrize(
    "name",
    ["mfa_activate_totp", "mfa_add_webauthn"],
)
def test_security_settings_ask_too(ann: Visitor, name: str):
    assert ann.get(reverse(name)).status_code == 200
    a_while_ago(ann)
    assert ann.get(reverse(name))["Location"].startswith(reverse("account_reauthenticate"))


def test_the_address_is_changed_only_after_confirming(ann: Visitor):
    a_while_ago(ann)
    answer = ann.send("account_email", email="next@example.com", action_add="1")
    assert answer["Location"].startswith(reverse("account_reauthenticate"))
    assert User.objects.get().email == "new@example.com"


def test_the_proof_of_one_person_is_worth_nothing_to_the_next(ann: Visitor):
    """On the same browser, without signing out in between."""
    other = Visitor()
    other.sign_up("other@example.com")
    other.confirm()
    session = other.session
    for name in ("account_authentication_methods", "account_authentication_methods_user"):
        assert session[name]
        session[name] = ann.session[name]
    session.save()
    assert other.get("/change/").status_code == 302
