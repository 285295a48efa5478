"""What members did with an account through the gateway, whichever of their API tokens it was, and
what tokens spent.

Usage and balances belong to `billing`, which comes after `orgs` and may not be imported from here;
it registers what answers when it starts. Money is in micro-dollars, and what is set aside for
calls under way counts as spent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

if TYPE_CHECKING:
    # Apps register here before there are models.
    from orgs.models import Account


@dataclass(frozen=True, slots=True)
class MemberCalls:
    """When a member last called for the account, and what they spent of its balance today, UTC."""

    last_at: datetime | None = None
    spent_today: int = 0


class Source(Protocol):
    """Who knows. Members and tokens of whom nothing is known may be left out."""

    def of_members(
        self, account: Account, users: Collection[UUID]
    ) -> Mapping[UUID, MemberCalls]: ...

    def spent_this_month(self, tokens: Collection[UUID]) -> Mapping[UUID, int]: ...


class _Nobody:
    def of_members(self, account: Account, users: Collection[UUID]) -> Mapping[UUID, MemberCalls]:
        return {}

    def spent_this_month(self, tokens: Collection[UUID]) -> Mapping[UUID, int]:
        return {}


_source: Source = _Nobody()


def provide_member_calls(source: Source) -> None:
    """Called once by the app of usage."""
    global _source
    _source = source


def calls_of_members(account: Account, users: Collection[UUID]) -> dict[UUID, MemberCalls]:
    """What each of the users did for the account, by their ids."""
    known = _source.of_members(account, users)
    return {user: known.get(user) or MemberCalls() for user in users}


def spent_this_month(tokens: Collection[UUID]) -> dict[UUID, int]:
    """What each of the API tokens spent of any balance this month, in UTC, by their ids."""
    known = _source.spent_this_month(tokens)
    return {token: known.get(token, 0) for token in tokens}
