"""The providers that the simulator stands in for: every file here with a PROVIDER, by id."""

from importlib import import_module
from pkgutil import iter_modules

from megabrain.simulator.provider import Provider

PROVIDERS: dict[str, Provider] = {
    found.id: found
    for module in iter_modules(__path__)
    if (found := import_module(f"{__name__}.{module.name}").PROVIDER)
}


def upstream_urls(address: str) -> dict[str, str]:
    """What MEGABRAIN_UPSTREAM_URLS must be for a simulator at `address`."""
    return {provider.id: f"{address}{provider.path}" for provider in PROVIDERS.values()}


def sample_keys() -> dict[str, str]:
    """A key for each provider that works here, to try MegaBrain without an account anywhere."""
    return {provider.id: provider.sample_key for provider in PROVIDERS.values()}
