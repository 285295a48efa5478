"""S26: a provider key goes to its provider, whatever the caller says and the provider answers."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from byok.providers import PROVIDERS
from tests.gateway_fixture import AddKey, Agent
from tests.guarantees.wire import RawUpstream, exchange, head, json_answer
from tests.simulator_fixture import RunningSimulator

MODELS = ["openai/gpt-6-luna", "anthropic/claude-haiku-4.5", "deepseek/deepseek-v4-pro"]
HEADERS = [
    "host x-forwarded-host x-forwarded-server x-forwarded-for x-forwarded-proto x-real-ip",
    "x-original-url x-rewrite-url x-original-host x-host x-upstream x-upstream-url x-target-url",
    "x-base-url api-base base-url openai-base-url openai-api-base anthropic-base-url endpoint",
    "x-portkey-custom-host helicone-target-url x-provider x-megabrain-upstream proxy via origin",
    "referer location destination proxy-authorization x-http-destinationurl x-proxy-url",
]
FIELDS = [
    "base_url baseURL baseUrl api_base apiBase api_host host url endpoint azure_endpoint proxy",
    "upstream upstream_url target target_url provider_url custom_llm_provider deployment region",
    "callback_url webhook_url redirect_uri model_url aws_bedrock_runtime_endpoint vertex_location",
]


@pytest.fixture
def elsewhere():
    """A listener that nobody has a reason to talk to."""
    with RawUpstream() as listener:
        yield listener
        assert listener.connections == 0


@pytest.fixture
def all_keys(key: AddKey) -> dict[str, str]:
    """A key of every provider that is sent its key as it is; the secrets by provider."""
    return {
        provider.id: key(provider.id).secret.unseal().reveal()
        for provider in PROVIDERS.values()
        if provider.kind == "secret"
    }


def check(simulator: RunningSimulator, secrets: dict[str, str]) -> None:
    """Every call went to a known path of a provider, with that provider's key and no other."""
    for call in simulator.calls:
        provider = PROVIDERS[call.provider]
        places = {urlsplit(provider.address(path)).path for path in provider.endpoints.values()}
        assert call.path in places
        assert call.query == {}
        assert call.headers["host"] == simulator.address.removeprefix("http://")
        sent = f"{call.headers} {call.body.decode()}"
        assert [name for name, secret in secrets.items() if secret in sent] == [call.provider]
    simulator.clear()


def ask(agent: Agent, model: str, **more: Any) -> Any:
    endpoint = "messages" if "claude" in model else "chat/completions"
    body = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "say: hi"}]}
    if "gpt" in model:
        del body["max_tokens"]
    headers = more.pop("headers", {})
    return agent.post(endpoint, {**body, **more}, headers=headers)


def test_no_header_moves_a_call(agent, simulator, elsewhere, all_keys):
    place = elsewhere.url.removeprefix("http://")
    for model in MODELS:
        for name in " ".join(HEADERS).split():
            for value in (elsewhere.url, place, f"host={place};proto=http"):
                answer = ask(agent, model, headers={name: value})
                assert answer.status_code == 200, (name, answer.text)
        for name in ("forwarded", "x-forwarded-host"):
            both = {name: f'for=1.1.1.1;host="{place}"', "host": place}
            assert ask(agent, model, headers=both).status_code == 200
        assert len(simulator.calls) > 100
        check(simulator, all_keys)


def test_no_field_of_the_body_moves_a_call(agent, simulator, elsewhere, all_keys):
    place = elsewhere.url.removeprefix("http://")
    for model in MODELS:
        for name in " ".join(FIELDS).split():
            for value in (elsewhere.url, place, {"url": elsewhere.url}):
                ask(agent, model, **{name: value})
        ask(agent, model, provider={"order": [elsewhere.url], "base_url": elsewhere.url})
        ask(agent, model, extra_headers={"host": place}, extra_query={"base_url": elsewhere.url})
        ask(agent, model, metadata={"base_url": elsewhere.url}, api_key="sk-other")
        assert len(simulator.calls) > 50
        check(simulator, all_keys)


