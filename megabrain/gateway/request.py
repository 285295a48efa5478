"""What came in: path, headers, and a body that is bounded however it was sent."""

import asyncio
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from urllib.parse import parse_qs

import zstandard
from django.conf import settings

from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.reply import Message, Receive, Send
from megabrain.gateway.watch import STOPPING, Interrupted, Watch

MAX_BODY = 32 * 1024 * 1024
MAX_PARAMETERS = 50
#: What all requests of a process together may hold while their bodies are read.
MAX_HELD = 512 * 1024 * 1024
#: Larger compressed bodies are unpacked in a thread, so that others need not wait.
INLINE = 16 * 1024
#: The largest window the format's own specification asks decoders for.
ZSTD_WINDOW = 8 * 1024 * 1024


class ClientGone(Exception):
    """The caller hung up before the request was complete."""


class Bodies:
    """Counts the bytes of all bodies that are being read, or that a call is about."""

    def __init__(self) -> None:
        self.held = 0

    def hold(self, size: int) -> None:
        """Raises Problem when there is no room."""
        if self.held + size > MAX_HELD:
            raise Problem(
                Code.SERVICE_UNAVAILABLE,
                "MegaBrain has too many large requests to read just now. Try again in a moment.",
                retry_after=2,
            )
        self.held += size

    @contextmanager
    def held_while(self, size: int) -> Iterator[None]:
        """Hold a body as long as its call goes on. Raises Problem when there is no room."""
        self.hold(size)
        try:
            yield
        finally:
            self.held -= size


class Request:
    """One HTTP request, as ASGI brings it."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._query: bytes = scope["query_string"]
        self.receive = receive
        self.send = send
        self.headers: Mapping[str, str] = _headers(scope["headers"])

    @cached_property
    def query(self) -> dict[str, str]:
        """The last value of each parameter. Raises Problem."""
        try:
            pairs = parse_qs(self._query.decode("latin-1"), max_num_fields=MAX_PARAMETERS)
        except ValueError:
            raise Problem(
                Code.INVALID_REQUEST,
                f"The address has too many parameters: {MAX_PARAMETERS} at most.",
            ) from None
        return {name: values[-1] for name, values in pairs.items()}

    async def body(self, bodies: Bodies, watch: Watch) -> bytes:
        """The body, unpacked. Raises Problem, and ClientGone."""
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip", "zstd"}:
            raise Problem(
                Code.UNSUPPORTED_ENCODING,
                "Send the body as it is, or compressed with gzip or zstd, not with several.",
            )
        if "content-length" in self.headers and "transfer-encoding" in self.headers:
            raise Problem(
                Code.INVALID_REQUEST,
                "The request has both Content-Length and Transfer-Encoding. Send one of them.",
            )
        declared = self.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > MAX_BODY:
            raise _too_large()
        packed = await self._received(bodies, watch)
        if not packed and "upgrade" in self.headers:
            # Where the server sees one, it leaves the body to the other protocol.
            raise Problem(
                Code.INVALID_REQUEST,
                "The request asks for an upgrade to another protocol, so its body was not read. "
                "Send it without the header Upgrade.",
            )
        if encoding in {"", "identity"} or not packed:
            return packed
        unpack = _unzstd if encoding == "zstd" else _gunzip
        if len(packed) <= INLINE:
            return unpack(packed)
        return await asyncio.to_thread(unpack, packed)

    async def _received(self, bodies: Bodies, watch: Watch) -> bytes:
        message = await self._next(watch)
        if not message.get("more_body"):
            if message["type"] == "http.disconnect":
                raise ClientGone
            whole: bytes = message.get("body", b"")
            return whole if len(whole) <= MAX_BODY else _raise(_too_large())
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk = message.get("body", b"")
                bodies.hold(len(chunk))
                size += len(chunk)
                chunks.append(chunk)
                if size > MAX_BODY:
                    raise _too_large()
                if not message.get("more_body"):
                    return b"".join(chunks)
                message = await self._next(watch)
        finally:
            bodies.held -= size

    async def _next(self, watch: Watch) -> Message:
        """The next part of the body, which may neither pause for long nor trickle in forever."""
        try:
            return await watch.wait(self.receive(), settings.MEGABRAIN_IDLE_SECONDS)
        except Interrupted as interrupted:
            if interrupted.stopping:
                raise Problem(Code.SERVICE_UNAVAILABLE, STOPPING) from None
            raise Problem(
                Code.INVALID_REQUEST, "The rest of the request did not arrive in time.", status=408
            ) from None


def _headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """By lower-case name. One that is repeated reads like a list, which no token is."""
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _too_large() -> Problem:
    return Problem(
        Code.REQUEST_TOO_LARGE,
        "The request is too large: a body may have 32 MiB, also after it has been unpacked.",
    )


def _raise(problem: Problem) -> bytes:
    raise problem


def _gunzip(packed: bytes) -> bytes:
    out = b""
    rest = packed
    try:
        while rest:
            # A body may be several compressed parts one after another.
            inflater = zlib.decompressobj(wbits=31)
            out += inflater.decompress(rest, MAX_BODY + 1 - len(out))
            if len(out) > MAX_BODY:
                raise _too_large()
            if not inflater.eof:
                raise _not_compressed("gzip")
            rest = inflater.unused_data
    except zlib.error:
        raise _not_compressed("gzip") from None
    return out


def _unzstd(packed: bytes) -> bytes:
    try:
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        with decompressor.stream_reader(packed, read_across_frames=True) as reader:
            out: bytes = reader.read(MAX_BODY + 1)
    except zstandard.ZstdError:
        raise _not_compressed("zstd") from None
    if len(out) > MAX_BODY:
        raise _too_large()
    return out


def _not_compressed(how: str) -> Problem:
    return Problem(
        Code.INVALID_REQUEST, f"The body is said to be compressed with {how}, and is not."
    )
