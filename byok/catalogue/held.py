"""Which models there are to choose from, and what an account's own keys serve of them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from byok.catalogue.memory import Model, Offer
from byok.catalogue.own import own_ids
from byok.models import CatalogModel, Offering, ProviderKey
from byok.models.keys import ProviderKeyQuerySet
from byok.providers import PROVIDERS
from byok.providers.endpoints import SERVED
from orgs.models import Account


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key of an account as far as it decides which models the key serves; no part of a secret.

    `lacking` are upstream ids that its provider does not list for it, `own` those that it may know
    and others do not (byok/catalogue/own.py).
    """

    id: UUID
    provider: str
    host: str
    hint: str
    enabled: bool
    lacking: frozenset[str]
    own: tuple[str, ...] = ()

    def takes(self, offer: Offer) -> bool:
        """Whether it is of the offer's provider, and of the kind that serves this model there."""
        return self.provider == offer.provider and PROVIDERS[offer.provider].serves(
            offer.upstream_id, self.host
        )

    def serves(self, offer: Offer) -> bool:
        """Whether a call could go out with it, were it enabled."""
        return self.takes(offer) and offer.upstream_id not in self.lacking


def own_keys(account: Account) -> list[OwnKey]:
    """The account's keys, the one added first first, in one query."""
    return _known(ProviderKey.objects.for_account(account).order_by("created_at", "id"))


def keys_of_megabrain() -> list[OwnKey]:
    """MegaBrain's own enabled keys, in one query."""
    return _known(ProviderKey.objects.of_megabrain().enabled())


def _known(keys: ProviderKeyQuerySet) -> list[OwnKey]:
    return [
        OwnKey(key.pk, key.provider, key.host, key.hint, key.enabled, key.lacking, own_ids(key))
        for key in keys.with_coverage().defer("secret")
        if key.provider in PROVIDERS
    ]


def held(models: Iterable[Model], keys: Iterable[OwnKey]) -> dict[str, tuple[str, ...]]:
    """Which of the models the enabled ones of these keys serve, with the providers that do."""
    by_provider = {key.provider: key for key in keys if key.enabled}
    found: dict[str, tuple[str, ...]] = {}
    for model in models:
        serving = [
            offer.provider
            for offer in model.offers
            if offer.provider in by_provider and by_provider[offer.provider].serves(offer)
        ]
        if serving:
            found[model.id] = tuple(dict.fromkeys(serving))
    return found


def callable_models() -> Iterable[tuple[str, str]]:
    """Id and name of every model that somebody serves, for choosing from."""
    served = Offering.objects.routable().values("model")
    return CatalogModel.objects.filter(pk__in=served).values_list("id", "name")


def served_models(account: Account) -> dict[str, list[str]]:
    """By endpoint, the models that the account's enabled keys serve there, with tools.

    Those whose provider speaks that dialect itself come before those it is translated for; among
    them the ones that keys are tested with, which are cheap, come first, and the others follow by
    id. What is offered only directly comes last.
    """
    keys = {key.provider: key for key in own_keys(account) if key.enabled}
    ranks: dict[str, dict[str, tuple[bool, bool, int]]] = defaultdict(dict)
    for offering in Offering.objects.serving().filter(provider__in=keys):
        provider, upstream_id = PROVIDERS[offering.provider], offering.upstream_id
        key = keys[provider.id]
        if upstream_id in key.lacking or not provider.serves(upstream_id, key.host):
            continue
        probes = [probe.model for probe in provider.probes]
        probe = probes.index(upstream_id) if upstream_id in probes else len(probes)
        for asked in SERVED:
            spoken = provider.spoken_for(asked, upstream_id, offering.served_at, with_tools=True)
            if spoken is not None:
                rank = (offering.direct, spoken is not asked, probe)
                known = ranks[asked].get(offering.model_id, rank)
                ranks[asked][offering.model_id] = min(known, rank)
    return {
        str(endpoint): sorted(models, key=lambda model: (models[model], model))
        for endpoint, models in ranks.items()
    }
