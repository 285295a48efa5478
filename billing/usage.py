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

from billing import rollup
from billing.models import UsageRecord

log = structlog.get_logger(__name__)

_COLUMNS = [field for field in UsageRecord._meta.concrete_fields if not field.primary_key]
#: Others are written as they are.
_PREPARED = (models.UUIDField, models.JSONField, models.DateTimeField)


class _SomeKnown(Exception):
    """Some of the records were there already, and the database did not say which."""


def record_usage(records: Sequence[UsageRecord]) -> int:
    """Store the records and add them to the sums by day; says how many could not be stored.

    Storing a batch again after a failure is safe: a request has one row, and is summed up with it,
    in the same transaction. A record that the database refuses does not keep the others out.
    Locks rows in one order, whoever stores what: where wallets or holds are changed in the same
    transaction, this comes last. Only where it leaves such a record out it stores one after the
    other, and may have to wait for whoever waits for it. Raises OperationalError then, and while
    there is no database to write to.
    """
    if not records:
        return 0
    try:
        _store(records)
    except (AttributeError, DataError, IntegrityError, OverflowError, TypeError, ValueError):
        # All but two are a driver's or our own, who cannot even send it.
        if len(records) > 1:
            return sum(record_usage([record]) for record in records)
        log.exception("billing.usage.refused", request_id=str(records[0].request_id))
        return 1
    return 0


def _store(records: Sequence[UsageRecord]) -> None:
    in_order = sorted(records, key=lambda record: record.request_id)
    try:
        with transaction.atomic():
            _insert_new(in_order)
            rollup.add(in_order)
    except _SomeKnown:
        with transaction.atomic():
            rollup.add(_insert_unknown(in_order))


def _insert_new(records: Sequence[UsageRecord]) -> None:
    """What `bulk_create` would do, at half its cost: there is one row for every call.

    Raises `_SomeKnown`.
    """
    statement, rows = _prepared(records)
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.executemany(statement, rows)
        if cursor.rowcount != len(records):
            raise _SomeKnown


def _insert_unknown(records: Sequence[UsageRecord]) -> list[UsageRecord]:
    """The same one by one; those of the records that were not there."""
    statement, rows = _prepared(records)
    inserted = []
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        for record, row in zip(records, rows, strict=True):
            cursor.execute(statement, row)
            if cursor.rowcount == 1:
                inserted.append(record)
    return inserted


def _prepared(records: Sequence[UsageRecord]) -> tuple[str, list[list[Any]]]:
    """The statement for one row, which does nothing if there is one, and its values for each."""
    database = connections[DEFAULT_DB_ALIAS]
    quote = database.ops.quote_name
    names = ", ".join(quote(str(field.column)) for field in _COLUMNS)
    places = ", ".join(["%s"] * len(_COLUMNS))
    statement = (
        f"INSERT INTO {quote(UsageRecord._meta.db_table)} ({names}) VALUES ({places})"  # noqa: S608 -- names of our own.
        " ON CONFLICT DO NOTHING"
    )
    for record in records:
        record.counted = True
    written = [_writer(field, database) for field in _COLUMNS]
    return statement, [[write(record) for write in written] for record in records]


def _writer(
    field: "models.Field[Any, Any]", database: BaseDatabaseWrapper
) -> Callable[[UsageRecord], Any]:
    """How the value of a field is taken from a record and given to the database."""
    name: str = field.attname
    if isinstance(field, _PREPARED):
        return lambda record: field.get_db_prep_save(getattr(record, name), database)
    return lambda record: getattr(record, name)
