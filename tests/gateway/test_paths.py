"""Every address below /v1, as clients really write it, and small answers for all others."""

from typing import Any

import pytest
import requests

CHAT = {"model": "openai/gpt-6-luna", "messages": [{"role": "user", "content": "say: pong"}]}
RESPONSES = {"model": "openai/gpt-6-luna", "input": "say: pong"}
MESSAGES = {
    "model": "anthropic/claude-haiku-5.5",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "say: pong"}],
}


@pytest.fixture
def at(agent):
    """Calls any path of the gateway's address; a redirect would show."""

    def call(method: str, path: str, body: Any = None, **options: Any) -> Any:
        url = agent.gateway.address + path
        options = {"timeout": 20, "allow_redirects": False, **options}
        return agent.session.request(method, url, json=body, **options)

    return call


def test_a_call_is_served_at_every_spelling_of_its_address(at, key, simulator):
    key("openai")
    key("anthropic")
    for path, body in (
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions/", CHAT),
        ("/v1/v1/chat/completions", CHAT),
        ("/v1/v1/v1/chat/completions/", CHAT),
        ("/v1/chat/completions?api-version=2026-01-01", CHAT),
        ("/v1/responses/", RESPONSES),
        ("/v1/v1/responses", RESPONSES),
        ("/v1/messages?beta=true", MESSAGES),
        ("/v1/messages/?beta=true", MESSAGES),
        ("/v1/v1/messages?beta=true", MESSAGES),
        ("/v1/messages/count_tokens?beta=true", MESSAGES),
        ("/v1/v1/messages/count_tokens/", MESSAGES),
    ):
        answer = at("POST", path, body)
        assert answer.status_code == 200, (path, answer.text)
    assert [call.status for call in simulator.calls] == [200] * 12


def test_the_list_is_found_at_every_spelling_of_its_address(at):
    for path in ("/v1/models/", "/v1/v1/models", "/v1/models?client_version=0.169.0"):
        assert at("GET", path).json()["object"] == "list", path


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_claude_code_finds_somebody_there(at, method):
    answer = at(method, "/api/hello")
    assert answer.status_code == 200
    assert answer.content == (b"{}" if method == "GET" else b"")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_elsewhere_there_is_a_small_404_in_json(at, method):
    for path in (
        "/v1",
        "/v1/",
        "/v1/v1",
        "/v1/nothing",
        "/v1/chat",
        "/v1/chat/completions/more",
        "/v1/responses/compact",
        "/v1/model/info",
        "/v1/%2e%2e/admin/",
        "/v1/" + "x" * 5000,
        "/v1/<script>alert(1)</script>",
    ):
        answer = at(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-should-retry"] == "false"
        assert len(answer.content) < 500


def test_a_base_url_without_v1_is_told_what_it_lacks(at, key, simulator):
    key("openai"), key("anthropic")
    for method, path, body in (
        ("POST", "/chat/completions", CHAT),
        ("POST", "/responses", RESPONSES),
        ("POST", "/messages?beta=true", MESSAGES),
        ("POST", "/completions/", CHAT),
        ("GET", "/models", None),
    ):
        answer = at(method, path, body)
        assert (answer.status_code, answer.headers["x-should-retry"]) == (404, "false"), path
        assert "A base URL ends in /v1" in answer.json()["error"]["message"]
    assert simulator.calls == []


def test_whoever_brings_no_token_sees_the_page_of_the_models(gateway):
    page = requests.get(f"{gateway.address}/models/", timeout=20)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


def test_a_404_is_told_in_the_dialect_of_its_caller(at):
    by_path = at("POST", "/v1/messages/batches", MESSAGES).json()
    by_header = at("GET", "/v1/nothing", headers={"anthropic-version": "2023-06-01"}).json()
    assert by_path["type"] == by_header["type"] == "error"
    assert by_path["error"]["type"] == by_header["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_calls_are_made_by_post(at, method):
    for endpoint in ("chat/completions", "responses", "messages", "messages/count_tokens"):
        answer = at(method, f"/v1/{endpoint}")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), endpoint
        assert "Use POST" in answer.json()["error"]["message"]


def test_things_are_looked_up_by_get(at):
    for path in ("/v1/models", "/v1/models/gpt-6-luna", "/v1/requests/1"):
        answer = at("POST", path, {})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET"), path


def test_a_websocket_is_answered_with_426(at):
    """Codex goes on over HTTP at once; any other status costs it seven tries."""
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for path in ("/v1/responses", "/v1/v1/responses/"):
        answer = at("GET", path, headers=upgrade)
        assert answer.status_code == 426, path
        assert answer.headers["x-request-id"] == answer.headers["request-id"], path


def test_every_answer_carries_the_ids_that_the_sdks_read(at):
    for path in ("/v1/nothing", "/v1/chat/completions", "/v1/models", "/api/hello"):
        headers = at("GET", path).headers
        assert headers["x-request-id"] == headers["request-id"], path
        assert headers["x-content-type-options"] == "nosniff"
