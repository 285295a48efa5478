"""The real server as deployments start it, in a process of its own, on the database of the test."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from django.conf import settings

from megabrain.launch import free_port
from megabrain.simulator.providers import upstream_urls
from tests.vaults import database_url

ROOT = Path(__file__).parent.parent.parent
ENTRYPOINT = (ROOT / "deploy/entrypoint").read_text()
START_SECONDS = 60
STOP_SECONDS = 60


@dataclass
class Server:
    """One that is running, or has run."""

    process: "subprocess.Popen[bytes]"
    address: str
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def ready(self, seconds: float = 1) -> bool:
        """Whether a load balancer, which waits so long for an answer, would send anybody here."""
        try:
            return requests.get(f"{self.address}/readyz", timeout=seconds).status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    def wait_until_unready(self) -> None:
        until = time.monotonic() + STOP_SECONDS
        while self.ready():
            assert time.monotonic() < until, self.log
            time.sleep(0.05)

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running_server(home: Path, simulator: str, **environment: str) -> Iterator[Server]:
    """A server that is ready, with the simulator at this address for every provider."""
    port = free_port()
    log_file = home / "server.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 -- our own program
            ["/bin/sh", "-c", command()],
            cwd=ROOT,
            env={**settings_for(home, simulator), "PORT": str(port), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    server = Server(process, f"http://127.0.0.1:{port}", log_file)
    try:
        until = time.monotonic() + START_SECONDS
        while not server.ready():
            assert process.poll() is None, server.log
            assert time.monotonic() < until, server.log
            time.sleep(0.1)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def command() -> str:
    """What a container runs for the role web, once it is prepared."""
    found = re.search(r"exec uvicorn .*?(?= ;;)", ENTRYPOINT, re.DOTALL)
    assert found is not None
    return found[0]


def settings_for(home: Path, simulator: str) -> dict[str, str]:
    """The settings of the test, as another process reads them."""
    urls = {
        f"MEGABRAIN_UPSTREAM_{provider.upper().replace('-', '_')}_URL": url
        for provider, url in upstream_urls(simulator).items()
    }
    return {
        **urls,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DATABASE_URL": database_url(),
        "REDIS_URL": settings.REDIS_URL,
        "SECRET_KEY": settings.SECRET_KEY,
        "MEGABRAIN_VAULT_KEYS": settings.MEGABRAIN_VAULT_KEYS,
        "MEGABRAIN_HOME": str(home),
        "MEGABRAIN_SIMULATOR": "1",
        "MEGABRAIN_REQUESTS_PER_MINUTE": "1000000",
    }
