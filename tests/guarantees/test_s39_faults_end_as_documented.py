"""S39: whatever goes wrong between here and a provider, a call ends as documented.

Right status, one usage row, one ending, no second try once a byte of the answer has been passed on,
and the call after the fault works. Half of the calls are passed through, half translated.
"""

import asyncio
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from billing.models import UsageRecord
from byok.providers.base import UpstreamRequest
from megabrain.gateway.upstream import Unreachable, Upstream
from tests.fault_proxy import Wire, fault_proxy, healthy, self_signed
from tests.gateway.dialect import CHAT, MESSAGES, Dialect

MODEL = "openai/gpt-4.1"
PROMPT = "say: one two three four five six seven eight"
Act = Callable[[Wire], None]


@dataclass(frozen=True)
class Fault:
    """What happens on the wire, and what a Messages caller is told. To a Chat caller every status
    of a provider that cannot answer is 503.

    `stream` and `whole` are the statuses, 200 in a stream for one that ends with an error event;
    `tries` how often the only key is tried before that.
    """

    act: Act
    stream: int
    whole: int
    tries: int = 1
    well: bool = False
    code: str = "upstream_unavailable"


def head(wire: Wire) -> tuple[bytes, bytes]:
    found, _, body = wire.answer().partition(b"\r\n\r\n")
    return found, body


def at(share: float, end: Act) -> Act:
    """So much of the answer's body, and then that."""

    def act(wire: Wire) -> None:
        start, body = head(wire)
        wire.send(start + b"\r\n\r\n" + body[: int(len(body) * share)])
        end(wire)

    return act


def instead(status: str, body: bytes = b"", *headers: str) -> Act:
    """Another answer than the simulator's."""

    def act(wire: Wire) -> None:
        wire.read()
        lines = [
            f"HTTP/1.1 {status}",
            *headers,
            f"content-length: {len(body)}",
            "connection: close",
        ]
        wire.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return act


def after_request(end: Act) -> Act:
    def act(wire: Wire) -> None:
        wire.read()
        end(wire)

    return act


def with_head(change: Callable[[bytes, bytes], bytes]) -> Act:
    """The answer with its head and body put together otherwise."""

    def act(wire: Wire) -> None:
        start, body = head(wire)
        wire.send(change(start, body))

    return act


def with_body(change: Callable[[bytes], bytes]) -> Act:
    return with_head(lambda start, body: start + b"\r\n\r\n" + change(body))


def closed(wire: Wire) -> None:
    pass


def trickled(wire: Wire) -> None:
    start, body = head(wire)
    wire.trickle(start + b"\r\n\r\n" + body)


def torn(wire: Wire) -> None:
    """Half a head and then a reset."""
    wire.send(wire.answer()[:20])
    wire.reset()


def reset_within_request(wire: Wire) -> None:
    wire.read(10)
    wire.reset()


def json_body(body: object) -> bytes:
    return json.dumps(body).encode()


