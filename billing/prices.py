"""What a call costs: whole numbers from the unit price to the bill.

A unit price is an integer of 10⁻¹² dollars a token, a cost an integer of micro-dollars. They
meet in one division, which rounds up, once per request.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, Protocol, TypeVar

from byok.catalogue.hours import hold

#: 10⁻¹² dollars in a micro-dollar.
UNITS_PER_MICRO = 10**6


class UnitPrice(Protocol):
    """A price as byok.models.Price stores it.

    None for a cache price means the input price, for that of long writes the price of writes.
    """

    @property
    def starts_at(self) -> datetime: ...
    @property
    def above_tokens(self) -> int: ...
    @property
    def hours(self) -> Sequence[Mapping[str, Any]] | None: ...  # Any: JSON, {"days", "from", "to"}.
    @property
    def input(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def cache_read(self) -> int | None: ...
    @property
    def cache_write(self) -> int | None: ...
    @property
    def cache_write_long(self) -> int | None: ...


class TokenCounts(Protocol):
    """Tokens of one call, disjoint as in UsageRecord, but that long writes are part of the writes
    and reasoning is part of the output."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def cache_write_long_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...


P = TypeVar("P", bound=UnitPrice)


def price_in_force(prices: Iterable[P], at: datetime, prompt_tokens: int) -> P | None:
    """The price of a call made at `at` with a prompt of so many tokens, cached ones included.

    Of the prices that have begun, whose `above_tokens` the prompt exceeds and whose hours hold:
    the latest begun, then the one for the longest prompts, then one for these hours before one
    for all. None if there is none, as for a model whose price nobody knows.
    """
    fitting = (
        price
        for price in prices
        if price.starts_at <= at
        and (price.above_tokens == 0 or prompt_tokens > price.above_tokens)
        and (price.hours is None or hold(price.hours, at))
    )
    return max(
        fitting,
        key=lambda price: (price.starts_at, price.above_tokens, price.hours is not None),
        default=None,
    )


def cost_micros(price: UnitPrice, usage: TokenCounts) -> int:
    """The cost of a call in micro-dollars, exact and then rounded up once.

    A negative count, which only a broken answer can report, counts as none, and of long writes
    there are no more than writes.
    """
    cache_read = price.input if price.cache_read is None else price.cache_read
    cache_write = price.input if price.cache_write is None else price.cache_write
    cache_write_long = cache_write if price.cache_write_long is None else price.cache_write_long
    written = max(usage.cache_write_tokens, 0)
    written_long = min(max(usage.cache_write_long_tokens, 0), written)
    units = (
        max(usage.input_tokens, 0) * price.input
        + max(usage.cache_read_tokens, 0) * cache_read
        + (written - written_long) * cache_write
        + written_long * cache_write_long
        + max(usage.output_tokens, 0) * price.output
    )
    return -(-units // UNITS_PER_MICRO)


def most_micros(
    prices: Sequence[UnitPrice], at: datetime, prompt_tokens: int, output_tokens: int
) -> int | None:
    """The most that a call made at `at` can cost, in micro-dollars, if it has no more tokens than
    these, whatever is read from a cache or written to it. None if it has no price."""
    tiers = {prompt_tokens, *(price.above_tokens + 1 for price in prices)}
    found = [
        price_in_force(prices, at, tokens) for tokens in tiers if tokens <= max(prompt_tokens, 1)
    ]
    possible = [price for price in found if price is not None]
    if not possible:
        return None
    units = max(
        prompt_tokens
        * max(
            price.input,
            price.cache_read or 0,
            price.cache_write or 0,
            price.cache_write_long or 0,
        )
        + output_tokens * price.output
        for price in possible
    )
    return -(-units // UNITS_PER_MICRO)


def next_change(prices: Iterable[UnitPrice], after: datetime) -> datetime | None:
    """The first moment later than `after`, in UTC, at which another of the prices may be in force.

    Until then each call costs what it would have cost at `after`. None if nothing is known to come.
    """
    moment = after.astimezone(UTC)
    known = list(prices)
    # One that holds for all prompts at all hours has ended whatever began before it.
    since = max(
        (
            price.starts_at
            for price in known
            if price.starts_at <= moment and price.above_tokens == 0 and price.hours is None
        ),
        default=None,
    )
    coming = [price.starts_at for price in known if price.starts_at > moment]
    for price in known:
        begun = price.starts_at <= moment and (since is None or price.starts_at >= since)
        if begun and price.hours is not None:
            coming += _edges(price.hours, moment)
    return min(coming).astimezone(UTC) if coming else None


def _edges(hours: Sequence[Mapping[str, Any]], after: datetime) -> Iterator[datetime]:
    """When spans begin and end in the week that follows."""
    midnight = datetime.combine(after.date(), time(), UTC)
    for day in (midnight + timedelta(days=number) for number in range(8)):
        for span in hours:
            if day.isoweekday() in span["days"]:
                for clock in (span["from"], span["to"]):
                    hour, minute = clock.split(":")
                    edge = day + timedelta(hours=int(hour), minutes=int(minute))
                    if edge > after:
                        yield edge
