"""How tests with real transactions empty the database: quickly, and past its append-only triggers.

Django empties every table after such a test and then lets every app fill it as after migrating.
This command, only installed by tests/settings.py, takes Django's place. What migrating filled in
(the catalogue, permissions, content types) stays if the test left every row of it as it was, and
the tables that the test filled are emptied; otherwise Django's way is taken, so no change outlives
its test. The triggers of the audit log, which rightly refuse all this, are put back as they were.
Who still writes is waited for, but not for ever: a transaction that somebody left open fails the
test, with a word on what it did last.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import flush
from django.db import OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

PROTECTED = ("orgs_auditevent", "orgs_audithead", "billing_ledgerentry")

#: How long whoever has a table is waited for. SQLite waits as long as its connection says.
SECONDS = 60.0

# By table, every row; a row is whatever the database's driver makes of it.
Rows = dict[str, list[tuple[Any, ...]]]


class Command(flush.Command):
    #: By database, what was in it when it had been emptied and filled as after migrating.
    fresh: dict[str, Rows] = {}

    def handle(self, **options: Any) -> None:
        database = options["database"]
        connection = connections[database]
        with transaction.atomic(using=database):
            tables = locked(connection)
            self.empty(database, tables, options)

    def empty(self, database: str, tables: list[str], options: dict[str, Any]) -> None:
        connection = connections[database]
        with unprotected(connection):
            if not refills(options):
                super().handle(**options)
            elif not (database in self.fresh and reset(connection, tables, self.fresh[database])):
                super().handle(**options)
                self.fresh[database] = rows(connection, filled(connection, tables))


def refills(options: dict[str, Any]) -> bool:
    """Whether no more is asked for than after a test: rows go, apps fill in theirs again."""
    return not (
        options["interactive"]
        or options.get("reset_sequences", True)
        or options.get("inhibit_post_migrate", False)
    )


def reset(connection: BaseDatabaseWrapper, tables: list[str], fresh: Rows) -> bool:
    """Empty all tables but those of `fresh`; does nothing and says so if these are not as then."""
    if rows(connection, fresh) != fresh:
        return False
    with connection.cursor() as cursor:
        # In any order: foreign keys are checked when the transaction ends.
        for table in filled(connection, tables) - fresh.keys():
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
    return True


def locked(connection: BaseDatabaseWrapper) -> list[str]:
    """The names of all tables, once whoever writes to one has ended; nobody else begins to."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    if connection.vendor == "postgresql":  # SQLite has one writer at a time, which we are.
        with connection.cursor() as cursor:
            names = ", ".join(map(connection.ops.quote_name, tables))
            # For all that follows, too: to truncate a table, its readers are waited for.
            cursor.execute(f"SET LOCAL lock_timeout = {SECONDS * 1000:.0f}")
            try:
                with transaction.atomic(using=connection.alias):
                    cursor.execute(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
            except OperationalError as error:
                raise LeftOpen(others(connection)) from error
    return tables


class LeftOpen(Exception):
    """Somebody keeps a transaction open, so the database cannot be emptied: who, doing what."""


def others(connection: BaseDatabaseWrapper) -> list[str]:
    """Every other transaction on this database of PostgreSQL's, and its last statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, state, now() - xact_start, query FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND xact_start IS NOT NULL ORDER BY xact_start"
        )
        return [f"{pid}, {state} for {age}: {query}" for pid, state, age, query in cursor]


def filled(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> set[str]:
    """Those of the tables that have any rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(table)})"
                for table in tables
            )
        )
        return {table for (table,) in cursor.fetchall()}


def rows(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> Rows:
    """All rows of the tables, in the order of their keys."""
    found = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY 1")
            found[table] = cursor.fetchall()
    return found


@contextmanager
def unprotected(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Without the append-only triggers, as somebody with all rights over the database."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            switch_triggers(cursor, "DISABLE")
            try:
                yield
            finally:
                switch_triggers(cursor, "ENABLE")
        else:
            places = ", ".join(["%s"] * len(PROTECTED))
            cursor.execute(
                "SELECT name, sql FROM sqlite_master"
                f" WHERE type = 'trigger' AND tbl_name IN ({places})",
                PROTECTED,
            )
            triggers = cursor.fetchall()
            for name, _ in triggers:
                cursor.execute(f"DROP TRIGGER {name}")
            try:
                yield
            finally:
                for _, statement in triggers:
                    cursor.execute(statement)


def switch_triggers(cursor: CursorWrapper, how: str) -> None:
    # No table is altered while constraints about it are yet to be checked.
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table in PROTECTED:
        cursor.execute(f"ALTER TABLE {table} {how} TRIGGER USER")
    cursor.execute("SET CONSTRAINTS ALL DEFERRED")
