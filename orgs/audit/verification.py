"""What is known of every chain of the audit log: verified up to which event, and when, or broken.

New events are verified as they come; every chain is also walked anew once a day, since what was
good may have been tampered with later. Both stop when their time is up and go on next time. What
was found is an `AuditCheck`, which the page reads. An event that was good once is compared with
later on, so a chain that was rebuilt contradicts it, and stays broken until it is restored.
"""

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

import structlog
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from orgs.audit.chain import BEGINNING, Chain, Fault, Link, contradiction, walk
from orgs.models import AuditCheck, AuditEvent, AuditHead

log = structlog.get_logger(__name__)

WALK_AGAIN = timedelta(days=1)
#: Workers verify every minute: an event that waits for longer than this tells that none does.
BEHIND = timedelta(minutes=15)
#: For one chain in a turn, so that a long one does not keep the others waiting.
TURN_SECONDS = 5.0
BATCH = 1000


def verify_new_events(seconds: float) -> None:
    """Go on from the last good event in each chain that has grown since."""
    deadline = time.monotonic() + seconds
    for account_id in _grown():
        if time.monotonic() >= deadline:
            return
        check = check_of(account_id)
        if not check.fault:
            chain = walk(account_id, Link(check.sequence, check.hash), _turn(deadline))
            _note(check, chain)


def walk_anew(seconds: float) -> None:
    """Walk chains from their beginning, the one first that has waited longest."""
    deadline = time.monotonic() + seconds
    for check in _due():
        if time.monotonic() >= deadline:
            return
        start = Link(check.walked_sequence, check.walked_hash)
        _note_walk(check, walk(check.account_id, start, _turn(deadline)))


def verify_whole(account_id: uuid.UUID) -> Chain:
    """Walk one chain from its beginning to its end, compare it with what is known, and note it."""
    check = check_of(account_id)
    return _note_walk(check, walk(account_id))


def note_altered(event: AuditEvent) -> None:
    """Somebody met an event that does not match its hash before a walk did."""
    check = check_of(event.account_id)
    if check.first_bad is None or event.sequence < check.first_bad:
        found = Chain(check.pk, check.sequence, check.hash, Fault.EDITED, event.sequence)
        _note(check, found)


def fault_of(check: AuditCheck) -> str:
    """What is wrong with the chain, in words; "" if nothing is known to be."""
    if not check.fault:
        return ""
    known = Fault.__members__.get(check.fault)
    return known.value if known else "a fault that another version of MegaBrain has found"


def is_behind(check: AuditCheck) -> bool:
    """Whether events wait to be verified that should have been long ago."""
    limit = timezone.now() - BEHIND
    if check.fault or check.checked_at is None or check.checked_at > limit:
        return False
    if not AuditHead.objects.filter(pk=check.pk, sequence__gt=check.sequence).exists():
        return False
    waiting = AuditEvent.objects.for_account(check.pk).filter(sequence=check.sequence + 1)
    return not waiting.filter(created_at__gt=limit).exists()


def compared(chain: Chain, noted: Link) -> Chain:
    """A chain that is sound in itself, compared with a link of it that was noted before."""
    found = contradiction(chain.account_id, noted)
    if found is None:
        return chain
    fault, first_bad = found
    # If a noted event is another one now, nothing vouches for those before it.
    good = chain.end if fault == Fault.GONE else BEGINNING
    return Chain(chain.account_id, good.sequence, good.hash, fault, first_bad)


def check_of(account_id: uuid.UUID) -> AuditCheck:
    check, _ = AuditCheck.objects.get_or_create(
        pk=account_id, defaults={"walked_at": timezone.now()}
    )
    return check


def _grown() -> Iterator[uuid.UUID]:
    """The accounts whose head is elsewhere than what was verified, but those known as broken."""
    known = AuditCheck.objects.filter(
        ~Q(fault="") | Q(sequence=OuterRef("sequence"), hash=OuterRef("hash")), pk=OuterRef("pk")
    )
    heads = AuditHead.objects.exclude(Exists(known)).exclude(sequence=0).order_by("pk")
    last = uuid.UUID(int=0)
    while found := list(heads.filter(pk__gt=last).values_list("pk", flat=True)[:BATCH]):
        yield from found
        last = found[-1]


def _due() -> Iterator[AuditCheck]:
    """The checks that are to be walked anew; each once, however far that takes it."""
    due = AuditCheck.objects.filter(walked_at__lt=timezone.now() - WALK_AGAIN)
    rest = due.order_by("walked_at", "pk")
    while found := list(rest[:BATCH]):
        yield from found
        last = found[-1]
        later = Q(walked_at__gt=last.walked_at) | Q(walked_at=last.walked_at, pk__gt=last.pk)
        rest = due.filter(later).order_by("walked_at", "pk")


def _turn(deadline: float) -> float:
    return min(deadline, time.monotonic() + TURN_SECONDS)


def _note_walk(check: AuditCheck, chain: Chain) -> Chain:
    """Keep what a walk from the beginning found, or how far it has come."""
    if chain.unfinished:
        _save(check, walked_sequence=chain.events, walked_hash=chain.head)
        return chain
    if not chain.fault:
        chain = compared(chain, Link(check.sequence, check.hash))
    _note(
        check,
        chain,
        walked_sequence=BEGINNING.sequence,
        walked_hash=BEGINNING.hash,
        walked_at=timezone.now(),
    )
    return chain


def _note(check: AuditCheck, chain: Chain, **also: object) -> None:
    if chain.fault:
        # The last good event stays: it is what a rebuilt chain is compared with.
        found = {"fault": chain.fault.name, "first_bad": chain.first_bad}
        if (check.fault, check.first_bad) != tuple(found.values()):
            log.error(
                "audit.chain_broken",
                account=str(chain.account_id),
                first_bad=chain.first_bad,
                fault=chain.fault.value,
            )
    else:
        found = {"fault": "", "first_bad": None, "sequence": chain.events, "hash": chain.head}
    _save(check, checked_at=timezone.now(), **found, **also)


def _save(check: AuditCheck, **values: object) -> None:
    """Unless another worker has noted something since `check` was read: its word stands."""
    AuditCheck.objects.filter(
        pk=check.pk, checked_at=check.checked_at, walked_sequence=check.walked_sequence
    ).update(**values)
