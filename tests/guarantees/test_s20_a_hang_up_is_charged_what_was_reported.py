"""S20: a caller who hangs up is charged what the provider reported, and otherwise an estimate that
says so. Each call has one usage row, one hold and at most one entry of the ledger.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from billing.models import Hold, LedgerEntry, UsageRecord
from tests.balance_fixture import DOLLAR
from tests.gateway.dialect import CHAT, DIALECTS, Dialect
from tests.gateway.raw_upstream import raw_upstream

#: Events of the answers that are hung up on, after each of them.
EVENTS = int(os.environ.get("MEGABRAIN_S20_EVENTS", "6"))
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'


@pytest.fixture
def own_keys(platform_key, fund):
    """MegaBrain's own, and a balance to pay for them."""
    fund()
    return {provider: platform_key(provider) for provider in ("openai", "anthropic")}


def rows_of(account, number: int) -> list[UsageRecord]:
    until = time.monotonic() + 20
    while len(rows := list(UsageRecord.objects.for_account(account))) < number:
        assert time.monotonic() < until, f"{len(rows)} of {number} rows"
        time.sleep(0.05)
    return rows


def add_up(account, wallet, rows: list[UsageRecord]) -> None:
    """Rows, holds, entries and balance say the same."""
    charged = {row.request_id: row.charged_micros for row in rows}
    assert len(charged) == len(rows)
    holds = Hold.objects.filter(state=Hold.State.SETTLED)
    assert dict(holds.values_list("pk", "charged_micros")) == charged
    entries = LedgerEntry.objects.filter(account_id=account.pk, kind=LedgerEntry.Kind.USAGE)
    assert {entry.idempotency_key: -entry.amount_micros for entry in entries} == {
        f"request:{id_}": micros for id_, micros in charged.items()
    }
    assert wallet.posted_micros == 20 * DOLLAR - sum(charged.values())


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_after_whichever_chunk_what_the_provider_reported_is_charged(
    agent, own_keys, account, settled_wallet, simulator, dialect: Dialect
):
    body = dialect.body(f"stream: {EVENTS} events at 20/s", stream=True)
    whole = agent.post(dialect.path, body)
    chunks = whole.content.count(b"\n\n")
    assert chunks > EVENTS

    def hang_up(after: int) -> None:
        answer = agent.post(dialect.path, body, stream=True)
        seen = 0
        for line in answer.iter_lines(chunk_size=1):
            seen += not line
            if seen >= after:
                break
        answer.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hang_up, range(chunks)))
    rows = rows_of(account, chunks + 1)
    assert {row.usage_source for row in rows} == {"provider"}
    assert {row.payer for row in rows} == {"balance"}
    # Whenever its caller left, the same was asked and answered.
    assert len({row.output_tokens for row in rows}) == 1
    assert all(row.charged_micros == row.market_micros > 0 for row in rows)
    add_up(account, settled_wallet(), rows)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_before_the_first_byte_too(
    agent, own_keys, account, settled_wallet, simulator, dialect, stream
):
    body = dialect.body("wait: 0.8\nsay: one two", stream=stream)
    leave_once(lambda: simulator.calls, agent, dialect.path, body)
    rows = rows_of(account, 1)
    assert (rows[0].usage_source, rows[0].payer) == ("provider", "balance")
    add_up(account, settled_wallet(), rows)


