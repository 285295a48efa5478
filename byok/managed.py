"""Keys that something else manages for their account, such as a subscription.

Subscriptions belong to `billing`, which comes after `byok` and may not be imported from here; it
registers who manages keys when it starts. `ProviderKey.managed_by` names the manager.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Apps register here before there are models.
    from byok.models import ProviderKey
    from orgs.models import Account


@dataclass(frozen=True, slots=True)
class Manager:
    """Who manages a key and bills for it: its name, and the page on which that is cancelled.

    Where it is cancelled already, nothing more is charged, and it ends at `ends_at`.
    """

    name: str
    url: str
    ends_at: datetime | None = None


class Managers(Protocol):
    def named(self, account: Account, names: Collection[str]) -> Mapping[str, Manager]:
        """Those of these names, as the account's pages speak of them."""

    def replaced(self, key: ProviderKey) -> None:
        """The secret of this key, whose account is held, is becoming the account's own."""


class _Nobody:
    def named(self, account: Account, names: Collection[str]) -> Mapping[str, Manager]:
        return {}

    def replaced(self, key: ProviderKey) -> None:
        pass


_managers: Managers = _Nobody()


def provide_managers(managers: Managers) -> None:
    """Called once by the app of subscriptions: `managers` is what the functions below ask."""
    global _managers
    _managers = managers


def managers_of(account: Account, keys: Collection[ProviderKey]) -> Mapping[str, Manager]:
    """Who manages these keys of the account, by `managed_by`; asks nobody where none is managed."""
    names = {key.managed_by for key in keys if key.managed_by}
    return _managers.named(account, names) if names else {}


def replaced(key: ProviderKey) -> None:
    """Tell the manager of a key, in the transaction of the change, that it will be no longer."""
    _managers.replaced(key)
