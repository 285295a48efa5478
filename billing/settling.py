"""The end of calls: what each was charged and what it used, written together or not at all."""

from collections.abc import Sequence

from django.db import transaction

from billing.holds import Resolution, resolve
from billing.models import UsageRecord
from billing.usage import record_usage


def settle(records: Sequence[UsageRecord], resolutions: Sequence[Resolution]) -> None:
    """Resolve the holds of these calls and store the records of them and of others.

    A record gets the charge of its call, so that it agrees with the ledger. After a failure all of
    it can be done again: a hold is resolved once, and a request has one record. Raises
    OperationalError while there is no database to write to.
    """
    if not resolutions:
        record_usage(records)
        return
    with transaction.atomic():
        charged = resolve(resolutions)
        for record in records:
            record.charged_micros = charged.get(record.request_id, 0)
        record_usage(records)
