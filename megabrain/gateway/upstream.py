"""The one place that opens outgoing connections on the hot path.

Everything else knows `Upstream.send` and the `Answer` it returns, so that another client can take
aiohttp's place. Nothing of the environment (proxies, netrc) is heeded, no redirect followed: a key
goes to the address its provider's adapter names, or nowhere.
"""

import asyncio
import io
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from django.conf import settings
from yarl import URL

from byok.addresses import NotPublic, open_socket
from byok.providers.base import UpstreamRequest

#: To addresses that customers chose, and to each of them.
MAX_GUARDED, MAX_GUARDED_EACH = 2048, 256
#: How long a connection is kept for the next call.
KEPT_SECONDS = 55.0
READ_AHEAD = 64 * 1024
#: A larger body is written piece by piece, so that others have their turn; aiohttp insists.
IN_PIECES = 1024 * 1024

_LEFT_TO_US = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Unreachable(Exception):
    """No answer, or the end of one that had begun. The message is ours and names no address."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Answer(Protocol):
    """A provider's answer whose headers have arrived. It must be closed."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """What has arrived since, and b"" at the end. Raises Unreachable."""

    def close(self) -> None:
        """Give up whatever has not been read; the provider notices."""


class Upstream:
    """Connections to all providers, kept and used again. Opened and closed by the event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        #: For addresses that a customer chose; made when the first of them is called.
        self._guarded: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}

    async def __aenter__(self) -> Self:
        self._session = self._open(
            aiohttp.TCPConnector(
                limit=settings.MEGABRAIN_UPSTREAM_CONNECTIONS,
                limit_per_host=0,
                keepalive_timeout=KEPT_SECONDS,
                ttl_dns_cache=60,
                ssl=ssl.create_default_context(),
            )
        )
        return self

    def _open(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            # A place among the connections is waited for no longer than a connection itself. What
            # else may be waited for is the relay's business, which alone knows of the caller.
            timeout=aiohttp.ClientTimeout(
                total=None, connect=settings.MEGABRAIN_CONNECT_SECONDS, sock_read=None
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_LEFT_TO_US,
            trust_env=False,
            read_bufsize=READ_AHEAD,
            max_line_size=16 * 1024,
            max_field_size=32 * 1024,
        )

    def _session_for_customers(self) -> aiohttp.ClientSession:
        """Every socket of it is judged before it connects, whatever a name meant until then."""
        if self._guarded is None:
            self._guarded = self._open(
                aiohttp.TCPConnector(
                    limit=MAX_GUARDED,
                    limit_per_host=MAX_GUARDED_EACH,
                    keepalive_timeout=KEPT_SECONDS,
                    ssl=ssl.create_default_context(),
                    socket_factory=open_socket,
                )
            )
        return self._guarded

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for session in (self._session, self._guarded):
            if session is not None:
                await session.close()

    async def send(self, request: UpstreamRequest) -> Answer:
        """Send the request and wait for the headers of the answer. Raises Unreachable.

        The limit of that wait is the caller's: cancelling it closes the connection.
        """
        assert self._session is not None, "Enter the Upstream first."
        session = self._session
        if request.guarded:
            if not request.url.startswith("https://"):
                raise Unreachable("is not at an https address")
            session = self._session_for_customers()
        body = request.body
        try:
            response = await session.request(
                request.method,
                self._url(request.url),
                data=io.BytesIO(body) if body and len(body) > IN_PIECES else body,
                headers={**request.headers, "accept-encoding": "identity"},
                allow_redirects=False,
            )
        except aiohttp.ClientError as error:
            raise _unreachable(error) from None
        except (TimeoutError, OSError, ValueError):
            raise Unreachable("could not be reached in time") from None
        return _Response(response)

    def _url(self, text: str) -> URL:
        """Parsed once: there are a few addresses and many calls."""
        url = self._urls.get(text)
        if url is None:
            url = URL(text, encoded=True)
            if len(self._urls) < 1000:
                self._urls[text] = url
        return url


class _Response:
    """An answer as aiohttp reads it."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in response.headers.items()
        }

    async def read(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError):
            raise Unreachable("broke off its answer") from None

    def close(self) -> None:
        self._response.close()


def _unreachable(error: aiohttp.ClientError) -> Unreachable:
    # Without its cause: aiohttp's errors hold the request, and so the key.
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Unreachable("could not be connected to in time")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Unreachable("could not prove who it is (TLS)")
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, NotPublic):
        return Unreachable("leads to an address that is not public")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL):
        return Unreachable("could not be connected to")
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return Unreachable("closed the connection without an answer")
    return Unreachable("sent an answer that is not HTTP")
