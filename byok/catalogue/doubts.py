"""Why what a source tells cannot be believed; pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from byok.catalogue.changes import Change, Kind, dollars_a_million
from byok.catalogue.comparing import LIMITS, Comparison
from byok.catalogue.known import PARTS, Known
from byok.providers import name_of

#: A list is believed to have lost models, but not nine in ten of them, nor all but one of several.
FEWEST, SEVERAL = 10, 3
#: A price is believed to have changed, but not to be so many times another.
FARTHEST = 20
#: Limits are believed to change, but not one in three at once, where there are more than a few.
LIMITS_AT_ONCE, FEW_LIMITS = 3, 3
#: So many of a kind are named, the others counted.
NAMED = 3

_NAMES: Mapping[str, str] = {part: part.replace("_", " ") for part in PARTS}


def doubts(found: Comparison) -> list[str]:
    """Why nothing of it is to change anything: sentences, none where it is plausible."""
    changed = sum(change.field in LIMITS and change.before is not None for change in found.changes)
    said = []
    few = found.kept * FEWEST <= found.had or (found.kept <= 1 and found.had >= SEVERAL)
    if found.had and few:
        said.append(f"It has {found.kept} of the {found.had} models that it had before.")
    if changed >= FEW_LIMITS and changed * LIMITS_AT_ONCE >= found.limits:
        said.append(f"It changes {changed} of {found.limits} limits at once.")
    far = [
        sentence
        for change in found.changes
        for sentence in _far_prices(change, found.known, found.now)
    ]
    return said + bounded(far, "prices are as far off")


def unsure(partial: Iterable[Change]) -> list[str]:
    """Why some changes wait for staff although the rest is plausible."""
    return bounded(
        [
            f"The price of {change.model} at {name_of(change.provider)} changes, and what it tells "
            "leaves out hours, lengths of prompts or the cache."
            for change in partial
        ],
        "prices are told as partly",
    )


def bounded(sentences: list[str], what: str) -> list[str]:
    """The first of them, and how many more there are."""
    if len(sentences) <= NAMED + 1:
        return sentences
    return [*sentences[:NAMED], f"{len(sentences) - NAMED} more {what}."]


def _far_prices(change: Change, known: Known, now: datetime) -> Iterator[str]:
    if change.kind is Kind.PRICE_CHANGED and change.before:
        yield from _leaps(change)
        return
    if change.kind is Kind.PRICE_CHANGED:
        prices = change.after
    elif change.kind is Kind.OFFERING_ADDED:
        prices = change.after["prices"]
    else:
        return
    for price in prices:
        for part in ("input", "output"):
            others = [
                getattr(other, part)
                for row in known.by_model.get(change.model, ())
                for other in known.current(row, now)
                if getattr(other, part)
            ]
            # Of a model that nobody else serves, what anybody takes for any.
            others = others or known.amounts[part]
            if others and all(_is_far(price[part], other) for other in others):
                yield (
                    f"{_named(change)} would cost {dollars_a_million(price[part])} a million for "
                    f"{_NAMES[part]}, far from what others take."
                )


def _leaps(change: Change) -> Iterator[str]:
    """Parts of a price that go far from all that they were."""
    for after in change.after:
        near = [each for each in change.before if each["above_tokens"] == after["above_tokens"]]
        for part in PARTS:
            if after[part] is None:
                continue
            told = _part(after, part)
            was = [_part(each, part) for each in near or change.before]
            if all(_is_far(told, each) for each in was):
                yield (
                    f"{_named(change)} would go from {dollars_a_million(was[0])} to "
                    f"{dollars_a_million(told)} a million for {_NAMES[part]}."
                )


def _part(price: Mapping[str, Any], part: str) -> int:
    """What a price takes for a part: for input where the cache has no price of its own."""
    found = price[part]
    if found is None and part == "cache_write_long":
        found = price["cache_write"]
    return int(price["input"] if found is None else found)


def _is_far(one: int, other: int) -> bool:
    if not one or not other:
        return one != other
    return max(one, other) >= FARTHEST * min(one, other)


def _named(change: Change) -> str:
    return f"{change.model} at {name_of(change.provider)}"
