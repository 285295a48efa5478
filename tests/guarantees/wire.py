"""TCP as it is: an upstream that sends whatever a test wants, and a client that does.

with RawUpstream(lambda request: [json_answer(b"{}")]) as upstream:
    settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

QUIET_SECONDS = 0.3


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for each, value in self.headers if each.lower() == name]
        assert len(found) < 2, f"{name} came twice"
        return found[0] if found else None


Answers = Callable[[Received], Iterable[bytes]]


class RawUpstream:
    """A server that answers each request with the bytes that `answers` yields, then hangs up."""

    def __init__(self, answers: Answers = lambda _: [json_answer(b"{}")]) -> None:
        self.answers = answers
        self.connections = 0
        self.requests: list[Received] = []
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()

    @classmethod
    def saying(cls, *pieces: bytes) -> Self:
        """One that answers every request with just these bytes."""
        return cls(lambda _: pieces)

    @property
    def port(self) -> int:
        number: int = self._listener.getsockname()[1]
        return number

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            hang_up(connection)
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            request = receive(connection)
            if request is not None:
                self.requests.append(request)
                for piece in self.answers(request):
                    connection.sendall(piece)
        except OSError:
            pass  # The gateway has hung up, or the test has ended.
        finally:
            hang_up(connection)
            self._open.discard(connection)


def receive(connection: socket.socket) -> Received | None:
    """One request with a length, or None when the other side says no such thing."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    pairs = [each.split(":", 1) for each in rest]
    headers = [(name, value.strip()) for name, value in pairs]
    lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
    while len(body) < (lengths or [0])[0]:
        more = connection.recv(65536)
        if not more:
            break
        body += more
    return Received(line, headers, body)


def hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # It may be closed already.
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def json_answer(body: bytes, *, status: str = "200 OK", headers: Iterable[str] = ()) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    return head(*lines, f"Content-Length: {len(body)}") + body


def stream_head(*headers: str) -> bytes:
    """The headers of an event stream that ends with its connection."""
    return head("HTTP/1.1 200 OK", "Content-Type: text/event-stream", *headers)


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    assert parts.hostname
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def exchange(address: str, *pieces: bytes) -> bytes:
    """Everything that comes back for these bytes, until the server hangs up or falls silent."""
    with connect(address) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return until_quiet(connection)


def until_quiet(connection: socket.socket, within: float = 20) -> bytes:
    data = b""
    until = time.monotonic() + within
    while True:
        connection.settimeout(QUIET_SECONDS if data else max(0.01, until - time.monotonic()))
        try:
            more = connection.recv(65536)
        except TimeoutError:
            return data
        except ConnectionError:
            return data
        if not more:
            return data
        data += more
