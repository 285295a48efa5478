"""S27: an endpoint that a customer names is called at a public address, or not at all."""

import asyncio
import json
import socket
from ipaddress import ip_network
from itertools import chain, repeat

import pytest

from byok import key_tests, sending
from byok.actions import add_key, request_test
from byok.providers import PROVIDERS
from byok.providers.base import UnusableSecret, UpstreamRequest
from byok.vault import Secret
from megabrain.gateway.upstream import Unreachable, Upstream
from orgs.origin import Origin
from tests.guarantees.endpoint import MODEL, Endpoint, make_certificate, resolver

KEY = "own-key-0123456789abcdefghij"
OWN = ip_network("127.0.0.1/32")


@pytest.fixture(autouse=True)
def _allowed(settings):
    settings.MEGABRAIN_CUSTOM_ENDPOINTS = True


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def _trusted(certificate, monkeypatch):
    """This machine trusts the endpoint, so that nothing but its address stands in the way."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.fixture
def endpoint(certificate):
    with Endpoint(certificate) as running:
        yield running


def by_key_test(request: UpstreamRequest) -> str:
    """What the key test's sender makes of a request: a status, or why there is none."""
    try:
        return str(sending.send(request, 5).status)
    except sending.CallFailed as failed:
        return failed.code


def by_gateway(request: UpstreamRequest) -> str:
    """The same of the gateway's."""

    async def send() -> str:
        async with Upstream() as upstream:
            try:
                answer = await upstream.send(request)
            except Unreachable as unreachable:
                return unreachable.message
            answer.close()
            return str(answer.status)

    return asyncio.run(send())


both_senders = pytest.mark.parametrize("send", [by_key_test, by_gateway])


def to(url: str) -> UpstreamRequest:
    return UpstreamRequest("POST", url, {"authorization": f"Bearer {KEY}"}, b"{}", guarded=True)


INNER = [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "0.0.0.0",  # noqa: S104 - to be refused
    "0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "169.254.169.254",
    "100.64.0.1",
    "10.0.0.1",
    "192.168.0.1",
]


@both_senders
@pytest.mark.parametrize("host", INNER)
def test_no_spelling_of_an_inner_address_is_connected_to(send, host, endpoint):
    said = send(to(f"https://{host}:{endpoint.port}/v1/chat/completions"))

    assert endpoint.connections == 0
    assert not said.isdigit()


@both_senders
def test_the_name_of_this_machine_itself_leads_nowhere(send, certificate):
    with Endpoint(certificate, host="0.0.0.0") as everywhere:  # noqa: S104 - so that any address of it would do
        said = send(to(f"https://{socket.gethostname()}:{everywhere.port}/v1"))

        assert everywhere.connections == 0
        assert not said.isdigit()


@both_senders
def test_what_the_operator_names_is_called(send, endpoint, settings):
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [OWN]

    assert send(to(f"https://localhost:{endpoint.port}/v1/chat/completions")) == "200"
    assert send(to(f"https://127.0.0.1:{endpoint.port}/v1/chat/completions")) == "200"
    assert endpoint.requests[0][:2] == ("/v1/chat/completions", f"Bearer {KEY}")


@both_senders
def test_a_name_that_means_another_address_by_now_is_judged_anew(
    send, endpoint, settings, monkeypatch
):
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [OWN]
    request = to(f"https://rebinding.example.com:{endpoint.port}/v1/chat/completions")
    answers = chain([["127.0.0.1"]], repeat(["169.254.169.254"]))

    with resolver(monkeypatch, rebinding=answers):
        assert send(request) == "200"
        assert "public" in send(request)

    assert endpoint.connections == 1


@both_senders
def test_of_several_addresses_only_public_ones_are_tried(send, certificate, settings, monkeypatch):
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [ip_network("127.0.0.2/32")]
    with Endpoint(certificate) as inner, Endpoint(certificate, host="127.0.0.2") as outer:
        for port, status in ((inner.port, False), (outer.port, True)):
            request = to(f"https://mixed.example.com:{port}/v1")
            with resolver(monkeypatch, mixed=repeat(["127.0.0.1", "10.0.0.1", "127.0.0.2"])):
                assert (send(request) == "200") is status

        assert inner.connections == 0
        assert outer.connections == 1


@both_senders
def test_no_redirect_is_followed(send, certificate, settings):
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [OWN]
    with Endpoint(certificate) as target:
        for place in (
            "https://169.254.169.254/latest/meta-data",
            f"https://127.0.0.1:{target.port}",
        ):
            with Endpoint(certificate, moved_to=place) as moved:
                assert send(to(f"https://127.0.0.1:{moved.port}/v1")) == "302"
        assert target.connections == 0


