"""The catalogue as values, for whoever must not ask the database or asks it too often."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from byok.catalogue import version
from byok.catalogue.hours import hold
from byok.catalogue.spelling import Spellings, direct_entries, resolve, spellings
from byok.models import CatalogModel, Offering, Price
from byok.models.catalogue import served_at
from byok.providers import PROVIDERS
from byok.providers.base import Endpoint


@dataclass(frozen=True, slots=True)
class Rate:
    """A price as `byok.models.Price` stores it, in 10⁻¹² dollars a token."""

    starts_at: datetime
    above_tokens: int
    # Any: JSON, {"days", "from", "to"}.
    hours: Sequence[Mapping[str, Any]] | None
    input: int
    output: int
    cache_read: int | None
    cache_write: int | None
    cache_write_long: int | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider serves a model under this id, at these endpoints and prices.

    The endpoints are in the order in which the provider would rather be spoken to. Limits are in
    tokens, None where nobody knows them.
    """

    provider: str
    upstream_id: str
    endpoints: tuple[Endpoint, ...]
    prices: tuple[Rate, ...]
    context: int | None = None
    max_output: int | None = None
    retires_on: date | None = None
    confidence: str = Offering.Confidence.REPORTED
    note: str = ""

    def is_priced(self, at: datetime) -> bool:
        """Whether it is known what a call made then costs, be it as short as can be."""
        return any(
            rate.starts_at <= at
            and rate.above_tokens == 0
            and (rate.hours is None or hold(rate.hours, at))
            for rate in self.prices
        )


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    name: str
    context: int | None
    max_output: int | None
    capabilities: tuple[str, ...]
    created: int
    offers: tuple[Offer, ...]
    #: Other ids that callers send for it; what providers call it is in `offers`.
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """All models that somebody serves, by id, and every spelling by which one is asked for."""

    version: UUID | None
    models: dict[str, Model]
    known: Spellings
    #: Those that are known by their id alone, since a key of their own pays for them.
    direct: frozenset[str]
    #: By provider and upstream id, what staff have switched off or retired.
    withheld: frozenset[tuple[str, str]] = frozenset()

    def find(self, name: str) -> Model | None:
        found = resolve(name, self.known)
        return self.models.get(found) if found else None

    @cached_property
    def offered(self) -> frozenset[tuple[str, str]]:
        """By provider and upstream id, what is in the catalogue, switched off or not."""
        served = (offer for model in self.models.values() for offer in model.offers)
        return self.withheld.union((offer.provider, offer.upstream_id) for offer in served)

    @cached_property
    def by_id(self) -> tuple[Model, ...]:
        """The models in the order of their ids."""
        return tuple(self.models[id_] for id_ in sorted(self.models))


_remembered: Catalogue | None = None


def catalogue() -> Catalogue:
    """The catalogue as of now: in one small query while it is as this process read it last.

    The same object as before, then, so what was made of it can be kept beside it.
    """
    global _remembered
    # Asked before the rows are read: if they change meanwhile, this version is not theirs, and the
    # next caller reads them again.
    now = version.current()
    remembered = _remembered
    if remembered is None or now is None or remembered.version != now:
        remembered = _remembered = _read(now)
    return remembered


class _ModelRow(NamedTuple):
    id: str
    name: str
    context: int | None
    max_output: int | None
    capabilities: list[str]
    aliases: list[str]
    released_on: date | None


class _OfferRow(NamedTuple):
    pk: int
    model_id: str
    direct: bool
    provider: str
    upstream_id: str
    endpoints: list[str] | None
    context: int | None
    max_output: int | None
    retires_on: date | None
    confidence: str
    note: str


_OF_RATE = tuple(field.name for field in fields(Rate))
_OF_MODEL = _ModelRow._fields  # noqa: SLF001 -- what its documentation says to use.
_OF_OFFER = _OfferRow._fields  # noqa: SLF001 -- as above.


def _read(as_of: UUID | None) -> Catalogue:
    # As tuples: to make Django's models of thousands of rows takes several times as long, during
    # which others in the process wait.
    rates: dict[int, list[Rate]] = {}
    for offering_id, *price in Price.objects.values_list("offering_id", *_OF_RATE):
        rates.setdefault(offering_id, []).append(Rate(*price))
    direct = direct_entries()
    models = itertools.starmap(_ModelRow, CatalogModel.objects.values_list(*_OF_MODEL))
    rows = {row.id: row for row in models}
    offers: dict[str, list[Offer]] = {}
    routable = Offering.objects.routable().order_by("provider", "pk")
    for row in itertools.starmap(_OfferRow, routable.values_list(*_OF_OFFER)):
        # A model that was added just now comes with the next version.
        model = rows.get(row.model_id)
        if model and row.provider in PROVIDERS and row.direct == (model.id in direct):
            offer = _offer(row, model, tuple(rates.get(row.pk, ())))
            offers.setdefault(model.id, []).append(offer)
    served = {id_: _model(rows[id_], tuple(offers[id_])) for id_ in offers}
    return Catalogue(
        version=as_of,
        models=served,
        known=spellings(
            (
                (id_, [*model.aliases, *(offer.upstream_id for offer in model.offers)])
                for id_, model in served.items()
            ),
            direct,
        ),
        direct=frozenset(direct),
        withheld=frozenset(Offering.objects.withheld().values_list("provider", "upstream_id")),
    )


def _offer(row: _OfferRow, model: _ModelRow, rates: tuple[Rate, ...]) -> Offer:
    return Offer(
        provider=row.provider,
        upstream_id=row.upstream_id,
        endpoints=served_at(row.provider, row.endpoints),
        prices=rates,
        context=row.context if row.context is not None else model.context,
        max_output=row.max_output if row.max_output is not None else model.max_output,
        retires_on=row.retires_on,
        confidence=row.confidence,
        note=row.note,
    )


def _model(row: _ModelRow, offers: tuple[Offer, ...]) -> Model:
    released = row.released_on
    created = datetime.combine(released, time(), UTC) if released else None
    return Model(
        id=row.id,
        name=row.name,
        context=row.context,
        max_output=row.max_output,
        capabilities=tuple(row.capabilities),
        created=int(created.timestamp()) if created else 0,
        offers=offers,
        aliases=tuple(row.aliases),
    )
