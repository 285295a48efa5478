from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from megabrain.site.templatetags import figures


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (None, "–"),
        (0, "$0.0000"),
        (1_234_500, "$1.2345"),
        (1_234_549, "$1.2345"),
        (1_234_550, "$1.2346"),
        (49, "<$0.0001"),
        (50, "$0.0001"),
        (999_999, "$1.0000"),
        (-1_500_000, "-$1.5000"),
        (1_234_567_890_000, "$1,234,567.8900"),
    ],
)
def test_money_is_exact_and_never_shows_a_trace_as_nothing(micros: int | None, text: str):
    assert figures.money(micros) == text


def test_money_can_be_shown_in_cents():
    assert figures.money(3_600_000, 2) == "$3.60"
    assert figures.money(4_999, 2) == "<$0.01"


def test_where_sums_are_to_come_out_nothing_is_rounded():
    assert figures.exact(1_234_567) == "$1.234567"
    assert figures.exact(20_000_000, 2) == "$20.00"
    assert figures.exact(None) == "–"


@pytest.mark.parametrize(
    ("picos", "text"),
    [(None, "–"), (3_000_000, "$3"), (250_000, "$0.25"), (500_000, "$0.50"), (12_345, "$0.012345")],
)
def test_a_unit_price_reads_as_dollars_a_million(picos: int | None, text: str):
    assert figures.price(picos) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "–"),
        (0, "0"),
        (999, "999"),
        (1_000, "1K"),
        (1_250, "1.3K"),
        (999_960, "1M"),
        (38_600_000, "38.6M"),
        (123_456_789, "123M"),
        (5_000_000_000, "5B"),
    ],
)
def test_a_headline_figure_is_short(count: int | None, text: str):
    assert figures.compact(count) == text


def test_thousands_are_separated():
    assert figures.number(1_234_567) == "1,234,567"


@pytest.mark.parametrize(
    ("span", "text"),
    [(412, "412 ms"), (4_120, "4.1 s"), (60_000, "1 min"), (192_000, "3 min 12 s"), (None, "–")],
)
def test_a_duration_has_one_unit_that_fits(span: int | None, text: str):
    assert figures.milliseconds(span) == text


@pytest.mark.parametrize(
    ("distance", "text"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(minutes=5, seconds=59), "5 min ago"),
        (timedelta(hours=25), "1 d ago"),
        (timedelta(days=-3, seconds=-5), "in 3 d"),
        (timedelta(days=400), "1 y ago"),
    ],
)
def test_a_moment_is_told_by_its_distance(distance: timedelta, text: str):
    assert figures.relative(distance) == text


def test_the_exact_time_is_in_the_title():
    html = figures.ago(datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC))
    assert 'title="2026-03-01 09:05:07 UTC"' in html
    assert 'datetime="2026-03-01T09:05:07+00:00"' in html


def test_what_never_happened_says_so():
    assert figures.ago(None) == "never"
    assert figures.used(None) == "never used"
    assert "used <time" in figures.used(timezone.now())


def test_a_share_of_nothing_is_nothing():
    assert figures.share(0, 0) == 0
    assert figures.share(2, 3) == 67
