"""Where a request came from."""

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory
from django.urls import reverse

from orgs.models import AuditEvent
from orgs.origin import Origin, client_address


def request(
    address: str = "10.0.0.1", forwarded: str | None = None, agent: str = "Firefox"
) -> WSGIRequest:
    headers = {"user-agent": agent}
    if forwarded is not None:
        headers["x-forwarded-for"] = forwarded
    return RequestFactory().get("/", REMOTE_ADDR=address, headers=headers)


def test_without_a_trusted_proxy_the_header_is_ignored():
    assert client_address(request(forwarded="192.0.2.7")) == "10.0.0.1"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (1, "192.0.2.7", "192.0.2.7"),
        (1, "203.0.113.9, 192.0.2.7", "192.0.2.7"),
        (2, "203.0.113.9, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        (2, "192.0.2.7", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "2001:DB8::1", "2001:db8::1"),
        (1, "nonsense", None),
    ],
)
def test_only_what_trusted_proxies_saw_counts(settings, proxies, forwarded, expected):
    settings.MEGABRAIN_TRUSTED_PROXIES = proxies
    assert client_address(request(forwarded=forwarded)) == expected


def test_a_unix_socket_has_no_address():
    assert client_address(request(address="")) is None


def test_everything_a_client_sends_is_bounded_plain_text():
    origin = Origin.of(request(agent="a\x00\r\nb" + "x" * 5000))
    assert origin.user_agent.startswith("a b")
    assert len(origin.user_agent) == 300


def test_the_request_id_is_the_one_of_the_answer(owner_client, owner):
    response = owner_client.post(reverse("orgs:token_create"), {"name": "ci"})
    event = AuditEvent.objects.get(event="token.created")
    assert event.request_id == response["X-Request-Id"]
    assert event.address == "127.0.0.1"


def test_a_command_says_which():
    assert Origin.command("create_token") == Origin(None, "manage.py create_token", "")
