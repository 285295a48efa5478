"""Costs are exact: the same sums done in fractions say so."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.prices import cost_micros, next_change, price_in_force
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
    cache_write_long_tokens: int = 0


def price(**kwargs) -> Price:
    return Price(**{"starts_at": YEAR, "input": 3_000_000, "output": 15_000_000, **kwargs})


UNITS = st.integers(min_value=0, max_value=10**9)
TOKENS = st.integers(min_value=0, max_value=10**9)


def exact_dollars(row: Price, counts: Counts) -> Fraction:
    """What is to be paid, bucket by bucket, with no word of micro-dollars."""
    written = row.input if row.cache_write is None else row.cache_write
    buckets = [
        (counts.input_tokens, row.input),
        (counts.cache_read_tokens, row.input if row.cache_read is None else row.cache_read),
        (counts.cache_write_tokens - counts.cache_write_long_tokens, written),
        (
            counts.cache_write_long_tokens,
            written if row.cache_write_long is None else row.cache_write_long,
        ),
        (counts.output_tokens, row.output),
    ]
    return sum((tokens * Fraction(unit, 10**12) for tokens, unit in buckets), Fraction())


COUNTS = st.builds(
    lambda fresh, read, short, long, output: Counts(fresh, read, short + long, output, long),
    *[TOKENS] * 5,
)
MAYBE = st.none() | UNITS


@given(st.tuples(UNITS, UNITS, MAYBE, MAYBE, MAYBE), COUNTS)
def test_a_cost_is_the_exact_sum_rounded_up_once(units, counts):
    kinds = ("input", "output", "cache_read", "cache_write", "cache_write_long")
    row = price(**dict(zip(kinds, units, strict=True)))

    cost = cost_micros(row, counts)

    exact = exact_dollars(row, counts)
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
        (Counts(cache_write_tokens=1_000_000), 4_000_000),
        (Counts(cache_write_tokens=1_000_000, cache_write_long_tokens=250_000), 4_500_000),
        (Counts(cache_write_tokens=1_000_000, cache_write_long_tokens=1_000_000), 6_000_000),
        # More than were written, or less than none, is a broken answer.
        (Counts(cache_write_tokens=1_000_000, cache_write_long_tokens=9_000_000), 6_000_000),
        (Counts(cache_write_tokens=1_000_000, cache_write_long_tokens=-9), 4_000_000),
        (Counts(cache_write_long_tokens=1_000_000), 0),
    ],
)
def test_a_cost_in_round_numbers(counts, micros):
    row = price(cache_write=4_000_000, cache_write_long=6_000_000)
    assert cost_micros(row, counts) == micros


def test_long_writes_cost_what_others_do_where_no_price_of_theirs_is_known():
    written = Counts(cache_write_tokens=1_000_000, cache_write_long_tokens=1_000_000)

    assert cost_micros(price(cache_write=4_000_000), written) == 4_000_000
    assert cost_micros(price(), written) == 3_000_000


def test_the_smallest_part_of_a_micro_dollar_is_rounded_up_once_not_per_kind():
    row = price(input=1, output=1, cache_read=1, cache_write=1, cache_write_long=1)

    assert cost_micros(row, Counts(1, 1, 2, 1, 1)) == 1


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


HALF_HOURS = st.integers(min_value=0, max_value=47)


def clock(half_hours: int) -> str:
    return f"{half_hours // 2:02d}:{30 * (half_hours % 2):02d}"


@st.composite
def spans(draw) -> dict[str, object]:
    start = draw(HALF_HOURS)
    end = draw(st.integers(min_value=start + 1, max_value=48))
    days = draw(st.sets(st.integers(min_value=1, max_value=7), min_size=1))
    return {"days": sorted(days), "from": clock(start), "to": clock(end)}


#: Half-hours of a fortnight, so that prices and moments meet on their boundaries.
MOMENTS = st.integers(min_value=0, max_value=14 * 48).map(
    lambda number: MONDAY + timedelta(minutes=30 * number)
)
LENGTHS = st.sampled_from([0, 100, 200])
PRICES = st.lists(
    st.builds(
        lambda starts_at, above, hours, unit: price(
            starts_at=starts_at, above_tokens=above, hours=hours, input=unit
        ),
        MOMENTS,
        LENGTHS,
        st.none() | st.lists(spans(), min_size=1, max_size=2),
        UNITS,
    ),
    max_size=6,
)
A_LITTLE = st.sampled_from([timedelta(), timedelta(microseconds=1), -timedelta(microseconds=1)])


def minutes_of(text: str) -> int:
    return 60 * int(text[:2]) + int(text[3:])


@given(PRICES, MOMENTS, A_LITTLE, st.sampled_from([0, 99, 100, 101, 200, 201]), COUNTS)
def test_a_call_costs_what_the_one_price_of_its_moment_and_length_says(
    rows, moment, more, length, counts
):
    """Its boundaries are those of the prices: a start is in, a threshold and an end are out."""
    at = moment + more
    since_midnight = Fraction(at.hour * 60 + at.minute) + Fraction(at.second, 60)
    fitting = [
        row
        for row in rows
        if (at - row.starts_at) >= timedelta()
        and (not row.above_tokens or length > row.above_tokens)
        and (
            row.hours is None
            or any(
                at.isoweekday() in span["days"]
                and minutes_of(span["from"]) <= since_midnight < minutes_of(span["to"])
                for span in row.hours
            )
        )
    ]

    found = price_in_force(rows, at, length)

    if found is None:
        assert not fitting
        return
    assert found in fitting
    for row in fitting:
        assert row.starts_at <= found.starts_at
        if row.starts_at == found.starts_at:
            assert row.above_tokens <= found.above_tokens
            if row.above_tokens == found.above_tokens:
                assert found.hours is not None or row.hours is None
    assert cost_micros(found, counts) == ceil(exact_dollars(found, counts) * 10**6)


@given(PRICES, MOMENTS, A_LITTLE, st.lists(MOMENTS, max_size=5))
def test_no_price_changes_before_the_next_change(rows, moment, more, meanwhile):
    after = moment + more

    change = next_change(rows, after)

    end = change or after + timedelta(days=14)
    assert end > after
    looked_at = [after, *meanwhile, end - timedelta(microseconds=1)]
    for length in (0, 100, 101, 201):
        assert (
            len({id(price_in_force(rows, at, length)) for at in looked_at if after <= at < end})
            == 1
        )


def test_the_next_change_is_the_next_hour_or_date_at_which_another_price_holds():
    always, busy = price(), price(hours=PEAK)
    december = price(starts_at=datetime(2026, 12, 1, tzinfo=UTC))

    def after(text: str, *rows: Price) -> str | None:
        found = next_change(rows, datetime.fromisoformat(text).replace(tzinfo=UTC))
        return f"{found:%m-%dT%H:%M}" if found else None

    assert after("2026-11-23T00:59", always, busy) == "11-23T01:00"
    assert after("2026-11-23T01:00", always, busy) == "11-23T04:00"
    assert after("2026-11-23T09:59", always, busy) == "11-23T10:00"
    assert after("2026-11-27T10:00", always, busy) == "11-30T01:00", "over the weekend"
    assert after("2026-11-27T10:00", always, december) == "12-01T00:00"
    assert after("2026-12-01T00:00", always, december) is None
    assert after("2026-12-01T00:00", always, busy, december) is None, "its hours have ended"
    assert after("2026-11-23T05:00") is None
    night = price(hours=[{"days": [7], "from": "23:00", "to": "24:00"}])
    assert after("2026-11-29T23:30", night) == "11-30T00:00"
    assert after("2026-11-30T00:00", night) == "12-06T23:00"
    kiritimati = timezone(timedelta(hours=14))
    at = datetime(2026, 11, 23, 14, 59, tzinfo=kiritimati)
    assert next_change([always, busy], at) == datetime(2026, 11, 23, 1, tzinfo=UTC)
