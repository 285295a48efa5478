"""Where the catalogue comes from, and what of it staff are to judge."""

import structlog
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from byok.actions.catalogue.writing import load_again, platform_held, tell
from byok.actions.holding import hold
from byok.catalogue import refresh
from byok.models import CatalogueSource, ChangeSet
from byok.tasks import ONE_MORE_TRY, refresh_catalogue
from orgs.audit import Event
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission

log = structlog.get_logger(__name__)


class ChangesDecided(Exception):
    """The changes were applied or dismissed in the meantime, or gave way to newer ones."""


class UnknownSource(Exception):
    """No source of the catalogue has this name here."""


class NotAsked(Exception):
    """The task queue cannot be reached, so nobody will ask the source."""


def reload_catalogue(*, actor: User, origin: Origin) -> None:
    """Load the bundled catalogue again; what staff set stays. For staff. Raises `NotPermitted`."""
    with transaction.atomic():
        platform = platform_held(actor)
        load_again()
        tell(Event.CATALOGUE_RELOADED, platform, platform, actor, origin)


def apply_change_set(*, actor: User, change_set: ChangeSet, origin: Origin) -> None:
    """Make waiting changes true, as far as they still fit: what was changed since stays as it is.

    For staff. Raises `NotPermitted`, `ChangesDecided`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        decided = _decided(change_set, ChangeSet.State.APPLIED, actor)
        refresh.apply(decided)
        tell(Event.CATALOGUE_APPLIED, decided, platform, actor, origin)


def dismiss_change_set(*, actor: User, change_set: ChangeSet, origin: Origin) -> None:
    """Leave the catalogue as it is. The source's next answers are not asked about the same again
    for some time.

    For staff. Raises `NotPermitted`, `ChangesDecided`.
    """
    with transaction.atomic():
        platform = platform_held(actor)
        decided = _decided(change_set, ChangeSet.State.DISMISSED, actor)
        tell(Event.CATALOGUE_DISMISSED, decided, platform, actor, origin)


def refresh_source(*, actor: User, source: str, origin: Origin) -> None:
    """Have a worker ask the source, one of `byok.catalogue.refresh.sources`, whenever it was last
    asked.

    For staff. Raises `NotPermitted`, `UnknownSource`, `NotAsked`.
    """
    if source not in refresh.sources():
        raise UnknownSource
    with transaction.atomic():
        platform = hold(Account.objects.platform(), actor, Permission.ASSIST)
        row, _ = CatalogueSource.objects.get_or_create(name=source)
        tell(Event.CATALOGUE_ASKED, row, platform, actor, origin)
    try:
        refresh_catalogue.apply_async((source,), retry_policy=ONE_MORE_TRY)
    except (OperationalError, OSError) as error:
        log.error("byok.catalogue.not_queued", source=source, error=str(error))
        raise NotAsked from None


def _decided(change_set: ChangeSet, state: ChangeSet.State, actor: User) -> ChangeSet:
    """The waiting change set, decided by whoever acts. Raises `ChangesDecided`."""
    waiting = ChangeSet.objects.select_for_update().filter(state=ChangeSet.State.WAITING)
    current = waiting.filter(pk=change_set.pk).first()
    if current is None:
        raise ChangesDecided
    current.state, current.decided_at, current.decided_by = state, timezone.now(), actor
    current.save(update_fields=["state", "decided_at", "decided_by"])
    refresh.withdraw(current.source)
    return current
