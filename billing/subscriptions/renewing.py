"""What the clock does for subscriptions: renews them, tries again, ends them."""

from collections.abc import Iterator
from datetime import datetime
from time import monotonic
from uuid import UUID

import structlog

from billing.models import Subscription
from billing.subscriptions.actions import come_due

BATCH = 200
#: Of one run, of which there is one an hour; the next goes on.
SECONDS = 2400.0

log = structlog.get_logger(__name__)


def renew_due(now: datetime, seconds: float = SECONDS) -> int:
    """Do with every subscription what it is due for by `now`; how many there were.

    Each in a transaction of its own: one that cannot be done is logged, left for the next run, and
    keeps none of the others waiting. Safe to run twice, or twice at once.
    """
    done, until = 0, monotonic() + seconds
    for subscription_id in _due(now):
        if monotonic() > until:
            break
        try:
            come_due(subscription_id=subscription_id, now=now)
        except Exception:
            log.exception("billing.subscription.not_renewed", subscription=str(subscription_id))
        else:
            done += 1
    return done


def _due(now: datetime) -> Iterator[UUID]:
    """By their ids, in batches, so that one that stays due is not met twice."""
    rows = Subscription.objects.due(now).order_by("pk").values_list("pk", flat=True)
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1])[:BATCH])
