"""How tests with real transactions empty the database: past the triggers of the audit log.

Django empties every table after such a test, which the triggers rightly refuse. This command, only
installed by tests/settings.py, takes Django's place, as the owner of the tables, and puts the
triggers back exactly as they were.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import flush
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

PROTECTED = ("orgs_auditevent", "orgs_audithead")


class Command(flush.Command):
    def handle(self, **options: Any) -> None:
        with unprotected(connections[options["database"]]):
            super().handle(**options)


@contextmanager
def unprotected(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Without the triggers of the audit log, as somebody with all rights over the database."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for table in PROTECTED:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            try:
                yield
            finally:
                for table in PROTECTED:
                    cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        else:
            cursor.execute(
                "SELECT name, sql FROM sqlite_master"
                " WHERE type = 'trigger' AND tbl_name IN (%s, %s)",
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
