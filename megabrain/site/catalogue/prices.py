"""What calls of a model cost: now, and later as far as it is known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from billing.prices import price_in_force
from byok.catalogue.hours import days_told
from byok.catalogue.memory import Offer, Rate
from megabrain.site.templatetags.figures import unit_price
from megabrain.site.templatetags.ui import listed

#: The prices of what is cached, and what is paid where there is none of its own.
CACHED = (
    ("cache_read", "Cache read", "as input"),
    ("cache_write", "Cache write", "as input"),
    ("cache_write_long", "Cache write, 1 h", "as cache write"),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """The lowest price of a token, in 10⁻¹² dollars; None where nobody knows one.

    It `varies` if some calls cost something else: at another provider, of long prompts, at hours.
    """

    amount: int | None
    varies: bool = False

    @property
    def text(self) -> str:
        return unit_price(self.amount)

    @property
    def least(self) -> str:
        return f"from {self.text}" if self.varies else self.text


@dataclass(frozen=True, slots=True)
class Line:
    """What some calls cost; `which` says which, and is empty for all. `now` is for this hour.

    `cached` are the prices of what is cached, in the columns that all lines of an offering have.
    """

    which: str
    rate: Rate
    cached: tuple[tuple[str, str], ...]
    now: bool = False


@dataclass(frozen=True, slots=True)
class Era:
    """Prices that hold from a day on: None for those in force."""

    starts_on: date | None
    lines: tuple[Line, ...]


def lowest(offers: Iterable[Offer], at: datetime) -> tuple[Figure, Figure]:
    """The lowest price of input and of output at this moment, of a prompt of any length."""
    basic: list[Rate] = []
    other: list[Rate] = []
    for offer in offers:
        rate = price_in_force(offer.prices, at, 0)
        if rate is not None:
            basic.append(rate)
            other += in_force(offer.prices, at)
    return (
        _lowest([rate.input for rate in basic], [rate.input for rate in other]),
        _lowest([rate.output for rate in basic], [rate.output for rate in other]),
    )


def _lowest(basic: Sequence[int], other: Sequence[int]) -> Figure:
    if not basic:
        return Figure(None)
    return Figure(min(basic), varies=len({*basic, *other}) > 1)


def in_force(prices: Iterable[Rate], at: datetime) -> list[Rate]:
    """The prices of that day: each holds for some length of prompt at some hour."""
    begun = [rate for rate in prices if rate.starts_at <= at]
    return [rate for rate in begun if not any(_ends(later, rate) for later in begun)]


def _ends(later: Rate, rate: Rate) -> bool:
    """Whether no call costs `rate` any more since the other began."""
    return (
        later.starts_at > rate.starts_at
        and later.hours is None
        and later.above_tokens <= rate.above_tokens
    )


def eras(prices: Sequence[Rate], at: datetime) -> list[Era]:
    """The prices in force, then those to come; nothing of what nobody knows."""
    found = []
    current = in_force(prices, at)
    columns = [
        each for each in CACHED if any(getattr(rate, each[0]) is not None for rate in prices)
    ]
    if current:
        found.append(Era(None, tuple(_lines(current, current, columns, at))))
    for start in sorted({rate.starts_at for rate in prices if rate.starts_at > at}):
        before, current = current, in_force(prices, start)
        begun = [rate for rate in current if rate not in before]
        found.append(Era(start.date(), tuple(_lines(begun, current, columns))))
    return found


def _lines(
    rates: Iterable[Rate],
    among: Sequence[Rate],
    columns: Iterable[tuple[str, str, str]],
    at: datetime | None = None,
) -> list[Line]:
    """Each of the rates with the calls that it is for, told apart from all those of its day."""
    tiers = sorted({rate.above_tokens for rate in among})
    return [
        Line(
            _which(rate, among, tiers),
            rate,
            tuple((label, _or(getattr(rate, name), instead)) for name, label, instead in columns),
            now=at is not None
            and any(other.hours is not None for other in among)
            and price_in_force(among, at, rate.above_tokens + 1) is rate,
        )
        for rate in sorted(rates, key=lambda rate: (rate.above_tokens, rate.hours is None))
    ]


def _or(amount: int | None, instead: str) -> str:
    return instead if amount is None else unit_price(amount)


def _which(rate: Rate, among: Sequence[Rate], tiers: Sequence[int]) -> str:
    words = []
    if rate.above_tokens:
        words.append(f"prompts above {rate.above_tokens:,} tokens")
    elif len(tiers) > 1:
        words.append(f"prompts up to {tiers[1]:,} tokens")
    if rate.hours is not None:
        words.append(hours_told(rate.hours))
    elif any(
        other.hours is not None and other.above_tokens == rate.above_tokens for other in among
    ):
        words.append("other hours")
    told = ", ".join(words)
    return told[:1].upper() + told[1:]


def hours_told(hours: Iterable[Mapping[str, Any]]) -> str:
    """`Mon–Fri 01:00–04:00 and 06:00–10:00 UTC`. Any: the JSON of a price."""
    by_days: dict[str, list[str]] = {}
    for span in hours:
        times = f"{span['from']}–{span['to']}"
        by_days.setdefault(days_told(span["days"]), []).append(times)
    return "; ".join(f"{days} {listed(times)}" for days, times in by_days.items()) + " UTC"


def midnight_after(moment: datetime) -> datetime:
    """Until then a date that lies ahead still does. The moment is in UTC."""
    return datetime.combine(
        moment.date() + timedelta(days=1), datetime.min.time(), tzinfo=moment.tzinfo
    )
