"""The benchmark itself works: its load against its own upstream, with nobody in between."""

import asyncio

import pytest

from megabrain.launch import free_port
from tests.bench import load, upstream, wire
from tests.bench.load import Calls, Pace, Streams
from tests.bench.report import Report
from tests.bench.results import CallFigures, StreamFigures


def idle() -> int:
    return 0


def ask(body: bytes) -> bytes:
    return wire.request(body, "127.0.0.1", {"authorization": "Bearer nobody"})


async def calls_of(body: bytes) -> Calls:
    port = free_port()
    async with await upstream.listen(port):
        return await load.call(port, ask(body), 3, 0.1, idle, settle=0.05)


async def streams_of(pace: Pace) -> Streams:
    port = free_port()
    async with await upstream.listen(port):
        return await load.stream(port, ask, pace, 0.3, idle, idle, settle=0.05)


@pytest.mark.parametrize("body", [wire.SMALL, wire.LARGE], ids=["small", "large"])
def test_every_call_of_the_load_is_answered(body: bytes):
    calls = asyncio.run(calls_of(body))
    assert calls.errors == []
    assert calls.answered >= len(calls.latencies) > 3


def test_every_stream_of_the_load_ends_with_all_its_events():
    streams = asyncio.run(streams_of(Pace(4, 50, length=0.2, ramp=0.1)))
    assert streams.errors == []
    assert streams.ended > 4
    assert streams.events > 10


def test_a_stream_that_lacks_an_event_is_counted_as_dropped(monkeypatch: pytest.MonkeyPatch):
    # The upstream is told to send fewer than the load was promised.
    monkeypatch.setattr(wire, "asked_stream", lambda body: (3, 50.0))
    streams = asyncio.run(streams_of(Pace(2, 50, length=0.2, ramp=0.1)))
    assert streams.ended == 0
    assert "ended after 3" in streams.errors[0]


def test_the_report_compares_the_list_of_models_with_a_call():
    said: list[str] = []
    call, fetched = CallFigures(1000, 0.001, 0.002, 0.0001), CallFigures(500, 0.02, 0.04, 0.002)
    Report(said.append).lists("gateway", [{"call": call, "gzip": fetched}])
    assert said[0].endswith("1.000")
    assert "gzip" in said[1]
    assert said[1].endswith("0.500")


def test_the_report_compares_a_call_that_the_balance_pays_for():
    said: list[str] = []
    own, paid = CallFigures(1000, 0.001, 0.002, 0.0001), CallFigures(250, 0.02, 0.04, 0.002)
    Report(said.append).payers(16, [{"gateway": own, "balance": paid}])
    assert said[0].endswith("1.000")
    assert "balance" in said[1]
    assert said[1].endswith("0.250")


def test_the_report_says_which_bars_were_missed():
    said: list[str] = []
    report = Report(said.append)
    quick, slow = CallFigures(1000, 0.001, 0.002, 0.0001), CallFigures(50, 0.02, 0.04, 0.002)
    report.calls("small", 64, [{"direct": quick, "nginx": quick, "gateway": slow}])
    streams = StreamFigures(0.001, 0.002, 0.001, 0.002, 0.01, 10_000, 5e-5, 90_000_000, 500, 0)
    report.streams(500, [{"direct": streams, "gateway": streams}])
    report.end()
    assert "  small calls, 64 connections, × nginx: 0.05, bar ≥ 0.1" in said
    assert "Bars met: 4. Missed: 1." in said
