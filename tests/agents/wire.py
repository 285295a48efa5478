"""What goes over the wire between an agent and the gateway, passed on unread and noted."""

import contextlib
import re
import socket
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

# Not at the beginning of a line: on a kept connection the next message follows a body at once.
_ASKED = re.compile(rb"((?:GET|HEAD|POST) /\S*) HTTP/1\.1\r\n")
_ANSWERED = re.compile(rb"HTTP/1\.1 (\d{3}) [\w -]*\r\n.*?\nx-request-id: (\S+)\r\n", re.DOTALL)


@dataclass(frozen=True)
class Exchange:
    """A request, such as "POST /v1/messages", and what it was answered with."""

    request: str
    status: int
    id: str


class Wire:
    """Listens at `address` and passes every connection on to the gateway's."""

    def __init__(self, gateway: str) -> None:
        self._gateway = urlsplit(gateway)
        self._seen: list[tuple[bytearray, bytearray]] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    @property
    def exchanges(self) -> list[Exchange]:
        """All so far, in order within each connection."""
        return [
            Exchange(asked.decode(), int(status), id_.decode())
            for there, back in list(self._seen)
            for asked, (status, id_) in zip(
                _ASKED.findall(there), _ANSWERED.findall(back), strict=False
            )
        ]

    @property
    def calls(self) -> list[Exchange]:
        """Those that a model was asked for."""
        return [each for each in self.exchanges if each.request.startswith("POST ")]

    def close(self) -> None:
        """Stop listening. The agent has ended by now, and with it its connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _start(self, work, *arguments) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                agent, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._connect, agent)

    def _connect(self, agent: socket.socket) -> None:
        there, back = bytearray(), bytearray()
        self._seen.append((there, back))
        place = (self._gateway.hostname, self._gateway.port)
        with agent, socket.create_connection(place) as gateway:
            answers = self._start(_pass_on, gateway, agent, back)
            _pass_on(agent, gateway, there)
            answers.join()


def _pass_on(source: socket.socket, target: socket.socket, seen: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            seen += data
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
