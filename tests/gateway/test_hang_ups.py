"""A caller who hangs up is settled like any other: once, and by what the provider reports.

The provider's answer is read on for a while to learn what it used; otherwise an estimate says so.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable

import pytest

from billing.models import UsageRecord
from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES
from tests.gateway.raw_upstream import raw_upstream

MODEL = "openai/gpt-oss-120b"
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'


@pytest.fixture
def hang_up(agent):
    """Sends a request and leaves after the first bytes of the answer."""

    def hang_up(dialect, prompt):
        response = agent.post(dialect.path, dialect.body(prompt, stream=True), stream=True)
        next(response.iter_content(1))
        response.close()

    return hang_up


@pytest.fixture
def hang_up_early(agent, simulator):
    """Sends a request and leaves as soon as the provider has it: when `arrived` says so."""

    def hang_up(dialect, prompt, *, stream, model="", arrived=lambda: simulator.calls):
        body = json.dumps(dialect.body(prompt, stream=stream, model=model)).encode()
        head = f"POST /v1/{dialect.path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        with connected(agent.gateway) as connection:
            connection.sendall(f"{head}authorization: Bearer {agent.token}\r\n\r\n".encode() + body)
            until(arrived)

    return hang_up


def connected(gateway) -> socket.socket:
    host, _, port = gateway.address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)))


def rows(account) -> list[UsageRecord]:
    # Of this account: calls of an earlier test may be written late.
    return list(UsageRecord.objects.for_account(account))


def until(true: Callable[[], object], within: float = 10) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


@pytest.fixture
def settled(account, transactional_db) -> Callable[[], UsageRecord]:
    """The one row of the one call of a test."""

    def settled() -> UsageRecord:
        until(lambda: rows(account))
        (row,) = rows(account)
        return row

    return settled


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_pitfall_21_in_mid_stream_what_the_provider_reports_is_used(
    hang_up, key, settled, simulator, dialect
):
    stored = key(dialect.provider)
    hang_up(dialect, "stream: 20 events at 30/s")
    row = settled()
    assert row.usage_source == "provider"
    assert row.output_tokens >= 20
    assert row.status == 200
    assert row.provider_key_id == stored.pk
    assert row.market_micros > 0
    assert simulator.call_ended().end == "complete"
    assert len(simulator.calls) == 1


@pytest.mark.parametrize(
    ("dialect", "stream"), [(CHAT, True), (RESPONSES, False), (MESSAGES, True), (MESSAGES, False)]
)
def test_while_waiting_what_the_provider_reports_is_used(
    hang_up_early, key, settled, simulator, dialect, stream
):
    key(dialect.provider)
    hang_up_early(dialect, "wait: 0.8\nsay: one two three", stream=stream)
    row = settled()
    assert row.usage_source == "provider"
    # Three words, and what some models think before them.
    assert row.output_tokens >= 3
    assert len(simulator.calls) == 1


def endless(wire):
    with contextlib.suppress(OSError):
        wire.stream()
        while True:
            wire.send(CHUNK)
            wire.pause(0.05)


def silent(wire):
    wire.stream(CHUNK)
    wire.wait_until_gone()


@pytest.mark.parametrize("answer", [endless, silent], ids=["endless", "silent"])
def test_an_answer_that_does_not_end_is_estimated(hang_up, key, settled, settings, answer):
    settings.MEGABRAIN_TOTAL_SECONDS = 1.2
    with raw_upstream(answer) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        hang_up(CHAT, "hello")
        row = settled()
        # The provider is told to stop, too.
        assert upstream.left.wait(5)
    assert row.outcome == "client_closed"
    assert row.usage_source == "estimate"
    assert row.input_tokens > 0
    assert row.output_tokens > 0


@pytest.mark.parametrize(
    ("stream", "source"), [(True, "none"), (False, "estimate")], ids=["streamed", "plain"]
)
def test_of_what_never_begins_an_answer_in_one_piece_is_estimated(
    hang_up_early, key, settled, settings, simulator, stream, source
):
    """It may be under way. A stream would have begun."""
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 3 if stream else 0.2
    stored = key("openai", "hang")
    hang_up_early(CHAT, "hello", stream=stream)
    row = settled()
    assert row.outcome == "client_closed"
    assert row.usage_source == source
    assert (row.provider_key_id, row.payer) == (stored.pk, "byok")
    assert [each["outcome"] for each in row.attempts] == ["client_closed"]
    assert simulator.call_ended().end == "gone"


def test_no_other_key_is_tried_for_nobody(hang_up_early, key, settled, settings, simulator):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 3
    key("fireworks", "hang")
    key("novita")
    hang_up_early(CHAT, "hello", stream=True, model=MODEL)
    assert settled().outcome == "client_closed"
    assert [call.provider for call in simulator.calls] == ["fireworks"]


def test_a_failure_after_it_is_nobodys(hang_up_early, key, settled, settings):
    def refuse_late(wire):
        wire.pause(3)
        wire.whole(500, b"")

    with raw_upstream(refuse_late) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        hang_up_early(CHAT, "hello", stream=False, arrived=lambda: upstream.requests)
        row = settled()
        assert len(upstream.requests) == 1
    assert row.outcome == "client_closed"
    assert row.usage_source == "none"


def test_a_caller_who_leaves_in_the_middle_of_the_request(agent, key, settled, simulator, gateway):
    key("openai")
    with connected(gateway) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 999\r\n"
            b"authorization: Bearer " + agent.token.encode() + b'\r\n\r\n{"model": "'
        )
    row = settled()
    assert (row.outcome, row.payer, row.usage_source) == ("client_closed", "none", "none")
    assert row.attempts == []
    assert simulator.calls == []


def test_one_who_does_not_read_is_taken_as_gone(agent, key, settled, settings, gateway):
    settings.MEGABRAIN_IDLE_SECONDS = 0.4
    big = CHUNK.replace(b'"a"', b'"' + b"a" * 500_000 + b'"')

    def flood(wire):
        wire.stream()
        # More than all the buffers between here and there can hold.
        for _ in range(60):
            wire.send(big)
        wire.send(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],')
        wire.send(b'"usage":{"prompt_tokens":7,"completion_tokens":61}}\n\ndata: [DONE]\n\n')

    with raw_upstream(flood) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        key("openai")
        response = agent.post(CHAT.path, CHAT.body(stream=True), stream=True)
        row = settled()
        response.close()
    assert (row.usage_source, row.output_tokens) == ("provider", 61)


def test_many_who_leave_at_once_are_settled_each(account, key, make_agent):
    key("openai")
    agents = [make_agent() for _ in range(10)]

    def leave(each):
        body = CHAT.body("stream: 10 events at 20/s", stream=True)
        response = each.post(CHAT.path, body, stream=True)
        next(response.iter_content(1))
        response.close()

    threads = [threading.Thread(target=leave, args=(each,)) for each in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    until(lambda: len(rows(account)) >= 10)
    assert [row.usage_source for row in rows(account)] == ["provider"] * 10
