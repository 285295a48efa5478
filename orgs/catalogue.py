"""What tokens need to know of the model catalogue and of who serves its models.

Both belong to `byok`, which comes after `orgs` and may not be imported from here; it registers
what answers when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Apps register here before there are models.
    from orgs.models import Account

Models = Callable[[], Iterable[tuple[str, str]]]
Served = Callable[["Account"], Mapping[str, Sequence[str]]]


def _none() -> Iterable[tuple[str, str]]:
    return ()


def _nothing(account: Account) -> Mapping[str, Sequence[str]]:
    return {}


_source: Models = _none
_served: Served = _nothing


def provide_models(source: Models) -> None:
    """Called once by the catalogue's app: `source()` gives the id and name of each model."""
    global _source
    _source = source


def known_models() -> list[tuple[str, str]]:
    """(id, name) of every model that can be called, by id."""
    return sorted(_source())


def provide_served(served: Served) -> None:
    """Called once by the catalogue's app: `served(account)` is what `served_models` answers."""
    global _served
    _served = served


def served_models(account: Account) -> Mapping[str, Sequence[str]]:
    """By endpoint, such as `messages`, the models that the account's own keys serve there.

    The cheap ones that providers are tried with come first.
    """
    return _served(account)
