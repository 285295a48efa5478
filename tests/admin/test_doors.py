"""Who gets into the admin, and how."""

import time

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from byok.models import Offering
from orgs.models import AuditEvent, User
from tests.admin.conftest import ADMINS, NAMES, Found, events, list_url, page_url, text_of
from tests.conftest import signed_in
from tests.visitor import Visitor, code_of_app

pytestmark = pytest.mark.django_db


@pytest.fixture
def addresses(acme: Found) -> list[str]:
    """Every address of the admin that one can read."""
    rows = [ADMINS[name].model._default_manager.first() for name in NAMES]
    return [
        *(
            reverse(f"admin:{name}")
            for name in ("index", "login", "logout", "password_change", "jsi18n")
        ),
        *(reverse("admin:app_list", args=[app]) for app in ("orgs", "byok", "billing")),
        *(list_url(name) for name in NAMES),
        *(page_url(row) for row in rows),
        reverse("admin:billing_wallet_add"),
        reverse("admin:byok_providerkey_add"),
        reverse("admin:byok_providerkey_secret", args=[acme.key.pk]),
        reverse("admin:byok_catalogmodel_reload"),
        reverse("admin:byok_catalogmodel_add"),
        reverse("admin:byok_offering_add"),
        reverse("admin:byok_price_add") + f"?offering={Offering.objects.values_list('pk')[0][0]}",
        reverse("admin:byok_cataloguesource_refresh"),
    ]


def test_whoever_is_signed_out_is_asked_to_sign_in_where_everyone_does(addresses):
    for url in addresses:
        for answer in (Client().get(url), Client().post(url)):
            assert answer.status_code == 302, url
            assert answer["Location"].startswith(reverse("account_login") + "?next=/admin/"), url


@pytest.mark.parametrize("who", ["owner", "billing_manager", "member", "stranger"])
def test_nobody_else_finds_anything(addresses, who, request):
    client = signed_in(request.getfixturevalue(who))
    before = events()
    for url in addresses:
        assert client.get(url).status_code == 404, url
        assert client.post(url).status_code == 404, url
    assert events() == before


def test_a_superuser_who_is_no_staff_finds_nothing(addresses, stranger):
    User.objects.filter(pk=stranger.pk).update(is_superuser=True)
    client = signed_in(stranger)
    assert {client.get(url).status_code for url in addresses} == {404}


def test_staff_whose_account_was_closed_are_out(addresses, staff):
    client = signed_in(staff)
    User.objects.filter(pk=staff.pk).update(is_active=False)
    assert {client.get(url).status_code for url in addresses} == {302}


def test_staff_whose_post_has_ended_find_nothing(addresses, staff):
    client = signed_in(staff)
    User.objects.filter(pk=staff.pk).update(is_staff=False)
    assert {client.get(url).status_code for url in addresses} == {404}


def test_staff_get_in(addresses, staff_client):
    for url in addresses:
        assert staff_client.get(url, follow=True).status_code in (200, 403, 405), url


def test_what_does_not_exist_is_not_found(staff_client):
    assert staff_client.get("/admin/nothing/").status_code == 404
    for client in (Client(), staff_client):
        assert client.get("/admin/orgs/user/add/").status_code == 404
        assert client.get("/admin/auth/group/").status_code == 404
        assert client.get("/admin/account/emailaddress/").status_code == 404
        assert client.get("/admin/mfa/authenticator/").status_code == 404


def test_signing_in_leads_back_and_asks_for_the_second_factor(visitor: Visitor):
    visitor.sign_up()
    visitor.confirm()
    key = visitor.set_up_app()
    visitor.sign_out()
    User.objects.update(is_staff=True)
    asked = visitor.get("/admin/orgs/user/")
    login = asked["Location"]
    assert login == f"{reverse('account_login')}?next=/admin/orgs/user/"
    password = visitor.post(login, {"login": "new@example.com", "password": "tulip-lantern-42"})
    assert password["Location"].startswith(reverse("mfa_authenticate"))
    # The password alone is not enough.
    assert visitor.get("/admin/orgs/user/")["Location"] == login
    code = visitor.post(password["Location"], {"code": code_of_app(key)})
    assert code["Location"] == "/admin/orgs/user/"
    assert visitor.get("/admin/orgs/user/").status_code == 200


def a_while_ago(client: Client) -> Client:
    session = client.session
    session["account_authentication_methods"] = [
        {
            "method": "password",
            "at": time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT - 1,
        }
    ]
    session.save()
    return client


def test_whoever_signed_in_a_while_ago_may_read_but_not_change(acme, staff_client, member):
    client = a_while_ago(staff_client)
    assert client.get(list_url("orgs_user")).status_code == 200
    assert client.get(page_url(member)).status_code == 200
    before = AuditEvent.objects.count()
    answer = client.post(
        list_url("orgs_user"),
        {"action": "close", "index": "0", "confirmed": "1", "_selected_action": [str(member.pk)]},
    )
    assert answer["Location"].startswith(reverse("account_reauthenticate"))
    member.refresh_from_db()
    assert member.is_active
    assert AuditEvent.objects.count() == before


def test_a_form_for_a_secret_asks_for_a_fresh_sign_in_before_it_is_shown(platform, staff_client):
    client = a_while_ago(staff_client)
    url = reverse("admin:byok_providerkey_add") + "?provider=openai"
    assert client.get(url)["Location"].startswith(reverse("account_reauthenticate"))


def test_a_change_without_the_form_s_token_is_refused(acme, staff, member):
    client = Client(enforce_csrf_checks=True)
    client.cookies = signed_in(staff).cookies
    answer = client.post(
        list_url("orgs_user"),
        {"action": "close", "index": "0", "confirmed": "1", "_selected_action": [str(member.pk)]},
    )
    assert answer.status_code == 403
    member.refresh_from_db()
    assert member.is_active


def test_leaving_and_the_password_are_the_site_s_own(staff_client):
    page = text_of(staff_client.get(reverse("admin:index")))
    assert f'action="{reverse("account_logout")}"' in page
    assert reverse("orgs:profile") in page
    assert staff_client.get(reverse("admin:logout"))["Location"] == reverse("account_logout")
    password = staff_client.get(reverse("admin:password_change"))
    assert password["Location"] == reverse("account_change_password")


def test_no_page_has_inline_script_style_or_event(addresses, staff_client):
    for url in addresses:
        page = text_of(staff_client.get(url))
        for inline in ("<style", " style=", " onclick=", "javascript:"):
            assert inline not in page, url
        for script in page.split("<script")[1:]:
            assert " src=" in script.partition(">")[0], url
