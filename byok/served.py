"""Whether a provider key served a model lately.

Usage belongs to `billing`, which comes after `byok` and may not be imported from here; it
registers what answers when it starts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, Value

#: As a condition of a query, since nobody could list all that many keys served.
Served = Callable[[OuterRef, OuterRef | Value, datetime], Q | Exists]


def _nothing(key: OuterRef, model: OuterRef | Value, since: datetime) -> Q | Exists:
    return Q(pk__in=())


_source: Served = _nothing


def provide_served_lately(source: Served) -> None:
    """Called once by the app of usage: `source` is what `served_lately` answers."""
    global _source
    _source = source


def served_lately(key: OuterRef, model: OuterRef | Value, since: datetime) -> Q | Exists:
    """The condition that the key of this id has answered a call for this model after `since`.

    It costs a step into an index, however many calls there are.
    """
    return _source(key, model, since)