JSON = "content-type: application/json"
STREAM = "content-type: text/event-stream"
LIMITED = {"error": {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded"}}
REFUSED = {"error": {"message": "messages: too odd", "type": "invalid_request_error"}}


def limited(retry_after: str) -> Fault:
    act = instead("429 No", json_body(LIMITED), JSON, f"retry-after: {retry_after}")
    return Fault(act, 429, 429, code="byok_rate_limited")


FAULTS = {
    # Before there is an answer.
    "reset when connecting": Fault(Wire.reset, 502, 502, 2),
    "closed when connecting": Fault(closed, 502, 502, 2),
    "reset within the request": Fault(reset_within_request, 502, 502, 2),
    "reset after the request": Fault(after_request(Wire.reset), 502, 502, 2),
    "closed after the request": Fault(after_request(closed), 502, 502, 2),
    "silent after the request": Fault(after_request(Wire.silence), 504, 504),
    "reset within the head": Fault(torn, 502, 502, 2),
    "no HTTP": Fault(
        after_request(lambda wire: wire.send(b"\x16\x03\x01garbage\r\n\r\n")), 502, 502, 2
    ),
    "a head that is too long": Fault(
        instead("200 OK", b"{}", "x-long: " + "y" * 100_000), 502, 502, 2
    ),
    # Another answer than expected.
    "redirect": Fault(instead("302 Found", b"", "location: http://127.0.0.1:1/"), 502, 502, 2),
    "no content": Fault(instead("204 No Content"), 502, 502, 1),
    "empty": Fault(instead("200 OK", b"", JSON), 502, 502),
    "a page": Fault(instead("200 OK", b"<html>Hello</html>", "content-type: text/html"), 502, 502),
    "a page of an error": Fault(
        instead("503 No", b"<html>No</html>", "content-type: text/html"), 529, 529, 2
    ),
    "broken JSON": Fault(instead("200 OK", b'{"choices": [', JSON), 502, 502),
    "other JSON": Fault(instead("200 OK", b'{"hello": "there"}', JSON), 502, 502),
    "a list": Fault(instead("200 OK", b"[]", JSON), 502, 502),
    "an error inside 200": Fault(
        instead("200 OK", json_body(LIMITED), JSON), 429, 429, code="byok_rate_limited"
    ),
    "an unknown status": Fault(instead("599 Odd", b"{}", JSON), 502, 502, 2),
    "a refusal": Fault(
        instead("400 No", json_body(REFUSED), JSON), 400, 400, code="invalid_request"
    ),
    "a limit without a time": Fault(
        instead("429 No", json_body(LIMITED), JSON), 429, 429, code="byok_rate_limited"
    ),
    "a limit in the past": limited("-5"),
    "a limit without sense": limited("soon"),
    "a limit for ages": limited("999999999999"),
    "a limit by an old date": limited("Mon, 01 Jan 2001 00:00:00 GMT"),
    # A body that is not what its head says.
    "shorter than its length": Fault(
        with_head(
            lambda start, body: (
                start + b"\r\ncontent-length: %d\r\n\r\n" % (len(body) + 50) + body[:-60]
            )
        ),
        200,
        502,
    ),
    "a wrong chunk": Fault(
        with_head(
            lambda start, body: start + b"\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + body
        ),
        502,
        502,
        2,
    ),
    "cut within a chunk": Fault(
        with_head(
            lambda start, body: (
                start + b"\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % len(body) + body[:-60]
            )
        ),
        200,
        502,
    ),
    "length and chunks": Fault(
        with_head(
            lambda start, body: (
                start
                + b"\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % len(body)
                + body
                + b"\r\n0\r\n\r\n"
            )
        ),
        502,
        502,
        2,
    ),
    # In mid-answer.
    "reset within the answer": Fault(at(0.6, Wire.reset), 200, 502),
    "closed within the answer": Fault(at(0.6, closed), 200, 502),
    "silent within the answer": Fault(at(0.6, Wire.silence), 200, 504),
    "broken UTF-8": Fault(
        with_body(lambda body: body.replace(b"four", b"f\xff\xfer")), 200, 200, well=True
    ),
    "zero bytes": Fault(with_body(lambda body: body + b"\0\0"), 200, 502, well=True),
    # Odd, and right.
    "one byte at a time": Fault(trickled, 200, 200, well=True),
    "packed unasked": Fault(
        with_head(
            lambda start, body: start + b"\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(body)
        ),
        200,
        200,
        well=True,
    ),
    "more after the end": Fault(
        with_body(lambda body: body + b"\n\n: bye\n\n"), 200, 502, well=True
    ),
}


@pytest.fixture
def short_waits(settings):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 1
    settings.MEGABRAIN_IDLE_SECONDS = 1


@pytest.fixture
def proxy(simulator, settings):
    """OpenAI's address, by way of a wire on which anything can go wrong."""
    with fault_proxy(simulator.address) as found:
        url = found.url(simulator.url("openai"))
        settings.MEGABRAIN_UPSTREAM_URLS = {**settings.MEGABRAIN_UPSTREAM_URLS, "openai": url}
        yield found


def spoken(number: int) -> Dialect:
    """Half of the faults happen to calls that are passed through, half to translated ones."""
    return (CHAT, MESSAGES)[number % 2]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("name", "dialect"), [(name, spoken(number)) for number, name in enumerate(FAULTS)]
)
def test_it_ends_as_documented(agent, key, usage_row, proxy, short_waits, name, dialect, stream):
    fault, stored = FAULTS[name], key("openai")
    proxy.fault = fault.act
    answer = agent.post(dialect.path, dialect.body(PROMPT, model=MODEL, stream=stream))
    expected = fault.stream if stream else fault.whole
    if dialect is CHAT and expected > 500:
        expected = 503
    assert answer.status_code == expected, answer.text
    assert proxy.connections == fault.tries
    assert answer.headers["x-megabrain-key"] == str(stored.pk)[:8]
    row = usage_row(answer.headers["x-request-id"])
    assert (row.status, row.payer, row.charged_micros) == (expected, "byok", 0)
    assert len(row.attempts) == fault.tries
    if expected == 200 and fault.well:
        assert row.outcome == "ok"
        if stream:
            text = answer.content.decode(errors="replace")
            assert dialect.stream(text.encode()).complete
    else:
        told = dialect.stream(answer.content).error if expected == 200 else dialect.error(answer)
        assert told.code == row.outcome or fault.code == "invalid_request"
        if expected >= 429:
            assert told.code == fault.code
    assert UsageRecord.objects.filter(account_id=stored.account_id).count() == 1
    # And then everything is well again.
    proxy.fault = healthy
    after = agent.post(dialect.path, dialect.body("say: pong", model=MODEL))
    assert after.status_code == 200, after.text
    assert dialect.text(after.json()) == "pong"


def test_a_wait_that_nobody_can_wait_is_bounded(agent, key, proxy):
    key("openai")
    proxy.fault = FAULTS["a limit for ages"].act
    answer = agent.post(CHAT.path, CHAT.body(PROMPT, model=MODEL))
    assert 1 <= int(answer.headers["retry-after"]) <= 3600


def test_a_certificate_nobody_vouches_for_gets_no_key(agent, key, simulator, settings, tmp_path):
    key("openai")
    with fault_proxy(simulator.address, self_signed(tmp_path)) as proxy:
        url = proxy.url(simulator.url("openai"))
        settings.MEGABRAIN_UPSTREAM_URLS = {**settings.MEGABRAIN_UPSTREAM_URLS, "openai": url}
        answer = agent.post(CHAT.path, CHAT.body(PROMPT, model=MODEL))
    assert answer.status_code == 503
    assert "could not prove who it is (TLS)" in CHAT.error(answer).message
    assert simulator.calls == []


def test_tls_at_a_port_that_does_not_speak_it_is_an_unreachable_provider(
    agent, key, proxy, settings
):
    key("openai")
    url = settings.MEGABRAIN_UPSTREAM_URLS["openai"].replace("http://", "https://")
    settings.MEGABRAIN_UPSTREAM_URLS = {**settings.MEGABRAIN_UPSTREAM_URLS, "openai": url}
    answer = agent.post(CHAT.path, CHAT.body(PROMPT, model=MODEL))
    assert answer.status_code == 503
    assert CHAT.error(answer).code == "upstream_unavailable"


def test_a_full_pool_is_waited_for_no_longer_than_a_connection(proxy, settings):
    settings.MEGABRAIN_UPSTREAM_CONNECTIONS = 1
    settings.MEGABRAIN_CONNECT_SECONDS = 0.2
    proxy.fault = after_request(Wire.silence)
    request = UpstreamRequest("POST", proxy.address, {"content-length": "2"}, b"{}")

    async def two_calls() -> str:
        async with Upstream() as upstream:
            first = asyncio.ensure_future(upstream.send(request))
            await asyncio.sleep(0.1)
            with pytest.raises(Unreachable) as raised:
                await upstream.send(request)
            first.cancel()
            return raised.value.message

    assert asyncio.run(two_calls()) == "could not be connected to in time"
    assert proxy.connections == 1
