"""Which models a key covers, as the pages tell it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from byok.catalogue.memory import Catalogue, Model, Offer, catalogue
from byok.catalogue.own import own_entries, own_ids
from byok.models import ProviderKey
from byok.providers import PROVIDERS

#: A list names so many; the others are found by searching.
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of a provider. `lacking`: it is not listed for the key, so no call for it goes there;
    `own`: only the key's own list has it."""

    id: str
    name: str
    lacking: bool = False
    own: bool = False


@dataclass(frozen=True, slots=True)
class Covered:
    """The models of a provider, those that the key lacks at the end."""

    entries: Sequence[Entry] = ()

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def served(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.lacking]

    @property
    def shown(self) -> Sequence[Entry]:
        return self.entries[:SHOWN]

    @property
    def more(self) -> int:
        return len(self.entries) - len(self.shown)

    @property
    def number(self) -> str:
        """Such as `43`, or `41 of 43`."""
        served, known = len(self.served), len(self.entries)
        return f"{known}" if served == known else f"{served} of {known}"

    @property
    def in_words(self) -> str:
        return f"{self.number} supported model{'' if len(self.entries) == 1 else 's'}"

    def among(self, models: Iterable[str] | None) -> "Covered":
        """Only those of the models with these ids; all where None."""
        if models is None:
            return self
        ids = frozenset(models)
        return Covered([entry for entry in self.entries if entry.id in ids])

    def found(self, text: str) -> "Covered":
        """Only those in whose name and id are all words of the text."""
        words = text.lower().split()
        return Covered(
            [
                entry
                for entry in self.entries
                if all(word in f"{entry.name} {entry.id}".lower() for word in words)
            ]
        )


#: Of a key whose models nobody asks about.
NOT_ASKED = Covered()


def offered(provider_id: str) -> Covered:
    """What the catalogue says that the provider serves, to whoever has a key."""
    models = _models_of({provider_id}, catalogue())[provider_id]
    return Covered(_sorted(Entry(model.id, model.name) for model, _ in models))


def covered(keys: Iterable[ProviderKey]) -> dict[UUID, Covered]:
    """By key, the models that it covers. The keys are read `with_coverage`."""
    keys, known = list(keys), catalogue()
    models = _models_of({key.provider for key in keys}, known)
    return {key.pk: _covered(key, models[key.provider], known) for key in keys}


@dataclass(frozen=True, slots=True)
class _Owner:
    provider: str
    own: tuple[str, ...]


def _covered(
    key: ProviderKey, models: Iterable[tuple[Model, Sequence[Offer]]], known: Catalogue
) -> Covered:
    provider, lacking = PROVIDERS.get(key.provider), key.lacking
    if provider is None:
        return Covered()
    entries = []
    for model, offers in models:
        ids = {each.upstream_id for each in offers if provider.serves(each.upstream_id, key.host)}
        if ids:
            entries.append(Entry(model.id, model.name, lacking=ids.issubset(lacking)))
    entries += [
        Entry(model.id, model.name, own=True)
        for model in own_entries([_Owner(key.provider, own_ids(key))], known)
    ]
    return Covered(_sorted(entries))


def _models_of(providers: set[str], known: Catalogue) -> dict[str, list[tuple[Model, list[Offer]]]]:
    found: dict[str, list[tuple[Model, list[Offer]]]] = defaultdict(list)
    for model in known.by_id:
        offers: dict[str, list[Offer]] = defaultdict(list)
        for offer in model.offers:
            if offer.provider in providers:
                offers[offer.provider].append(offer)
        for provider, each in offers.items():
            found[provider].append((model, each))
    return found


def _sorted(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.lacking, entry.name.lower(), entry.id))
