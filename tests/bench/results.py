"""The figures of one measurement."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median, quantiles

from tests.bench.load import Calls, Streams


@dataclass(frozen=True)
class CallFigures:
    """One measurement of calls."""

    rate: float
    p50: float
    p99: float
    #: CPU seconds of the measured process for each call; 0 for nobody in between.
    cpu: float

    @classmethod
    def of(cls, calls: Calls) -> "CallFigures | None":
        """None when nothing was answered."""
        if len(calls.latencies) < 2:
            return None
        number = len(calls.latencies)
        return cls(
            number / calls.window.seconds,
            median(calls.latencies),
            percentile(calls.latencies, 99),
            calls.window.cpu_seconds / number,
        )


@dataclass(frozen=True)
class StreamFigures:
    """One measurement of streams."""

    first_p50: float
    first_p99: float
    delay_p50: float
    delay_p99: float
    latest: float
    rate: float
    cpu: float
    rss: int
    ended: int
    dropped: int

    @classmethod
    def of(cls, streams: Streams) -> "StreamFigures | None":
        if len(streams.first_bytes) < 2 or not streams.events:
            return None
        return cls(
            median(streams.first_bytes),
            percentile(streams.first_bytes, 99),
            median(streams.delays),
            percentile(streams.delays, 99),
            max(streams.late),
            streams.events / streams.window.seconds,
            streams.window.cpu_seconds / streams.events,
            streams.rss,
            streams.ended,
            len(streams.errors),
        )


def percentile(values: Iterable[float], which: int) -> float:
    return quantiles(values, n=100, method="inclusive")[which - 1]
