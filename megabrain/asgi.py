"""The ASGI entry: agents under /v1 go to the gateway, everything else to the site.

The gateway comes ahead of Django's middleware. MEGABRAIN_SERVE lets a process be only one of them.
"""

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
from megabrain.gateway.app import Gateway  # noqa: E402

refuse_bad_vault_keys()

Message = dict[str, Any]  # ASGI's own types are open mappings.
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Any], Awaitable[None]]

HEALTH = {"/healthz", "/readyz"}

site = get_asgi_application()
gateway = Gateway()


async def application(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if any(name == b"upgrade" for name, _ in scope["headers"]):
        send = and_hang_up(send)
    path = scope["path"]
    if settings.MEGABRAIN_SERVE != "site" and gateway.serves(path):
        await gateway(scope, receive, send)
    elif scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1003})
    elif path == "/readyz" and gateway.draining:
        await answer(send, 503, b'{"ready": false, "gateway": "draining"}')
    elif settings.MEGABRAIN_SERVE == "gateway" and path not in HEALTH:
        await answer(send, 404, b'{"error": {"message": "Only the gateway is served here."}}')
    else:
        await site(scope, receive, send)


def and_hang_up(send: Send) -> Send:
    """`send`, and nothing more on this connection after the answer.

    The server takes what follows a request for an upgrade for another protocol and stops reading
    it, so the body of this request would be taken for the next one.
    """

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
