"""A request's body, plain, compressed or in chunks: the provider gets it plain and whole."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

import pytest
import zstandard

BODY = json.dumps(
    {
        "model": "gpt-6-luna",
        "messages": [{"role": "user", "content": "say: pong\n" + "Herons stand still. " * 5_000}],
    }
).encode()
SMALL = b'{"model":"gpt-6-luna","messages":[{"role":"user","content":"say: pong"}]}'


def plain(body: bytes) -> bytes:
    return body


def in_two_parts(body: bytes) -> bytes:
    return gzip.compress(body[:50]) + gzip.compress(body[50:])


def zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(body)


def zstd_of_unknown_size(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(body)


def zstd_in_two_frames(body: bytes) -> bytes:
    return zstd(body[:50]) + zstd(body[50:])


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("identity", plain),
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", in_two_parts),
        ("zstd", zstd),
        ("zstd", zstd_of_unknown_size),
        ("zstd", zstd_in_two_frames),
    ],
)
def test_a_body_is_unpacked(agent, key, simulator, encoding: str, pack: Callable[[bytes], bytes]):
    key("openai")
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    for body in (SMALL, BODY):
        answer = agent.post("chat/completions", data=pack(body), headers=headers)
        assert answer.json()["choices"][0]["message"]["content"] == "pong"
        assert json.loads(simulator.calls[-1].body) == json.loads(body)
        assert "content-encoding" not in simulator.calls[-1].headers


def test_a_body_may_come_in_chunks(agent, key, simulator):
    def chunks() -> Iterator[bytes]:
        packed = gzip.compress(BODY)
        yield from (packed[start : start + 100] for start in range(0, len(packed), 100))

    key("openai")
    answer = agent.post("chat/completions", data=chunks(), headers={"content-encoding": "gzip"})
    assert answer.status_code == 200
    assert json.loads(simulator.calls[-1].body) == json.loads(BODY)


def test_other_encodings_are_refused_with_those_that_are_known(agent, key, simulator):
    key("openai")
    for encoding in ("br", "deflate", "gzip, gzip", "zstd,gzip", "x"):
        headers = {"content-encoding": encoding}
        answer = agent.post("chat/completions", data=zlib.compress(SMALL), headers=headers)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (415, "unsupported_encoding"), encoding
        assert "gzip or zstd" in error["message"]
    assert simulator.calls == []
