"""Writing changes into the catalogue, all of them in few queries."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from byok.catalogue import version
from byok.catalogue.changes import Change, Kind
from byok.catalogue.known import Known, from_json
from byok.models import CatalogModel, Offering, Price, Source

BATCH = 500

_ADDED_FIELDS = ("name", "context", "max_output", "capabilities", "aliases", "released_on")
_LIMITED_FIELDS = ("context", "max_output", "retires_on")


def write(known: Known, changes: Sequence[Change], told: Source, now: datetime) -> None:
    """Make the changes, which all still hold, within the caller's transaction, which has had the
    version from its start. What a source tells is its own from then on."""
    version.changed()
    by_kind: dict[Kind, list[Change]] = {kind: [] for kind in Kind}
    for change in changes:
        by_kind[change.kind].append(change)
    CatalogModel.objects.bulk_create(
        (_new_model(change, told) for change in by_kind[Kind.MODEL_ADDED]), batch_size=BATCH
    )
    _change_models(known, by_kind[Kind.MODEL_CHANGED], told)
    added = _add_offerings(by_kind[Kind.OFFERING_ADDED], told, now)
    priced = by_kind[Kind.PRICE_CHANGED]
    _change_offerings(known, by_kind[Kind.OFFERING_CHANGED], priced, told)
    Price.objects.bulk_create(
        [
            *(_price(row, price, told, now) for row, prices in added for price in prices),
            *(
                _price(known.at[change.provider, change.upstream_id], price, told, now)
                for change in priced
                for price in change.after
            ),
        ],
        batch_size=BATCH,
    )
    _mark(known, by_kind[Kind.MISSING], missing_since=now)
    _mark(known, by_kind[Kind.RETIRED], retired_at=now)
    back = by_kind[Kind.BACK]
    _mark(known, back, missing_since=None, retired_at=None)
    # What a list has had, no edition of the bundled catalogue retires.
    see((known.at[change.provider, change.upstream_id] for change in back), now)


def see(present: Iterable[Offering], now: datetime) -> None:
    """Note that the provider's list had these."""
    pks = [row.pk for row in present]
    seen = Offering.objects.filter(pk__in=pks)
    seen.filter(first_seen_at=None).update(first_seen_at=now)
    seen.update(last_seen_at=now)


def _new_model(change: Change, told: Source) -> CatalogModel:
    fields = {name: from_json(name, change.after[name]) for name in _ADDED_FIELDS}
    return CatalogModel(id=change.model, source=told, told_by=_tellers(fields, told), **fields)


def _change_models(known: Known, changes: Iterable[Change], told: Source) -> None:
    rows: dict[str, CatalogModel] = {}
    for change in changes:
        row = rows.setdefault(change.model, known.models[change.model])
        setattr(row, change.field, from_json(change.field, change.after))
        row.told_by = {**row.told_by, change.field: told}
    CatalogModel.objects.bulk_update(
        rows.values(),
        ["context", "max_output", "capabilities", "released_on", "told_by"],
        batch_size=BATCH,
    )


def _add_offerings(
    changes: Iterable[Change], told: Source, now: datetime
) -> list[tuple[Offering, list[dict[str, Any]]]]:
    """The new offerings with their prices as JSON."""
    listed = told == Source.LISTED
    confidence = Offering.Confidence.OBSERVED if listed else Offering.Confidence.REPORTED
    added = []
    for change in changes:
        fields = {name: from_json(name, change.after[name]) for name in _LIMITED_FIELDS}
        prices = change.after["prices"]
        row = Offering(
            model_id=change.model,
            provider=change.provider,
            upstream_id=change.upstream_id,
            direct=change.after["direct"],
            endpoints=change.after["endpoints"],
            confidence=confidence,
            source=told,
            told_by=_tellers({**fields, "prices": prices or None}, told),
            first_seen_at=now if listed else None,
            last_seen_at=now if listed else None,
            **fields,
        )
        added.append((row, prices))
    Offering.objects.bulk_create((row for row, _ in added), batch_size=BATCH)
    return added


def _change_offerings(
    known: Known, changes: Iterable[Change], priced: Iterable[Change], told: Source
) -> None:
    rows: dict[int, Offering] = {}
    for change in [*changes, *priced]:
        row = known.at[change.provider, change.upstream_id]
        rows[row.pk] = row
        if change.kind is Kind.OFFERING_CHANGED:
            setattr(row, change.field, from_json(change.field, change.after))
        row.told_by = {**row.told_by, change.field: told}
    Offering.objects.bulk_update(rows.values(), [*_LIMITED_FIELDS, "told_by"], batch_size=BATCH)


def _mark(known: Known, changes: Iterable[Change], **values: datetime | None) -> None:
    pks = [known.at[change.provider, change.upstream_id].pk for change in changes]
    if pks:
        Offering.objects.filter(pk__in=pks).update(**values)


# Any: JSON, as the changes hold it.


def _price(row: Offering, price: dict[str, Any], told: Source, now: datetime) -> Price:
    return Price(offering=row, starts_at=now, source=told, **price)


def _tellers(fields: dict[str, Any], told: Source) -> dict[str, str]:
    """That the source told what it did tell; the rest is for others to fill."""
    return {name: told for name, value in fields.items() if value not in (None, [])}
