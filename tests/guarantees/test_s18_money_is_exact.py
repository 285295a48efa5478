"""S18: money is exact integers: what a call is charged is off by less than a micro-dollar, rounded
up once, and no float comes near it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.prices import cost_micros, most_micros, price_in_force
from byok.models import Price
from tests.billing.wallets import Payer, credited, wallet_of
from tests.vaults import count_from

ROOT = Path(__file__).parents[2]
EXAMPLES = count_from("S18_EXAMPLES", 100)
CALLS = count_from("S18_CALLS", 40)
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
CALLED = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
MICRO = Fraction(1, 10**6)


@dataclass(frozen=True)
class Counts:
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_long_tokens: int
    output_tokens: int

    @property
    def prompt(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


# Real unit prices are of this size, and so are real calls.
UNITS = st.integers(0, 200 * 10**6)
TOKENS = st.integers(0, 2 * 10**6)
HOURS = st.none() | st.just([{"days": [1], "from": "02:00", "to": "04:00"}])

PRICES = st.lists(
    st.builds(
        Price,
        starts_at=st.sampled_from([BEGUN, BEGUN + timedelta(days=100), CALLED]),
        above_tokens=st.sampled_from([0, 0, 128_000, 200_000]),
        hours=HOURS,
        input=UNITS,
        output=UNITS,
        cache_read=st.none() | UNITS,
        cache_write=st.none() | UNITS,
        cache_write_long=st.none() | UNITS,
    ),
    min_size=1,
    max_size=5,
)
COUNTS = st.builds(
    lambda fresh, read, short, long, output: Counts(fresh, read, short + long, long, output),
    *[TOKENS] * 5,
)


def exactly(price: Price, counts: Counts) -> Fraction:
    """In dollars, by the words of the price list and nothing of ours."""
    unit = Fraction(1, 10**12)
    written = price.input if price.cache_write is None else price.cache_write
    long = written if price.cache_write_long is None else price.cache_write_long
    read = price.input if price.cache_read is None else price.cache_read
    return unit * (
        Fraction(counts.input_tokens) * price.input
        + Fraction(counts.cache_read_tokens) * read
        + Fraction(counts.cache_write_tokens - counts.cache_write_long_tokens) * written
        + Fraction(counts.cache_write_long_tokens) * long
        + Fraction(counts.output_tokens) * price.output
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(PRICES, COUNTS)
def test_a_charge_is_off_by_less_than_a_micro_dollar_and_never_too_little(prices, counts):
    price = price_in_force(prices, CALLED, counts.prompt)
    if price is None:
        return
    charge = cost_micros(price, counts)
    assert type(charge) is int
    assert 0 <= charge * MICRO - exactly(price, counts) < MICRO


@settings(max_examples=EXAMPLES, deadline=None)
@given(PRICES, COUNTS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_is_set_aside_is_enough_for_every_call_within_its_bounds(prices, counts, more, longer):
    most = most_micros(prices, CALLED, counts.prompt + more, counts.output_tokens + longer)
    price = price_in_force(prices, CALLED, counts.prompt)
    if price is not None:
        assert most is not None
        assert type(most) is int
        assert most * MICRO >= exactly(price, counts)


@pytest.mark.django_db
@settings(
    max_examples=max(1, EXAMPLES // 50),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(PRICES, COUNTS), min_size=CALLS, max_size=CALLS))
def test_a_balance_after_many_calls_is_what_fractions_say(calls):
    payer = Payer()
    given = 10**14
    credited(payer.account_id, given)
    exact, charged = Fraction(), 0
    for prices, counts in calls:
        price = price_in_force(prices, CALLED, counts.prompt)
        if price is None:
            continue
        most = most_micros(prices, CALLED, counts.prompt, counts.output_tokens)
        assert most is not None
        request_id = payer.reserve(most, at=CALLED)
        cost = cost_micros(price, counts)
        assert payer.resolve(request_id, cost) == cost
        exact += exactly(price, counts)
        charged += 1
    spent = (given - wallet_of(payer.account_id).posted_micros) * MICRO
    # Rounded up once for each call, and for nothing else.
    assert 0 <= spent - exact <= charged * MICRO
    assert wallet_of(payer.account_id).held_micros == 0


# No float ------------------------------------------------------------------------------------

#: All code that touches money, beside the application's own.
MONEY = ["orgs/money.py", "megabrain/gateway/metering.py"]
#: Waiting is measured in floats.
OF_TIME = ("second", "until", "timeout", "wait", "pause", "forever")


def sources() -> list[Path]:
    own = [path for path in (ROOT / "billing").rglob("*.py") if "migrations" not in path.parts]
    return [*own, *(ROOT / name for name in MONEY)]


def floats(tree: ast.AST, named: str = "") -> Iterator[str]:
    """Whatever makes or takes a float; `named` is what it is assigned or passed to."""
    for node in ast.iter_child_nodes(tree):
        inner = named
        if isinstance(node, ast.Assign):
            inner = " ".join(ast.unparse(target) for target in node.targets)
        elif isinstance(node, ast.AnnAssign):
            inner = ast.unparse(node.target)
        elif isinstance(node, ast.arg | ast.keyword):
            inner = node.arg or named
        wrong = (
            (isinstance(node, ast.Constant) and isinstance(node.value, float | complex))
            or (isinstance(node, ast.Name) and node.id in {"float", "round"})
            or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
            or (isinstance(node, ast.Attribute) and node.attr in {"FloatField", "Avg"})
        )
        if wrong and not any(word in inner.lower() for word in OF_TIME):
            yield f"line {getattr(node, 'lineno', '?')}: {ast.unparse(node)}"
        yield from floats(node, inner)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_float_is_in_the_code_of_money(path):
    assert list(floats(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "x = 0.1",
        "x = float(y)",
        "x = a / b",
        "x /= b",
        "f(amount=1e3)",
        "def f(amount: float): pass",
        "x: float = 1",
        "x = round(y)",
        "x = models.FloatField()",
        "x = Sum(y, output_field=FloatField()) / models.Avg('z')",
    ],
)
def test_a_float_would_be_found(code):
    assert list(floats(ast.parse(code)))
