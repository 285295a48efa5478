"""A customer's endpoint with OpenAI's API over TLS, and what the machine's resolver says of names.

with Endpoint(certificate) as endpoint:
    place = f"https://localhost:{endpoint.port}/v1"
"""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

#: Names and addresses that the certificate is good for.
NAMES = ("localhost", "rebinding.example.com", "mixed.example.com", "127.0.0.1", "127.0.0.2")
MODEL = "Own-Model:7b"
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "pong"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


def make_certificate(folder: Path) -> Path:
    """A certificate that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "endpoint")])
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ip_address(each)) if each[0].isdigit() else x509.DNSName(each)
        for each in NAMES
    ]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "endpoint.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


class Endpoint:
    """Serves one model. `connections` counts what was accepted, `requests` what was asked."""

    def __init__(self, certificate: Path, host: str = "127.0.0.1", moved_to: str = "") -> None:
        self.connections = 0
        self.requests: list[tuple[str, str, Any]] = []  # Any: JSON.
        self.moved_to = moved_to
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        outer = self

        class Server(ThreadingHTTPServer):
            def get_request(self) -> tuple[socket.socket, Any]:
                accepted, address = super().get_request()
                outer.connections += 1
                accepted.settimeout(5)
                return context.wrap_socket(
                    accepted, server_side=True, do_handshake_on_connect=False
                ), address

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A caller that does not like the certificate is no news."""

        self._server = Server((host, 0), _handler(self))
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"object": "list", "data": [{"id": MODEL}]})

        def do_POST(self) -> None:
            self._answer(ANSWER)

        def _answer(self, body: dict[str, Any]) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            asked = json.loads(sent) if sent else None
            endpoint.requests.append((self.path, self.headers.get("authorization", ""), asked))
            said = json.dumps(body).encode()
            self.send_response(302 if endpoint.moved_to else 200)
            if endpoint.moved_to:
                self.send_header("location", endpoint.moved_to)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    return Handler


@contextmanager
def resolver(monkeypatch: pytest.MonkeyPatch, **answers: Iterator[list[str]]) -> Iterator[None]:
    """The machine's resolver, which knows `name.example.com` and tells what comes next for it."""
    asks: Callable[..., Any] = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        name = str(text).removesuffix(".example.com")
        if name not in answers:
            return asks(host, port, *arguments, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port or 0)))
            for address in next(answers[name])
        ]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield
