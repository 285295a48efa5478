"""What offerings cost. Whoever sets one price of an offering has set them all."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from byok.actions.catalogue.writing import locked_offering, platform_held, say, tell
from byok.models import Offering, Price, Source
from orgs.audit import Event
from orgs.models import Account, User
from orgs.origin import Origin

#: What there is to a price; amounts in 10⁻¹² dollars a token.
PRICE_FIELDS = (
    "starts_at",
    "above_tokens",
    "hours",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_long",
)


class PriceGone(Exception):
    """The price was removed in the meantime, or gave way to those of another edition."""


class PriceExists(Exception):
    """Another price of the offering holds from the same moment for the same calls."""


def add_price(
    *, actor: User, offering: Offering, values: Mapping[str, object], origin: Origin
) -> Price:
    """Add a price to an offering, all of whose prices are staff's from then on.

    For staff. Raises `NotPermitted`, `OfferingGone`, `PriceExists`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        current = locked_offering(offering.pk)
        price = Price(offering=current, source=Source.STAFF, **values)
        refuse_second(price)
        price.save()
        _told(current, platform, actor, origin)
    return price


def change_price(
    *, actor: User, price: Price, values: Mapping[str, object], origin: Origin
) -> bool:
    """Give a price other `PRICE_FIELDS`. All prices of its offering are staff's from then on.

    For staff. Says whether that changed anything. Raises `NotPermitted`, `OfferingGone`,
    `PriceGone`, `PriceExists`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        offering = locked_offering(price.offering_id)
        current = _locked(price)
        changed = [field for field in values if getattr(current, field) != values[field]]
        if not changed:
            return False
        for field in changed:
            setattr(current, field, values[field])
        refuse_second(current)
        current.source = Source.STAFF
        current.save()
        _told(offering, platform, actor, origin)
    return True


def remove_price(*, actor: User, price: Price, origin: Origin) -> None:
    """Remove a price. All others of its offering are staff's from then on.

    For staff. Raises `NotPermitted`, `OfferingGone`, `PriceGone`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        offering = locked_offering(price.offering_id)
        _locked(price).delete()
        _told(offering, platform, actor, origin)


def refuse_second(price: Price) -> None:
    """Raises `PriceExists` where nobody could say which of two prices holds."""
    others = Price.objects.filter(
        offering=price.offering_id, starts_at=price.starts_at, above_tokens=price.above_tokens
    ).exclude(pk=price.pk)
    if any(_overlap(price.hours, other.hours) for other in others):
        raise PriceExists


# Any: the JSON of a price.
Hours = Sequence[Mapping[str, Any]] | None


def _overlap(some: Hours, others: Hours) -> bool:
    """One for all hours holds where none for these hours does, so the two get along."""
    if some is None or others is None:
        return some is others
    return any(
        set(one["days"]) & set(other["days"])
        and one["from"] < other["to"]
        and other["from"] < one["to"]
        for one in some
        for other in others
    )


def _locked(price: Price) -> Price:
    current = Price.objects.select_for_update().filter(pk=price.pk).first()
    if current is None:
        raise PriceGone
    return current


def _told(offering: Offering, platform: Account, actor: User, origin: Origin) -> None:
    say(offering, {}, ["prices"])
    offering.save(update_fields=["told_by"])
    tell(Event.OFFERING_CHANGED, offering, platform, actor, origin, changed=["prices"])
