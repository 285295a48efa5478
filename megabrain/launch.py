"""Starting a whole installation on this machine: what `make run` and `make demo` share.

The processes are those of the Procfile, watched by honcho: when one ends, or on Ctrl-C, all end.
"""

import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import requests
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from honcho.environ import parse_procfile  # type: ignore[import-untyped]  # ships no types
from honcho.manager import Manager  # type: ignore[import-untyped]  # ships no types
from honcho.printer import Message, Printer  # type: ignore[import-untyped]  # ships no types

from megabrain.celery import app as celery

READY_SECONDS = 90
# Who tries this in a container is root there, and cannot follow Celery's advice.
_CELERY_TO_ROOT = "You're running the worker with superuser privileges"
_STOPPED = {128 + signal.SIGINT, 128 + signal.SIGTERM}


class PortTaken(Exception):
    """Another program listens where we want to."""


def prepare() -> None:
    """Bring database, catalogue and static files up to date under MEGABRAIN_HOME."""
    require_port(settings.PORT)
    call_command("migrate", interactive=False, verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)


def require_port(port: int) -> None:
    """Raises PortTaken if nothing more can listen there."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        raise PortTaken(
            f"Port {port} is taken by another program. Stop it, or choose another port: "
            f"PORT={port + 1} make …"
        ) from None


def free_port() -> int:
    """A port at which nobody listens, and below those that systems give away by themselves: so it
    is hardly ever taken before it is used."""
    for _ in range(100):
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("No free port was found at 127.0.0.1.")


def start(
    names: Sequence[str],
    *,
    environment: Mapping[str, str],
    addresses: Sequence[str],
    announcement: str,
    write: Callable[[str], None],
) -> int:
    """Run these processes of the Procfile until one ends; the exit code to end with.

    When all `addresses` and the worker answer, the announcement is written: it is what one sees
    last.
    """
    connections.close_all()  # The processes are forked from this one and must not share it.
    commands = parse_procfile((settings.BASE_DIR / "Procfile").read_text()).processes
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    announcer = threading.Thread(
        target=_announce, args=(addresses, announcement, write), daemon=True
    )
    manager = Manager(_Printer(announcer))
    for name in names:
        manager.add_process(
            name,
            commands[name],
            cwd=str(settings.BASE_DIR),
            env={
                **os.environ,
                "PATH": path,
                "PORT": str(settings.PORT),
                "MEGABRAIN_HOME": str(settings.MEGABRAIN_HOME),
                "PYTHONUNBUFFERED": "1",
                "PYTHONWARNINGS": f"ignore:{_CELERY_TO_ROOT}",
                **environment,
            },
        )
    manager.loop()
    code: int = manager.returncode
    return 0 if code in _STOPPED else code


class _Printer(Printer):  # type: ignore[misc]  # honcho has no types
    """Starts a thread with the first line: by then all processes have been forked, safely."""

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__()
        self._thread = thread

    def write(self, message: Message) -> None:
        super().write(message)
        if self._thread.ident is None:
            self._thread.start()


def _announce(addresses: Sequence[str], announcement: str, write: Callable[[str], None]) -> None:
    until = time.monotonic() + READY_SECONDS
    waited_for: dict[str, Callable[[], bool]] = {
        **{address: partial(_answers, address) for address in addresses},
        "The worker": _worker_answers,
    }
    for name, answers in waited_for.items():
        while not answers():
            if time.monotonic() > until:
                write(f"{name} has not answered for {READY_SECONDS} seconds: see above.")
                return
            time.sleep(0.2)
    write(announcement)


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).status_code < 500
    except requests.RequestException:
        return False


def _worker_answers() -> bool:
    return bool(celery.control.ping(timeout=2, limit=1))
