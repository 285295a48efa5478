"""AWS KMS as far as the vault uses it: Encrypt and Decrypt over HTTP, on this machine."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ARN = "arn:aws:kms:eu-central-1:123456789012:key/4f1d1c1e-0a52-4a52-9d3c-0f7e6f4f0b11"
OTHER_ARN = "arn:aws:kms:eu-central-1:123456789012:key/99999999-0a52-4a52-9d3c-0f7e6f4f0b11"


class FakeKms(ThreadingHTTPServer):
    """Any ARN is a key, made of the ARN itself. `fails` is an error code to answer instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fails: tuple[int, str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: FakeKms
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].removeprefix("TrentService.")
        self.server.calls.append((operation, body))
        if not self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256"):
            self.answer(400, {"__type": "MissingAuthenticationTokenException"})
        elif self.server.fails:
            status, code = self.server.fails
            self.answer(status, {"__type": code, "message": "told to fail"})
        else:
            self.answer(*getattr(self, operation.lower())(body))

    def encrypt(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        plaintext = base64.b64decode(body["Plaintext"])
        nonce = hashlib.sha256(plaintext).digest()[:12]
        blob = nonce + self.key(body).encrypt(nonce, plaintext, self.associated(body))
        return 200, {"CiphertextBlob": base64.b64encode(blob).decode(), "KeyId": body["KeyId"]}

    def decrypt(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        blob = base64.b64decode(body["CiphertextBlob"])
        try:
            plaintext = self.key(body).decrypt(blob[:12], blob[12:], self.associated(body))
        except InvalidTag:
            return 400, {"__type": "InvalidCiphertextException"}
        return 200, {"Plaintext": base64.b64encode(plaintext).decode(), "KeyId": body["KeyId"]}

    def key(self, body: dict[str, Any]) -> AESGCM:
        return AESGCM(hashlib.sha256(body["KeyId"].encode()).digest())

    def associated(self, body: dict[str, Any]) -> bytes:
        return json.dumps(body["EncryptionContext"], sort_keys=True).encode()

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""
