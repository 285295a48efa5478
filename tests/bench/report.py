"""The table: what was measured as ratios, and beside it the bars of the design.

A ratio is taken within a round, in which both stood side by side, and then the median of the
rounds: the machine is rarely ours alone, and what disturbs a round disturbs both.
"""

from collections.abc import Callable, Sequence
from statistics import median

from tests.bench.results import CallFigures, StreamFigures

Write = Callable[[str], None]
Get = Callable[[CallFigures], float]

#: The gateway's calls a second in those of others. With one connection nobody is busy: no bar.
CALL_BARS = {
    "small": {"nginx": 0.10, "litellm": 10.0, "portkey": 2.0},
    "large": {"nginx": 0.35},
}
BUSY = 16
#: Milliseconds that the first byte may be delayed at the median, and CPU µs an event.
FIRST_BYTE_BARS = {500: 10.0, 2000: 50.0}
CPU_BARS = {500: 90.0}
#: What a translated event may cost, in events that are passed through.
TRANSLATED_BAR = 2.0
LATEST_BARS = {1000: 1.0}
MEMORY_BAR = 150.0

_CALLS = "{:>11}  {:<8} {:>9} {:>8} {:>8} {:>8} {:>9} {:>22} {:>22}"
_LISTS = "{:>13}  {:<10} {:>9} {:>8} {:>8} {:>8} {:>22}"
_STREAMS = "{:>13}  {:<10} {:>16} {:>16} {:>9} {:>9} {:>10} {:>8} {:>7}"