@both_senders
def test_nothing_is_sent_in_clear(send, endpoint, settings):
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [OWN]

    assert not send(to(f"http://127.0.0.1:{endpoint.port}/v1")).isdigit()
    assert endpoint.connections == 0


@both_senders
def test_a_proxy_of_the_environment_is_not_asked(send, endpoint, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{endpoint.port}")

    assert not send(to("https://localhost:9/v1")).isdigit()
    assert endpoint.connections == 0


def secret_for(endpoint: Endpoint, *models: str, host: str = "localhost") -> Secret:
    parts = {"base_url": f"https://{host}:{endpoint.port}/v1", "api_key": KEY, "models": models}
    return Secret(json.dumps(parts))


@pytest.mark.parametrize("models", [(), (MODEL,)], ids=["from its list", "as entered"])
def test_every_request_of_the_provider_is_a_guarded_one(models, endpoint, settings):
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [OWN]
    custom = PROVIDERS["custom"]
    secret = secret_for(endpoint, *models)
    requests = [
        custom.list_models(secret),
        *(custom.request(secret, each, b"{}", {}) for each in custom.endpoints),
        *(request for _, request in custom.test_calls(secret)),
        *(request for _, request in custom.listed_calls(secret, b'{"data":[{"id":"m"}]}')),
    ]

    assert all(request.guarded for request in requests)
    assert all(request.url.startswith("https://localhost:") for request in requests)


@pytest.mark.django_db
def test_the_test_of_a_key_says_that_its_address_is_not_public(
    owner, account, endpoint, monkeypatch
):
    secret = secret_for(endpoint, MODEL, host="rebinding.example.com")
    key = add_key(actor=owner, account=account, provider="custom", secret=secret, origin=Origin())
    test = request_test(actor=owner, key=key, origin=Origin())

    with resolver(monkeypatch, rebinding=repeat(["127.0.0.1"])):
        key_tests.perform(test.pk)

    test.refresh_from_db()
    assert test.code == sending.NOT_PUBLIC
    assert "nothing was sent" in test.message
    assert endpoint.connections == 0


@pytest.mark.django_db
@pytest.mark.parametrize("models", [(), (MODEL,)], ids=["from its list", "as entered"])
def test_a_key_of_an_endpoint_in_the_operators_network_is_tested_with_a_model(
    models, owner, account, endpoint, settings
):
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [OWN]
    key = add_key(
        actor=owner,
        account=account,
        provider="custom",
        secret=secret_for(endpoint, *models),
        origin=Origin(),
    )
    test = request_test(actor=owner, key=key, origin=Origin())

    key_tests.perform(test.pk)

    test.refresh_from_db()
    assert (test.code, test.model) == ("ok", MODEL)
    path, authorization, asked = endpoint.requests[-1]
    assert (path, authorization) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert (asked["model"], asked["max_tokens"]) == (MODEL, 1)


def test_without_the_operators_word_there_is_no_such_provider(endpoint, settings):
    secret = secret_for(endpoint, MODEL)
    custom = PROVIDERS["custom"]
    settings.MEGABRAIN_CUSTOM_ENDPOINTS = False

    assert "custom" not in PROVIDERS
    with pytest.raises(UnusableSecret):
        custom.list_models(secret)
    with pytest.raises(UnusableSecret):
        custom.test_calls(secret)


def test_an_agents_call_goes_to_no_inner_address_either(
    agent, endpoint, owner, usage_row, simulator, settings
):
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [OWN]
    stored = add_key(
        actor=owner,
        account=owner.account,
        provider="custom",
        secret=secret_for(endpoint, MODEL),
        origin=Origin(),
    )
    # The operator has thought better of it.
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = []
    body = {"model": f"custom/{MODEL}", "messages": [{"role": "user", "content": "ping"}]}
    answer = agent.post("chat/completions", body)

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "byok_key_required"
    assert answer.headers["x-megabrain-model"] == f"custom/{MODEL}"
    assert answer.headers["x-megabrain-key"] == str(stored.pk)[:8]
    assert (endpoint.connections, simulator.calls) == (0, [])
    row = usage_row(answer.headers["x-request-id"])
    assert (row.model, row.payer) == (f"custom/{MODEL}", "byok")


def test_a_model_of_an_own_endpoint_needs_a_key_and_the_operators_word(agent, key, settings):
    key("openai")
    body = {"model": f"custom/{MODEL}", "messages": [{"role": "user", "content": "ping"}]}
    answer = agent.post("chat/completions", body)
    assert answer.json()["error"]["code"] == "byok_key_required"
    settings.MEGABRAIN_CUSTOM_ENDPOINTS = False
    answer = agent.post("chat/completions", body)
    assert answer.json()["error"]["code"] == "model_not_found"
