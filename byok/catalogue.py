"""The models MegaBrain knows, and how a caller's spelling of one finds it.

The catalogue ships with the project in `bundled/catalogue.json`, so a fresh machine knows models,
limits and prices without a network. Migrating loads it into the database, where staff can edit it.
"""

import difflib
import hashlib
import json
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime

from byok.models import CatalogModel, CatalogueLoad, Offering, Price, ProviderKey, Source
from byok.providers import PROVIDERS
from byok.providers.endpoints import SERVED
from orgs.changes import announce
from orgs.models import Account

BUNDLED = Path(__file__).parent / "bundled" / "catalogue.json"
LONGEST_NAME = 200


def load_bundled(file: Path = BUNDLED) -> bool:
    """Bring the database up to the bundled catalogue; says whether there was anything to do.

    One query when nothing changed. Rows that staff wrote (`source="staff"`) stay as they are, as
    does whether an offering is enabled; an offering any of whose prices staff set keeps all of
    its prices. What has left the bundled file leaves the database. Safe to run twice at once.
    """
    content = file.read_bytes()
    edition = hashlib.sha256(content).hexdigest()
    if CatalogueLoad.objects.filter(source=Source.BUNDLED, edition=edition).exists():
        return False
    with transaction.atomic():
        # Whoever comes second waits for this row, and then finds the work done.
        load, _ = CatalogueLoad.objects.select_for_update().get_or_create(source=Source.BUNDLED)
        if load.edition == edition:
            return False
        entries = json.loads(content)["models"]
        _load_models(entries)
        _load_offerings(entries)
        _load_prices(entries)
        load.edition = edition
        load.save()
        announce("catalogue")
    return True


# The entries are Any because they are the JSON of our own file; a test checks every one.


def _load_models(entries: list[dict[str, Any]]) -> None:
    fields = ["name", "context", "max_output", "capabilities", "aliases", "released_on"]
    kept = set(CatalogModel.objects.filter(source=Source.STAFF).values_list("id", flat=True))
    CatalogModel.objects.bulk_create(
        [
            CatalogModel(id=entry["id"], **{field: entry.get(field) for field in fields})
            for entry in entries
            if entry["id"] not in kept
        ],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=fields,
    )


def _load_offerings(entries: list[dict[str, Any]]) -> None:
    """Offerings, and then the end of bundled models and offerings that are no longer listed."""
    fields = ["endpoints", "confidence", "note"]
    listed = {
        _place(offered): Offering(
            model_id=entry["id"],
            provider=offered["provider"],
            upstream_id=offered["upstream_id"],
            direct=offered.get("direct", False),
            **{field: offered[field] for field in fields if field in offered},
        )
        for entry in entries
        for offered in entry["offerings"]
    }
    kept, gone = set(), []
    for row in Offering.objects.all():
        place = (row.provider, row.upstream_id, row.direct)
        if row.source == Source.STAFF:
            kept.add(place)
        elif place not in listed:
            gone.append(row.pk)
    Offering.objects.filter(pk__in=gone).delete()
    Offering.objects.bulk_create(
        [offering for place, offering in listed.items() if place not in kept],
        update_conflicts=True,
        unique_fields=["provider", "upstream_id", "direct"],
        update_fields=["model", *fields],
    )
    ids = [entry["id"] for entry in entries]
    bundled = CatalogModel.objects.filter(source=Source.BUNDLED)
    bundled.exclude(id__in=ids).filter(offerings=None).delete()


def _load_prices(entries: list[dict[str, Any]]) -> None:
    by_staff = Price.objects.filter(source=Source.STAFF).values("offering")
    ours = Offering.objects.filter(source=Source.BUNDLED).exclude(pk__in=by_staff)
    offerings = {(row.provider, row.upstream_id, row.direct): row for row in ours}
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


def callable_models() -> Iterable[tuple[str, str]]:
    """Id and name of every model that somebody serves, for choosing from."""
    return CatalogModel.objects.filter(offerings__enabled=True).values_list("id", "name").distinct()


def served_models(account: Account) -> dict[str, list[str]]:
    """By endpoint, the models that the account's enabled keys serve there, with tools.

    Those whose provider speaks that dialect itself come before those it is translated for; among
    them the ones that keys are tested with, which are cheap, come first, and the others follow by
    id. What is offered only directly comes last.
    """
    held: dict[str, set[str]] = defaultdict(set)
    keys = ProviderKey.objects.for_account(account).enabled()
    for id_, host in keys.values_list("provider", "host"):
        if id_ in PROVIDERS:
            held[id_].add(host)
    ranks: dict[str, dict[str, tuple[bool, bool, int]]] = defaultdict(dict)
    for offering in Offering.objects.serving().filter(provider__in=held):
        provider, upstream_id = PROVIDERS[offering.provider], offering.upstream_id
        if not any(provider.serves(upstream_id, host) for host in held[provider.id]):
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


def direct_entries() -> set[str]:
    """Ids of the models that are offered only directly.

    Their keys are never spent by accident: no shorter name means such an entry, and what a provider
    offers directly serves no other model.
    """
    return set(CatalogModel.objects.offered_only_directly().values_list("pk", flat=True))


def spellings(
    models: Iterable[tuple[str, Iterable[str]]], direct: Container[str] = ()
) -> dict[str, str]:
    """Every spelling by which a model may be asked for, lower-case, with the id it means.

    `models` are pairs of id and aliases. The vendor's prefix is optional. Ids come before what
    is left of them without the vendor, and those before aliases; a spelling that two models of
    the same rank share means neither, so no request ends up at another vendor's model. A model
    of `direct` is known by its id alone, and takes no spelling from the others.
    """
    ranks: tuple[dict[str, set[str]], ...] = ({}, {}, {})
    for model_id, aliases in models:
        vendor, _, name = model_id.rpartition("/")
        _note(ranks[0], model_id, model_id)
        if model_id in direct:
            continue
        _note(ranks[1], name, model_id)
        for alias in aliases:
            _note(ranks[2], alias, model_id)
            if vendor and "/" not in alias:
                _note(ranks[2], f"{vendor}/{alias}", model_id)
    known: dict[str, set[str]] = {}
    for rank in ranks:
        known = {**rank, **known}
    return {spelling: min(ids) for spelling, ids in known.items() if len(ids) == 1}


def _note(rank: dict[str, set[str]], spelling: str, model_id: str) -> None:
    rank.setdefault(spelling.lower(), set()).add(model_id)


def resolve(name: str, known: Mapping[str, str]) -> str | None:
    """The id of the model a caller means, or None; `known` comes from `spellings`."""
    return known.get(name.strip().lower())


def near_matches(
    name: str, known: Mapping[str, str], direct: Container[str] = (), limit: int = 3
) -> list[str]:
    """Ids that a misspelt name may have meant, most likely first, for an error message.

    Only names without their vendor are compared, once a name, to stay quick with thousands. A model
    of `direct` is suggested only to who typed its prefix: it takes a key that others do not.
    """
    prefix, _, asked = name.strip().lower()[:LONGEST_NAME].rpartition("/")
    names: dict[str, str] = {}
    for model_id in known.values():
        vendor, _, short = model_id.lower().rpartition("/")
        if vendor == prefix or (short not in names and model_id not in direct):
            names[short] = model_id
    close = difflib.get_close_matches(asked, names, n=limit, cutoff=0.6)
    return [names[near] for near in close]
