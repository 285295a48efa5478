"""The benchmark as a program: see docs/benchmarks.md, or `python -m tests.bench --help`."""

import argparse
import os
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import uvloop

from megabrain.launch import free_port
from tests.bench import load, wire
from tests.bench.contenders import (
    ROOT,
    Catalogued,
    Contender,
    Direct,
    Gateway,
    Nginx,
    Paid,
    Translated,
    installed,
)
from tests.bench.load import Pace
from tests.bench.processes import Cores, Process, allow_many_files
from tests.bench.report import Report
from tests.bench.results import CallFigures, StreamFigures

BODIES = {"small": wire.SMALL, "large": wire.LARGE}
CONNECTIONS = (1, 16, 64, 256)
#: All of one account, whose calls wait for each other while money is set aside.
PAYING = (1, 16, 64)
PACES = {
    "500 streams, 20 events a second each": Pace(500, 20, length=10, ramp=2),
    "1,000 streams, 20 events a second each": Pace(1000, 20, length=10, ramp=3),
    "2,000 streams, 5 events a second each": Pace(2000, 5, length=12, ramp=4),
}
#: Only these are compared on streams: the others have no bar there.
STREAMING = (Direct, Nginx, Gateway, Translated)
#: These are compared on one thing alone.
SPECIAL = (Translated, Catalogued, Paid)
#: By the part in which they are compared, those that are in no other.
ALONE = {"models": Catalogued, "balance": Paid}
#: So many agents fetch the list at a time.
LISTING = 16


class Bench:
    """One run: who takes part, what is measured, and what came of it."""

    def __init__(self, contenders: list[Contender], report: Report, options: argparse.Namespace):
        self.contenders = contenders
        self.report = report
        self.seconds: float = options.seconds
        self.rounds: int = options.rounds
        self.only: str | None = options.only
        self.answered: Counter[str] = Counter()
        self.errors: dict[str, list[str]] = {contender.name: [] for contender in contenders}

    async def run(self) -> None:
        for contender in self.contenders:
            if isinstance(contender, SPECIAL):
                continue
            await self._calls(contender, wire.SMALL, 16, max(1.0, self.seconds / 2))
            if self.errors[contender.name]:
                said = self.errors[contender.name][0]
                raise RuntimeError(f"{contender.name} does not answer: {said}")
        for name, body in BODIES.items():
            if self.only in (None, name):
                await self._compare_calls(name, body)
        if self.only in (None, "models"):
            await self._compare_lists()
        if self.only in (None, "balance"):
            await self._compare_payers()
        if self.only in (None, "streams"):
            for name, pace in PACES.items():
                await self._compare_streams(name, pace)

    async def _compare_calls(self, name: str, body: bytes) -> None:
        self.report.begin_calls(name, len(body))
        for connections in CONNECTIONS:
            rounds: list[dict[str, CallFigures]] = []
            for number in range(self.rounds):
                figures = {}
                for contender in self._in_turn(number):
                    if isinstance(contender, SPECIAL):
                        continue  # They are compared where their work is done.
                    calls = await self._calls(contender, body, connections, self.seconds)
                    found = CallFigures.of(calls)
                    if found is not None:
                        figures[contender.name] = found
                rounds.append(figures)
            self.report.calls(name, connections, rounds)

    async def _compare_lists(self) -> None:
        """The list of models beside a small call, each to the same gateway."""
        self.report.begin_lists(LISTING)
        for contender in self.contenders:
            if not isinstance(contender, Gateway) or isinstance(contender, Translated | Paid):
                continue
            rounds: list[dict[str, CallFigures]] = []
            for _ in range(self.rounds):
                calls = await self._calls(contender, wire.SMALL, LISTING, self.seconds)
                figures = {"call": CallFigures.of(calls)}
                for name, headers in wire.LISTS.items():
                    request = contender.fetch("/v1/models", headers)
                    fetched = await load.call(
                        contender.port, request, LISTING, self.seconds, contender.cpu
                    )
                    # They leave no usage rows.
                    self.errors[contender.name] += fetched.errors
                    figures[name] = CallFigures.of(fetched)
                rounds.append({name: found for name, found in figures.items() if found})
            self.report.lists(contender.name, rounds)

    async def _compare_payers(self) -> None:
        """Small calls that the balance pays for beside those that a key of the caller's serves."""
        self.report.begin_payers()
        payers = [each for each in self.contenders if each.name in ("gateway", "balance")]
        for connections in PAYING:
            rounds: list[dict[str, CallFigures]] = []
            for number in range(self.rounds):
                figures = {}
                for contender in payers if number % 2 else reversed(payers):
                    calls = await self._calls(contender, wire.SMALL, connections, self.seconds)
                    found = CallFigures.of(calls)
                    if found is not None:
                        figures[contender.name] = found
                rounds.append(figures)
            self.report.payers(connections, rounds)

    async def _compare_streams(self, name: str, pace: Pace) -> None:
        self.report.begin_streams(name)
        rounds: list[dict[str, StreamFigures]] = []
        for number in range(self.rounds):
            figures = {}
            for contender in self._in_turn(number):
                if not isinstance(contender, STREAMING) or isinstance(contender, Catalogued | Paid):
                    continue
                streams = await load.stream(
                    contender.port,
                    contender.request,
                    pace,
                    2 * self.seconds,
                    contender.cpu,
                    contender.rss,
                    spoken=contender.spoken,
                )
                self.answered[contender.name] += streams.ended
                self.errors[contender.name] += streams.errors
                found = StreamFigures.of(streams)
                if found is not None:
                    figures[contender.name] = found
            rounds.append(figures)
        self.report.streams(pace.slots, rounds)

    async def _calls(
        self, contender: Contender, body: bytes, connections: int, seconds: float
    ) -> load.Calls:
        calls = await load.call(
            contender.port, contender.request(body), connections, seconds, contender.cpu
        )
        self.answered[contender.name] += calls.answered
        self.errors[contender.name] += calls.errors
        return calls

    def _in_turn(self, number: int) -> list[Contender]:
        """Somebody else begins each round."""
        first = number % len(self.contenders)
        return self.contenders[first:] + self.contenders[:first]


