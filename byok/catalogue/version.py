"""Whether the catalogue is still the one that was read, for one small query.

Whoever writes to it says `changed`; whoever keeps it in memory reads it again when `current` says
something else than when it was read.
"""

from uuid import UUID, uuid4

from byok.models import CatalogueVersion
from orgs.changes import announce


def hold() -> None:
    """Let no other writer in until this transaction ends, which may turn out to change nothing."""
    CatalogueVersion.objects.select_for_update().filter(pk=1).first()


def changed() -> None:
    """Let every process read the catalogue again once this transaction has committed.

    Said before the first row is written: writers take turns from here to the end of theirs.
    """
    CatalogueVersion.objects.update_or_create(pk=1, defaults={"version": uuid4()})
    announce("catalogue")


def current() -> UUID | None:
    """None while nobody has written any."""
    return CatalogueVersion.objects.values_list("version", flat=True).first()
