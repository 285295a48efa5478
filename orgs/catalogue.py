"""What tokens need to know of the model catalogue.

The catalogue belongs to `byok`, which comes after `orgs` and may not be imported from here; it
registers its list of models when it starts.
"""

from collections.abc import Callable, Iterable

Models = Callable[[], Iterable[tuple[str, str]]]


def _none() -> Iterable[tuple[str, str]]:
    return ()


_source: Models = _none


def provide_models(source: Models) -> None:
    """Called once by the catalogue's app: `source()` gives the id and name of each model."""
    global _source
    _source = source


def known_models() -> list[tuple[str, str]]:
    """(id, name) of every model that can be called, by id."""
    return sorted(_source())