def leave_once(asked: Callable[[], object], agent, path: str, body) -> None:
    """Send the request, and hang up as soon as the provider has it."""
    host, _, port = agent.gateway.address.removeprefix("http://").partition(":")
    sent = json.dumps(body).encode()
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(sent)}\r\n"
        connection.sendall(f"{head}authorization: Bearer {agent.token}\r\n\r\n".encode() + sent)
        until = time.monotonic() + 10
        while not asked():
            assert time.monotonic() < until, "the provider was not asked"
            time.sleep(0.02)


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
def test_an_answer_whose_end_nobody_hears_is_charged_at_a_guess(
    agent, own_keys, account, settled_wallet, settings, answer
):
    settings.MEGABRAIN_TOTAL_SECONDS = 3
    with raw_upstream(answer) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        asked = agent.post(CHAT.path, CHAT.body("hello", stream=True), stream=True)
        next(asked.iter_content(1))
        asked.close()
        rows = rows_of(account, 1)
        assert upstream.left.wait(5)
    assert (rows[0].usage_source, rows[0].outcome) == ("estimate", "client_closed")
    assert rows[0].output_tokens > 0
    add_up(account, settled_wallet(), rows)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_of_a_provider_that_says_nothing_only_an_answer_in_one_piece_is_charged(
    agent, own_keys, account, settled_wallet, settings, stream
):
    """That may be under way for all anybody knows. A stream would have begun, and it has not."""
    settings.MEGABRAIN_TOTAL_SECONDS = 3
    with raw_upstream(lambda wire: wire.wait_until_gone()) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        body = CHAT.body("word " * 20_000, stream=stream)
        leave_once(lambda: upstream.requests, agent, CHAT.path, body)
        (row,) = rows_of(account, 1)
    assert row.outcome == "client_closed"
    if stream:
        assert (row.usage_source, row.charged_micros) == ("none", 0)
        assert settled_wallet().posted_micros == 20 * DOLLAR
        assert Hold.objects.get().state == Hold.State.RELEASED
    else:
        assert (row.usage_source, row.charged_micros > 0) == ("estimate", True)
        add_up(account, settled_wallet(), [row])


def failing(wire):
    wire.send(b"HTTP/1.1 500 Reason\r\ncontent-length: 9\r\n\r\n")
    wire.wait_until_gone()


def begun(wire):
    wire.stream()
    wire.wait_until_gone()


@pytest.mark.parametrize(
    ("answer", "source"), [(failing, "none"), (begun, "estimate")], ids=["failing", "begun"]
)
def test_a_stream_is_charged_once_it_has_begun_and_not_if_that_was_an_error(
    agent, own_keys, account, settled_wallet, settings, answer, source
):
    settings.MEGABRAIN_TOTAL_SECONDS = 3
    with raw_upstream(answer) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        leave_once(lambda: upstream.requests, agent, CHAT.path, CHAT.body(stream=True))
        (row,) = rows_of(account, 1)
    assert (row.outcome, row.usage_source) == ("client_closed", source)
    assert (row.charged_micros > 0) == (source == "estimate")
    assert settled_wallet().posted_micros == 20 * DOLLAR - row.charged_micros


def test_whoever_leaves_before_anything_was_spent_is_charged_nothing(
    agent, own_keys, account, settled_wallet, settings
):
    def refuse_late(wire):
        wire.pause(0.9)
        wire.whole(500, b"")

    with raw_upstream(refuse_late) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        leave_once(lambda: upstream.requests, agent, CHAT.path, CHAT.body())
        (row,) = rows_of(account, 1)
    assert (row.outcome, row.usage_source, row.charged_micros) == ("client_closed", "none", 0)
    assert settled_wallet().posted_micros == 20 * DOLLAR
    assert Hold.objects.get().state == Hold.State.RELEASED


def test_an_answer_in_one_piece_is_read_to_its_end_whenever_that_comes(
    agent, own_keys, account, settled_wallet, settings
):
    """Or whoever asks for a long one and leaves would have it for the price of the question."""
    settings.MEGABRAIN_HANG_UP_SECONDS = 0.2

    def take_long(wire):
        wire.pause(1.5)
        wire.whole(
            200,
            b'{"choices":[{"index":0,"message":{"role":"assistant","content":"pong"},'
            b'"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":6100}}',
            "content-type: application/json",
        )

    with raw_upstream(take_long) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        leave_once(lambda: upstream.requests, agent, CHAT.path, CHAT.body())
        (row,) = rows_of(account, 1)
    assert (row.usage_source, row.output_tokens) == ("provider", 6100)
    assert row.charged_micros > 0
    add_up(account, settled_wallet(), [row])
