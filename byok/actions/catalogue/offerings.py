"""Who serves the models of the catalogue."""

from collections.abc import Iterable, Mapping

from django.db import transaction
from django.utils import timezone

from byok.actions.catalogue.models import ModelGone
from byok.actions.catalogue.writing import (
    NotOurs,
    load_again,
    locked_offering,
    platform_held,
    said_by_staff,
    say,
    tell,
    unsay,
)
from byok.catalogue.naming import is_of_a_plan, refuse_taken
from byok.models import CatalogModel, Offering, Price, Source
from byok.providers import PROVIDERS
from orgs.audit import Event
from orgs.models import User
from orgs.origin import Origin

#: What staff may say of an offering, beside its prices and whether it is retired.
OFFERING_FIELDS = (
    "enabled",
    "endpoints",
    "context",
    "max_output",
    "retires_on",
    "confidence",
    "note",
)


class OfferingExists(Exception):
    """The offering cannot be added; says why, in a sentence."""


def add_offering(
    *,
    actor: User,
    model_id: str,
    provider: str,
    upstream_id: str,
    values: Mapping[str, object],
    origin: Origin,
) -> Offering:
    """Add an offering of staff's own, with some of `OFFERING_FIELDS`, and as yet without a price.

    For staff. Raises `NotPermitted`, `ModelGone`, `OfferingExists`, `NameTaken`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        if not CatalogModel.objects.select_for_update().filter(pk=model_id).exists():
            raise ModelGone
        refuse_offering(model_id, provider, upstream_id)
        row = Offering.objects.create(
            model_id=model_id,
            provider=provider,
            upstream_id=upstream_id,
            direct=PROVIDERS[provider].direct,
            source=Source.STAFF,
            **values,
        )
        tell(Event.OFFERING_ADDED, row, platform, actor, origin)
    return row


def refuse_offering(model_id: str, provider_id: str, upstream_id: str) -> None:
    """Raises `OfferingExists` or `NameTaken` where the provider cannot be said to serve the model
    under that id."""
    provider = PROVIDERS[provider_id]
    there = Offering.objects.filter(provider=provider_id, upstream_id=upstream_id).first()
    if there is not None:
        raise OfferingExists(f"{provider.name} serves {there.model_id} under this id already.")
    if provider.direct and model_id.partition("/")[0] != provider_id:
        raise OfferingExists(
            f"What {provider.name} offers is called directly: its models begin with {provider_id}/."
        )
    if not provider.direct and is_of_a_plan(model_id):
        raise OfferingExists(f"{model_id} is called directly, and only its own provider serves it.")
    if not provider.direct:
        refuse_taken(model_id, upstream_id=upstream_id)


def change_offering(
    *,
    actor: User,
    offering: Offering,
    values: Mapping[str, object],
    pinned: Iterable[str] = (),
    taken_back: Iterable[str] = (),
    origin: Origin,
) -> bool:
    """Give an offering other `OFFERING_FIELDS`; these, and the `pinned` ones as they are, no source
    changes any more. Those `taken_back`, of which `prices` and `retired_at` may be, are again as
    sources tell them.

    For staff. Says whether that changed anything. Raises `NotPermitted`, `OfferingGone`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        current = locked_offering(offering.pk)
        taken = _unsay(current, taken_back)
        changed = [*say(current, values, pinned), *taken]
        if not changed:
            return False
        current.save()
        if taken:
            load_again()
        tell(Event.OFFERING_CHANGED, current, platform, actor, origin, changed=changed)
    return True


def restore_offering(*, actor: User, offering: Offering, origin: Origin) -> bool:
    """Take back all that staff said of an offering, its prices included.

    For staff. Says whether that changed anything. Raises `NotPermitted`, `OfferingGone`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        current = locked_offering(offering.pk)
        taken = _unsay(current, said_by_staff(current))
        if not taken:
            return False
        current.save()
        load_again()
        tell(Event.OFFERING_CHANGED, current, platform, actor, origin, changed=taken)
    return True


def set_offering_enabled(*, actor: User, offering: Offering, enabled: bool, origin: Origin) -> bool:
    """Let requests be routed to the offering, or not; no source changes that.

    For staff. Says whether that changed anything. Raises `NotPermitted`, `OfferingGone`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        current = locked_offering(offering.pk)
        if current.enabled == enabled:
            return False
        if enabled:
            # Only staff say this: one that is enabled is as it was before.
            unsay(current, ["enabled"])
            current.enabled = True
        else:
            say(current, {"enabled": False})
        current.save(update_fields=["enabled", "told_by"])
        tell(
            Event.OFFERING_CHANGED,
            current,
            platform,
            actor,
            origin,
            changed=["enabled"],
            details={"enabled": enabled},
        )
    return True


def set_offering_retired(*, actor: User, offering: Offering, retired: bool, origin: Origin) -> bool:
    """Take the offering out of routing, or bring it back, whatever its provider's lists have from
    then on.

    For staff. Says whether that changed anything. Raises `NotPermitted`, `OfferingGone`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        current = locked_offering(offering.pk)
        if (current.retired_at is not None) == retired:
            return False
        say(current, {"retired_at": timezone.now() if retired else None})
        current.save(update_fields=["retired_at", "told_by"])
        tell(
            Event.OFFERING_CHANGED,
            current,
            platform,
            actor,
            origin,
            changed=["retired_at"],
            details={"retired": retired},
        )
    return True


def remove_offering(*, actor: User, offering: Offering, origin: Origin) -> None:
    """Remove an offering that staff added, and its prices.

    For staff. Raises `NotPermitted`, `OfferingGone`, `NotOurs`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        current = locked_offering(offering.pk)
        if current.source != Source.STAFF:
            raise NotOurs
        tell(Event.OFFERING_REMOVED, current, platform, actor, origin)
        current.delete()
        # The edition may have this offering by now.
        load_again()


def _unsay(current: Offering, fields: Iterable[str]) -> list[str]:
    taken = unsay(current, fields)
    if "prices" in taken:
        Price.objects.filter(offering=current, source=Source.STAFF).delete()
    return taken
