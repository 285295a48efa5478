"""A wire between the gateway and the simulator on which anything can go wrong.

Each connection carries one request. The proxy reads it, asks the simulator, and then does to the
answer whatever the fault says.
"""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_RESET = struct.pack("ii", 1, 0)
PATIENCE = 10.0


class Wire:
    """The connection of one request to the gateway's side."""

    def __init__(self, connection: socket.socket, target: tuple[str, int]) -> None:
        self._connection = connection
        self._target = target
        self.request = b""

    def read(self, limit: int | None = None) -> bytes:
        """The request: its first bytes, or all of it."""
        while limit is None or len(self.request) < limit:
            if limit is None and _complete(self.request):
                break
            data = self._connection.recv(65536 if limit is None else limit)
            if not data:
                break
            self.request += data
        return self.request

    def answer(self) -> bytes:
        """What the simulator answers to it, head and body, the body not chunked."""
        self.read()
        head, _, body = self.request.partition(b"\r\n\r\n")
        with socket.create_connection(self._target, PATIENCE) as upstream:
            upstream.sendall(head + b"\r\nconnection: close\r\n\r\n" + body)
            found = b"".join(iter(lambda: upstream.recv(65536), b""))
        head, _, body = found.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            body = _joined(body)
        lines = [
            line
            for line in head.split(b"\r\n")
            if not line.lower().startswith((b"transfer-encoding", b"connection", b"content-length"))
        ]
        return b"\r\n".join(lines) + b"\r\nconnection: close\r\n\r\n" + body

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def trickle(self, data: bytes) -> None:
        """One byte at a time, each in a packet of its own."""
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            self.send(data[at : at + 1])

    def reset(self) -> None:
        """End the connection as a crashed machine or a firewall does."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._connection.close()

    def silence(self) -> None:
        """Nothing more, until the gateway gives up."""
        with contextlib.suppress(OSError):
            while self._connection.recv(65536):
                pass

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


Fault = Callable[[Wire], None]


def healthy(wire: Wire) -> None:
    wire.send(wire.answer())


@dataclass
class FaultProxy:
    """Stands where a provider's address points. `fault` may be changed at any time."""

    target: str
    fault: Fault = healthy
    context: ssl.SSLContext | None = None
    connections: int = 0
    _listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        scheme = "https" if self.context else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def url(self, upstream_url: str) -> str:
        """The same place by way of this proxy."""
        return self.address + urlsplit(upstream_url).path

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        self.connections += 1
        host, _, port = urlsplit(self.target).netloc.partition(":")
        with contextlib.suppress(OSError):
            connection.settimeout(PATIENCE)
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection:
                self.fault(Wire(connection, (host, int(port))))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextlib.contextmanager
def fault_proxy(target: str, context: ssl.SSLContext | None = None) -> Iterator[FaultProxy]:
    proxy = FaultProxy(target, context=context)
    try:
        yield proxy
    finally:
        proxy.close()


def self_signed(folder: Path) -> ssl.SSLContext:
    """The TLS of a server whose certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "self-signed.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _complete(request: bytes) -> bool:
    head, found, body = request.partition(b"\r\n\r\n")
    if not found:
        return False
    lengths = [
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ]
    return len(body) >= (lengths[0] if lengths else 0)


def _joined(chunks: bytes) -> bytes:
    """The body that these chunks make."""
    body = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        chunks = rest[length + 2 :] if length else b""
    return body
