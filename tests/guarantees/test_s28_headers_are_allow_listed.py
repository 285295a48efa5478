"""S28: only known headers go to a provider, and only known headers of its answer come back."""

from collections.abc import Iterator

import pytest

from tests.guarantees.wire import (
    RawUpstream,
    connect,
    json_answer,
    stream_head,
    until_quiet,
)

CHAT = {"model": "openai/gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = {
    "model": "anthropic/claude-haiku-4.5",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "hi"}],
}
DEEPSEEK = {**CHAT, "model": "deepseek/deepseek-v4-flash"}
ANSWER = b'{"choices":[{"index":0,"message":{}}],"content":[],"output":[]}'

PRIVATE = {
    "cookie": "sessionid=private",
    "x-api-key": "private",
    "api-key": "private",
    "proxy-authorization": "Basic private",
    "forwarded": "for=private",
    "x-forwarded-for": "10.0.0.1",
    "x-real-ip": "10.0.0.1",
    "cf-connecting-ip": "10.0.0.1",
    "true-client-ip": "10.0.0.1",
    "via": "1.1 private",
    "referer": "http://private/",
    "origin": "http://private",
    "user-agent": "private/1.0",
    "accept-language": "private",
    "traceparent": "00-private",
    "x-request-id": "private",
    "x-stainless-os": "private",
    "http-referer": "private",
    "x-title": "private",
    "x-amz-security-token": "private",
    "x-goog-api-key": "private",
    # Ours, and of a name that is none: see the organizations of the gateway.
    "x-megabrain-organization": "",
    "openai-organization": "org-private",
    "openai-project": "proj-private",
    "anthropic-workspace-id": "private",
    "te": "trailers",
    "trailer": "x-private",
    "expect": "",
    "range": "bytes=0-1",
    "if-none-match": "private",
}
FAMILIES = {
    "deepseek": {},
    "openai": {
        "openai-beta": "responses=v1",
        "x-openai-internal-codex-responses-lite": "true",
        "x-codex-turn-metadata": "{}",
        "originator": "codex_exec",
        "session-id": "s",
        "thread-id": "t",
        "x-client-request-id": "r",
    },
    "anthropic": {
        "anthropic-beta": "context-1m",
        "anthropic-version": "2026-10-21",
        "anthropic-dangerous-direct-browser-access": "true",
        "x-claude-code-session-id": "s",
        "x-app": "cli",
    },
}
OWN = {"host", "content-length", "content-type", "accept-encoding", "user-agent"}
CALLS = {
    "openai": ("chat/completions", CHAT, "authorization"),
    "anthropic": ("messages", MESSAGES, "x-api-key"),
    "deepseek": ("chat/completions", DEEPSEEK, "authorization"),
}


@pytest.fixture
def upstream(settings) -> Iterator[RawUpstream]:
    with RawUpstream.saying(json_answer(ANSWER)) as raw:
        settings.MEGABRAIN_UPSTREAM_URLS = dict.fromkeys(CALLS, raw.url)
        yield raw


@pytest.mark.parametrize("provider", CALLS)
def test_a_provider_gets_its_own_family_and_nothing_else(agent, key, upstream, provider):
    secret = key(provider).secret.unseal().reveal()
    endpoint, body, credential = CALLS[provider]
    everything = {name: value for each in FAMILIES.values() for name, value in each.items()}
    agent.post(endpoint, body, headers={**PRIVATE, **everything}).raise_for_status()
    [sent] = upstream.requests
    assert {name.lower() for name, _ in sent.headers} == OWN | {credential} | set(
        FAMILIES[provider]
    )
    for name, value in FAMILIES[provider].items():
        assert sent.header(name) == value
    assert sent.header("host") == upstream.url.removeprefix("http://")
    assert sent.header("user-agent") == "MegaBrain"
    assert (sent.header(credential) or "").removeprefix("Bearer ") == secret
    assert agent.token not in repr(sent)
    assert "private" not in repr(sent)


def test_a_header_that_is_no_plain_text_stays_behind(agent, key, upstream):
    key("anthropic")
    body = b'{"model":"anthropic/claude-haiku-4.5","max_tokens":9,"messages":[]}'
    lines = [
        b"POST /v1/messages HTTP/1.1",
        b"Host: gateway",
        b"Authorization: Bearer " + agent.token.encode(),
        b"Content-Length: %d" % len(body),
        b"anthropic-beta: caf\xc3\xa9",
        b"anthropic-\xc3\xa9: a",
        b"anthropic-a!b: a",
        b"anthropic-" + b"x" * 200 + b": a",
        b"anthropic-good: a",
    ]
    with connect(agent.gateway.address) as connection:
        connection.sendall(b"\r\n".join([*lines, b"", body]))
        until_quiet(connection)
    sent = [name.lower() for request in upstream.requests for name, _ in request.headers]
    family = {name for name in sent if name.startswith("anthropic-")}
    assert family <= {"anthropic-good", "anthropic-version"}


