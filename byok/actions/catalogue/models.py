"""The models of the catalogue."""

from collections.abc import Iterable, Mapping

from django.db import transaction

from byok.actions.catalogue.writing import (
    NotOurs,
    load_again,
    platform_held,
    said_by_staff,
    say,
    tell,
    unsay,
)
from byok.catalogue.naming import NameTaken, refuse_taken
from byok.models import CatalogModel, Source
from orgs.audit import Event
from orgs.models import User
from orgs.origin import Origin

#: What staff may say of a model.
MODEL_FIELDS = ("name", "context", "max_output", "capabilities", "aliases", "released_on")


class ModelGone(Exception):
    """The model left the catalogue in the meantime."""


class ModelInUse(Exception):
    """A model is removed only after all its offerings."""


def add_model(
    *, actor: User, id_: str, values: Mapping[str, object], origin: Origin
) -> CatalogModel:
    """Add a model of staff's own, with some of `MODEL_FIELDS`; nobody serves it yet.

    For staff. Raises `NotPermitted`, `NameTaken`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        aliases = values.get("aliases", ())
        assert isinstance(aliases, list | tuple)
        if CatalogModel.objects.filter(pk=id_).exists():
            raise NameTaken(f"“{id_}” means {id_} already.")
        refuse_taken(id_, aliases=aliases)
        row = CatalogModel(id=id_, source=Source.STAFF, **values)
        row.save(force_insert=True)
        tell(Event.MODEL_ADDED, row, platform, actor, origin)
    return row


def change_model(
    *,
    actor: User,
    model: CatalogModel,
    values: Mapping[str, object],
    pinned: Iterable[str] = (),
    taken_back: Iterable[str] = (),
    origin: Origin,
) -> bool:
    """Give a model other `MODEL_FIELDS`; these, and the `pinned` ones as they are, no source
    changes any more. Those `taken_back` are again as sources tell them.

    For staff. Says whether that changed anything. Raises `NotPermitted`, `ModelGone`, `NameTaken`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        current = _locked(model)
        aliases = values.get("aliases")
        if isinstance(aliases, list) and aliases != current.aliases:
            refuse_taken(current.pk, aliases=aliases)
        taken = unsay(current, taken_back)
        changed = [*say(current, values, pinned), *taken]
        if not changed:
            return False
        current.save()
        if taken:
            load_again()
        tell(Event.MODEL_CHANGED, current, platform, actor, origin, changed=changed)
    return True


def restore_model(*, actor: User, model: CatalogModel, origin: Origin) -> bool:
    """Take back all that staff said of a model: it is again as its sources tell it.

    For staff. Says whether that changed anything. Raises `NotPermitted`, `ModelGone`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        current = _locked(model)
        taken = unsay(current, said_by_staff(current))
        if not taken:
            return False
        current.save()
        load_again()
        tell(Event.MODEL_CHANGED, current, platform, actor, origin, changed=taken)
    return True


def remove_model(*, actor: User, model: CatalogModel, origin: Origin) -> None:
    """Remove a model that staff added and nobody serves.

    For staff. Raises `NotPermitted`, `ModelGone`, `NotOurs`, `ModelInUse`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        current = _locked(model)
        if current.source != Source.STAFF:
            raise NotOurs
        if current.offerings.exists():
            raise ModelInUse
        tell(Event.MODEL_REMOVED, current, platform, actor, origin)
        current.delete()
        # The edition may have a model of that id by now.
        load_again()


def _locked(model: CatalogModel) -> CatalogModel:
    current = CatalogModel.objects.select_for_update().filter(pk=model.pk).first()
    if current is None:
        raise ModelGone
    return current
