"""Who of several workers asks the payment provider, of what, and for how long.

One that hangs takes its deadline over every call. So a run has a bound in seconds, only one is
under way at a time, and what it could not do waits its turn behind all others.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from uuid import uuid4

from django.core.cache import cache
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from billing.models import Payment

#: Asked in one run, and so many seconds of it; the next one goes on.
AT_ONCE = 50
SECONDS = 20.0
#: A worker that began to ask so long ago is gone: another goes on.
CLAIMED_FOR = timedelta(minutes=2)
#: Longer than a run takes: one that began before was killed, or the database keeps it waiting. No
#: time limit of Celery's ends it then, since a pool of threads has none; the next begins beside it.
RUN_SECONDS = 300
RUN = "payments:run"


@contextmanager
def only_run() -> Iterator[bool]:
    """Whether no other run is under way; if so, none begins meanwhile.

    It keeps workers free for other things. That nothing is done twice is up to claims.
    """
    mine = str(uuid4())
    alone = cache.add(RUN, mine, RUN_SECONDS)
    try:
        yield alone
    finally:
        # One that took too long leaves the mark of the next alone.
        if alone and cache.get(RUN) == mine:
            cache.delete(RUN)


def unclaimed(rows: QuerySet[Payment]) -> QuerySet[Payment]:
    """Those that no worker is at."""
    left = timezone.now() - CLAIMED_FOR
    return rows.filter(Q(charging_at=None) | Q(charging_at__lt=left))


def claimed(rows: QuerySet[Payment], seconds: float) -> Iterator[Payment]:
    """Those that no worker is at, one by one, each claimed; as they were before that.

    Whichever was not touched for longest comes first: one that cannot be done keeps none of the
    others waiting.
    """
    until = monotonic() + seconds
    longest_untouched = F("charging_at").asc(nulls_first=True)
    for payment in unclaimed(rows).order_by(longest_untouched, "created_at")[:AT_ONCE]:
        if monotonic() > until:
            return
        this = rows.filter(pk=payment.pk, charging_at=payment.charging_at)
        if this.update(charging_at=timezone.now()):
            yield payment
