"""Filters for numbers, money and time, one way everywhere."""

from datetime import UTC, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orgs.money import dollars, rounded

register = template.Library()

MICROS = 1_000_000

STEPS = (
    (timedelta(days=365), "y"),
    (timedelta(days=30), "mo"),
    (timedelta(days=1), "d"),
    (timedelta(hours=1), "h"),
    (timedelta(minutes=1), "min"),
)


@register.filter
def number(value: int | None) -> str:
    """`1234567` as `1,234,567`; nothing known is a dash."""
    return "–" if value is None else f"{value:,}"


@register.filter
def compact(value: int | None) -> str:
    """`1234567` as `1.2M`: for a headline figure, with the exact one beside it."""
    if value is None or abs(value) < 1_000:
        return number(value)
    sign = "-" if value < 0 else ""
    size, letter = 1_000, "K"
    for bigger, next_letter in ((1_000_000, "M"), (1_000_000_000, "B")):
        # What rounds up to a thousand of one unit is one of the next.
        if abs(value) * 2 >= bigger * 2 - bigger // 1_000:
            size, letter = bigger, next_letter
    if abs(value) >= 100 * size:
        return f"{sign}{(abs(value) + size // 2) // size:,}{letter}"
    whole, rest = divmod((abs(value) * 10 + size // 2) // size, 10)
    return f"{sign}{whole}.{rest}{letter}" if rest else f"{sign}{whole}{letter}"


@register.filter
def money(micros: int | None, places: int = 4) -> str:
    """Micro-dollars as `$1.2345`, by integer arithmetic; a trace is `<$0.0001`, never `$0.0000`."""
    return "–" if micros is None else rounded(micros, places)


@register.filter
def exact(micros: int | None, least: int = 4) -> str:
    """Micro-dollars to the last one, where sums are to come out: `$1.2345`, `$0.001234`."""
    return "–" if micros is None else dollars(micros, least)


@register.filter
def price(picos: int | None) -> str:
    """A unit price of 10⁻¹² dollars a token as dollars a million tokens: `$3`, `$0.25`."""
    if picos is None:
        return "–"
    whole, rest = divmod(picos, MICROS)
    decimals = f"{rest:06d}".rstrip("0")
    return f"${whole:,}" if not decimals else f"${whole:,}.{decimals.ljust(2, '0')}"


@register.filter
def unit_price(picos: int | None) -> str:
    """As `price`; what costs nothing is `Free`."""
    return "Free" if picos == 0 else price(picos)


@register.filter
def milliseconds(value: int | None) -> str:
    """`412` as `412 ms`, `4120` as `4.1 s`, `192000` as `3 min 12 s`."""
    if value is None:
        return "–"
    if value < 1_000:
        return f"{value} ms"
    if value < 60_000:
        return f"{value / 1000:.1f} s"
    minutes, seconds = divmod(value // 1000, 60)
    return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"


@register.filter
def share(part: int, whole: int) -> int:
    """`part` of `whole` in whole percent; nothing of nothing is nothing."""
    return round(100 * part / whole) if whole else 0


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """`5 min ago` (or `in 3 d`), with the exact UTC time in the title."""
    if moment is None:
        return "never"
    exact = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        exact.isoformat(timespec="seconds"),
        f"{exact:%Y-%m-%d %H:%M:%S} UTC",
        relative(timezone.now() - exact),
    )


@register.filter
def used(moment: datetime | None) -> SafeString | str:
    """`used 5 min ago`, or `never used`."""
    return "never used" if moment is None else format_html("used {}", ago(moment))


def relative(distance: timedelta) -> str:
    """A distance from now in its largest whole unit; what is to come is rounded to the nearest."""
    future = distance < timedelta(0)
    distance = abs(distance)
    for step, unit in STEPS:
        if distance >= step:
            # Whoever was just told of seven days is not to read six.
            return (
                f"in {round(distance / step)} {unit}"
                if future
                else f"{distance // step} {unit} ago"
            )
    return "in a moment" if future else "just now"
