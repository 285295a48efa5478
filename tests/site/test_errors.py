"""Error pages come in the usual frame and carry the id that finds the request in the log."""

import re

import pytest
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import DatabaseError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from megabrain.site.errors import too_many_requests
from megabrain.urls import (  # noqa: F401 -- the same handlers as in life
    handler400,
    handler403,
    handler404,
    handler429,
    handler500,
)
from megabrain.urls import urlpatterns as site

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.site.test_errors")]

FAILURES = {
    "bad": BadRequest,
    "forbidden": PermissionDenied,
    "gone": Http404,
    "broken": ZeroDivisionError,
    "away": OperationalError,
}


def fail(request: HttpRequest, how: str) -> HttpResponse:
    if how == "often":
        return too_many_requests(request)
    raise FAILURES[how]


urlpatterns = [path("", include(site)), path("fail/<how>/", fail)]

CASES = [
    ("bad", 400, "We could not read that request"),
    ("forbidden", 403, "You may not open this"),
    ("gone", 404, "There is nothing here"),
    ("often", 429, "That was too often"),
    ("broken", 500, "Something broke on our side"),
    ("away", 503, "MegaBrain cannot answer right now"),
]


@pytest.mark.parametrize(("how", "status", "heading"), CASES)
def test_a_stranger_sees_what_happened_and_the_request_id(
    client: Client, how: str, status: int, heading: str
):
    client.raise_request_exception = False
    response = client.get(f"/fail/{how}/")
    page = response.content.decode()
    assert response.status_code == status
    assert heading in page
    assert response["X-Request-Id"] in page
    assert len(re.findall("<h1", page)) == len(re.findall("<main", page)) == 1


@pytest.mark.parametrize(("how", "status", "heading"), CASES[:4])
def test_someone_signed_in_stays_in_their_frame(
    owner_client: Client, how: str, status: int, heading: str
):
    response = owner_client.get(f"/fail/{how}/")
    page = response.content.decode()
    assert response.status_code == status
    assert 'id="sidebar"' in page
    assert heading in page
    assert len(re.findall("<h1", page)) == len(re.findall("<main", page)) == 1


@pytest.mark.parametrize(("how", "traceback"), [("forbidden", False), ("broken", True)])
def test_the_log_has_a_traceback_of_what_broke_and_of_no_refusal(
    owner_client: Client, caplog: pytest.LogCaptureFixture, how: str, traceback: bool
):
    owner_client.raise_request_exception = False
    owner_client.get(f"/fail/{how}/")
    [line] = [each for each in caplog.records if each.name == "django.request"]
    assert bool(line.exc_info) == traceback


def test_who_may_not_open_a_page_of_an_organization_is_told_who_can_change_that(
    member_client: Client, organization: object
):
    page = member_client.get("/orgs/acme/settings/").content.decode()
    assert "your role in Acme does not allow it" in page
    assert re.search('<a class="button"[^>]*href="/orgs/acme/members/"', page)


@pytest.mark.parametrize(("failure", "status"), [(DatabaseError, 500), (OperationalError, 503)])
def test_what_broke_is_not_asked_again_to_say_so(
    owner_client: Client, failure: type[Exception], status: int
):
    def refuse(*args: object) -> None:
        raise failure

    owner_client.raise_request_exception = False
    with connection.execute_wrapper(refuse):
        response = owner_client.get("/dashboard/")
    assert response.status_code == status
    assert response["X-Request-Id"] in response.content.decode()


def test_a_database_that_is_away_asks_to_come_back(client: Client):
    client.raise_request_exception = False
    assert client.get("/fail/away/")["Retry-After"] == "5"


def test_the_page_of_a_failure_keeps_the_theme(client: Client):
    client.raise_request_exception = False
    client.cookies["theme"] = "dark"
    assert 'data-theme="dark"' in client.get("/fail/broken/").content.decode()


def test_an_unknown_address_in_markup_is_inert(client: Client):
    response = client.get("/<script>alert(1)</script>")
    assert response.status_code == 404
    assert b"<script>alert" not in response.content
