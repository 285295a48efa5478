"""Writing down what was used: one row a request, in batches, each request once."""

from collections.abc import Sequence

import structlog
from django.db import DataError, IntegrityError

from billing.models import UsageRecord

log = structlog.get_logger(__name__)


def record_usage(records: Sequence[UsageRecord]) -> int:
    """Store the records; says how many could not be.

    Storing a batch again after a failure is safe: a request has one row. A record that the
    database refuses does not keep the others out. Raises OperationalError while there is no
    database to write to.
    """
    try:
        UsageRecord.objects.bulk_create(records, ignore_conflicts=True)
    except (DataError, IntegrityError):
        if len(records) > 1:
            return sum(record_usage([record]) for record in records)
        log.exception("billing.usage.refused", request_id=str(records[0].request_id))
        return 1
    return 0
