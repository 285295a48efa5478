"""The catalogue, as staff change it; told in the platform account's trail."""

from collections.abc import Mapping, Sequence

from django.db import transaction

from byok.actions.holding import hold
from byok.catalogue import load_bundled
from byok.models import CatalogModel, CatalogueLoad, Offering, Source
from orgs.audit import Event, Fact, Target, record
from orgs.changes import announce
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission

#: What staff may change of a model.
MODEL_FIELDS = ("name", "context", "max_output", "capabilities", "aliases")


class OfferingGone(Exception):
    """The offering left the catalogue in the meantime."""


class ModelGone(Exception):
    """The model left the catalogue in the meantime."""


def set_offering_enabled(*, actor: User, offering: Offering, enabled: bool, origin: Origin) -> bool:
    """Let requests be routed to the offering, or not; loading the catalogue again keeps it so.

    For staff. Says whether that changed anything. Raises `NotPermitted`, `OfferingGone`.
    """
    with transaction.atomic():
        platform = _platform(actor)
        current = Offering.objects.select_for_update().filter(pk=offering.pk).first()
        if current is None:
            raise OfferingGone
        if current.enabled == enabled:
            return False
        current.enabled = enabled
        current.save(update_fields=["enabled"])
        _told_of_catalogue(
            Event.OFFERING_CHANGED,
            current,
            platform,
            actor,
            origin,
            changed=["enabled"],
            details={"enabled": enabled},
        )
    return True


def change_model(
    *, actor: User, model: CatalogModel, values: Mapping[str, object], origin: Origin
) -> bool:
    """Give a model other `MODEL_FIELDS`. From then on the bundled catalogue leaves it alone.

    For staff. Says whether that changed anything. Raises `NotPermitted`, `ModelGone`.
    """
    with transaction.atomic():
        platform = _platform(actor)
        current = _locked_model(model)
        changed = [
            field
            for field in MODEL_FIELDS
            if field in values and getattr(current, field) != values[field]
        ]
        if not changed:
            return False
        for field in changed:
            setattr(current, field, values[field])
        current.source = Source.STAFF
        current.save(update_fields=[*changed, "source"])
        _told_of_catalogue(Event.MODEL_CHANGED, current, platform, actor, origin, changed=changed)
    return True


def restore_model(*, actor: User, model: CatalogModel, origin: Origin) -> bool:
    """Take back what staff changed of a model: it is again as the bundled catalogue has it.

    For staff. Says whether that changed anything. Raises `NotPermitted`, `ModelGone`.
    """
    with transaction.atomic():
        platform = _platform(actor)
        current = _locked_model(model)
        if current.source != Source.STAFF:
            return False
        _told_of_catalogue(
            Event.MODEL_CHANGED, current, platform, actor, origin, changed=["source"]
        )
        current.source = Source.BUNDLED
        current.save(update_fields=["source"])
        _load_again()
    return True


def reload_catalogue(*, actor: User, origin: Origin) -> None:
    """Load the bundled catalogue again; what staff set stays. For staff. Raises `NotPermitted`."""
    with transaction.atomic():
        platform = _platform(actor)
        _load_again()
        _told_of_catalogue(Event.CATALOGUE_RELOADED, platform, platform, actor, origin)


def _platform(actor: User) -> Account:
    """The platform account, in whose trail changes of the catalogue are told, held."""
    return hold(Account.objects.platform(), actor, Permission.ASSIST)


def _locked_model(model: CatalogModel) -> CatalogModel:
    current = CatalogModel.objects.select_for_update().filter(pk=model.pk).first()
    if current is None:
        raise ModelGone
    return current


def _load_again() -> None:
    """Load the edition that ships with this version, even if it is the one that was loaded last."""
    CatalogueLoad.objects.filter(source=Source.BUNDLED).update(edition="")
    load_bundled()


def _told_of_catalogue(
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
    announce("catalogue")
