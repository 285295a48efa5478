"""Asking a source of the catalogue, and making of its answer a change set.

Whoever asks has a lease on the source, so that two never do at once. The answer is fetched and read
before anything is written; then one transaction has all of it: the changes, their change set and
audit event, and how the source is doing. So whoever is killed leaves nothing but the lease, and
once that is over the source is due again.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from byok.catalogue import applying, version
from byok.catalogue.asking import SECONDS, NotRead, Told, ask, sources
from byok.catalogue.changes import PRESENCE, Change, read
from byok.catalogue.comparing import Comparison
from byok.catalogue.doubts import bounded, doubts, unsure
from byok.catalogue.known import known
from byok.models import CatalogueSource, ChangeSet, Offering, ProviderKey, Source
from byok.providers import PROVIDERS
from byok.served import served_lately
from orgs.audit import Event, record
from orgs.models import Account
from orgs.origin import Origin

__all__ = ["NotRead", "Outcome", "apply", "due", "preview", "refresh", "sources", "withdraw"]

log = structlog.get_logger(__name__)

#: Longer than a task may take, so that nobody else begins while one is at work.
LEASE = timedelta(minutes=5)
#: What staff dismissed is not proposed again for so long.
DISMISSED_FOR = timedelta(days=30)
LONGEST_TROUBLE = 300
#: More failures in a row are not counted.
MOST_AWAY = 1_000

State = ChangeSet.State


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking one source."""

    source: str
    #: The one that waits for staff, or else the one that was applied. None where nothing was to be
    #: changed, or where nothing could be read.
    change_set: ChangeSet | None = None
    #: Why nothing could be read, or why not all was applied, in sentences; "" otherwise.
    trouble: str = ""
    #: Whether somebody else was asking it at the same time, so nothing was done.
    busy: bool = False


def due() -> list[str]:
    """The sources whose time to be asked has come, those among them whose asking was broken off."""
    hours = settings.MEGABRAIN_CATALOGUE_HOURS
    if not hours:
        return []
    now = timezone.now()
    rows = CatalogueSource.objects.in_bulk()
    return [name for name in sources() if _is_due(rows.get(name), now, timedelta(hours=hours))]


def _is_due(row: CatalogueSource | None, now: datetime, every: timedelta) -> bool:
    if row is None or row.asked_at is None:
        return True
    if row.lease_until is not None:
        return row.lease_until <= now
    return row.asked_at + every <= now


def preview(source: str) -> tuple[list[Change], list[str]]:
    """What asking the source would change, and the doubts about it; changes nothing.

    Raises NotRead.
    """
    found = _compared(source, ask(source), timezone.now())
    changes = _without_dismissed(source, found)
    return changes, doubts(found) + unsure(_of(changes, found.partial)) + _notes(found)


def refresh(source: str, seconds: float = SECONDS) -> Outcome:
    """Ask the source, and apply what it tells or keep it for staff. Never raises for what the
    source answers, and leaves nothing half-written wherever it is killed."""
    lease = _take(source)
    if lease is None:
        return Outcome(source, busy=True)
    try:
        told = ask(source, seconds)
    except NotRead as failed:
        return _not_read(source, lease, failed)
    with transaction.atomic():
        # Before anything is compared: no other writer changes it meanwhile.
        version.hold()
        row = _held(source, lease)
        if row is None:
            return Outcome(source, busy=True)
        outcome = _settle(row, told)
    log.info(
        "byok.catalogue.refreshed",
        source=source,
        changes=len(outcome.change_set.changes) if outcome.change_set else 0,
        trouble=outcome.trouble,
    )
    return outcome


def apply(change_set: ChangeSet) -> None:
    """Make a waiting change set true, within the caller's transaction, which has had the version
    from its start. What no longer fits what is known by now is left out."""
    now, rows, told = timezone.now(), known(), _teller(change_set.source)
    holding = [
        change
        for change in read(change_set.changes)
        if rows.still_holds(change, told, change_set.created_at, now)
    ]
    applying.write(rows, rows.with_models(holding), told, now)


def withdraw(source: str) -> None:
    """Nothing of the source waits any more: forget that, within the caller's transaction."""
    CatalogueSource.objects.filter(name=source).update(trouble="", told_at=None, claimed_at=None)


def _take(source: str) -> datetime | None:
    """Until when this process alone asks the source; None if somebody else does."""
    now = timezone.now()
    CatalogueSource.objects.get_or_create(name=source)
    free = CatalogueSource.objects.filter(Q(lease_until=None) | Q(lease_until__lte=now))
    lease = now + LEASE
    taken = free.filter(name=source).update(lease_until=lease, asked_at=now)
    return lease if taken else None


def _held(source: str, lease: datetime) -> CatalogueSource | None:
    """The source while the lease is ours; whoever was too slow has lost it to another."""
    rows = CatalogueSource.objects.select_for_update()
    return rows.filter(name=source, lease_until=lease).first()


def _not_read(source: str, lease: datetime, failed: NotRead) -> Outcome:
    with transaction.atomic():
        row = _held(source, lease)
        if row is None:
            return Outcome(source, busy=True)
        _in_trouble(row, str(failed))
        row.away = min(row.away + 1, MOST_AWAY) if failed.passing else 0
        row.lease_until = None
        row.save()
    log.warning("byok.catalogue.not_read", source=source, trouble=row.trouble)
    return Outcome(source, trouble=row.trouble)


