"""The waits of one call: each has a bound, and meanwhile the caller gets signs of life.

One timer a call, set again only when it fires: a stream of a thousand events costs it nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

from django.conf import settings

from megabrain.gateway.reply import Receive, Reply

#: A call that is over by then needs nobody to look whether its caller is still there.
FIRST_LOOK = 0.5
LONGEST_NAP = 3600.0

STOPPING = "MegaBrain is being restarted, and this call had no time to end. Send it again."

T = TypeVar("T")


class Interrupted(Exception):
    """A wait that has been ended: it took too long, or the process is about to stop."""

    def __init__(self, *, stopping: bool) -> None:
        super().__init__()
        self.stopping = stopping


class Watch:
    """Watches over the task that enters it, first while its request is read.

    Once that is `attend`ed to, it also looks whether the caller is still there.
    """

    __slots__ = (
        "_armed",
        "_deadline",
        "_fired",
        "_gone_at",
        "_last_moment",
        "_listener",
        "_loop",
        "_reads_on",
        "_receive",
        "_reply",
        "_silence",
        "_silent_since",
        "_stopping",
        "_task",
        "_timer",
        "_waiting",
    )

    def __init__(self, receive: Receive, reply: Reply) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._reply = reply
        self._silence: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = self._deadline = float("inf")
        self._last_moment: float = monotonic() + settings.MEGABRAIN_TOTAL_SECONDS
        self._gone_at: float | None = None
        self._silent_since = 0.0
        self._waiting = self._fired = self._stopping = self._reads_on = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._arm(monotonic() + FIRST_LOOK)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()

    def attend(self, silence: Callable[[], None]) -> None:
        """The request has been read: from now on whatever else arrives is a hang-up.

        `silence` is called when nothing has been sent for the keep-alive interval.
        """
        self._silence = silence
        soon = monotonic() + FIRST_LOOK
        if soon < self._armed:
            self._arm(soon)

    async def wait(self, work: Awaitable[T], seconds: float) -> T:
        """The result of `work`. Raises Interrupted when it is not there in time."""
        return await self.wait_until(work, monotonic() + seconds)

    async def wait_until(self, work: Awaitable[T], deadline: float) -> T:
        self._deadline = deadline = min(deadline, self._last_moment, self._given_up_at())
        if deadline < self._armed:
            self._arm(deadline)
        self._waiting = True
        try:
            return await work
        except asyncio.CancelledError:
            if not self._fired:
                raise
            self._fired = False
            assert self._task is not None
            self._task.uncancel()
            stopping, self._stopping = self._stopping, False
            raise Interrupted(stopping=stopping) from None
        finally:
            self._waiting = False

    def read_on(self) -> None:
        """From now on nothing is given up because its caller has hung up.

        Otherwise the upstream is, after MEGABRAIN_HANG_UP_SECONDS, in which its usage is awaited.
        """
        self._reads_on = True

    def stop(self) -> None:
        """End what the call waits for now, or next: the process has no more time for it."""
        self._stopping = True
        self._last_moment = monotonic()
        self._fire()

    def extend(self, seconds: float) -> None:
        """Time to say goodbye, after everything else has run out."""
        self._last_moment = max(self._last_moment, monotonic() + seconds)

    @property
    def expired(self) -> bool:
        """Whether the time of the whole call is over."""
        return monotonic() >= min(self._last_moment, self._given_up_at())

    def _given_up_at(self) -> float:
        if self._gone_at is None or self._reads_on:
            return float("inf")
        return self._gone_at + float(settings.MEGABRAIN_HANG_UP_SECONDS)

    def _arm(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = moment
        self._timer = self._loop.call_later(max(0.0, moment - monotonic()), self._look)

    def _look(self) -> None:
        now = monotonic()
        reply = self._reply
        if self._silence is not None and self._listener is None:
            self._listener = self._loop.create_task(self._listen())
        if reply.gone and self._gone_at is None:
            self._gone_at = now
        bound = min(self._deadline, self._given_up_at()) if self._waiting else float("inf")
        if now >= bound:
            # Whoever waits next sets the timer anew.
            self._armed = float("inf")
            self._fire()
            return
        if self._silence is not None and not reply.gone:
            interval = settings.MEGABRAIN_KEEPALIVE_SECONDS
            if now >= max(reply.last_sent, self._silent_since) + interval:
                self._silent_since = now
                self._silence()
            bound = min(bound, max(reply.last_sent, self._silent_since) + interval)
        self._arm(min(bound, now + LONGEST_NAP))

    def _fire(self) -> None:
        """Cancel what the task waits for, unless it has just gone on by itself."""
        if self._waiting and not self._fired and self._task is not None:
            self._fired = True
            self._task.cancel()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._reply.gone = True
        self._look()
