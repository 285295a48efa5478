"""Own entries: models that an account's own key knows, and the catalogue does not.

Keys of direct providers and of custom endpoints have them, from what was listed for the key when it
was last tested (coverage.py). They are called as `<provider>/<upstream id>`, by that account alone.
What is known of them is their id.
"""

import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

from byok.catalogue.memory import Catalogue, Model, Offer
from byok.models import ProviderKey
from byok.providers import PROVIDERS, custom
from byok.providers.base import Endpoint, Provider
from byok.providers.listing import textless

#: Of each key so many are remembered; every process does so for every account that calls.
MOST_OWN = 500


class Owner(Protocol):
    """A key, and what is listed for it alone or for others, too: see `own_ids`."""

    @property
    def provider(self) -> str: ...
    @property
    def own(self) -> Sequence[str]: ...


def own_ids(key: ProviderKey) -> tuple[str, ...]:
    """The upstream ids that are listed for a key that was read `with_coverage`, if such keys can
    know models that the catalogue does not."""
    listed = getattr(key, "listed", None)
    if not listed or key.listed_at is None:
        return ()
    provider = PROVIDERS.get(key.provider)
    found = (id_ for id_ in listed if provider is not None and _answers(provider, id_))
    # Many accounts have the same ones.
    return tuple(map(sys.intern, islice(found, MOST_OWN)))


def own_entries(keys: Iterable[Owner], catalogue: Catalogue) -> list[Model]:
    """The own entries of these keys as models, but for those that the catalogue has a name for."""
    found = (
        entry(PROVIDERS[key.provider], upstream_id)
        for key in keys
        if key.provider in PROVIDERS
        for upstream_id in _own(key, catalogue)
    )
    return [model for model in found if catalogue.find(model.id) is None]


def find_own(name: str, keys: Iterable[Owner], catalogue: Catalogue) -> Model | None:
    """The own entry that a caller means, in letters of any case where these leave no doubt.

    Of a custom endpoint that is any model: it may well list none.
    """
    prefix, _, wanted = name.strip().partition("/")
    provider = PROVIDERS.get(prefix.lower())
    if provider is None or not provider.direct:
        return None
    ids = [id_ for key in keys if key.provider == provider.id for id_ in _own(key, catalogue)]
    if wanted in ids:
        return entry(provider, wanted)
    alike = [id_ for id_ in ids if id_.lower() == wanted.lower()]
    if len(alike) == 1:
        return entry(provider, alike[0])
    return entry(provider, wanted) if custom.upstream_model(name) is not None else None


def entry(provider: Provider, upstream_id: str) -> Model:
    """A model of which only its provider and its id there are known."""
    return Model(
        id=f"{provider.id}/{upstream_id}",
        name=upstream_id,
        context=None,
        max_output=None,
        capabilities=(),
        created=0,
        offers=(Offer(provider.id, upstream_id, tuple(provider.endpoints), ()),),
    )


def _own(key: Owner, catalogue: Catalogue) -> list[str]:
    """Those that the catalogue does not have. What staff have switched off is nobody's own."""
    return [id_ for id_ in key.own if (key.provider, id_) not in catalogue.offered]


def _answers(provider: Provider, upstream_id: str) -> bool:
    """Whether it can be asked here: it answers in text, or its provider takes other calls, too."""
    return Endpoint.EMBEDDINGS in provider.endpoints or not textless(upstream_id)
