"""Pages of a long list, cut at what its rows are ordered by.

So they neither shift while rows come and go nor grow slower the further on one looks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row")
Record = TypeVar("Record", bound=Model)
Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Cut(Generic[Row]):
    """The rows of a page, and whether there may be others before and after them."""

    rows: list[Row]
    before: bool
    after: bool


def cut(
    size: int,
    *,
    after: Place | None,
    before: Place | None,
    onwards: Callable[[Place | None, int], list[Row]],
    backwards: Callable[[Place, int], list[Row]],
) -> Cut[Row]:
    """The page after a place, or before one, or else the first.

    `onwards` reads up to so many rows from a place, or from the beginning; `backwards` those
    before a place, the nearest first.
    """
    if before:
        rows = backwards(before, size + 1)
        if len(rows) > size:
            return Cut(rows[size - 1 :: -1], before=True, after=True)
        after = None  # The first page is always a full one.
    rows = onwards(after, size + 1)
    return Cut(rows[:size], before=bool(after and rows), after=len(rows) > size)


def first_of(parts: Sequence[QuerySet[Record]], limit: int, order: str) -> list[Record]:
    """The first rows of these query sets together, each of which is in this order."""
    if len(parts) == 1:
        return list(parts[0][:limit])
    # Django cannot write this for SQLite, which takes a limit inside of a union only so.
    compiled = [part[:limit].query.sql_with_params() for part in parts]
    union = " UNION ALL ".join(
        f"SELECT * FROM ({sql}) AS part_{n}"  # noqa: S608 -- Django's own SQL.
        for n, (sql, _) in enumerate(compiled)
    )
    parameters = [parameter for _, given in compiled for parameter in given]
    return list(parts[0].raw(f"{union} ORDER BY {order} LIMIT {limit}", parameters))
