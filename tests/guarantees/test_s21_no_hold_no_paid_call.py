"""S21: nothing goes out with one of MegaBrain's own keys before the most it can cost is set aside.

Not while the database is away, and not for more calls than a balance affords, however many there
are at the same moment.
"""

import asyncio
import contextlib
import os
import threading
import time
from datetime import datetime

import aiohttp
import pytest
from django.db import connection, transaction

from billing.models import Hold, LedgerEntry, Spending, UsageRecord, Wallet
from byok.models import ProviderKey
from tests.balance_fixture import DOLLAR
from tests.gateway.dialect import CHAT, DIALECTS
from tests.gateway.raw_upstream import Wire, raw_upstream

#: So many calls at the same moment, on a balance that affords so many of them.
CALLS = int(os.environ.get("MEGABRAIN_S21_CALLS", "120"))
AFFORDED = int(os.environ.get("MEGABRAIN_S21_AFFORDED", "10"))


@pytest.fixture
def own_keys(platform_key):
    """MegaBrain's own."""
    return {provider: platform_key(provider) for provider in ("openai", "anthropic")}


@contextlib.contextmanager
def away(model):
    """Every query of this table fails."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO gone")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE gone RENAME TO {table}")


@pytest.mark.parametrize("table", [Wallet, Hold, Spending], ids=lambda model: model.__name__)
def test_while_the_database_is_away_nothing_goes_out(
    agent, own_keys, fund, simulator, settled_wallet, usage_row, table
):
    fund()
    # Whoever is known is known for some seconds.
    agent.get("models")
    with away(table):
        for dialect in DIALECTS:
            answer = agent.post(dialect.path, dialect.body())
            assert answer.status_code == 503, answer.text
            assert dialect.error(answer).code == "service_unavailable"
            assert (answer.headers["x-should-retry"], answer.headers["retry-after"]) == (
                "true",
                "2",
            )
            assert answer.headers["x-megabrain-payer"] == "none"
    assert simulator.calls == []
    assert usage_row(answer.headers["x-request-id"]).charged_micros == 0
    assert settled_wallet().posted_micros == 20 * DOLLAR
    assert not Hold.objects.exists()
    assert agent.post(CHAT.path, CHAT.body()).status_code == 200


def test_while_nobody_knows_megabrains_own_keys_it_says_so(agent, own_keys, fund, simulator):
    """Not that a key of one's own were missing."""
    fund()
    agent.get("models")
    with away(ProviderKey):
        answer = agent.post(CHAT.path, CHAT.body())
        assert (answer.status_code, CHAT.error(answer).code) == (503, "service_unavailable")
    assert simulator.calls == []


@contextlib.contextmanager
def wallets_held():
    """Nobody else gets at the wallets meanwhile."""
    with transaction.atomic():
        list(Wallet.objects.select_for_update())
        yield


def hold_while(seconds: float) -> threading.Thread:
    """Wallets are held for so long, from now on, by another thread."""
    begun = threading.Event()

    def hold() -> None:
        with wallets_held():
            begun.set()
            time.sleep(seconds)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(5)
    return thread


def test_a_call_that_is_over_before_its_hold_is_made_gives_it_back(
    agent, own_keys, fund, simulator, settled_wallet, settings
):
    fund()
    agent.get("models")
    settings.MEGABRAIN_TOTAL_SECONDS = 0.7
    holding = hold_while(1.5)
    answer = agent.post(CHAT.path, CHAT.body())
    assert answer.status_code == 503, answer.text
    holding.join()
    # The thread that waited gets its turn now; or the hold was never made.
    until = time.monotonic() + 2
    while not Hold.objects.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert settled_wallet().posted_micros == 20 * DOLLAR
    assert set(Hold.objects.values_list("state", flat=True)) <= {Hold.State.RELEASED}
    assert simulator.calls == []


@pytest.mark.skipif(connection.vendor == "sqlite", reason="One lock is everybody's there.")
def test_an_account_whose_wallet_is_held_keeps_no_other_waiting(
    agent, make_agent, own_keys, fund, account, stranger
):
    fund()
    fund(account=stranger.account)
    other = make_agent(stranger)
    for each in (agent, other):
        each.get("models")
    begun, served = threading.Event(), threading.Event()
    in_time = []

    def hold() -> None:
        with transaction.atomic():
            Wallet.objects.select_for_update().get(pk=account.pk)
            begun.set()
            in_time.append(served.wait(4))
        connection.close()

    holding = threading.Thread(target=hold)
    holding.start()
    assert begun.wait(5)
    waiting = [threading.Thread(target=agent.post, args=(CHAT.path, CHAT.body())) for _ in range(8)]
    for each in waiting:
        each.start()
    # They are all there before the other one is.
    time.sleep(0.5)
    assert other.post(CHAT.path, CHAT.body()).status_code == 200
    served.set()
    for each in (holding, *waiting):
        each.join()
    assert in_time == [True]


