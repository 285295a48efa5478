"""S31: whoever is slow on purpose, caller or provider, is not waited for without end.

The waits of ordinary calls, each with its error, are in tests/gateway/test_timeouts.py.
"""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import pytest
import requests

from byok.providers.base import UpstreamRequest
from megabrain.gateway.upstream import Unreachable, Upstream
from tests.gateway_fixture import Agent
from tests.guarantees.wire import RawUpstream, Received, connect, stream_head, until_quiet

WITHIN = 15
#: More than all buffers on the way hold.
MUCH = 30 * 1024 * 1024
BODY = b'{"model":"openai/gpt-6-luna","messages":[{"role":"user","content":"say: one"}]}'


@pytest.fixture(autouse=True)
def little_patience(settings):
    settings.MEGABRAIN_IDLE_SECONDS = 0.5
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 0.8
    settings.MEGABRAIN_TOTAL_SECONDS = 1.5


def head(agent: Agent) -> bytes:
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(BODY)}\r\n"
        f"Authorization: Bearer {agent.token}\r\n\r\n"
    ).encode()


def trickled(agent: Agent, first: bytes, rest: bytes, pause: float) -> bytes:
    """What is answered to whoever sends byte after byte until an answer comes."""
    with connect(agent.gateway.address) as connection:
        connection.sendall(first)
        connection.settimeout(pause)
        for place in range(10_000):
            with contextlib.suppress(TimeoutError):
                found = connection.recv(65536)
                return found + until_quiet(connection) if found else b""
            connection.sendall(rest[place : place + 1] or b" ")
    raise AssertionError("It was waited for without end.")


def test_a_body_that_does_not_come(agent, usage_row):
    for sent in (b"", BODY[:10]):
        with connect(agent.gateway.address) as connection:
            connection.sendall(head(agent) + sent)
            answer = until_quiet(connection, WITHIN)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close\r\n" in answer.lower()


def test_a_body_that_trickles(agent):
    long = head(agent).replace(b"Content-Length: ", b"Content-Length: 9")
    assert trickled(agent, long, BODY, 0.05).startswith(b"HTTP/1.1 408 ")


def unread(path: str, length: int) -> bytes:
    """The head of a request that is answered before its body has come."""
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize("trickles", [False, True], ids=["silence", "trickle"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/models", "/v1/nothing"])
def test_a_body_that_nobody_waits_for(gateway, path, trickles):
    with connect(gateway.address) as connection:
        connection.sendall(unread(path, 1_000_000))
        assert connection.recv(4096).startswith(b"HTTP/1.1 40")
        connection.sendall(b"x")
        if trickles:
            assert hung_up(connection)
        else:
            connection.settimeout(WITHIN)
            assert connection.recv(100) == b""


def hung_up(connection: socket.socket) -> bool:
    """Whether byte after byte is refused at last."""
    connection.settimeout(0.05)
    until = time.monotonic() + WITHIN
    while time.monotonic() < until:
        try:
            connection.sendall(b"x")
            if connection.recv(100) == b"":
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def test_a_caller_who_still_sends_its_body_hears_why_it_is_refused(gateway, settings):
    """And may use its connection again, once all of it has come."""
    settings.MEGABRAIN_IDLE_SECONDS = 30
    with connect(gateway.address) as connection:
        for _ in range(2):
            connection.sendall(unread("/v1/messages", 5_000_000))
            assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
            for _ in range(50):
                connection.sendall(b"x" * 100_000)


def test_a_body_for_the_site_that_does_not_come(gateway):
    for sent in (b"", b"x"):
        with connect(gateway.address) as connection:
            connection.sendall(unread("/nowhere/", 1000) + sent)
            connection.settimeout(WITHIN)
            answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"\r\nconnection: close\r\n" in answer


def test_a_body_for_the_site_that_trickles(agent):
    answer = trickled(agent, unread("/nowhere/", 900_000), b"", 0.05)
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_head_that_does_not_end(agent):
    begun = head(agent)[:-2]
    for sent in (b"", b"P", begun):
        with connect(agent.gateway.address) as connection:
            connection.sendall(sent)
            connection.settimeout(WITHIN)
            assert connection.recv(100) == b""


def test_a_head_that_trickles(agent):
    assert trickled(agent, head(agent)[:-2] + b"X-Long: ", b"", 0.05) == b""


def test_a_second_request_that_does_not_come(agent, key):
    key("openai")
    with connect(agent.gateway.address) as connection:
        connection.sendall(head(agent) + BODY + head(agent)[:-2])
        answer = until_quiet(connection)
        assert answer.startswith(b"HTTP/1.1 200 ")
        connection.settimeout(WITHIN)
        assert connection.recv(100) == b""


def test_a_head_has_a_largest_size(agent, key, settings):
    key("openai")
    settings.MEGABRAIN_IDLE_SECONDS = 60
    for line in (b"X-Long: " + b"a" * 60_000 + b"\r\n", b"X-Many: a\r\n" * 5000):
        fits = head(agent)[:-2] + line + b"\r\n" + BODY
        with connect(agent.gateway.address) as connection:
            connection.sendall(fits)
            assert until_quiet(connection).startswith(b"HTTP/1.1 200 ")
        with connect(agent.gateway.address) as connection:
            sent = endless(connection, head(agent)[:-2], line.removesuffix(b"\r\n"))
        assert sent < MUCH


def endless(connection: socket.socket, first: bytes, more: bytes) -> int:
    """How much is taken of a head without an end."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        connection.sendall(first)
        while sent < MUCH:
            connection.sendall(more)
            sent += len(more)
    return sent


CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
SLOW = [
    (b"H", b"T"),
    (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
    (b"HTTP/1.1 400 No\r\nContent-Length: 9999\r\n\r\n", b" "),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "),
    (stream_head(), b": comment\n\n"),
    (stream_head(), b"data"),
    (stream_head() + CHUNK, CHUNK),
    (stream_head() + CHUNK, b": comment\n\n"),
    (stream_head() + CHUNK, b"data"),
]


def slowly(request: Received) -> Iterator[bytes]:
    first, more = SLOW[json.loads(request.body)["user"]]
    yield first
    for each in repeat(more):
        time.sleep(0.05)
        yield each


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_whose_answer_trickles(agent, key, settings, stream):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 3
    settings.MEGABRAIN_TOTAL_SECONDS = 4
    key("openai")

    def ask(number: int) -> requests.Response:
        body = {"model": "openai/gpt-6-luna", "messages": [], "stream": stream, "user": number}
        answer: requests.Response = agent.post("chat/completions", body, timeout=WITHIN)
        return answer

    with RawUpstream(slowly) as upstream, ThreadPoolExecutor(len(SLOW)) as pool:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        answers = list(pool.map(ask, range(len(SLOW))))
    for (first, more), answer in zip(SLOW, answers, strict=True):
        begun = stream and CHUNK in first
        assert answer.status_code == (200 if begun else 503), (first, more)
        assert '"error"' in answer.text


def test_a_provider_that_takes_no_connection(settings):
    """Its queue of connections is full, as behind a broken load balancer."""
    settings.MEGABRAIN_CONNECT_SECONDS = 0.3

    async def call(port: int) -> None:
        async with Upstream() as upstream:
            await upstream.send(UpstreamRequest("POST", f"http://127.0.0.1:{port}/", {}, b"{}"))

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        with pytest.raises(Unreachable, match="could not be connected to in time"):
            asyncio.run(asyncio.wait_for(call(port), WITHIN))
