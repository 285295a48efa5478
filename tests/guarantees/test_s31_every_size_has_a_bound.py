"""S31: bodies, their nesting, answers and events have a largest size, and so has memory."""

import gzip
import os
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.gateway_fixture import Agent
from tests.guarantees.wire import RawUpstream, connect, json_answer, stream_head, until_quiet
from tests.simulator_fixture import RunningSimulator

MIB = 1024 * 1024
BODY = 32 * MIB
#: A bomb unpacks to many times this much; buffers and the other half of the test take the rest.
ROOM = 300 * MIB
START = b'{"model":"openai/gpt-6-luna","messages":[],"metadata":"'
END = b'"}'


def body_of(size: int) -> bytes:
    return START + b"x" * (size - len(START) - len(END)) + END


@contextmanager
def memory() -> Iterator[list[int]]:
    """How much the process grew meanwhile, at most, as the only element."""
    page, grown, done = os.sysconf("SC_PAGE_SIZE"), [0], threading.Event()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    before = resident()

    def look() -> None:
        while not done.wait(0.005):
            grown[0] = max(grown[0], resident() - before)

    thread = threading.Thread(target=look)
    thread.start()
    yield grown
    done.set()
    thread.join()


def test_a_body_may_have_32_mib_and_no_byte_more(agent, key, simulator):
    key("openai", "fast")
    whole = body_of(BODY)
    assert agent.post("chat/completions", data=whole).status_code == 200
    assert agent.post("chat/completions", data=iter([whole])).status_code == 200
    simulator.clear()
    for data in (whole + b" ", iter([whole, b" "])):
        answer = agent.post("chat/completions", data=data)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"
        assert answer.headers["x-should-retry"] == "false"
    assert simulator.calls == []


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(agent):
    for length in (BODY + 1, 10**12, 10**18):
        with connect(agent.gateway.address) as connection:
            connection.sendall(
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n"
                f"Authorization: Bearer {agent.token}\r\n\r\n".encode()
            )
            assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def gzip_bomb() -> bytes:
    packer = zlib.compressobj(wbits=31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(600)), packer.flush()])


def gzip_bomb_in_members() -> bytes:
    return gzip.compress(bytes(10 * MIB)) * 60


def zstd_bomb() -> bytes:
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(600)), packer.flush()])


def zstd_bomb_in_frames() -> bytes:
    return zstandard.ZstdCompressor().compress(bytes(10 * MIB)) * 60


def zstd_window() -> bytes:
    options = zstandard.ZstdCompressionParameters.from_level(19, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=options).compressobj()
    return packer.compress(b"a" * MIB) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack", "status"),
    [
        ("gzip", gzip_bomb, 413),
        ("gzip", gzip_bomb_in_members, 413),
        ("zstd", zstd_bomb, 413),
        ("zstd", zstd_bomb_in_frames, 413),
        ("zstd", zstd_window, 400),
    ],
)
def test_a_bomb_is_refused_before_it_is_unpacked(agent, key, simulator, encoding, pack, status):
    key("openai", "fast")
    data = pack()
    assert len(data) < MIB
    with memory() as grown:
        answer = agent.post("chat/completions", data=data, headers={"content-encoding": encoding})
    assert answer.status_code == status
    assert grown[0] < ROOM
    assert simulator.calls == []


def test_64_levels_are_read_and_65_are_not(agent, key, simulator):
    key("openai", "fast")
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        for levels, status in ((64, 200), (65, 400), (100_000, 400)):
            # The body itself is the first level.
            nested = opening * (levels - 1) + b"1" + closing * (levels - 1)
            body = START[:-1] + nested + b"}"
            answer = agent.post("chat/completions", data=body)
            assert answer.status_code == status, levels
    assert len(simulator.calls) == 2


def test_brackets_inside_strings_are_no_levels(agent, key):
    key("openai", "fast")
    for text in (b"[" * 1000, b"[]" * 1000, b'\\"[' * 100, b'\\\\\\"{' * 100):
        assert agent.post("chat/completions", data=START + text + END).status_code == 200