def test_nobody_is_called_for_a_caller_who_left_while_money_was_set_aside(
    agent, own_keys, fund, simulator, settled_wallet, account
):
    fund()
    agent.get("models")
    holding = hold_while(2)
    with contextlib.suppress(Exception):
        agent.post(CHAT.path, CHAT.body(), timeout=0.3)
    holding.join()
    until = time.monotonic() + 10
    while not UsageRecord.objects.for_account(account).exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    row = UsageRecord.objects.for_account(account).get()
    assert (row.outcome, row.payer, row.charged_micros) == ("client_closed", "none", 0)
    assert settled_wallet().posted_micros == 20 * DOLLAR
    assert Hold.objects.get().state == Hold.State.RELEASED
    assert simulator.calls == []


def test_as_many_calls_are_admitted_as_the_balance_affords(
    agent, own_keys, fund, balance, settled_wallet, settings, account
):
    settings.MEGABRAIN_CONCURRENT_CALLS = settings.MEGABRAIN_REQUESTS_PER_MINUTE = 10 * CALLS
    body = {**CHAT.body(), "max_completion_tokens": 1000}
    fund()
    # What one of them sets aside.
    probe = agent.post(CHAT.path, body)
    settled_wallet()
    each = Hold.objects.get(pk=probe.headers["x-request-id"]).amount_micros
    balance(AFFORDED * each + each // 2)
    all_refused = threading.Event()

    def answer(wire: Wire) -> None:
        # What is settled early would make room for others.
        all_refused.wait(60)
        wire.whole(
            200,
            b'{"choices":[{"index":0,"message":{"role":"assistant","content":"pong"},'
            b'"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1}}',
            "content-type: application/json",
        )

    with raw_upstream(answer) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        statuses = asyncio.run(crowd(agent, body, all_refused))
        reached = len(upstream.requests)
    assert sorted(statuses) == [200] * AFFORDED + [402] * (CALLS - AFFORDED)
    assert reached == AFFORDED
    wallet = settled_wallet()
    charged = Hold.objects.filter(state="settled").exclude(pk=probe.headers["x-request-id"])
    assert charged.count() == AFFORDED
    took = sum(hold.charged_micros or 0 for hold in charged)
    assert wallet.posted_micros == AFFORDED * each + each // 2 - took
    entries = LedgerEntry.objects.filter(account_id=account.pk, kind=LedgerEntry.Kind.USAGE)
    assert entries.count() == AFFORDED + 1


async def crowd(agent, body, all_refused: threading.Event) -> list[int]:
    """The status of each of CALLS calls that are made together."""
    refused = 0

    async def call(session: aiohttp.ClientSession) -> int:
        nonlocal refused
        async with session.post(f"{agent.gateway.base_url}/{CHAT.path}", json=body) as answer:
            await answer.read()
        refused += answer.status != 200
        if refused == CALLS - AFFORDED:
            all_refused.set()
        return answer.status

    async with aiohttp.ClientSession(
        headers={"authorization": f"Bearer {agent.token}"},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=90),
    ) as session:
        return list(await asyncio.gather(*(call(session) for _ in range(CALLS))))


def test_a_hold_is_renewed_for_as_long_as_its_call_lives(
    agent, own_keys, fund, settled_wallet, settings
):
    from megabrain.asgi import gateway as application

    fund()
    leases: list[datetime] = []

    def renew_twice(wire: Wire) -> None:
        for _ in range(2):
            renewing = application.funds.renew()
            asyncio.run_coroutine_threadsafe(renewing, loop).result(10)
            leases.append(Hold.objects.get().lease_until)
            time.sleep(0.01)
        connection.close()
        wire.whole(500, b"")

    loop = application.snapshot._loop
    with raw_upstream(renew_twice) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        agent.post(CHAT.path, CHAT.body())
    settled_wallet()
    assert len(leases) >= 2
    assert leases == sorted(set(leases))
    # With the call its renewals end.
    last = Hold.objects.get().lease_until
    asyncio.run_coroutine_threadsafe(application.funds.renew(), loop).result(10)
    assert Hold.objects.get().lease_until == last


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one lock for all rows")
def test_leases_are_renewed_while_every_reservation_waits(
    agent, own_keys, fund, settled_wallet, settings
):
    from megabrain.asgi import gateway as application

    fund()
    loop = application.snapshot._loop
    renewed: list[datetime] = []

    def renew(wire: Wire) -> None:
        if renewed:
            wire.whole(500, b"")
            return
        before = Hold.objects.get().lease_until
        with wallets_held():
            others = [
                threading.Thread(target=lambda: agent.post(CHAT.path, CHAT.body(), timeout=30))
                for _ in range(8)
            ]
            for other in others:
                other.start()
            time.sleep(1)
            renewing = application.funds.renew()
            asyncio.run_coroutine_threadsafe(renewing, loop).result(3)
            renewed.append(Hold.objects.get(lease_until__gt=before).lease_until)
        for other in others:
            other.join()
        connection.close()
        wire.whole(500, b"")

    with raw_upstream(renew) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        agent.post(CHAT.path, CHAT.body(), timeout=60)
    assert renewed
    settled_wallet()
