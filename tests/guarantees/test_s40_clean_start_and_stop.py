"""S40: a server that stops loses nothing, and one that runs on does not grow.

It is the real one, started by the command of the container, with a signal as its end.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import pytest
from django.db import connection, transaction

from billing.models import UsageRecord
from orgs.actions import create_token
from orgs.origin import Origin
from tests.guarantees.crowd import WELL, Crowd, Heard, Work, gather
from tests.guarantees.server import Server, running_server
from tests.simulator_fixture import RunningSimulator
from tests.vaults import count_from

STREAMS = count_from("S40_STREAMS", 100)
ROUNDS = count_from("S40_ROUNDS", 3)

#: An end by that signal, or what a process makes of it that is the first of its container.
CLEAN = {0, -signal.SIGTERM}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def token(owner, account, key):
    """A token of an account with keys for all three dialects."""
    key("openai")
    key("anthropic")
    return create_token(actor=owner, account=account, name="Agent", origin=Origin())[1]


def streams(count: int) -> list[Heard]:
    """So many calls to be made, of all dialects in turn."""
    return [Heard(endpoint) for endpoint in islice(cycle(WELL), count)]


def stop_during(
    server: Server, token: str, prompt: str, calls: list[Heard], *signals: signal.Signals
) -> Sequence[Heard]:
    """What the callers hear of a server that gets the signals once all streams have begun."""

    async def work(crowd: Crowd) -> Sequence[Heard]:
        tasks = [asyncio.create_task(crowd.call(heard, prompt)) for heard in calls]
        await asyncio.gather(*(heard.begun.wait() for heard in calls))
        server.tell(signals[0])
        await asyncio.to_thread(server.wait_until_unready)
        assert not all(task.done() for task in tasks)
        for number in signals[1:]:
            server.tell(number)
        return await asyncio.gather(*tasks)

    return gather(server.address, token, work)


def rows_of(heard: Sequence[Heard]) -> list[UsageRecord]:
    """The usage rows of these calls, after making sure that there is one for each.

    The gateway of this process may still write down calls of an earlier test.
    """
    ids = [each.request_id for each in heard]
    rows = list(UsageRecord.objects.filter(request_id__in=ids))
    assert sorted(str(row.request_id) for row in rows) == sorted(ids)
    return rows


def assert_stopped_cleanly(server: Server) -> None:
    assert server.wait() in CLEAN, server.log
    assert "Traceback" not in server.log
    # The server itself would have ended the calls without a word.
    assert "timeout graceful shutdown exceeded" not in server.log


def test_streams_that_can_end_in_time_end_whole(tmp_path, simulator, token):
    with running_server(tmp_path, simulator.address, MEGABRAIN_DRAIN_SECONDS="60") as server:
        heard = stop_during(
            server, token, "stream: 40 events at 10/s", streams(STREAMS), signal.SIGTERM
        )
        assert_stopped_cleanly(server)

    assert {each.ended for each in heard} == {"well"}
    for row in rows_of(heard):
        assert (row.outcome, row.usage_source) == ("ok", "provider")
        assert row.output_tokens >= 40


def test_streams_that_cannot_end_in_time_end_with_an_error_event(tmp_path, simulator, token):
    with running_server(
        tmp_path, simulator.address, MEGABRAIN_DRAIN_SECONDS="5", WEB_PROCESSES="2"
    ) as server:
        heard = stop_during(
            server, token, "stream: 9999 events at 5/s", streams(STREAMS), signal.SIGTERM
        )
        assert_stopped_cleanly(server)

    assert {each.ended for each in heard} == {"badly"}
    for each in heard:
        assert "MegaBrain is being restarted" in each.body
    for row in rows_of(heard):
        assert (row.status, row.outcome) == (200, "service_unavailable")
        assert row.usage_source == "estimate"
        assert row.output_tokens > 0


def test_calls_without_an_answer_yet_are_told_to_come_again(tmp_path, simulator, token):
    async def work(crowd: Crowd) -> Sequence[Heard]:
        calls = [crowd.call(each, "wait: 300", stream=number < 3) for number, each in waiting]
        tasks = [asyncio.create_task(call) for call in calls]
        await asyncio.to_thread(arrived, simulator, len(waiting))
        server.tell(signal.SIGTERM)
        return await asyncio.gather(*tasks)

    waiting = list(enumerate(streams(6)))
    with running_server(tmp_path, simulator.address, MEGABRAIN_DRAIN_SECONDS="3") as server:
        heard = gather(server.address, token, work)
        assert_stopped_cleanly(server)

    for each in heard:
        assert (each.status, each.retry, each.whole) == (503, "true", True)
    assert {row.outcome for row in rows_of(heard)} == {"service_unavailable"}


def arrived(simulator: RunningSimulator, count: int) -> None:
    until = time.monotonic() + 20
    while len(simulator.calls) < count:
        assert time.monotonic() < until, simulator.calls
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("second", "prompt", "ended"),
    [
        (signal.SIGTERM, "stream: 30 events at 10/s", "well"),
        (signal.SIGINT, "stream: 9999 events at 5/s", "badly"),
    ],
    ids=["SIGTERM changes nothing", "SIGINT ends all calls at once"],
)
def test_a_second_signal_loses_nothing(tmp_path, simulator, token, second, prompt, ended):
    with running_server(tmp_path, simulator.address, MEGABRAIN_DRAIN_SECONDS="600") as server:
        with busy_database():
            heard = stop_during(server, token, prompt, streams(12), signal.SIGTERM, second)
            time.sleep(1)  # By now it would have ended, if it did not wait for its rows.
        assert_stopped_cleanly(server)

    assert {each.ended for each in heard} == {ended}
    rows_of(heard)


@contextmanager
def busy_database() -> Iterator[None]:
    """A database that takes no usage rows until the end."""
    # On SQLite, a transaction has the one right to write from its beginning.
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("LOCK TABLE billing_usagerecord IN SHARE MODE")
        yield


# What a server may hold more of after its load than before. A round makes fifty calls and more, so
# something that each leaves behind comes to more than that.
MORE_DESCRIPTORS = 15
MORE_THREADS = 8
MORE_MEMORY = 32 * 1024 * 1024
WARM_UP_ROUNDS = 2
AT_A_TIME = 4
LARGE = "x" * 250_000


@dataclass(frozen=True)
class Held:
    """What a process holds just now."""

    descriptors: int
    threads: int
    memory: int

    @classmethod
    def by(cls, process_id: int) -> "Held":
        process = Path("/proc") / str(process_id)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return cls(
            descriptors=len(list((process / "fd").iterdir())),
            threads=int(status["Threads"]),
            memory=int(status["VmRSS"].split()[0]) * 1024,
        )


def everything(crowd: Crowd) -> Iterator[Awaitable[Heard]]:
    """Every kind of call: answered, streamed, given up by the caller, and failing in many ways."""
    for endpoint in WELL:
        yield crowd.call(Heard(endpoint), f"{LARGE}\nsay: pong", stream=False)
        yield crowd.call(Heard(endpoint), f"{LARGE}\nstream: 50 events at 100/s")
        yield crowd.call(Heard(endpoint), f"{LARGE}\nstream: 50 events at 100/s", leave=True)
        yield crowd.call(Heard(endpoint), LARGE, model="no/such-model")
    for model in FAILING.values():
        yield crowd.call(Heard("chat/completions"), LARGE, model=model)


#: The key of each provider fails as the simulator is told by this word; the model is only there.
FAILING = {
    ("deepseek", "500"): "deepseek/deepseek-chat",
    ("fireworks", "cut"): "qwen/qwen3.8-max",
    ("novita", "lateerror"): "meta-llama/llama-3.3-70b-instruct",
}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Only Linux shows what is held.")
def test_a_server_under_load_does_not_grow(tmp_path, simulator, token, key):
    for provider, word in FAILING:
        key(provider, word)

    async def work(crowd: Crowd) -> list[Heard]:
        simulator.clear()
        return await asyncio.gather(*(call for _ in range(AT_A_TIME) for call in everything(crowd)))

    with running_server(tmp_path, simulator.address) as server:
        load(server, token, work, WARM_UP_ROUNDS)
        before = Held.by(server.process.pid)
        load(server, token, work, ROUNDS)
        after = Held.by(server.process.pid)

    assert after.descriptors <= before.descriptors + MORE_DESCRIPTORS, (before, after)
    assert after.threads <= before.threads + MORE_THREADS, (before, after)
    assert after.memory <= before.memory + MORE_MEMORY, (before, after)


def load(server: Server, token: str, work: Work, rounds: int) -> None:
    """So many rounds of the work; it is over when each of its calls has left its row."""
    rows = UsageRecord.objects.count()
    for _ in range(rounds):
        rows += len(gather(server.address, token, work))
    until = time.monotonic() + 60
    while (found := UsageRecord.objects.count()) != rows:
        assert time.monotonic() < until, f"{found} rows of {rows} calls"
        time.sleep(0.05)
