"""What the tests of several guarantees have in common."""

import pytest
from django.db import connection

from tests.guarantees.watch import Watch


@pytest.fixture
def broken_audit_log(db, owner):
    """A database that refuses every audit event."""
    refuse_events()


def refuse_events() -> None:
    """Have it refuse every one from now on, as a full disk or a bad migration would."""
    refuse = {
        "sqlite": [
            """
            CREATE TRIGGER refuse_events BEFORE INSERT ON orgs_auditevent
            BEGIN SELECT RAISE(ABORT, 'no room'); END
        """
        ],
        "postgresql": [
            "ALTER TABLE orgs_auditevent ADD CONSTRAINT refuse_events CHECK (id < 0) NOT VALID"
        ],
    }
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Constraints checked at the end of the transaction would forbid altering the table.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in refuse[connection.vendor]:
            cursor.execute(statement)


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Watch:
    return Watch(caplog, capfd)
