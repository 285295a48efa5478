"""Every wait for a provider has an end, and the caller is told which one it was."""

import socket

import pytest

from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES, add_keys, post_all
from tests.gateway.raw_upstream import raw_upstream

MODEL = "openai/gpt-oss-120b"

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


@pytest.fixture
def closed_port():
    """An address at which nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def timed_out(dialect, response) -> None:
    told = dialect.error(response)
    if dialect is RESPONSES:
        # Codex gives up after five tries at this, and after thirty at any other.
        assert (response.status_code, told.code) == (503, "server_is_overloaded")
    elif dialect is CHAT:
        assert (response.status_code, told.code) == (503, "upstream_unavailable")
    else:
        assert (response.status_code, told.code) == (504, "upstream_unavailable")
        assert told.kind == "timeout_error"
    assert response.headers["x-should-retry"] == "true"


@both_ways
def test_no_first_byte(agent, key, usage_row, simulator, settings, stream):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 0.3
    stored = add_keys(key, "hang")
    for dialect, response in post_all(agent, stream=stream).items():
        timed_out(dialect, response)
        shown = f"(key {str(stored[dialect].pk)[:8]})"
        assert f"{shown} did not answer in time" in dialect.error(response).message
        row = usage_row(response.headers["x-request-id"])
        assert row.outcome == "upstream_unavailable"
        assert [each["outcome"] for each in row.attempts] == ["timed_out"]
    # Whether it has begun is unknown, so the same key is not asked again.
    assert len(simulator.calls) == len(DIALECTS)


def test_keep_alive_comments_are_not_a_first_byte(agent, key, simulator, settings):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 0.3
    key("deepseek", "slow")
    key("novita")
    body = CHAT.body(stream=True, model="deepseek/deepseek-v4-pro-0813")
    response = agent.post(CHAT.path, body)
    assert CHAT.stream(response.content).complete
    assert response.headers["x-megabrain-provider"] == "novita"


def test_a_stalled_answer_in_one_piece(agent, key, usage_row, settings):
    settings.MEGABRAIN_IDLE_SECONDS = 1
    add_keys(key, "stall")
    for dialect, response in post_all(agent).items():
        timed_out(dialect, response)
        assert usage_row(response.headers["x-request-id"]).outcome == "upstream_unavailable"


def test_the_whole_call_before_its_first_byte(agent, key, usage_row, settings):
    settings.MEGABRAIN_TOTAL_SECONDS = 0.3
    add_keys(key, "hang")
    for dialect, response in post_all(agent).items():
        timed_out(dialect, response)
        row = usage_row(response.headers["x-request-id"])
        assert row.outcome == "upstream_unavailable"
        assert [each["outcome"] for each in row.attempts] == ["timed_out"]


def test_the_whole_call_in_mid_stream(agent, key, usage_row, simulator, settings):
    settings.MEGABRAIN_TOTAL_SECONDS = 2
    add_keys(key)
    for dialect, response in post_all(agent, "stream: 100 events at 20/s", stream=True).items():
        stream = dialect.stream(response.content)
        assert "took too long" in stream.error.message
        assert stream.text.startswith("1 2 3 ")
        row = usage_row(response.headers["x-request-id"])
        assert row.outcome == "upstream_unavailable"
        assert row.usage_source == "estimate"
        assert row.output_tokens > 0
    # The provider is not left to work for nobody.
    assert {simulator.call_ended(number).end for number in range(len(DIALECTS))} == {"gone"}


def test_the_whole_call_leaves_no_time_for_another_key(agent, key, simulator, settings):
    settings.MEGABRAIN_TOTAL_SECONDS = 2
    key("fireworks", "hang")
    key("novita")
    agent.post(CHAT.path, CHAT.body(model=MODEL))
    assert [call.provider for call in simulator.calls] == ["fireworks"]


@both_ways
def test_a_connection_refused(agent, key, usage_row, settings, closed_port, stream):
    settings.MEGABRAIN_UPSTREAM_URLS = dict.fromkeys(("openai", "anthropic"), closed_port)
    stored = add_keys(key)
    for dialect, response in post_all(agent, stream=stream).items():
        told = dialect.error(response)
        assert response.status_code == {CHAT: 503, RESPONSES: 503, MESSAGES: 502}[dialect]
        assert f"(key {str(stored[dialect].pk)[:8]}) could not be connected to" in told.message
        assert "127.0.0.1" not in told.message
        assert response.headers["x-megabrain-attempts"] == "2"
        row = usage_row(response.headers["x-request-id"])
        assert row.outcome == "upstream_unavailable"
        assert [each["outcome"] for each in row.attempts] == ["unavailable"] * 2


def test_a_refused_connection_goes_on_to_the_other_provider(agent, key, settings, closed_port):
    settings.MEGABRAIN_UPSTREAM_URLS = {
        **settings.MEGABRAIN_UPSTREAM_URLS,
        "fireworks": closed_port,
    }
    key("fireworks")
    key("novita")
    response = agent.post(CHAT.path, CHAT.body("say: pong", model=MODEL))
    assert CHAT.text(response.json()) == "pong"
    assert response.headers["x-megabrain-attempts"] == "3"


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "sent an answer that is not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", "broke off its answer"),
    ],
    ids=["nothing", "not HTTP", "half a body"],
)
def test_no_proper_answer(agent, key, settings, sent, why):
    with raw_upstream(lambda wire: wire.send(sent)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        response = agent.post(CHAT.path, CHAT.body())
    assert response.status_code == 503
    assert why in CHAT.error(response).message


def test_a_redirect_is_not_followed(agent, key, settings, simulator):
    elsewhere = f"location: {simulator.url('openai')}/chat/completions"
    with raw_upstream(lambda wire: wire.whole(307, b"", elsewhere)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        response = agent.post(CHAT.path, CHAT.body())
    assert response.status_code == 503
    assert simulator.calls == []


@pytest.mark.parametrize("status", [408, 503, 504])
def test_a_fault_of_the_provider_is_tried_once_more(agent, key, settings, status):
    good = b'{"choices":[{"index":0,"message":{"content":"pong"},"finish_reason":"stop"}]}'
    with raw_upstream(
        lambda wire: wire.whole(status, b"") if wire.number == 1 else wire.whole(200, good)
    ) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        response = agent.post(CHAT.path, CHAT.body())
    assert CHAT.text(response.json()) == "pong"
    assert response.headers["x-megabrain-attempts"] == "2"
