"""What templates may say of the simulator; nothing at all where providers are real."""

from django.conf import settings
from django.http import HttpRequest

from megabrain.simulator.providers import sample_keys


def simulator(request: HttpRequest) -> dict[str, dict[str, str]]:
    """`simulator_keys`: provider id to a key that works here, empty outside simulator mode."""
    return {"simulator_keys": sample_keys() if settings.MEGABRAIN_SIMULATOR else {}}
