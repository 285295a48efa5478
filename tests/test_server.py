"""The server's loop takes all callers who wait, however long a turn of it lasts."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from megabrain.server import Loop

CALLERS = 200


async def turns_until_all_are_connected() -> int:
    """How often the loop turned from the first of the waiting callers to the last."""
    loop = asyncio.get_running_loop()
    connected = 0

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            nonlocal connected
            connected += 1

    listener = socket.create_server(("127.0.0.1", 0), backlog=2 * CALLERS)
    server = await loop.create_server(Connection, sock=listener, backlog=2 * CALLERS)
    address = listener.getsockname()
    callers = [socket.create_connection(address) for _ in range(CALLERS)]
    turns = 0
    while connected < CALLERS:
        await asyncio.sleep(0)
        turns += 1
        assert turns < 100_000
    server.close()
    await server.wait_closed()
    for caller in callers:
        caller.close()
    listener.close()
    with socket.socket() as late:
        assert late.connect_ex(address) != 0, "a descriptor of ours keeps the port open"
    return turns


def test_callers_who_wait_are_let_in_together():
    with ThreadPoolExecutor(1) as thread:
        turns = thread.submit(
            lambda: asyncio.Runner(loop_factory=Loop).run(turns_until_all_are_connected())
        ).result(30)
    assert turns < CALLERS / 4
