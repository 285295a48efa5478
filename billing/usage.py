"""Writing down what was used: one row a request, in batches, each request once."""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from django.db import (
    DEFAULT_DB_ALIAS,
    DataError,
    IntegrityError,
    connections,
    models,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from billing.models import UsageRecord

log = structlog.get_logger(__name__)

_COLUMNS = [field for field in UsageRecord._meta.concrete_fields if not field.primary_key]
#: Others are written as they are.
_PREPARED = (models.UUIDField, models.JSONField, models.DateTimeField)


def record_usage(records: Sequence[UsageRecord]) -> int:
    """Store the records; says how many could not be.

    Storing a batch again after a failure is safe: a request has one row. A record that the
    database refuses does not keep the others out. Raises OperationalError while there is no
    database to write to.
    """
    try:
        _insert(records)
    except (DataError, IntegrityError, OverflowError, TypeError, ValueError):
        # The last three are a driver's, who cannot even send it.
        if len(records) > 1:
            return sum(record_usage([record]) for record in records)
        log.exception("billing.usage.refused", request_id=str(records[0].request_id))
        return 1
    return 0


def _insert(records: Sequence[UsageRecord]) -> None:
    """What `bulk_create` would do, at half its cost: there is one row for every call."""
    database = connections[DEFAULT_DB_ALIAS]
    quote = database.ops.quote_name
    names = ", ".join(quote(str(field.column)) for field in _COLUMNS)
    places = ", ".join(["%s"] * len(_COLUMNS))
    statement = (
        f"INSERT INTO {quote(UsageRecord._meta.db_table)} ({names}) VALUES ({places})"  # noqa: S608 -- names of our own.
        " ON CONFLICT DO NOTHING"
    )
    written = [_writer(field, database) for field in _COLUMNS]
    with transaction.atomic(), database.cursor() as cursor:
        cursor.executemany(statement, [[write(record) for write in written] for record in records])


def _writer(
    field: "models.Field[Any, Any]", database: BaseDatabaseWrapper
) -> Callable[[UsageRecord], Any]:
    """How the value of a field is taken from a record and given to the database."""
    name: str = field.attname
    if isinstance(field, _PREPARED):
        return lambda record: field.get_db_prep_save(getattr(record, name), database)
    return lambda record: getattr(record, name)
