"""Where a sealed value lives, and so the only place where it opens."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

PRODUCT = "megabrain"


def length_prefixed(parts: Iterable[bytes]) -> bytes:
    """The parts as one string of bytes that no other list of parts gives."""
    return b"".join(len(part).to_bytes(4) + part for part in parts)


@dataclass(frozen=True, slots=True)
class Context:
    """The identity of a row, bound to its sealed value as associated data."""

    table: str
    column: str
    row_id: str
    account_id: str
    provider: str

    def bound_to(self, header: bytes) -> bytes:
        """The associated data under which a value with this header is encrypted."""
        return _identity(self) + length_prefixed((header,))


@lru_cache(maxsize=4096)  # The gateway opens the same few rows again and again.
def _identity(context: Context) -> bytes:
    parts = (
        PRODUCT,
        context.table,
        context.column,
        context.row_id,
        context.account_id,
        context.provider,
    )
    return length_prefixed(part.encode() for part in parts)
