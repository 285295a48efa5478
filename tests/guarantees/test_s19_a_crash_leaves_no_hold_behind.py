"""S19: processes are killed at any moment; once their leases are over nothing is set aside any
more, and every sum is exact."""

import asyncio
import os
import random
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from billing import holds
from billing.models import Hold, LedgerEntry, UsageRecord, Wallet
from billing.reconciling import reconcile
from orgs.actions import create_token
from orgs.origin import Origin
from tests.balance_fixture import DOLLAR
from tests.billing.wallets import credited, lapse
from tests.guarantees.crowd import WELL, Crowd, Heard, gather
from tests.guarantees.server import Server, running_server
from tests.vaults import count_from, database_url

ROOT = Path(__file__).parents[2]
KILLS = count_from("S19_KILLS", 4)
SERVERS = count_from("S19_SERVERS", 1)
STREAMS = count_from("S19_STREAMS", 12)
#: That draw on the balances at a time.
PROCESSES = 2

pytestmark = pytest.mark.django_db(transaction=True)


def drawing(home: Path, account_ids: list[uuid.UUID]) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 -- our own program
        [sys.executable, "-m", "tests.guarantees.draws", *map(str, account_ids)],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "megabrain.settings",
            "DATABASE_URL": database_url(),
            "MEGABRAIN_HOME": str(home),
            "LOG_LEVEL": "CRITICAL",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_more_calls(than: int, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 90
    while Hold.objects.count() <= than:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "it does nothing"
        time.sleep(0.02)


def sweep_what_was_left() -> None:
    """As a worker does within half a minute after the leases, which are over at once here."""
    lapse(*Hold.objects.open().values_list("pk", flat=True))
    holds.sweep()


def assert_exact(given: int) -> None:
    assert not Hold.objects.open().exists()
    assert reconcile().drifts == []
    wallets = list(Wallet.objects.all())
    entries = list(LedgerEntry.objects.filter(kind=LedgerEntry.Kind.USAGE))
    assert {wallet.held_micros for wallet in wallets} == {0}
    charged = {entry.idempotency_key: -entry.amount_micros for entry in entries}
    assert sum(wallet.posted_micros for wallet in wallets) == given - sum(charged.values())
    # Whatever was charged has its usage record, with the same amount.
    paid = UsageRecord.objects.filter(payer=UsageRecord.Payer.BALANCE, charged_micros__gt=0)
    assert charged == {
        f"request:{request_id}": micros
        for request_id, micros in paid.values_list("request_id", "charged_micros")
    }


def test_processes_killed_at_random_leave_nothing_set_aside(tmp_path):
    accounts = [uuid.uuid4() for _ in range(3)]
    given = 2_000_000
    for account_id in accounts:
        credited(account_id, given)
    running = [drawing(tmp_path, accounts) for _ in range(PROCESSES)]
    try:
        for number in range(KILLS):
            victim = running.pop(0)
            wait_for_more_calls(Hold.objects.count() + 20, victim)
            time.sleep(random.random() / 20)
            victim.kill()
            victim.communicate()
            if number < KILLS - PROCESSES:
                running.append(drawing(tmp_path, accounts))
            # Meanwhile the others go on, and nothing that they do is undone.
            assert reconcile().drifts == []
    finally:
        for process in running:
            process.kill()
            process.communicate()
    sweep_what_was_left()
    assert LedgerEntry.objects.filter(kind=LedgerEntry.Kind.USAGE).exists()
    assert_exact(given * len(accounts))


async def kill_amid_calls(server: Server, crowd: Crowd) -> list[Heard]:
    """Some of the calls have ended by then; most are under way."""
    heard = [Heard([*WELL][number % 3]) for number in range(STREAMS)]

    async def call(number: int) -> None:
        events = 3 if number % 3 == 0 else 5000
        with suppress(aiohttp.ClientError):
            await crowd.call(heard[number], f"stream: {events} events at 20/s")

    tasks = [asyncio.create_task(call(number)) for number in range(STREAMS)]
    await asyncio.gather(*(each.begun.wait() for each in heard))
    await asyncio.sleep(0.5 + random.random())
    server.process.kill()
    await asyncio.gather(*tasks)
    return heard


def test_a_gateway_that_is_killed_leaves_nothing_set_aside(
    tmp_path, simulator, owner, account, platform_key, fund
):
    platform_key("openai")
    platform_key("anthropic")
    fund()
    token = create_token(actor=owner, account=account, name="Agent", origin=Origin())[1]
    for number in range(SERVERS):
        home = tmp_path / str(number)
        home.mkdir()
        with running_server(home, simulator.address) as server:
            gather(server.address, token, partial(kill_amid_calls, server))
            server.process.wait(10)
        assert Hold.objects.open().exists()
        sweep_what_was_left()
        assert_exact(20 * DOLLAR)
