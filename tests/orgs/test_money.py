"""Dollars as people read and write them."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgs.money import MICROS, MOST_DOLLARS, NotDollars, dollars, micros_in, rounded


@pytest.mark.parametrize(
    ("micros", "least", "text"),
    [
        (0, 2, "$0.00"),
        (20_000_000, 2, "$20.00"),
        (20_000_000, 0, "$20"),
        (20_000_000, 4, "$20.0000"),
        (1_234_500, 4, "$1.2345"),
        (1_234_567, 4, "$1.234567"),
        (1, 2, "$0.000001"),
        (-1_250, 2, "-$0.00125"),
        (1_234_567_890_000, 2, "$1,234,567.89"),
    ],
)
def test_an_amount_is_written_to_the_last_micro_dollar(micros: int, least: int, text: str):
    assert dollars(micros, least) == text


@given(st.integers(-(10**18), 10**18), st.integers(0, 6))
def test_no_amount_loses_anything_in_writing(micros: int, least: int):
    sign, _, written = dollars(micros, least).replace(",", "").partition("$")
    assert Fraction(sign + written) * MICROS == micros


@given(st.integers(-(10**18), 10**18))
def test_a_rounded_amount_is_off_by_half_a_step_at_most(micros: int):
    written = rounded(micros).replace(",", "").replace("$", "")
    if "<" in written:
        assert 0 < abs(micros) < 50
    else:
        assert abs(Fraction(written) * MICROS - micros) <= 50


@given(st.integers(0, MOST_DOLLARS * MICROS), st.integers(0, 6))
def test_what_is_written_is_read_back(micros: int, least: int):
    assert micros_in(dollars(micros, least)) == micros


@given(st.text(max_size=30))
def test_whatever_is_typed_is_an_amount_or_refused(typed: str):
    with suppress(NotDollars):
        assert 0 <= micros_in(typed) <= MOST_DOLLARS * MICROS


@pytest.mark.parametrize(
    "typed", ["", " ", "$", ".", "1.", "-1", "+1", "1e3", "1,00", "1,0000", "0x5", "1_000", "NaN"]
)
def test_what_is_no_amount_is_refused(typed: str):
    with pytest.raises(NotDollars, match="such as 20"):
        micros_in(typed)
