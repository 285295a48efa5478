"""Messages reach an htmx page as toasts; redirects take the whole page along."""

import pytest
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.test import Client
from django.urls import include, path, reverse

from megabrain.urls import urlpatterns as site

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.site.test_toasts")]

HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/account/byok/?page=2"}


def say(request: HttpRequest, how: str) -> HttpResponse:
    if how == "nothing":
        return HttpResponse("<p>rows</p>")
    messages.success(request, "Saved the <b>key</b>.")
    messages.error(request, "The test failed.")
    match how:
        case "redirect":
            return HttpResponseRedirect("/docs/")
        case "empty":
            return HttpResponse(status=204)
        case "json":
            return JsonResponse({})
        case "leave":
            return HttpResponse(headers={"HX-Redirect": "/docs/"})
        case "invalid":
            return HttpResponse("<form></form>", status=422)
    return HttpResponse("<p>rows</p>")


@login_required
def private(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<p>rows</p>")


urlpatterns = [path("", include(site)), path("say/<how>/", say), path("private/", private)]


def test_an_htmx_answer_brings_its_messages_out_of_band(client: Client):
    fragment = client.get("/say/rows/", headers=HTMX).content.decode()
    assert fragment.startswith("<p>rows</p>")
    assert 'hx-swap-oob="beforeend:#toasts"' in fragment
    assert 'data-tone="success"' in fragment
    assert fragment.count("Saved the") == 1


def test_an_error_is_announced_at_once_and_a_success_politely(client: Client):
    fragment = client.get("/say/rows/", headers=HTMX).content.decode()
    success, error = fragment.index('role="status"'), fragment.index('role="alert"')
    assert success < fragment.index("Saved the") < error < fragment.index("The test failed.")


def test_markup_in_a_message_is_inert(client: Client):
    fragment = client.get("/say/rows/", headers=HTMX).content.decode()
    assert "Saved the &lt;b&gt;key&lt;/b&gt;." in fragment


def test_a_message_is_shown_once(client: Client):
    client.get("/say/rows/", headers=HTMX)
    assert "Saved" not in client.get("/docs/").content.decode()


def test_a_refused_form_brings_its_messages_too(client: Client):
    assert b"Saved" in client.get("/say/invalid/", headers=HTMX).content


@pytest.mark.parametrize("how", ["empty", "json", "leave", "redirect"])
def test_an_answer_that_is_not_swapped_leaves_them_for_the_next_page(client: Client, how: str):
    assert b"Saved" not in client.get(f"/say/{how}/", headers=HTMX).content
    assert "Saved the" in client.get("/docs/").content.decode()


def test_an_answer_without_messages_is_left_as_it_is(client: Client):
    assert client.get("/say/nothing/", headers=HTMX).content == b"<p>rows</p>"


def test_a_full_page_shows_its_messages_in_the_live_region(client: Client):
    client.get("/say/redirect/")
    page = client.get("/docs/").content.decode()
    region = page[page.index('id="toasts"') :]
    assert "Saved the" in region


def test_a_redirect_becomes_a_navigation(client: Client):
    response = client.get("/say/redirect/", headers=HTMX)
    assert (response.status_code, response["HX-Redirect"]) == (200, "/docs/")


def test_without_htmx_a_redirect_stays_one(client: Client):
    assert client.get("/say/redirect/")["Location"] == "/docs/"


def test_signing_in_again_leads_back_to_the_page_on_the_screen(client: Client):
    response = client.get("/private/", headers=HTMX)
    assert response["HX-Redirect"] == (f"{reverse('account_login')}?next=/account/byok/%3Fpage%3D2")


@pytest.mark.parametrize("page", ["https://elsewhere.example/trap", "http://[", "//["])
def test_a_page_elsewhere_is_no_place_to_come_back_to(client: Client, page: str):
    headers = {**HTMX, "HX-Current-URL": page}
    response = client.get("/private/", headers=headers)
    assert response["HX-Redirect"] == f"{reverse('account_login')}?next=/"
