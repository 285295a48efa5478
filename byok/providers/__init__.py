"""Every provider MegaBrain can call, by id.

A file in this package that defines PROVIDER is a provider; nothing else has to know of it.
"""

import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module

from byok.providers.base import Provider


def _found() -> Iterator[Provider]:
    for module in pkgutil.iter_modules(__path__):
        found = getattr(import_module(f"{__name__}.{module.name}"), "PROVIDER", None)
        if isinstance(found, Provider):
            yield found


class Registry(Mapping[str, Provider]):
    """The providers by id, in the order people read them, which is by name.

    One that the operator has to allow, and has not, is not there.
    """

    def __init__(self, found: Iterable[Provider]) -> None:
        self._all = {each.id: each for each in sorted(found, key=lambda each: each.name.lower())}

    def __getitem__(self, id: str) -> Provider:  # noqa: A002 - the word the whole project uses
        found = self._all[id]
        if not found.allowed:
            raise KeyError(id)
        return found

    def __iter__(self) -> Iterator[str]:
        return (id_ for id_, each in self._all.items() if each.allowed)

    def __len__(self) -> int:
        return sum(1 for _ in self)


PROVIDERS = Registry(_found())


def provider(id: str) -> Provider:  # noqa: A002 - the word the whole project uses
    """The provider of that id; raises KeyError for an id nobody has."""
    return PROVIDERS[id]


def name_of(id: str) -> str:  # noqa: A002 - the word the whole project uses
    """What people call the provider of that id; the id itself when nobody has it any more."""
    return PROVIDERS[id].name if id in PROVIDERS else id
