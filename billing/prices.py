"""What a call costs: whole numbers from the unit price to the bill.

A unit price is an integer of 10⁻¹² dollars a token, a cost an integer of micro-dollars. They
meet in one division, which rounds up, once per request.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

#: 10⁻¹² dollars in a micro-dollar.
UNITS_PER_MICRO = 10**6


class UnitPrice(Protocol):
    """A price as byok.models.Price stores it. None for a cache price means the input price."""

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


class TokenCounts(Protocol):
    """Tokens of one call, disjoint as in UsageRecord; reasoning is part of the output."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...


P = TypeVar("P", bound=UnitPrice)


def price_in_force(prices: Iterable[P], at: datetime, prompt_tokens: int) -> P | None:
    """The price of a call made at `at` with a prompt of so many tokens, cached ones included.

    Of the prices that have begun, whose `above_tokens` the prompt exceeds and whose hours hold:
    the latest begun, then the one for the longest prompts, then one for these hours before one
    for all. None if there is none, as for a model whose price nobody knows.
    """
    moment = at.astimezone(UTC)
    fitting = (
        price
        for price in prices
        if price.starts_at <= at
        and (price.above_tokens == 0 or prompt_tokens > price.above_tokens)
        and (price.hours is None or _holds(price.hours, moment))
    )
    return max(
        fitting,
        key=lambda price: (price.starts_at, price.above_tokens, price.hours is not None),
        default=None,
    )


def cost_micros(price: UnitPrice, usage: TokenCounts) -> int:
    """The cost of a call in micro-dollars, exact and then rounded up once.

    A negative count, which only a broken answer can report, counts as none.
    """
    cache_read = price.input if price.cache_read is None else price.cache_read
    cache_write = price.input if price.cache_write is None else price.cache_write
    units = (
        max(usage.input_tokens, 0) * price.input
        + max(usage.cache_read_tokens, 0) * cache_read
        + max(usage.cache_write_tokens, 0) * cache_write
        + max(usage.output_tokens, 0) * price.output
    )
    return -(-units // UNITS_PER_MICRO)


def _holds(hours: Sequence[Mapping[str, Any]], moment: datetime) -> bool:
    """Whether the UTC moment is in one of the spans; the end of a span is no longer in it."""
    clock = f"{moment:%H:%M}"
    return any(
        moment.isoweekday() in span["days"] and span["from"] <= clock < span["to"] for span in hours
    )