OF_THE_PROVIDER = [
    "Set-Cookie: __cf_bm=private; path=/",
    "Server: private",
    "Location: http://private/",
    "Refresh: 0; url=http://private/",
    "X-Powered-By: private",
    "X-Anything: private",
    "Via: 1.1 private",
    "Alt-Svc: h3=private",
    "Link: <http://private>",
    "Access-Control-Allow-Origin: *",
    "Strict-Transport-Security: max-age=1",
    "Content-Security-Policy: private",
    "WWW-Authenticate: Basic realm=private",
    "X-Accel-Redirect: /private",
    "X-MegaBrain-Payer: balance",
    "X-MegaBrain-Key: private",
    "X-Request-Id: private",
    "Request-Id: private",
    "X-Should-Retry: true",
    "OpenAI-Organization: private",
    "OpenAI-Project: private",
    "Anthropic-Organization-Id: private",
    "CF-Ray: private",
    "Trailer: private",
    "Content-Disposition: attachment; filename=private",
    "Content-Language: private",
    "X-RateLimit-Remaining-Requests: 7",
    "X-RateLimit-Folded: 7\r\n Set-Cookie: private",
    "X-RateLimit-Odd: caf\xc3\xa9 \x07",
    "Anthropic-RateLimit-Requests-Remaining: 7",
    "Anthropic-RateLimit-Odd: \xff",
]
RECEIPT = {
    *("x-request-id", "request-id", "x-megabrain-payer", "x-megabrain-provider", "date"),
    *("x-megabrain-key", "x-megabrain-model", "x-megabrain-attempts", "x-megabrain-overhead-ms"),
    *("content-type", "cache-control", "x-content-type-options"),
}
LIMITS = {
    "openai": {"x-ratelimit-remaining-requests"},
    "anthropic": {"anthropic-ratelimit-requests-remaining"},
    "deepseek": set(),
}
FINISHED = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("provider", CALLS)
def test_an_answer_brings_back_limits_of_the_key_and_nothing_else(agent, key, upstream, provider):
    stored = key(provider)
    endpoint, body, _ = CALLS[provider]
    upstream.answers = lambda _: [json_answer(ANSWER, headers=OF_THE_PROVIDER)]
    answer = agent.post(endpoint, body)
    assert answer.status_code == 200
    names = {name.lower() for name in answer.headers}
    assert names - {"x-ratelimit-folded"} == RECEIPT | LIMITS[provider] | {"content-length"}
    assert "private" not in answer.headers.values()
    assert answer.headers["x-megabrain-key"] == str(stored.pk)[:8]
    assert answer.headers["x-megabrain-payer"] == "byok"
    assert not agent.session.cookies


def test_a_stream_brings_back_no_more(agent, key, upstream):
    key("openai")
    upstream.answers = lambda _: [stream_head(*OF_THE_PROVIDER), FINISHED]
    answer = agent.post("chat/completions", {**CHAT, "stream": True})
    assert answer.status_code == 200
    names = {name.lower() for name in answer.headers}
    of_a_stream = {"x-accel-buffering", "transfer-encoding"}
    assert names - {"x-ratelimit-folded"} == RECEIPT | LIMITS["openai"] | of_a_stream
    assert "private" not in answer.headers.values()


@pytest.mark.parametrize(
    "status", ["400 Bad", "401 No", "403 No", "429 Wait", "500 Oh", "529 Full"]
)
def test_an_error_brings_back_nothing_at_all(agent, key, upstream, status):
    key("openai")
    upstream.answers = lambda _: [
        json_answer(b'{"error":{"message":"m"}}', status=status, headers=OF_THE_PROVIDER)
    ]
    answer = agent.post("chat/completions", CHAT)
    names = {name.lower() for name in answer.headers}
    of_an_error = {"content-length", "x-should-retry", "retry-after", "x-megabrain-tried"}
    assert names <= RECEIPT | of_an_error
    assert "private" not in answer.headers.values()


def test_a_providers_cookie_is_not_sent_to_it_with_the_next_call(agent, key, upstream):
    key("openai")
    upstream.answers = lambda _: [json_answer(ANSWER, headers=["Set-Cookie: a=b; path=/"])]
    for _ in range(2):
        agent.post("chat/completions", CHAT).raise_for_status()
    assert [request.header("cookie") for request in upstream.requests] == [None, None]


def test_an_answer_that_breaks_the_rules_of_http_is_none(agent, key, upstream):
    key("openai")
    good = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(ANSWER)
    for raw in (
        b"HTTP/1.1 200 OK\r\nX-RateLimit-A: a\nSet-Cookie: a=b\r\n" + good + b"\r\n" + ANSWER,
        b"HTTP/1.1 200 OK\r\nX-RateLimit-A: a\rSet-Cookie: a=b\r\n" + good + b"\r\n" + ANSWER,
        b"HTTP/1.1 200 OK\r\nX-RateLimit-A: a\0b\r\n" + good + b"\r\n" + ANSWER,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + good + b"\r\n" + ANSWER,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + good + b"\r\n" + ANSWER,
        b"HTTP/1.1 200 OK\r\nX-RateLimit-A: " + b"a" * 100_000 + b"\r\n" + good + b"\r\n" + ANSWER,
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\0\0\0\0\r\n\r\n",
    ):
        upstream.answers = lambda _, raw=raw: [raw]
        answer = agent.post("chat/completions", CHAT)
        assert answer.status_code in {200, 503}, raw
        assert "set-cookie" not in answer.headers, raw
        assert "Set-Cookie" not in answer.headers.get("x-ratelimit-a", ""), raw
        assert answer.content == ANSWER or answer.status_code == 503, raw