def _settle(row: CatalogueSource, told: Told) -> Outcome:
    """Apply what is believed, keep the rest for staff, and note how the source is doing."""
    now = timezone.now()
    found = _compared(row.name, told, now)
    changes = _without_dismissed(row.name, found)
    doubted = doubts(found)
    wait, why = _for_staff(found, changes, doubted)
    waits = {_what(change) for change in wait}
    at_once = [change for change in changes if _what(change) not in waits]
    applied = None
    if at_once:
        applying.write(found.known, at_once, found.source, now)
        applied = ChangeSet.objects.create(
            source=row.name,
            state=State.APPLIED,
            changes=[change.as_json() for change in at_once],
            counts=_counts(at_once),
            created_at=now,
            decided_at=now,
        )
    if not doubted:
        applying.see(found.present, now)
    waiting, is_another = _keep(row.name, wait, why, now)
    _in_trouble(row, " ".join([*why, *_notes(found)]), is_another=is_another and not doubted)
    row.edition, row.read_at, row.lease_until, row.away = told.edition, now, None, 0
    row.save()
    if applied is not None:
        _record(Event.CATALOGUE_REFRESHED, applied)
    return Outcome(row.name, waiting or applied, row.trouble)


def _for_staff(
    found: Comparison, changes: Sequence[Change], doubted: Sequence[str]
) -> tuple[list[Change], list[str]]:
    """The changes that staff are to judge, and why."""
    if doubted:
        return list(changes), list(doubted)
    if settings.MEGABRAIN_CATALOGUE_REVIEW:
        wait = [change for change in changes if change.kind not in PRESENCE]
        return wait, [f"It would change {len(wait)} things."] if wait else []
    wait = _of(changes, found.partial)
    return wait, unsure(wait)


def _keep(
    source: str, wait: Sequence[Change], why: Sequence[str], now: datetime
) -> tuple[ChangeSet | None, bool]:
    """The change set that waits, in place of one that did, and whether it is another one."""
    waiting = ChangeSet.objects.select_for_update().filter(source=source, state=State.WAITING)
    before = waiting.first()
    changes = [change.as_json() for change in wait]
    if before is not None and before.changes == changes:
        return before, False
    if before is not None:
        before.state, before.decided_at = State.DISMISSED, now
        before.save(update_fields=["state", "decided_at"])
        _record(Event.CATALOGUE_DISMISSED, before)
    if not changes:
        return None, False
    return ChangeSet.objects.create(
        source=source,
        state=State.WAITING,
        changes=changes,
        counts=_counts(wait),
        doubts=list(why),
        created_at=now,
    ), True


def _in_trouble(row: CatalogueSource, trouble: str, *, is_another: bool = False) -> None:
    """Note why not all was done. Staff are told again only when it is something else."""
    if len(trouble) > LONGEST_TROUBLE:
        trouble = trouble[: LONGEST_TROUBLE - 1] + "…"
    if trouble != row.trouble or is_another:
        row.told_at = row.claimed_at = None
    row.trouble = trouble


def _compared(source: str, told: Told, now: datetime) -> Comparison:
    grace = timedelta(days=settings.MEGABRAIN_CATALOGUE_GRACE_DAYS)
    answering = _answering(source, now - grace)
    found = Comparison(known(), _teller(source), now, grace, answering)
    for id_, listed in told.models.items():
        if id_ in PROVIDERS:
            found.compare(PROVIDERS[id_], listed, is_its_own=told.is_own)
    return found


def _answering(source: str, since: datetime) -> set[int]:
    """What the source's list has lacked since then, and whose calls were answered since all the
    same: a list is that of one key, and others may be of another region or host."""
    served = served_lately(OuterRef("pk"), OuterRef(OuterRef("model_id")), since)
    keys = ProviderKey.objects.filter(served, provider=OuterRef("provider"))
    missing = Offering.objects.filter(Exists(keys), provider=source, missing_since__lte=since)
    return set(missing.values_list("pk", flat=True))


def _teller(source: str) -> Source:
    return Source.FEED if source == CatalogueSource.FEED else Source.LISTED


def _without_dismissed(source: str, found: Comparison) -> list[Change]:
    """The changes that staff have not dismissed of late."""
    lately = ChangeSet.objects.filter(
        source=source, state=State.DISMISSED, decided_at__gt=found.now - DISMISSED_FOR
    ).exclude(decided_by=None)
    # Any: JSON, as changes hold it.
    refused: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for each in lately:
        for change in read(each.changes):
            refused[_what(change)].append(change.after)
    return found.known.with_models(
        [change for change in found.changes if change.after not in refused[_what(change)]]
    )


def _what(change: Change) -> tuple[str, ...]:
    return change.kind, change.model, change.provider, change.upstream_id, change.field


def _of(changes: Sequence[Change], some: Sequence[Change]) -> list[Change]:
    """Those of the changes that are among some."""
    names = {_what(change) for change in some}
    return [change for change in changes if _what(change) in names]


def _notes(found: Comparison) -> list[str]:
    """What staff are to know although it keeps nothing from being applied."""
    return bounded(
        [f"It lists {id_}, which is a model of another company." for id_ in found.foreign],
        "are other companies' models",
    )


def _record(event: Event, change_set: ChangeSet) -> None:
    """Tell in the platform account's trail what was done by itself."""
    record(
        event=event,
        account=Account.objects.platform(),
        actor=None,
        target=change_set,
        origin=Origin(),
        details={"source": change_set.source, **change_set.counts},
    )


def _counts(changes: Sequence[Change]) -> dict[str, int]:
    return Counter(str(change.kind) for change in changes)