def main() -> int:
    options = _options()
    if sys.platform != "linux":
        sys.exit("The benchmark pins processes and reads /proc, so it runs on Linux only.")
    files = allow_many_files()
    if files < 10_000:
        _say(f"Only {files} open files are allowed here: expect errors with 2,000 streams.")
    cores = Cores.of_this_machine()
    if cores is None:
        _say("There is one core only: nothing is pinned, and the ratios say little.")
    else:
        os.sched_setaffinity(0, {cores.load})
    kinds, missing = installed()
    for sentence in missing:
        _say(sentence)
    for part, kind in ALONE.items():
        if options.only not in (None, part):
            kinds.remove(kind)
    report = Report(_say)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        port = free_port()
        upstream = Process(
            [sys.executable, "-m", "tests.bench.upstream", str(port)],
            cores.upstream if cores else None,
            log=home / "upstream.log",
            folder=ROOT,
        )
        stack.callback(upstream.stop)
        upstream.wait_for(port)
        contenders = [kind(port, cores.measured if cores else None, home) for kind in kinds]
        for contender in contenders:
            _say(f"Starting {contender.name} …")
            stack.callback(contender.stop)
            contender.start()
        bench = Bench(contenders, report, options)
        uvloop.run(bench.run())
        gateway = next(each for each in contenders if isinstance(each, Gateway))
        alive = gateway.process is not None and gateway.process.alive
        gateway.stop()
        rows = gateway.rows()
    return _verdict(report, bench, gateway.name, alive=alive, rows=rows)


def _verdict(report: Report, bench: Bench, gateway: str, *, alive: bool, rows: int) -> int:
    """0 unless the gateway itself failed; a missed bar is for people to judge."""
    for name, errors in bench.errors.items():
        for said, times in Counter(errors).most_common(3):
            _say(f"{name}: {times} × {said}")
    answered = bench.answered[gateway]
    _say(f"\nUsage rows: {rows} of {answered} calls that the gateway answered.")
    report.end()
    failed = bool(bench.errors[gateway]) or not alive or rows != answered
    if failed:
        _say("The gateway failed: see above.")
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only",
        choices=["small", "large", "models", "balance", "streams"],
        help="Measure just this.",
    )
    parser.add_argument("--quick", action="store_true", help="A first impression in minutes.")
    parser.add_argument("--seconds", type=float, help="Of one measurement; streams take twice.")
    parser.add_argument("--rounds", type=int, help="How often each is measured.")
    options = parser.parse_args()
    options.seconds = options.seconds or (1.5 if options.quick else 3.0)
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 -- a program speaks to whoever runs it.


if __name__ == "__main__":
    sys.exit(main())
