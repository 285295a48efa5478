"""Every provider MegaBrain can call, by id.

A file in this package that defines PROVIDER is a provider; nothing else has to know of it.
"""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from byok.providers.base import Provider


def _found() -> Iterator[Provider]:
    for module in pkgutil.iter_modules(__path__):
        found = getattr(import_module(f"{__name__}.{module.name}"), "PROVIDER", None)
        if isinstance(found, Provider):
            yield found


#: In the order people read them: by name.
PROVIDERS: dict[str, Provider] = {
    found.id: found for found in sorted(_found(), key=lambda found: found.name.lower())
}


def provider(id: str) -> Provider:  # noqa: A002 - the word the whole project uses
    """The provider of that id; raises KeyError for an id nobody has."""
    return PROVIDERS[id]


def name_of(id: str) -> str:  # noqa: A002 - the word the whole project uses
    """What people call the provider of that id; the id itself when nobody has it any more."""
    return PROVIDERS[id].name if id in PROVIDERS else id
