"""Work on a large body, done so that others have their turn."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Work on more bytes is done in a thread.
INLINE = 256 * 1024


async def in_turns(work: Callable[[], T], size: int) -> T:
    """The work on so many bytes; in a thread where it would hold up everybody else."""
    return work() if size <= INLINE else await asyncio.to_thread(work)
