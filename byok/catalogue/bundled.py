"""The catalogue that ships with MegaBrain, in `byok/bundled/catalogue.json`.

So a fresh machine knows models, limits and prices without a network. Migrating loads it into the
database, where sources bring it up to date and staff can edit it.
"""

import hashlib
import json
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from byok.catalogue import version
from byok.models import CatalogModel, CatalogueSource, Offering, Price, Source

BUNDLED = Path(__file__).parent.parent / "bundled" / "catalogue.json"


def load_bundled(file: Path = BUNDLED) -> bool:
    """Bring the database up to the bundled catalogue; says whether there was anything to do.

    One query when nothing changed. Whatever staff, a provider's list or a feed has told stays as it
    is, field by field (`told_by`), all prices of an offering being one. What has left the bundled
    file leaves the database, unless somebody else has told of it too. An offering whose announced
    day (`retires_on`) is over is retired, one whose day comes later by the next edition, or by its
    provider's list. Safe to run twice at once.
    """
    content = file.read_bytes()
    edition = hashlib.sha256(content).hexdigest()
    loads = CatalogueSource.objects.filter(name=CatalogueSource.BUNDLED)
    if loads.filter(edition=edition).exists():
        return False
    with transaction.atomic():
        # First, as every writer does: two that wait for each other would wait for good.
        version.hold()
        # Whoever comes second waits for this row, and then finds the work done.
        load, _ = loads.select_for_update().get_or_create(name=CatalogueSource.BUNDLED)
        if load.edition == edition:
            return False
        version.changed()
        entries = json.loads(content)["models"]
        _load_models(entries)
        _load_offerings(entries)
        _load_prices(entries)
        load.edition = edition
        load.read_at = load.asked_at = timezone.now()
        load.save()
    return True


# The entries are Any because they are the JSON of our own file; a test checks every one.


def _load_models(entries: list[dict[str, Any]]) -> None:
    fields = ["name", "context", "max_output", "capabilities", "aliases", "released_on"]
    known = CatalogModel.objects.in_bulk()
    rows = []
    for entry in entries:
        row = known.get(entry["id"]) or CatalogModel(id=entry["id"])
        for field in fields:
            if field not in row.told_by and row.source != Source.STAFF:
                setattr(row, field, entry.get(field))
        rows.append(row)
    CatalogModel.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["id"], update_fields=fields
    )


def _load_offerings(entries: list[dict[str, Any]]) -> None:
    """Offerings, and then the end of bundled models and offerings that are no longer listed."""
    known = {(row.provider, row.upstream_id, row.direct): row for row in Offering.objects.all()}
    listed, new, changed = set(), [], []
    for entry in entries:
        for offered in entry["offerings"]:
            place = _place(offered)
            listed.add(place)
            row = known.get(place)
            if row is not None and row.source == Source.STAFF:
                continue
            fields = {"model_id": entry["id"], **_fields(offered)}
            if row is None:
                provider, upstream_id, direct = place
                new.append(
                    Offering(provider=provider, upstream_id=upstream_id, direct=direct, **fields)
                )
                continue
            ours = {field: fields[field] for field in fields.keys() - _told_by_others(row)}
            if any(getattr(row, field) != value for field, value in ours.items()):
                for field, value in ours.items():
                    setattr(row, field, value)
                changed.append(row)
    gone = [
        row.pk
        for place, row in known.items()
        if place not in listed
        and row.source == Source.BUNDLED
        and row.last_seen_at is None
        and not row.told_by
    ]
    Offering.objects.filter(pk__in=gone).delete()
    Offering.objects.bulk_create(new)
    Offering.objects.bulk_update(changed, ["model", *_fields({})], batch_size=100)
    ids = [entry["id"] for entry in entries]
    bundled = CatalogModel.objects.filter(source=Source.BUNDLED, told_by={})
    bundled.exclude(id__in=ids).filter(offerings=None).delete()


def _fields(offered: dict[str, Any]) -> dict[str, Any]:
    """What the file tells of an offering, its model and its prices aside."""
    ends = parse_date(offered.get("retires_on", ""))
    over = ends if ends and ends < timezone.now().date() else None
    return {
        "endpoints": offered.get("endpoints"),
        "context": offered.get("context"),
        "max_output": offered.get("max_output"),
        "confidence": offered.get("confidence", Offering.Confidence.REPORTED),
        "note": offered.get("note", ""),
        "retires_on": ends,
        "retired_at": over and datetime.combine(over, time(), UTC),
    }


def _told_by_others(row: Offering) -> set[str]:
    """The fields that are not the file's to tell. Whether it has ended is neither, once a list has
    had the offering or somebody else has told of it or of its day."""
    told = set(row.told_by)
    if row.source != Source.BUNDLED or row.last_seen_at is not None or "retires_on" in told:
        told.add("retired_at")
    return told


def _load_prices(entries: list[dict[str, Any]]) -> None:
    offerings = {
        (row.provider, row.upstream_id, row.direct): row
        for row in Offering.objects.exclude(source=Source.STAFF)
        if "prices" not in row.told_by
    }
    Price.objects.filter(offering__in=offerings.values(), source=Source.BUNDLED).delete()
    Price.objects.bulk_create(
        Price(
            offering=offerings[_place(offered)],
            **{**price, "starts_at": parse_datetime(price["starts_at"])},
        )
        for entry in entries
        for offered in entry["offerings"]
        for price in offered["prices"]
        if _place(offered) in offerings
    )


def _place(offered: dict[str, Any]) -> tuple[str, str, bool]:
    """What tells an offering of the file from all others."""
    return offered["provider"], offered["upstream_id"], offered.get("direct", False)
