"""Calls that a worker makes: a request goes out and its answer comes back whole, or it is over.

All of it has one deadline. An answer is read up to a limit, no redirect is followed, and nothing of
the machine's surroundings decides where a key is sent.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread

import requests
from django.conf import settings
from urllib3.exceptions import HTTPError, ReadTimeoutError

from byok.connections import LeadsInside, PublicOnly, SystemTrust
from byok.providers.base import UpstreamRequest

UNREACHABLE = "unreachable"
NOT_PUBLIC = "not_public"
TIMED_OUT = "timed_out"

#: More than any model's answer to a test.
ANSWER_LIMIT = 256 * 1024
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    #: Whether the body ended within the limit; otherwise this is its beginning.
    whole: bool = True


#: Sends a request and reads the answer; how long a silence may last comes with it.
Exchange = Callable[[UpstreamRequest, float], Answer]


class CallFailed(Exception):
    """No answer came; `code` says whether it was too late or impossible."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def send(
    request: UpstreamRequest,
    seconds: float,
    through: Exchange | None = None,
    limit: int = ANSWER_LIMIT,
) -> Answer:
    """Send a request and read the answer, all within so many seconds; raises CallFailed.

    Timeouts of sockets start anew with every byte, so a thread does it that can be left behind.
    """
    if seconds <= 0:
        raise CallFailed(TIMED_OUT)
    done: Future[Answer] = Future()

    def run() -> None:
        try:
            if through is not None:
                done.set_result(through(request, seconds))
            else:
                done.set_result(exchange(request, seconds, limit))
        except Exception as error:  # noqa: BLE001 - carried over to the waiting thread
            done.set_exception(error)

    Thread(target=run, name="call", daemon=True).start()
    try:
        return done.result(timeout=seconds)
    except (TimeoutError, requests.Timeout) as late:
        connecting = isinstance(late, requests.ConnectTimeout)
        raise CallFailed(UNREACHABLE if connecting else TIMED_OUT) from None
    except LeadsInside:
        raise CallFailed(NOT_PUBLIC) from None
    except requests.RequestException:
        # Without its cause: requests' errors hold the request, and so the key.
        raise CallFailed(UNREACHABLE) from None


def exchange(request: UpstreamRequest, seconds: float, limit: int = ANSWER_LIMIT) -> Answer:
    """The answer, or its beginning if it is longer than the limit. Raises what requests does."""
    until = time.monotonic() + seconds
    with requests.Session() as session:
        # No proxy, netrc or certificate setting of the environment: the operator's own override
        # of an address is the one way to redirect a key.
        session.trust_env = False
        session.headers.clear()
        if request.guarded:
            session.adapters.clear()
            session.mount("https://", PublicOnly())
        elif request.url.lower().startswith("https:"):
            # To read whom the machine trusts takes longer than a call nearby.
            session.mount("https://", SystemTrust())
        with session.request(
            request.method,
            request.url,
            headers={**request.headers, "accept-encoding": "identity"},
            data=request.body,
            timeout=(min(settings.MEGABRAIN_CONNECT_SECONDS, seconds), seconds),
            allow_redirects=False,
            stream=True,
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            body, whole = _body(response, limit, until)
            return Answer(response.status_code, headers, body, whole)


def _body(response: requests.Response, limit: int, until: float) -> tuple[bytes, bool]:
    """The body up to the limit, and whether that is all. A read waits for no more than has come,
    so that one of a few bytes a second has an end."""
    body = bytearray()
    try:
        while piece := response.raw.read1(_PIECE, decode_content=True):
            body += piece
            if len(body) > limit:
                return bytes(body[:limit]), False
            if time.monotonic() > until:
                raise requests.Timeout
    except ReadTimeoutError:
        raise requests.Timeout from None
    except HTTPError:
        raise requests.ConnectionError from None
    return bytes(body), True
