"""A provider's end of the wire, for answers that no simulator would give."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

Behaviour = Callable[["Wire"], None]


class Wire:
    """One connection on which a request has arrived."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self._connection = connection
        #: The first, second, … connection of this upstream, from 1.
        self.number = number

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def whole(self, status: int, body: bytes, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Reason", f"content-length: {len(body)}", *headers]
        self.send("\r\n".join([*lines, "connection: close", "", ""]).encode() + body)

    def stream(self, *events: bytes) -> None:
        """The headers of a stream and its first events. It ends with the connection."""
        self.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
            + b"".join(events)
        )

    def pause(self, seconds: float) -> None:
        """Silence, as a slow model's."""
        time.sleep(seconds)

    def wait_until_gone(self) -> None:
        """Until the gateway gives up."""
        with contextlib.suppress(OSError):
            while self._connection.recv(65536):
                pass


class RawUpstream:
    """Reads a request from each connection and then does what it was told to."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self.left = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(20)
            self.requests.append(_request(connection))
            self._behaviour(Wire(connection, len(self.requests)))
        self.left.set()

    def close(self) -> None:
        # Closing alone would not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _request(connection: socket.socket) -> bytes:
    """One request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().splitlines()
        if line.startswith(b"content-length:")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return body


@contextlib.contextmanager
def raw_upstream(behaviour: Behaviour) -> Iterator[RawUpstream]:
    upstream = RawUpstream(behaviour)
    try:
        yield upstream
    finally:
        upstream.close()
