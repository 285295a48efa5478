"""The simulator over TCP, in a thread of the test process, in place of every provider."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvicorn
from django.conf import settings

from megabrain.simulator.app import Simulator
from megabrain.simulator.connection import Call
from megabrain.simulator.providers import upstream_urls


@dataclass(frozen=True)
class RunningSimulator:
    address: str
    application: Simulator

    @property
    def calls(self) -> list[Call]:
        """What reached it since the test began, in order."""
        return self.application.calls

    def clear(self) -> None:
        self.application.clear()

    def url(self, provider: str) -> str:
        """The base URL that stands for a provider's."""
        return upstream_urls(self.address)[provider]

    def call_ended(self, number: int = -1, within: float = 5) -> Call:
        """That call once its answer is complete, cut, or given up by the caller."""
        until = time.monotonic() + within
        while not (self.calls and self.calls[number].end):
            assert time.monotonic() < until, f"call {number} goes on: {self.calls}"
            time.sleep(0.01)
        return self.calls[number]


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[RunningSimulator]:
    """One simulator for the session; settings point every provider at it."""
    application = Simulator(slow_seconds=1.2, record=True)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            log_level="critical",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    before = settings.MEGABRAIN_UPSTREAM_URLS
    settings.MEGABRAIN_UPSTREAM_URLS = upstream_urls(address)
    yield RunningSimulator(address, application)
    settings.MEGABRAIN_UPSTREAM_URLS = before
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture
def simulator(running_simulator: RunningSimulator) -> Iterator[RunningSimulator]:
    """The session's simulator, with nothing remembered from earlier tests."""
    running_simulator.clear()
    yield running_simulator
    # Also for what is set up next for more than one test: a list may have been told to drip for
    # ever, and whoever reads it to its end would wait as long.
    running_simulator.clear()
