"""When members last called for an account, whichever of their API tokens they called with.

Usage belongs to `billing`, which comes after `orgs` and may not be imported from here; it
registers what answers when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    # Apps register here before there are models.
    from orgs.models import Account

LastCalls = Callable[["Account", Collection[UUID]], Mapping[UUID, datetime]]


def _none(account: Account, users: Collection[UUID]) -> Mapping[UUID, datetime]:
    return {}


_source: LastCalls = _none


def provide_last_calls(source: LastCalls) -> None:
    """Called once by the app of usage: `source` is what `last_calls` answers."""
    global _source
    _source = source


def last_calls(account: Account, users: Collection[UUID]) -> Mapping[UUID, datetime]:
    """By the ids of those of `users` who ever called for the account: when they last did."""
    return _source(account, users)
