"""The ASGI entry: agents under /v1 go to the gateway, everything else to the site.

The gateway comes ahead of Django's middleware. MEGABRAIN_SERVE lets a process be only one of them.
Django takes a body of any size, for as long as it comes, and keeps it on disk before it looks at
the request; so what is for the site is bounded here.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import django
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "megabrain.settings")
django.setup(set_prefix=False)

# Models can be imported only now.
from django.conf import settings  # noqa: E402

from byok.checks import refuse_bad_vault_keys  # noqa: E402

# Before all that takes longer to load than to look at them.
refuse_bad_vault_keys()

from megabrain.gateway.app import Gateway  # noqa: E402

Message = dict[str, Any]  # ASGI's own types are open mappings.
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Any], Awaitable[None]]

HEALTH = {"/healthz", "/readyz"}

#: No form of the site is near it.
MAX_SITE_BODY = 1024 * 1024
_TOO_LARGE = 413, b'{"error": {"message": "The request is too large: a body may have 1 MiB."}}'
_TOO_LATE = 408, b'{"error": {"message": "The rest of the request did not arrive in time."}}'

site = get_asgi_application()
gateway = Gateway()


async def application(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if any(name == b"upgrade" for name, _ in scope["headers"]):
        # The server takes what follows such a request for another protocol and stops reading it,
        # so the body of this request would be taken for the next one.
        send = and_hang_up(send)
    path = scope["path"]
    if settings.MEGABRAIN_SERVE != "site" and gateway.serves(scope):
        await gateway(scope, receive, send)
    elif scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1003})
    elif path == "/readyz" and gateway.draining:
        await answer(send, 503, b'{"ready": false, "gateway": "draining"}')
    elif settings.MEGABRAIN_SERVE == "gateway" and path not in HEALTH:
        await answer(send, 404, b'{"error": {"message": "Only the gateway is served here."}}')
    else:
        await serve_site(scope, receive, send)


async def serve_site(scope: Message, receive: Receive, send: Send) -> None:
    """The site, for whoever sends it a body that is small and comes in time."""
    body = SiteBody(receive)
    if any(
        name == b"content-length" and int(value) > MAX_SITE_BODY for name, value in scope["headers"]
    ):
        body.refused = _TOO_LARGE
    else:
        await site(scope, body.receive, send)
    if body.refused is not None:
        status, text = body.refused
        await answer(and_hang_up(send), status, text)


class SiteBody:
    """The body of a request to the site. When it passes a bound, it is `refused`.

    To Django it then looks as if its client had hung up: so it drops the request, unanswered.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._until = asyncio.get_running_loop().time() + settings.MEGABRAIN_IDLE_SECONDS
        self._size = 0
        self._whole = False
        self.refused: tuple[int, bytes] | None = None

    async def receive(self) -> Message:
        if self._whole:  # What comes now is that the client has hung up, whenever it does.
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            self.refused = _TOO_LATE
            return {"type": "http.disconnect"}
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body")
        if self._size > MAX_SITE_BODY:
            self.refused = _TOO_LARGE
            return {"type": "http.disconnect"}
        return message


def and_hang_up(send: Send) -> Send:
    """`send`, and nothing more on this connection after the answer."""

    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (b"connection", b"close")]
            message = {**message, "headers": headers}
        await send(message)

    return send_and_close


async def lifespan(receive: Receive, send: Send) -> None:
    """Start the gateway with the server, and stop it before the server is gone."""
    serving = settings.MEGABRAIN_SERVE != "site"
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if serving:
                await gateway.start()
            await send({"type": "lifespan.startup.complete"})
        else:
            if serving:
                await gateway.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
