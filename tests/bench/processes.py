"""The processes of a benchmark: on which core each runs, and what it costs."""

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
START_SECONDS = 90
STOP_SECONDS = 20


@dataclass(frozen=True)
class Cores:
    """Whoever is measured has a core to itself; upstream and load share what is left."""

    measured: int
    upstream: int
    load: int

    @classmethod
    def of_this_machine(cls) -> "Cores | None":
        """None when there is one only: nothing is pinned then, and little can be concluded."""
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            return None
        return cls(cores[0], cores[2] if len(cores) > 2 else cores[1], cores[1])


class Process:
    """A program, pinned to a core, with a session of its own that all its children belong to."""

    def __init__(
        self,
        command: Sequence[str],
        core: int | None,
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603 -- the benchmark's own commands.
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        if core is not None:
            os.sched_setaffinity(self._popen.pid, {core})

    def wait_for(self, port: int) -> None:
        """Wait until it listens there. Raises RuntimeError with what it wrote if it never does."""
        until = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            if self._popen.poll() is not None or time.monotonic() > until:
                said = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.log.stem} did not start.\n{said}")
            time.sleep(0.1)

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def cpu(self) -> float:
        """Seconds of CPU used by it and its children so far."""
        return sum(int(fields[11]) + int(fields[12]) for fields in self._stats()) / _TICKS

    def rss(self) -> int:
        """Bytes of memory that it and its children hold now."""
        return sum(int(fields[21]) for fields in self._stats()) * _PAGE

    def stop(self) -> None:
        """End it, gently if it lets us."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_SECONDS)
                return

    def _stats(self) -> Iterator[list[str]]:
        """The fields after the name in /proc/<pid>/stat, for each process of the session."""
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal():
                continue
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._popen.pid:
                    yield fields


def allow_many_files() -> int:
    """As many open files as the system lets us have; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
