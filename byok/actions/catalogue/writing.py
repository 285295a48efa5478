"""What staff's changes of the catalogue have in common: who may, what is theirs, who is told.

What staff say of a field is theirs from then on (`told_by`), and no source changes it until they
take it back. Of a model or an offering that they added, everything is.
"""

from collections.abc import Iterable, Mapping, Sequence

from byok.actions.holding import hold
from byok.catalogue import version
from byok.catalogue.bundled import load_bundled
from byok.models import CatalogModel, CatalogueSource, Offering, Source
from orgs.audit import Event, Fact, Target, record
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission

#: What holds of a field that nobody tells. The others stay as they are until a source tells them.
_UNTOLD: Mapping[type, Mapping[str, object]] = {
    CatalogModel: {"context": None, "max_output": None, "released_on": None, "aliases": []},
    Offering: {
        "enabled": True,
        "context": None,
        "max_output": None,
        "retires_on": None,
        "retired_at": None,
        "note": "",
    },
}


class OfferingGone(Exception):
    """The offering left the catalogue in the meantime."""


class NotOurs(Exception):
    """Staff remove only what staff added."""


def platform_held(actor: User) -> Account:
    """The platform account, in whose trail changes of the catalogue are told, held."""
    version.changed()
    return hold(Account.objects.platform(), actor, Permission.ASSIST)


def locked_offering(pk: int) -> Offering:
    """Raises `OfferingGone`."""
    current = Offering.objects.select_for_update().filter(pk=pk).first()
    if current is None:
        raise OfferingGone
    return current


def say(
    row: CatalogModel | Offering, values: Mapping[str, object], pinned: Iterable[str] = ()
) -> list[str]:
    """Give the unsaved row these values, and make them, and the `pinned` ones as they are, staff's.

    Returns the names of what is another, or told by another, than before.
    """
    changed = {field for field in values if getattr(row, field) != values[field]}
    for field in changed:
        setattr(row, field, values[field])
    if row.source != Source.STAFF:
        changed |= {field for field in pinned if row.told_by.get(field) != Source.STAFF}
        row.told_by = {**row.told_by, **dict.fromkeys(changed, Source.STAFF)}
    return sorted(changed)


def said_by_staff(row: CatalogModel | Offering) -> list[str]:
    return sorted(field for field, by in row.told_by.items() if by == Source.STAFF)


def unsay(row: CatalogModel | Offering, fields: Iterable[str]) -> list[str]:
    """Let sources tell these fields of the unsaved row again; returns those that were staff's.

    Once it is saved, `load_again` brings back what the bundled edition has.
    """
    untold = _UNTOLD[type(row)]
    taken = [field for field in said_by_staff(row) if field in set(fields)]
    row.told_by = {field: by for field, by in row.told_by.items() if field not in taken}
    for field in taken:
        if field in untold:
            setattr(row, field, untold[field])
    return taken


def load_again() -> None:
    """Load the edition that ships with this version, even if it is the one that was loaded last."""
    CatalogueSource.objects.filter(name=CatalogueSource.BUNDLED).update(edition="")
    load_bundled()


def tell(
    event: Event,
    target: Target,
    platform: Account,
    actor: User,
    origin: Origin,
    *,
    changed: Sequence[str] = (),
    details: Mapping[str, Fact] | None = None,
) -> None:
    record(
        event=event,
        account=platform,
        actor=actor,
        target=target,
        origin=origin,
        changed=changed,
        details=details,
    )