def test_no_request_line_moves_a_call(agent, simulator, elsewhere, all_keys):
    place = elsewhere.url.removeprefix("http://")
    body = b'{"model":"openai/gpt-6-luna","messages":[{"role":"user","content":"say: hi"}]}'
    for target in (
        f"http://{place}/v1/chat/completions",
        f"http://user@{place}/v1/chat/completions",
        f"https://{place}/v1/chat/completions",
        f"//{place}/v1/chat/completions",
        f"/v1/chat/completions@{place}",
        f"/v1/chat/completions/../../{place}",
        f"/v1/../v1/chat/completions#@{place}",
        f"/v1/chat/completions?base_url={elsewhere.url}&model=x&host={place}",
        f"/v1/chat/completions;{elsewhere.url}",
        "/v1/%2e%2e/%2e%2e/admin",
        "/v1/chat%2fcompletions/%2e%2e/responses",
        "/v1/v1/v1/chat/completions",
        f"/v1/models/{elsewhere.url}",
        f"/v1/models/openai%2f..%2f..%2f{place}",
        place,
        "*",
    ):
        for method in ("POST", "GET", "CONNECT"):
            lines = (
                f"{method} {target} HTTP/1.1",
                f"Host: {place}",
                f"Authorization: Bearer {agent.token}",
                f"Content-Length: {len(body)}",
            )
            assert exchange(agent.gateway.address, head(*lines) + body)
    assert simulator.calls
    check(simulator, all_keys)


PIECES = [
    *(*MODELS, "openai", "claude-haiku-4.5", "{place}", "http://{place}/", "//{place}", "user:pw@"),
    *("@", "#", "?", "/", "\\", ":", ".", "..", "../", "%2e%2e%2f", "%00", "%0d%0a", "%40", "%23"),
    *("\n", "\r\n", "\r\nHost: {place}\r\n\r\n", "\0", " ", "\t", "\u2028", "\uff0f", "é", "'"),
]


def test_no_name_of_a_model_moves_a_call(agent, simulator, elsewhere, all_keys):
    place = elsewhere.url.removeprefix("http://")

    @settings(
        max_examples=80,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4))
    def call(pieces):
        name = "".join(pieces).replace("{place}", place)
        for endpoint in ("chat/completions", "messages", "responses"):
            body = {"model": name, "messages": [], "input": [], "max_tokens": 9}
            # Some of these are names of models, with some space around them.
            assert agent.post(endpoint, body).status_code in {200, 400, 404}

    call()
    for end in ("", "\n", " ", "\t"):  # A known model may well be asked for with some space.
        ask(agent, f"{MODELS[0]}{end}")
    assert simulator.calls
    check(simulator, all_keys)


@pytest.mark.parametrize("stream", [False, True])
def test_a_redirect_is_not_followed(agent, key, elsewhere, settings, stream):
    key("openai")
    hops = [f"{elsewhere.url}/v1/chat/completions", f"//{elsewhere.url[7:]}/", "/elsewhere"]
    for status in (300, 301, 302, 303, 305, 307, 308):
        for hop in hops:
            headers = [f"Location: {hop}", f"Refresh: 0; url={hop}", f"Alt-Svc: h2={hop}"]
            moved = json_answer(b"{}", status=f"{status} Moved", headers=headers)
            with RawUpstream.saying(moved) as upstream:
                settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
                answer = ask(agent, MODELS[0], stream=stream)
            assert answer.status_code == 503
            assert "location" not in answer.headers
            assert elsewhere.url[7:] not in answer.text
            assert {request.line for request in upstream.requests} == {
                "POST /chat/completions HTTP/1.1"
            }


def test_the_environments_proxies_see_no_call(agent, simulator, elsewhere, all_keys, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, elsewhere.url)
    monkeypatch.setenv("no_proxy", "")
    for model in MODELS:
        assert ask(agent, model).status_code == 200
    check(simulator, all_keys)
