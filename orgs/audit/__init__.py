"""The audit log: written with each change, linked into a chain, read, verified and exported.

Whoever changes something needs `record` and `Event`; docs/audit.md tells the rest of the story.
"""

from orgs.audit.log import (
    NOBODY,
    Fact,
    NotInTransaction,
    NotRecordable,
    Target,
    link,
    record,
)
from orgs.events import Event

__all__ = [
    "NOBODY",
    "Event",
    "Fact",
    "NotInTransaction",
    "NotRecordable",
    "Target",
    "link",
    "record",
]
