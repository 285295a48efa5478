"""The gateway as an ASGI application: which path is what, and how it starts and stops."""

import asyncio
import contextlib
import re
import signal
import threading
import uuid
from collections.abc import Iterator
from types import FrameType

import structlog
from django.conf import settings

from byok.providers.endpoints import SERVED
from megabrain.gateway import model_views, token_view, views
from megabrain.gateway.auth import HEADERS
from megabrain.gateway.cooling import Cooling
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.funds import Funds
from megabrain.gateway.key_health import KeyHealth
from megabrain.gateway.limits import Limits
from megabrain.gateway.model_list import ANYBODY, ModelLists
from megabrain.gateway.reply import Message, Receive, Reply, Send
from megabrain.gateway.request import Bodies, Request
from megabrain.gateway.settlement import Settlement
from megabrain.gateway.snapshot import Snapshot, SnapshotUnavailable
from megabrain.gateway.upstream import Upstream
from megabrain.gateway.watch import Watch

#: The server cancels what runs at the end of the drain; ours comes before, with better manners.
BEFORE_THE_END = 2.0

log = structlog.get_logger(__name__)

_ENDPOINTS = {f"/v1/{endpoint}": endpoint for endpoint in SERVED}
#: What is asked for under a base URL without /v1. The site has no such pages, except that of the
#: models, which is for those who bring no token.
_WITHOUT_V1 = {f"/{endpoint}" for endpoint in SERVED}
_MODELS = "/models"
_TOKENS = {name.encode() for name in HEADERS}
_V1_TWICE = re.compile(r"^(?:/v1)+(?=/v1(?:/|$))")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Gateway:
    """One process's gateway. It works between `start` and `stop`, on one event loop."""

    snapshot: Snapshot
    limits: Limits
    upstream: Upstream
    settlement: Settlement
    funds: Funds
    health: KeyHealth
    model_lists: ModelLists

    def __init__(self) -> None:
        self.bodies = Bodies()
        self.cooling = Cooling()
        self.watches: set[Watch] = set()
        self.draining = False
        self._drain_timer: asyncio.TimerHandle | None = None
        self._told = self._hurried = False
        self._running = False

    # Life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.draining = False
        self.cooling.clear()
        self.snapshot = Snapshot(loop)
        self.limits = Limits(settings.REDIS_URL)
        self.settlement = Settlement()
        self.funds = Funds(self.settlement.release)
        self.health = KeyHealth(self.cooling, self.settlement.see)
        self.model_lists = ModelLists()
        self.upstream = await Upstream().__aenter__()
        self._running = True
        # The first call finds it loaded; without a database, that call will say so.
        with contextlib.suppress(SnapshotUnavailable):
            await self.model_lists.listing(await self.snapshot.catalogue.get(None), ANYBODY)
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._heed(number, loop)

    def drain(self) -> None:
        """Be ready for nothing new, and give what runs MEGABRAIN_DRAIN_SECONDS to end."""
        if self.draining or not self._running:
            return
        self.draining = True
        seconds = max(0.0, settings.MEGABRAIN_DRAIN_SECONDS - BEFORE_THE_END)
        log.info("gateway.draining", calls=len(self.watches), seconds=seconds)
        self._drain_timer = asyncio.get_running_loop().call_later(seconds, self._end_calls)

    def _heed(self, number: signal.Signals, loop: asyncio.AbstractEventLoop) -> None:
        """Drain when the signal comes, before whatever the server does.

        A Ctrl-C after it ends the calls at once, and is kept from the server: that would drop
        them and all that is not written down yet. Only another one gets through to it.
        """
        before = signal.getsignal(number)

        def handle(received: int, frame: FrameType | None) -> None:
            hurry = received == signal.SIGINT and self._told
            kept = hurry and not self._hurried
            self._told = True
            self._hurried = self._hurried or hurry
            loop.call_soon_threadsafe(self._end_calls if hurry else self.drain)
            if callable(before) and not kept:
                before(received, frame)

        signal.signal(number, handle)

    def _end_calls(self) -> None:
        for watch in list(self.watches):
            watch.stop()

    async def stop(self) -> None:
        """End what still runs, write down all that was used, and close every connection."""
        self.draining = True
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        if not self._running:
            return
        self._running = False
        self._end_calls()
        for _ in range(100):
            if not self.watches:
                break
            await asyncio.sleep(0.02)
        await self.upstream.__aexit__(None, None, None)
        await self.limits.close()
        await self.funds.close()
        await asyncio.to_thread(self.settlement.close)
        await asyncio.to_thread(self.snapshot.close)

    @contextlib.contextmanager
    def watch(self, receive: Receive, reply: Reply) -> Iterator[Watch]:
        """Watch over a call of the task that enters; it is ended when the process must."""
        with Watch(receive, reply) as watch:
            self.watches.add(watch)
            try:
                yield watch
            finally:
                self.watches.discard(watch)

    # Requests --------------------------------------------------------------------------------

    @staticmethod
    def serves(scope: Message) -> bool:
        path = scope["path"]
        without_v1 = path.rstrip("/")
        return (
            path.startswith("/v1/")
            or path in {"/v1", "/api/hello"}
            or without_v1 in _WITHOUT_V1
            or (without_v1 == _MODELS and any(name in _TOKENS for name, _ in scope["headers"]))
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _refuse_websocket(scope, receive, send)
            return
        request = Request(scope, receive, send)
        # People paste a base URL with /v1 where their client adds one of its own.
        path = _V1_TWICE.sub("", request.path)
        if len(path) > 1:
            path = path.rstrip("/")
        endpoint = _ENDPOINTS.get(path)
        if endpoint is not None:
            if request.method == "POST":
                await views.generate(self, request, endpoint)
            else:
                await views.refuse(request, _not_by(request, "POST"), endpoint)
        else:
            await self._look_up(request, path)

    async def _look_up(self, request: Request, path: str) -> None:
        spoken = views.spoken_at(path, request.headers)
        if path == "/api/hello":
            await views.hello(request)
            return
        rest = path.removeprefix("/v1/")
        if not (rest in {"models", "route", "key"} or rest.startswith(("models/", "requests/"))):
            await views.refuse(request, _nothing_here(path), spoken)
        elif request.method not in {"GET", "HEAD"}:
            await views.refuse(request, _not_by(request, "GET"), spoken)
        elif rest == "models":
            await model_views.models(self, request)
        elif rest == "route":
            await views.explain(self, request)
        elif rest == "key":
            await token_view.token(self, request)
        elif rest.startswith("models/"):
            await model_views.model(self, request, rest.removeprefix("models/"))
        else:
            await views.record(self, request, rest.removeprefix("requests/"))


def _nothing_here(path: str) -> Problem:
    shown = path if len(path) <= 100 else path[:99] + "…"
    return Problem(
        Code.NOT_FOUND,
        f"There is nothing at {shown}. A base URL ends in /v1 for OpenAI's clients and without it "
        "for Anthropic's; the client adds the rest.",
    )


def _not_by(request: Request, method: str) -> Problem:
    if request.headers.get("upgrade", "").lower() == "websocket":
        # Codex then goes on over HTTP at once; any other status costs it seven tries.
        return Problem(
            Code.METHOD_NOT_ALLOWED,
            "This endpoint does not speak WebSocket. Send a POST request.",
            status=426,
        )
    return Problem(Code.METHOD_NOT_ALLOWED, f"Use {method} here.", allow=method)


async def _refuse_websocket(scope: Message, receive: Receive, send: Send) -> None:
    """Where the server took the upgrade upon itself, it is refused in its way."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1003})
        return
    id_ = str(uuid.uuid4()).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"x-should-retry", b"false"),
        (b"x-request-id", id_),
        (b"request-id", id_),
    ]
    await send({"type": "websocket.http.response.start", "status": 426, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"{}"})
