"""Costs are exact: the same sums done in fractions say so."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.prices import cost_micros, price_in_force
from byok.models import Price

PEAK = [
    {"days": [1, 2, 3, 4, 5], "from": "01:00", "to": "04:00"},
    {"days": [1, 2, 3, 4, 5], "from": "06:00", "to": "10:00"},
]
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass(frozen=True)
class Counts:
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0


def price(**kwargs) -> Price:
    return Price(**{"starts_at": YEAR, "input": 3_000_000, "output": 15_000_000, **kwargs})


UNITS = st.integers(min_value=0, max_value=10**9)
TOKENS = st.integers(min_value=0, max_value=10**9)


@given(
    st.tuples(UNITS, UNITS, st.none() | UNITS, st.none() | UNITS),
    st.tuples(TOKENS, TOKENS, TOKENS, TOKENS),
)
def test_a_cost_is_the_exact_sum_rounded_up_once(units, tokens):
    unit_input, unit_output, unit_read, unit_write = units
    fresh, read, written, answered = tokens
    row = price(input=unit_input, output=unit_output, cache_read=unit_read, cache_write=unit_write)

    cost = cost_micros(row, Counts(fresh, read, written, answered))

    dollar_units = Fraction(1, 10**12)
    exact = (
        fresh * unit_input * dollar_units
        + read * (unit_input if unit_read is None else unit_read) * dollar_units
        + written * (unit_input if unit_write is None else unit_write) * dollar_units
        + answered * unit_output * dollar_units
    )
    assert type(cost) is int
    assert cost == ceil(exact * 10**6)
    assert 0 <= cost - exact * 10**6 < 1


@pytest.mark.parametrize(
    ("counts", "micros"),
    [
        (Counts(), 0),
        (Counts(input_tokens=1), 3),
        (Counts(input_tokens=1_000_000), 3_000_000),
        (Counts(output_tokens=1_000_000), 15_000_000),
        (Counts(input_tokens=-5), 0),
    ],
)
def test_a_cost_in_round_numbers(counts, micros):
    assert cost_micros(price(), counts) == micros


def test_the_smallest_part_of_a_micro_dollar_is_rounded_up_once_not_per_kind():
    row = price(input=1, output=1, cache_read=1, cache_write=1)

    assert cost_micros(row, Counts(1, 1, 1, 1)) == 1


def test_a_price_holds_from_its_start():
    old, new = price(), price(starts_at=datetime(2026, 10, 7, tzinfo=UTC), input=1)

    day_before = datetime(2026, 10, 6, 23, 59, 59, tzinfo=UTC)
    assert price_in_force([new, old], day_before, 10) is old
    assert price_in_force([old, new], datetime(2026, 10, 7, tzinfo=UTC), 10) is new
    assert price_in_force([old, new], YEAR - timedelta(seconds=1), 10) is None
    assert price_in_force([], MONDAY, 10) is None


def test_a_tier_begins_above_its_threshold_and_prices_the_whole_call():
    base, tier, top = price(), price(above_tokens=100_000), price(above_tokens=500_000)

    assert price_in_force([tier, base, top], MONDAY, 0) is base
    assert price_in_force([tier, base, top], MONDAY, 100_000) is base
    assert price_in_force([tier, base, top], MONDAY, 100_001) is tier
    assert price_in_force([tier, base, top], MONDAY, 500_001) is top


@pytest.mark.parametrize(
    ("moment", "peak"),
    [
        ("2026-11-23T00:59:59", False),
        ("2026-11-23T01:00:00", True),
        ("2026-11-23T03:59:59", True),
        ("2026-11-23T04:00:00", False),
        ("2026-11-27T09:59:00", True),
        ("2026-11-28T09:59:00", False),
        ("2026-11-29T02:00:00", False),
    ],
)
def test_peak_hours_hold_on_weekdays_in_utc(moment, peak):
    always, busy = price(), price(hours=PEAK, input=6_000_000)
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)

    found = price_in_force([busy, always], at, 10)
    elsewhere = price_in_force([busy, always], at.astimezone(timezone(timedelta(hours=-9))), 10)

    assert found is elsewhere is (busy if peak else always)


def test_a_later_price_ends_the_tiers_and_hours_of_an_earlier_one():
    earlier = [price(), price(above_tokens=100), price(hours=PEAK)]
    later = price(starts_at=datetime(2026, 6, 1, tzinfo=UTC))

    assert price_in_force([*earlier, later], MONDAY + timedelta(hours=2), 1000) is later
