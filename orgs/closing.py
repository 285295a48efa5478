"""What else ends when an organization is deleted.

What it pays for belongs to `billing`, which comes after `orgs` and may not be imported from here;
it registers what ends when it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Apps register here before there are models.
    from orgs.models import Account


class Endings(Protocol):
    def losses(self, account: Account) -> list[str]:
        """What its deletion page says will be lost, a sentence each."""

    def end(self, account: Account) -> Mapping[str, int]:
        """End it all, in the transaction of the deletion, which holds the account.

        Its event tells how many there were, or how much, by snake_case names.
        """


class _Nothing:
    def losses(self, account: Account) -> list[str]:
        return []

    def end(self, account: Account) -> Mapping[str, int]:
        return {}


_endings: Endings = _Nothing()


def provide_endings(endings: Endings) -> None:
    """Called once by the app of money: `endings` is what the functions below ask."""
    global _endings
    _endings = endings


def losses_with(account: Account) -> list[str]:
    return _endings.losses(account)


def end_all_of(account: Account) -> Mapping[str, int]:
    return _endings.end(account)