MANY = 100_000  # Lists, and objects, that a body may have.


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"[%s]" % b",".join([b"[]"] * (MANY - 3)), 200),
        (b"[%s]" % b",".join([b"[]"] * (MANY + 1)), 400),
        (b"[%s]" % b",".join([b"[" * 60 + b"]" * 60] * 2000), 400),
        (b'"%s"' % (b"[]" * MANY), 200),
        (b"{%s}" % b",".join(b'"%d":1' % each for each in range(299_990)), 200),
        (b"{%s}" % b",".join(b'"%d":1' % each for each in range(300_001)), 400),
        (b"{%s}" % b",".join(b'"%d" :1' % each for each in range(300_001)), 400),
        (b"1,%s:1" % b":1,".join(b'"%d"' % each for each in range(300_001)), 400),
        (b'"%s"' % b",".join([b'\\"a\\":1'] * 400_000), 200),
        (b"[%s]" % b",".join([b"[]"] * 70 + [b'""'] * 1_000_001), 400),
    ],
    ids=lambda value: value if isinstance(value, int) else value[:24].decode(),
)
def test_a_body_has_so_many_parts(agent, key, simulator, more, status):
    """To look at more of them would hold up everybody else."""
    key("openai", "fast")
    # Small bodies cannot hold anybody up, so this one is large whatever is in it.
    body = START + b"x" * MIB + b'","more":' + more + b"}"
    answer = agent.post("chat/completions", data=body)
    assert answer.status_code == status
    if status == 400:
        assert "The body has too many " in answer.json()["error"]["message"]
        assert simulator.calls == []


def to_the_site(agent: Agent, data: Any) -> Any:
    address = f"{agent.gateway.address}/nowhere/"
    return agent.session.post(address, data=data, headers={"authorization": None}, timeout=30)


def test_a_body_for_the_site_may_have_one_mib(agent):
    for data in (b"x" * MIB, iter([b"x" * MIB])):
        assert to_the_site(agent, data).status_code == 404
    answer = to_the_site(agent, iter([b"x" * MIB, b"x"]))
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


def test_a_body_for_the_site_that_says_it_is_too_large_is_refused_before_it_is_sent(agent):
    for length in (MIB + 1, 10**18):
        with connect(agent.gateway.address) as connection:
            connection.sendall(
                b"POST /nowhere/ HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length
            )
            answer = until_quiet(connection)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nconnection: close\r\n" in answer


def whole(size: int) -> bytes:
    start, end = b'{"choices":[{"message":{"content":"', b'"}}]}'
    return start + b"x" * (size - len(start) - len(end)) + end


def ask(agent: Agent, **more: Any) -> Any:
    return agent.post("chat/completions", {"model": "openai/gpt-6-luna", "messages": [], **more})


def test_an_answer_may_have_32_mib_and_no_byte_more(agent, key, settings):
    key("openai")
    for size, status in ((BODY, 200), (BODY + 1, 503)):
        with RawUpstream.saying(json_answer(whole(size))) as upstream:
            settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
            assert ask(agent).status_code == status


def test_an_endless_answer_is_given_up(agent, key, settings):
    key("openai")
    for status in (b"200", b"400", b"500", b"429"):
        sent = [0]

        def answers(_, status=status, sent=sent):
            yield b"HTTP/1.1 %s X\r\nContent-Type: application/json\r\n\r\n" % status
            while sent[0] < 400 * MIB:
                yield b"x" * MIB
                sent[0] += MIB

        with RawUpstream(answers) as upstream, memory() as grown:
            settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
            assert ask(agent).status_code >= 400
        assert sent[0] < 200 * MIB
        assert grown[0] < ROOM


def event(size: int) -> bytes:
    start, end = b'data: {"choices":[{"index":0,"delta":{"content":"', b'"}}]}\n\n'
    return start + b"x" * (size - len(start) - len(end)) + end


FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("first", [True, False])
def test_an_event_may_have_one_mib(agent, key, settings, first):
    key("openai")
    before = b"" if first else event(200)
    for size, fits in ((MIB, True), (2 * MIB, False), (40 * MIB, False)):
        pieces = (stream_head(), before, event(size), FINISH)
        with RawUpstream.saying(*pieces) as upstream, memory() as grown:
            settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
            answer = ask(agent, stream=True)
        if fits:
            assert answer.content == before + event(size) + FINISH
        elif first:
            assert answer.status_code == 503
        else:
            assert "sent an event that is too long" in answer.text
            assert answer.content.count(b"data: ") == 2
        assert grown[0] < ROOM


def test_a_caller_who_does_not_read_holds_the_provider_up(agent, key, settings, simulator):
    """What it does not take stays with the provider, not in our memory."""
    key("openai", "fast")
    settings.MEGABRAIN_IDLE_SECONDS = 30
    body = (
        b'{"model":"openai/gpt-6-luna","stream":true,'
        b'"messages":[{"role":"user","content":"stream: 100000 events"}]}'
    )
    with connect(agent.gateway.address) as connection, memory() as grown:
        connection.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {agent.token}\r\n\r\n".encode()
            + body
        )
        sent = settled_count(simulator)
        assert 0 < sent < 100_000
        assert grown[0] < ROOM


def settled_count(simulator: RunningSimulator, within: float = 30) -> int:
    """How many events the provider has sent once it sends no more."""
    until, before, count = time.monotonic() + within, -1, 0
    while before != count or not count:
        assert time.monotonic() < until
        time.sleep(0.5)
        before, count = count, simulator.calls[-1].events if simulator.calls else 0
    return count