class Report:
    """Writes as results come in, and sums up which bars were missed."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._met = 0
        self._missed: list[str] = []

    # Calls -----------------------------------------------------------------------------------

    def begin_calls(self, name: str, size: int) -> None:
        self._write(f"\n{name.capitalize()} calls, {size:,} bytes each, not streamed")
        self._write(
            _CALLS.format(
                *("connections", "", "calls/s", "p50 ms", "p99 ms", "CPU µs"),
                *("× direct", "× nginx", "× nginx by CPU"),
            )
        )

    def calls(self, name: str, connections: int, rounds: Sequence[dict[str, CallFigures]]) -> None:
        for who in rounds[0]:
            mine = [figures[who] for figures in rounds if who in figures]
            self._write(
                _CALLS.format(
                    f"{connections:,}",
                    who,
                    f"{median(each.rate for each in mine):,.0f}",
                    f"{median(each.p50 for each in mine) * 1000:.1f}",
                    f"{median(each.p99 for each in mine) * 1000:.1f}",
                    f"{median(each.cpu for each in mine) * 1e6:.0f}",
                    _spread(_ratios(rounds, who, "direct", _rate), short=True),
                    _spread(_ratios(rounds, who, "nginx", _rate)),
                    _spread(_ratios(rounds, who, "nginx", _per_cpu)),
                )
            )
        if connections >= BUSY:
            for other, bar in CALL_BARS[name].items():
                ratios = _ratios(rounds, "gateway", other, _rate)
                if ratios:
                    what = f"{name} calls, {connections} connections, × {other}"
                    self._hold(what, median(ratios), bar, least=True)

    # Lists of models -------------------------------------------------------------------------

    def begin_lists(self, connections: int) -> None:
        self._write(f"\nThe list of models beside a small call, {connections} connections")
        heads = ("", "", "a second", "p50 ms", "p99 ms", "CPU µs", "× a small call")
        self._write(_LISTS.format(*heads))

    def lists(self, who: str, rounds: Sequence[dict[str, CallFigures]]) -> None:
        for name in rounds[0]:
            mine = [figures[name] for figures in rounds if name in figures]
            shares = [
                figures[name].rate / figures["call"].rate
                for figures in rounds
                if name in figures and "call" in figures
            ]
            self._write(
                _LISTS.format(
                    *(who, name, f"{median(each.rate for each in mine):,.0f}"),
                    f"{median(each.p50 for each in mine) * 1000:.1f}",
                    f"{median(each.p99 for each in mine) * 1000:.1f}",
                    f"{median(each.cpu for each in mine) * 1e6:.0f}",
                    _spread(shares),
                )
            )

    # Payers ----------------------------------------------------------------------------------

    def begin_payers(self) -> None:
        self._write(
            "\nSmall calls that a balance pays for, beside those that a caller's key serves"
        )
        heads = ("connections", "", "calls/s", "p50 ms", "p99 ms", "CPU µs", "× the caller's key")
        self._write(_LISTS.format(*heads))

    def payers(self, connections: int, rounds: Sequence[dict[str, CallFigures]]) -> None:
        for who in rounds[0]:
            mine = [figures[who] for figures in rounds if who in figures]
            self._write(
                _LISTS.format(
                    *(f"{connections:,}", who, f"{median(each.rate for each in mine):,.0f}"),
                    f"{median(each.p50 for each in mine) * 1000:.1f}",
                    f"{median(each.p99 for each in mine) * 1000:.1f}",
                    f"{median(each.cpu for each in mine) * 1e6:.0f}",
                    _spread(_ratios(rounds, who, "gateway", _rate)),
                )
            )

    # Streams ---------------------------------------------------------------------------------

    def begin_streams(self, name: str) -> None:
        self._write(f"\n{name}")
        self._write(
            _STREAMS.format(
                *("", "", "first byte +ms", "event delay ms", "last +s", "events/s"),
                *("CPU µs", "MB", "dropped"),
            )
        )

    def streams(self, slots: int, rounds: Sequence[dict[str, StreamFigures]]) -> None:
        for who in rounds[0]:
            pairs = [
                (figures[who], figures["direct"])
                for figures in rounds
                if who in figures and "direct" in figures
            ]
            first = median(mine.first_p50 - direct.first_p50 for mine, direct in pairs) * 1000
            first_p99 = median(mine.first_p99 - direct.first_p99 for mine, direct in pairs) * 1000
            mine = [each for each, _ in pairs]
            late = median(each.latest - direct.latest for each, direct in pairs)
            cpu = median(each.cpu for each in mine) * 1e6
            memory = max(each.rss for each in mine) / 1e6
            dropped = sum(each.dropped for each in mine)
            self._write(
                _STREAMS.format(
                    *("", who, f"{first:.1f} / {first_p99:.1f}"),
                    f"{_ms(mine, 'delay_p50'):.1f} / {_ms(mine, 'delay_p99'):.1f}",
                    *(f"{late:.2f}", f"{median(each.rate for each in mine):,.0f}"),
                    *(f"{cpu:.0f}", f"{memory:.0f}", dropped),
                )
            )
            if who == "translated" and slots in CPU_BARS:
                shares = [
                    figures[who].cpu / figures["gateway"].cpu
                    for figures in rounds
                    if who in figures and figures.get("gateway") and figures["gateway"].cpu
                ]
                if shares:
                    what = f"{slots:,} streams, CPU an event translated, × passed through"
                    self._hold(what, median(shares), TRANSLATED_BAR, least=False)
            if who != "gateway":
                continue
            streams = f"{slots:,} streams"
            self._hold(f"{streams}, dropped", dropped, 0, least=False)
            if slots in FIRST_BYTE_BARS:
                bar = FIRST_BYTE_BARS[slots]
                self._hold(f"{streams}, first byte, ms at the median", first, bar, least=False)
            if slots in CPU_BARS:
                self._hold(f"{streams}, CPU µs an event", cpu, CPU_BARS[slots], least=False)
            if slots in LATEST_BARS:
                bar = LATEST_BARS[slots]
                self._hold(f"{streams}, seconds late at the end", late, bar, least=False)
            self._hold(f"{streams}, MB", memory, MEMORY_BAR, least=False)

    def end(self) -> None:
        self._write(f"Bars met: {self._met}. Missed: {len(self._missed)}.")
        for missed in self._missed:
            self._write(f"  {missed}")

    def _hold(self, what: str, value: float, bar: float, *, least: bool) -> None:
        met = value >= bar if least else value <= bar
        sentence = f"{what}: {value:.3g}, bar {'≥' if least else '≤'} {bar:g}"
        self._write(f"{'':13}{sentence}: {'met' if met else 'MISSED'}")
        if met:
            self._met += 1
        else:
            self._missed.append(sentence)


def _rate(figures: CallFigures) -> float:
    return figures.rate


def _per_cpu(figures: CallFigures) -> float:
    return 1 / figures.cpu if figures.cpu else 0.0


def _ratios(
    rounds: Sequence[dict[str, CallFigures]], who: str, other: str, get: Get
) -> list[float]:
    return [
        get(figures[who]) / get(figures[other])
        for figures in rounds
        if who in figures and other in figures and get(figures[other]) and get(figures[who])
    ]


def _spread(ratios: Sequence[float], *, short: bool = False) -> str:
    if not ratios:
        return ""
    middle = f"{median(ratios):.3f}"
    if short or len(ratios) == 1:
        return middle
    return f"{middle} ({min(ratios):.3f}–{max(ratios):.3f})"


def _ms(figures: Sequence[StreamFigures], name: str) -> float:
    return 1000 * float(median(getattr(each, name) for each in figures))
