"""The providers that the simulator stands in for, by id: a file here has one, or several alike."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from megabrain.simulator.provider import Provider


def _found() -> Iterator[Provider]:
    for module in iter_modules(__path__):
        file = import_module(f"{__name__}.{module.name}")
        yield from getattr(file, "PROVIDERS", None) or [file.PROVIDER]


PROVIDERS: dict[str, Provider] = {found.id: found for found in _found()}


def upstream_urls(address: str) -> dict[str, str]:
    """What MEGABRAIN_UPSTREAM_URLS must be for a simulator at `address`."""
    return {
        name: f"{address}{path}"
        for provider in PROVIDERS.values()
        for name, path in {provider.id: provider.path, **provider.hosts}.items()
    }


def sample_keys() -> dict[str, str]:
    """A key for each provider that works here, to try MegaBrain without an account anywhere."""
    return {provider.id: provider.sample_key for provider in PROVIDERS.values()}
