"""Money set aside for the calls of this process, for as long as they run.

A hold is made before the first attempt with one of MegaBrain's own keys, in threads of their own;
whoever writes down the call resolves it. Meanwhile its lease is renewed, so that no sweeper takes
it for that of a process which died.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Barrier
from uuid import UUID
from weakref import WeakValueDictionary

import structlog
from django.db import DatabaseError, InterfaceError, connection, connections

from billing.holds import RENEW_SECONDS, LimitReached, renew, reserve
from billing.ledger import Frozen, NotEnough
from megabrain.gateway.call import Call, Hold
from megabrain.gateway.callers import Caller
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.unpaid import frozen, limit_reached, not_enough

THREADS = 4
#: Of one account at a time: they wait for each other's locks anyway, and where somebody else holds
#: its wallet, other accounts are not to wait for that.
THREADS_OF_ONE = 2
#: After a renewal that failed; a lease is longer than both together.
RENEW_AGAIN_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Funds:
    """The holds of one process. Lives on one event loop; a hold is `resolved` from any thread."""

    def __init__(self, release: Callable[[Hold], None]) -> None:
        """`release` gives back a hold whose call was over before it was made."""
        self._release = release
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="funds")
        # However many wait for a lock, the leases go on.
        self._renewal = ThreadPoolExecutor(1, thread_name_prefix="leases")
        self._turns: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()
        self._open: set[UUID] = set()
        self._renewing = asyncio.get_running_loop().create_task(self._renew())

    async def reserve(self, call: Call, amount_micros: int) -> None:
        """Set the amount aside for the call. Raises Problem, and then nothing is."""
        assert call.caller is not None
        account_id = call.caller.account_id
        async with self._turns.setdefault(account_id, asyncio.Semaphore(THREADS_OF_ONE)):
            await self._reserve(call, call.caller, amount_micros)

    async def _reserve(self, call: Call, caller: Caller, amount_micros: int) -> None:
        hold = Hold(call.id, caller.account_id, partial(self._open.discard, call.id))
        making: Future[None] = self._pool.submit(
            _run,
            partial(
                reserve,
                request_id=call.id,
                account_id=caller.account_id,
                user_id=caller.user_id,
                token_id=caller.token_id,
                amount_micros=amount_micros,
                spenders=caller.spenders,
                at=call.created_at,
            ),
        )
        try:
            await asyncio.wrap_future(making)
        except asyncio.CancelledError:
            # The thread may be at it. Then it is given back as soon as it is made.
            making.add_done_callback(partial(self._too_late, hold))
            raise
        except NotEnough as error:
            raise not_enough(caller, error.available_micros, amount_micros) from None
        except LimitReached as error:
            raise limit_reached(caller, error, amount_micros, call.created_at) from None
        except Frozen:
            raise frozen(caller) from None
        except (DatabaseError, InterfaceError, OSError) as error:
            log.warning("funds.database_down", error=type(error).__name__)
            # Whether it was made before the connection broke, nobody here knows.
            self._release(hold)
            raise Problem(
                Code.SERVICE_UNAVAILABLE,
                "MegaBrain cannot reach its database just now, and so cannot set aside what this "
                "call may cost. Try again in a moment.",
                retry_after=2,
            ) from None
        self._open.add(call.id)
        call.hold = hold

    def _too_late(self, hold: Hold, making: "Future[None]") -> None:
        if not making.cancelled() and making.exception() is None:
            self._release(hold)

    async def _renew(self) -> None:
        pause = RENEW_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = RENEW_SECONDS
            try:
                await self.renew()
            except Exception as error:
                # Without renewals, what is served from now on would be charged to nobody.
                if isinstance(error, DatabaseError | InterfaceError | OSError):
                    log.warning("funds.not_renewed", error=type(error).__name__)
                else:
                    log.exception("funds.not_renewed")
                pause = RENEW_AGAIN_SECONDS

    async def renew(self) -> None:
        """Say that this process is alive, for all its holds. Raises DatabaseError."""
        held = self._open.copy()
        if held:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._renewal, _run, partial(renew, held))

    async def close(self) -> None:
        """Nothing more is set aside. What was, is resolved by whoever writes down its call."""
        self._renewing.cancel()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        barrier = Barrier(THREADS)

        def close_connections() -> None:
            barrier.wait(5)
            connections.close_all()

        for _ in range(THREADS):
            self._pool.submit(close_connections)
        self._pool.shutdown()
        self._renewal.submit(connections.close_all)
        self._renewal.shutdown()


def _run(work: Callable[[], object]) -> None:
    """Run in a thread that keeps its connection, unless it breaks."""
    # So that it is looked at before it is used again.
    connection.close_if_unusable_or_obsolete()
    try:
        work()
    except (DatabaseError, InterfaceError, OSError):
        connections.close_all()
        raise
