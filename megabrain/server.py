"""What uvicorn is started with: its HTTP with bounds for a request's head and for the wait for its
body, and uvloop's loop without its bound on new connections.

Whoever reads a body bounds its size and its time: the gateway, and `megabrain.asgi` for the site.
But some answers need no body, and then nobody waits for it but the server, which would do so
forever. The head is read by the server alone, which would take it for as long and at whatever
length it comes; and it would add the trailers of a body to the headers, where a proxy in front has
not looked at them.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import uvloop
from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: New connections in a turn of the loop, at most, so that the old ones have theirs.
MAX_ACCEPTED = 128

#: The request line and all headers. A read more may pass, if it completes them.
MAX_HEAD = 64 * 1024

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


class Http(HttpToolsProtocol):
    """One connection of a client."""

    _in_head = True
    _head_size = 0
    _head_timer: asyncio.TimerHandle | None = None
    _in_body = False
    _body_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As there.
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._stop_waiting_for_body()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_size += len(data)
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            if self._head_size > MAX_HEAD:
                self._refuse_head()
            elif self._head_timer is None:
                self._wait_for_head()

    def on_message_begin(self) -> None:
        self._in_head, self._head_size = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        self._head_arrived()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        self._stop_waiting_for_body()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete:
            # A caller who is still sending would lose the answer if we hung up at once. So what
            # comes is dropped, for no longer than this.
            self._body_timer = self.loop.call_later(settings.MEGABRAIN_IDLE_SECONDS, self._hang_up)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(settings.MEGABRAIN_IDLE_SECONDS, self._hang_up)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_waiting_for_body(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _hang_up(self) -> None:
        self._head_timer = self._body_timer = None
        self.transport.close()

    def _refuse_head(self) -> None:
        # While another answer is on its way, one in the middle of it would be taken for a part.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_TOO_LARGE)
        self.transport.close()


class Loop(uvloop.Loop):
    """Takes all connections that wait, not one in a turn.

    libuv accepts one connection each time it looks. While a thousand streams make a turn last some
    milliseconds, the thousandth caller would wait a minute.
    """

    # Any: these are asyncio's own arguments, handed on.
    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], *args: Any, **options: Any
    ) -> Any:
        if options.get("ssl") is not None:
            return await super().create_server(protocol_factory, *args, **options)
        connecting: set[asyncio.Task[Any]] = set()

        def accept_the_others() -> None:
            for listener in server.sockets:
                for connection in _waiting_at(listener.fileno()):
                    task = self.create_task(
                        self.connect_accepted_socket(protocol_factory, connection)
                    )
                    connecting.add(task)
                    task.add_done_callback(connecting.discard)

        def accepted() -> asyncio.BaseProtocol:
            accept_the_others()
            return protocol_factory()

        server: Any = await super().create_server(accepted, *args, **options)
        return server


def _waiting_at(descriptor: int) -> list[socket.socket]:
    """The connections that wait at a listening socket, which belongs to the loop."""
    found: list[socket.socket] = []
    # A descriptor of our own, no longer than this: another one would keep the port open.
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        listener.setblocking(False)
        while len(found) < MAX_ACCEPTED:
            try:
                connection, _ = listener.accept()
            except OSError:  # None waits, or there is no descriptor left for it.
                break
            connection.setblocking(False)
            found.append(connection)
    return found
