"""All that the catalogue says, as rows to compare a source with, and who is believed over whom."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any

from byok.catalogue.changes import Change, Kind
from byok.catalogue.spelling import Spellings, resolve, spellings
from byok.models import CatalogModel, Offering, Price, Source

Place = tuple[str, str]
#: Later ones are believed over earlier ones.
_RANKS = {source.value: rank for rank, source in enumerate(Source)}
PARTS = ("input", "output", "cache_read", "cache_write", "cache_write_long")


@dataclass(frozen=True)
class Known:
    """The whole catalogue, those that nobody serves included."""

    models: Mapping[str, CatalogModel]
    offerings: Sequence[Offering]
    prices: Mapping[int, Sequence[Price]]

    @cached_property
    def direct(self) -> frozenset[str]:
        """The models that are offered only directly."""
        beside = {row.model_id for row in self.offerings if not row.direct}
        return frozenset(row.model_id for row in self.offerings) - beside

    @cached_property
    def names(self) -> Spellings:
        """Every name that a model has already."""
        called = {id_: list(row.aliases) for id_, row in self.models.items()}
        for row in self.offerings:
            called[row.model_id].append(row.upstream_id)
        return spellings(called.items(), self.direct)

    @cached_property
    def at(self) -> Mapping[Place, Offering]:
        return {(row.provider, row.upstream_id): row for row in self.offerings}

    @cached_property
    def by_model(self) -> Mapping[str, Sequence[Offering]]:
        found: dict[str, list[Offering]] = {}
        for row in self.offerings:
            found.setdefault(row.model_id, []).append(row)
        return found

    @cached_property
    def amounts(self) -> Mapping[str, list[int]]:
        """By part of a price, all that is or was taken for it anywhere, each once."""
        rows = [row for prices in self.prices.values() for row in prices]
        found = {part: {getattr(row, part) for row in rows} for part in PARTS}
        return {part: sorted(each - {None, 0}) for part, each in found.items()}

    @cached_property
    def endpoints(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """By provider and vendor, those to which most of the vendor's models are limited there."""
        found: dict[tuple[str, str], Counter[tuple[str, ...]]] = {}
        for row in self.offerings:
            if row.endpoints:
                place = row.provider, vendor(row.model_id)
                found.setdefault(place, Counter())[tuple(row.endpoints)] += 1
        return {place: counted.most_common(1)[0][0] for place, counted in found.items()}

    def of(self, provider: str) -> list[Offering]:
        return [row for row in self.offerings if row.provider == provider]

    def limit(self, offering: Offering, field: str) -> int | None:
        """A limit as it holds for an offering: its own, or else its model's."""
        own: int | None = getattr(offering, field)
        model: int | None = getattr(self.models[offering.model_id], field)
        return model if own is None else own

    def current(self, offering: Offering, now: datetime) -> list[Price]:
        """The prices of which one is in force, whatever the hour and the prompt."""
        begun = [row for row in self.prices.get(offering.pk, ()) if row.starts_at <= now]
        # One that holds for all prompts at all hours has ended whatever began before it.
        flat = [row.starts_at for row in begun if not row.above_tokens and row.hours is None]
        since = max(flat, default=None)
        latest: dict[tuple[int, str], Price] = {}
        for row in sorted(begun, key=lambda row: row.starts_at):
            if since is None or row.starts_at >= since:
                latest[row.above_tokens, str(row.hours)] = row
        return [latest[key] for key in sorted(latest)]

    def still_holds(self, change: Change, told: Source, as_of: datetime, now: datetime) -> bool:
        """Whether what a source told at `as_of` still changes what it was compared with."""
        model = self.models.get(change.model)
        row = self.at.get((change.provider, change.upstream_id))
        match change.kind:
            case Kind.MODEL_ADDED:
                # No other model may be called so by now, either.
                return resolve(change.model, self.names) is None
            case Kind.OFFERING_ADDED:
                return row is None
            case Kind.MODEL_CHANGED:
                return (
                    model is not None
                    and may_tell(told, model, change.field)
                    and as_json(getattr(model, change.field)) == change.before
                )
        if row is None or row.model_id != change.model:
            return False
        match change.kind:
            case Kind.OFFERING_CHANGED:
                limited = change.field in ("context", "max_output")
                value = self.limit(row, change.field) if limited else getattr(row, change.field)
                return may_tell(told, row, change.field) and as_json(value) == change.before
            case Kind.PRICE_CHANGED:
                prices = [price_as_json(price) for price in self.current(row, now)]
                return may_tell(told, row, "prices") and prices == change.before
        # Whether it is retired staff may have said.
        if not may_tell(told, row, "retired_at"):
            return False
        match change.kind:
            case Kind.MISSING:
                seen = row.last_seen_at
                return seen is not None and seen <= as_of and row.missing_since is None
            case Kind.RETIRED:
                return row.missing_since is not None and row.retired_at is None
            case _:
                return row.missing_since is not None or row.retired_at is not None

    def with_models(self, changes: Sequence[Change]) -> list[Change]:
        """The changes without new offerings of models that are neither known nor among them."""
        added = {change.model for change in changes if change.kind is Kind.MODEL_ADDED}
        return [
            change
            for change in changes
            if change.kind is not Kind.OFFERING_ADDED
            or change.model in added
            or change.model in self.models
        ]


def known() -> Known:
    """As it is in the database, in three queries whatever its size."""
    prices: dict[int, list[Price]] = {}
    for price in Price.objects.all():
        prices.setdefault(price.offering_id, []).append(price)
    return Known(
        models=CatalogModel.objects.in_bulk(),
        offerings=list(Offering.objects.order_by("pk")),
        prices=prices,
    )


def told_by(row: CatalogModel | Offering, field: str) -> str:
    """Who set a field, or `prices`."""
    if row.source == Source.STAFF:
        return Source.STAFF
    found: str = row.told_by.get(field, Source.BUNDLED)
    return found


def may_tell(source: Source, row: CatalogModel | Offering, field: str) -> bool:
    """Whether nobody who is believed over the source has set the field."""
    return _RANKS[told_by(row, field)] <= _RANKS[source]


def price_as_json(price: Price) -> dict[str, Any]:
    return {
        "above_tokens": price.above_tokens,
        "hours": price.hours,
        **{part: getattr(price, part) for part in PARTS},
    }


def as_json(value: Any) -> Any:  # Any: of whichever field.
    return value.isoformat() if isinstance(value, date) else value


def from_json(field: str, value: Any) -> Any:  # Any: of whichever field.
    return date.fromisoformat(value) if value and field.endswith("_on") else value


def vendor(model: str) -> str:
    return model.partition("/")[0]
