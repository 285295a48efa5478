"""Every model as a line of the list.

Making thousands of them takes a while, so they are kept until the catalogue or a price changes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property

from django.urls import reverse
from django.utils import timezone

from billing.prices import next_change
from byok.catalogue.memory import Catalogue, Model, catalogue
from byok.providers import PROVIDERS, name_of
from megabrain.site.catalogue.prices import Figure, lowest, midnight_after

#: What a model can do beside chatting, in the order in which it is told.
CAPABILITIES = {
    "tools": "Tools",
    "vision": "Vision",
    "reasoning": "Reasoning",
    "search": "Web search",
    "fim": "Fill-in-the-middle",
    "embeddings": "Embeddings",
}
#: A line names so many providers, and counts the others.
PROVIDERS_NAMED = 2

_NO_LETTER = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Card:
    """A model as the list tells it. Prices are the lowest of its providers', just now.

    `providers` are ids by name. The last four are for searching: see `spaced` and `squeezed`.
    """

    model: Model
    direct: bool
    context: int | None
    max_output: int | None
    capabilities: tuple[str, ...]
    providers: tuple[str, ...]
    input: Figure
    output: Figure
    retires_on: date | None
    retired: bool
    called: str
    also_called: str
    tight: str
    served_by: str
    #: Known from the list of a key of the visitor's alone, and nobody else's.
    own: bool = False

    @property
    def writes(self) -> bool:
        """Whether it answers in tokens, which cost something, and not in vectors."""
        return "embeddings" not in self.capabilities

    @property
    def url(self) -> str:
        return reverse("model", kwargs={"id": self.model.id})

    @property
    def provider_names(self) -> list[str]:
        return [name_of(id_) for id_ in self.providers]

    @property
    def providers_told(self) -> str:
        """`Anthropic, AWS Bedrock`, or `Fireworks, Novita and 2 more`."""
        names = self.provider_names
        if len(names) <= PROVIDERS_NAMED + 1:
            return ", ".join(names)
        return f"{', '.join(names[:PROVIDERS_NAMED])} and {len(names) - PROVIDERS_NAMED} more"

    @property
    def capabilities_told(self) -> str:
        return ", ".join(capability_named(each) for each in self.capabilities)


@dataclass(frozen=True)
class Shelf:
    """All cards, as of one version of the catalogue, and good until some moment."""

    catalogue: Catalogue
    cards: dict[str, Card]
    #: Ids and names of what there is to filter by.
    providers: tuple[tuple[str, str], ...]
    capabilities: tuple[tuple[str, str], ...]
    until: datetime

    @cached_property
    def words(self) -> list[str]:
        """All that models and their providers have in their names, for who mistypes one."""
        found = {
            word
            for card in self.cards.values()
            for word in f"{card.called}{card.served_by}".split()
            if len(word) > 2
        }
        return sorted(found)


_shelf: Shelf | None = None


def shelf() -> Shelf:
    """The cards as of now, in one small query unless the catalogue has changed."""
    global _shelf
    now, known = timezone.now().astimezone(UTC), catalogue()
    kept = _shelf
    if kept is None or kept.catalogue is not known or kept.until <= now:
        kept = _shelf = _make(known, now)
    return kept


def _make(known: Catalogue, now: datetime) -> Shelf:
    cards = {
        model.id: card_of(model, now, direct=model.id in known.direct) for model in known.by_id
    }
    serving = {id_ for card in cards.values() for id_ in card.providers}
    able = {each for card in cards.values() for each in card.capabilities}
    changes = (
        next_change(offer.prices, now)
        for model in known.models.values()
        for offer in model.offers
        if len(offer.prices) > 1 or any(rate.starts_at > now for rate in offer.prices)
    )
    return Shelf(
        catalogue=known,
        cards=cards,
        providers=tuple(
            (id_, provider.name) for id_, provider in PROVIDERS.items() if id_ in serving
        ),
        capabilities=tuple((each, capability_named(each)) for each in in_order(able)),
        until=min([midnight_after(now), *filter(None, changes)]),
    )


def card_of(model: Model, now: datetime, *, direct: bool, own: bool = False) -> Card:
    """The moment is in UTC."""
    offers = model.offers
    providers = sorted({offer.provider for offer in offers}, key=lambda id_: name_of(id_).lower())
    paid, spent = lowest(offers, now)
    ends = [offer.retires_on for offer in offers]
    # It goes with the last that serves it.
    retires_on = max(end for end in ends if end) if all(ends) else None
    other_names = [*model.aliases, *(offer.upstream_id for offer in offers)]
    return Card(
        model=model,
        direct=direct,
        context=max((offer.context for offer in offers if offer.context), default=model.context),
        max_output=max(
            (offer.max_output for offer in offers if offer.max_output), default=model.max_output
        ),
        capabilities=in_order(model.capabilities),
        providers=tuple(providers),
        input=paid,
        output=Figure(None) if "embeddings" in model.capabilities else spent,
        retires_on=retires_on,
        retired=retires_on is not None and retires_on < now.date(),
        called=f"{spaced(model.id)}{spaced(model.name)}",
        also_called="".join(map(spaced, other_names)),
        tight=" ".join(map(squeezed, (model.id, model.name, *other_names))),
        served_by="".join(spaced(name_of(id_)) for id_ in providers),
        own=own,
    )


def in_order(capabilities: Iterable[str]) -> tuple[str, ...]:
    """Known ones first, in the order in which they are told."""
    places = list(CAPABILITIES)
    return tuple(
        sorted(
            set(capabilities),
            key=lambda each: (places.index(each) if each in places else len(places), each),
        )
    )


def capability_named(id_: str) -> str:
    return CAPABILITIES.get(id_, id_.replace("_", " ").capitalize())


def spaced(text: str) -> str:
    """`openai/gpt-5.4` as ` openai gpt 5 4 `: what begins a word in it follows a space."""
    return f" {_NO_LETTER.sub(' ', text.lower()).strip()} "


def squeezed(text: str) -> str:
    """`GPT-5.4` as `gpt54`: for whoever leaves out dashes and dots, or puts others."""
    return _NO_LETTER.sub("", text.lower())
