"""S28: whatever bytes come in, they are one request or none, never two; and so with the answer.

A proxy in front of us and we must never disagree about where a request ends: what one takes for
the rest of a body, the other would serve as the request of somebody else.
"""

import re

import pytest

from tests.gateway_fixture import Agent
from tests.guarantees.wire import connect, exchange, until_quiet

BODY = b'{"model":"openai/gpt-6-luna","messages":[{"role":"user","content":"say: one"}]}'
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
POST = "POST /v1/chat/completions HTTP/1.1"


@pytest.fixture(autouse=True)
def served(key):
    key("openai")


def request(agent: Agent, *headers: str, line: str = POST, end: str = "\r\n") -> bytes:
    lines = [line, "Host: gateway", f"Authorization: Bearer {agent.token}", *headers, "", ""]
    return end.join(lines).encode("latin-1")


def call(agent: Agent) -> bytes:
    return request(agent, LENGTH) + BODY


def statuses(answers: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3})", answers)


def test_two_requests_in_a_row_are_told_apart(agent):
    assert statuses(exchange(agent.gateway.address, call(agent) + call(agent))) == [b"200", b"200"]


def test_a_chunked_request_is_one(agent):
    raw = request(agent, CHUNKED) + CHUNKS + call(agent)
    assert statuses(exchange(agent.gateway.address, raw)) == [b"200", b"200"]


UNCLEAR: list[tuple[list[str], bytes]] = [
    ([f"Content-Length: {len(CHUNKS)}", CHUNKED], CHUNKS),
    ([CHUNKED, "Content-Length: 4"], CHUNKS),
    ([LENGTH, f"Content-Length: {len(BODY) + 300}"], BODY),
    ([LENGTH, LENGTH], BODY),
    ([f"{LENGTH}, {len(BODY)}"], BODY),
    ([f"Content-Length: +{len(BODY)}"], BODY),
    ([f"Content-Length: -{len(BODY)}"], BODY),
    ([f"Content-Length: {len(BODY):#x}"], BODY),
    ([f"Content-Length: {2**64 + len(BODY)}"], BODY),
    ([f"Content-Length : {len(BODY)}"], BODY),
    (["Content-Length:"], BODY),
    (["Transfer-Encoding: xchunked"], CHUNKS),
    (["Transfer-Encoding: chunked, gzip"], CHUNKS),
    (["Transfer-Encoding: identity"], CHUNKS),
    ([CHUNKED, "Transfer-Encoding: identity"], CHUNKS),
    (["Transfer-Encoding:\x0bchunked"], CHUNKS),
    (["Transfer-Encoding : chunked"], CHUNKS),
    (["Transfer-Encoding:\r\n chunked"], CHUNKS),
    (["X-One: a\r\n folded", LENGTH], BODY),
    (["X-One: a\nX-Two: b", LENGTH], BODY),
    (["X-One: a\rX-Two: b", LENGTH], BODY),
    (["X-One: a\0b", LENGTH], BODY),
    ([" X-One: a", LENGTH], BODY),
    (["no colon", LENGTH], BODY),
    ([CHUNKED], CHUNKS.replace(b"\r\n", b"\n")),
    ([CHUNKED], CHUNKS.replace(b"\r\n", b";\n", 1)),
    ([CHUNKED], CHUNKS.replace(b"\r\n", b';a="\r\n', 1)),
    ([CHUNKED], CHUNKS.replace(b"\r\n", b";a\rb\r\n", 1)),
    ([CHUNKED], b"0x" + CHUNKS),
    ([CHUNKED], b"-" + CHUNKS),
    ([CHUNKED], b"1" + b"0" * 16 + CHUNKS),
    ([CHUNKED], CHUNKS.replace(b"}\r\n", b"}XX\r\n")),
    ([CHUNKED], CHUNKS.removesuffix(b"\r\n") + b"Content-Length: 5\r\n\r\n"),
]


def test_a_request_without_a_clear_end_is_refused(agent, simulator):
    # In one test, for each would empty the database.
    refused = {}
    for headers, body in UNCLEAR:
        raw = request(agent, *headers) + body + call(agent)
        refused[repr((headers, body))] = statuses(exchange(agent.gateway.address, raw))
    assert {case: found for case, found in refused.items() if found != [b"400"]} == {}
    assert simulator.calls == []


def test_lines_end_with_both_characters(agent, simulator):
    for end in ("\n", "\r"):
        raw = request(agent, LENGTH, end=end) + BODY
        assert statuses(exchange(agent.gateway.address, raw)) == [b"400"]
    assert simulator.calls == []


def test_what_a_chunk_says_of_itself_changes_nothing(agent):
    for extension in (b";a=b", b';a="b"', b" "):
        raw = request(agent, CHUNKED) + CHUNKS.replace(b"\r\n", extension + b"\r\n", 1)
        assert len(statuses(exchange(agent.gateway.address, raw))) == 1


UPGRADING = (POST, "GET /v1/models HTTP/1.1", "POST /v1/nothing HTTP/1.1", "POST /healthz HTTP/1.1")


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_the_body_of_a_request_for_an_upgrade_is_no_request(agent, simulator, protocol):
    hidden = call(agent)
    upgrade = ["Connection: Upgrade", f"Upgrade: {protocol}", f"Content-Length: {len(hidden)}"]
    for line in UPGRADING:
        with connect(agent.gateway.address) as connection:
            connection.sendall(request(agent, *upgrade, line=line))
            answer = connection.recv(65536)  # In one packet the server drops the body by itself.
            try:
                connection.sendall(hidden)
                answer += until_quiet(connection)
            except ConnectionError:
                pass  # Closed, and reset since something was still on its way.
        assert len(statuses(answer)) == 1, line
        assert b"connection: close" in answer.lower(), line
    assert simulator.calls == []


def test_nothing_in_a_path_becomes_a_header_of_the_answer(agent):
    hidden = "%0d%0aset-cookie:%20a=b"
    for path in ("models/a{}", "requests/a{}", "{}", "chat/completions?a={}", "a?{}=b"):
        line = f"GET /v1/{path.format(hidden)} HTTP/1.1"
        answer = exchange(agent.gateway.address, request(agent, line=line))
        assert len(statuses(answer)) == 1, path
        assert b"set-cookie" not in answer.partition(b"\r\n\r\n")[0].lower(), path


def test_nothing_in_a_body_becomes_a_header_of_the_answer(agent):
    for text in ("a\r\nset-cookie: a=b", "a\n\nset-cookie: a=b", "\0", "é\u2028"):
        answer = agent.post("chat/completions", {"model": f"openai/{text}", "messages": []})
        assert answer.status_code == 404
        assert "set-cookie" not in answer.headers


def test_what_follows_a_body_is_no_header(agent, key, simulator):
    """A proxy in front has looked at the headers, not at those."""
    bare = "\r\n".join([POST, "Host: gateway", CHUNKED, "", ""]).encode()
    trailer = f"Authorization: Bearer {agent.token}\r\n\r\n".encode()
    answer = exchange(agent.gateway.address, bare + CHUNKS.removesuffix(b"\r\n") + trailer)
    assert statuses(answer) == [b"401"]
    raw = request(agent, CHUNKED) + CHUNKS.removesuffix(b"\r\n") + b"OpenAI-Beta: a\r\n\r\n"
    assert statuses(exchange(agent.gateway.address, raw)) == [b"200"]
    [call] = simulator.calls
    assert "openai-beta" not in call.headers
