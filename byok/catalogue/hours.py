"""The hours of a price, in UTC: when they hold, and in words: `Mon–Fri 01:00–04:00`, one a line."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAILY = "Daily"

_SPAN = re.compile(r"(?P<days>\S.*?)\s+(?P<from>\d\d:\d\d)\s*[-–]\s*(?P<to>\d\d:\d\d)")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")

# Any: a span as `byok.models.Price` stores it.
Span = Mapping[str, Any]


def hold(hours: Iterable[Span], at: datetime) -> bool:
    """Whether the moment is in one of the spans; the end of a span is no longer in it."""
    moment = at.astimezone(UTC)
    clock = f"{moment:%H:%M}"
    return any(
        moment.isoweekday() in span["days"] and span["from"] <= clock < span["to"] for span in hours
    )


def told(hours: Iterable[Span]) -> list[str]:
    return [f"{days_told(span['days'])} {span['from']}–{span['to']}" for span in hours]


def read(line: str) -> dict[str, Any]:
    """A span from such a line; days may also be listed, as in `Sat, Sun`. Raises ValueError."""
    found = _SPAN.fullmatch(line.strip())
    if found is None:
        raise ValueError(line)
    begins, ends = found["from"], found["to"]
    if not (_CLOCK.fullmatch(begins) and _CLOCK.fullmatch(ends) and begins < ends):
        raise ValueError(line)
    try:
        return {"days": _days(found["days"]), "from": begins, "to": ends}
    except ValueError:
        raise ValueError(line) from None


def days_told(days: Iterable[int]) -> str:
    """`Mon–Fri`, `Sat, Sun` or `Daily`; Monday is 1."""
    numbers = sorted(set(days))
    if len(numbers) == len(DAYS):
        return DAILY
    names = [DAYS[number - 1] for number in numbers]
    in_a_row = numbers[-1] - numbers[0] == len(numbers) - 1
    return f"{names[0]}–{names[-1]}" if in_a_row and len(numbers) > 2 else ", ".join(names)


def _days(text: str) -> list[int]:
    if text.lower() == DAILY.lower():
        return list(range(1, len(DAYS) + 1))
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.replace("–", "-").partition("-")
        begin = _day(first)
        end = _day(last) if dash else begin
        if end < begin:
            raise ValueError(text)
        days.update(range(begin, end + 1))
    return sorted(days)


def _day(text: str) -> int:
    return DAYS.index(text.strip().capitalize()) + 1
