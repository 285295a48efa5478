"""What a call leaves behind, written by one thread in batches, so that no call waits for it.

Charges and usage rows, the health of keys, and when keys and tokens were last used. At most
BATCH_SECONDS late;
while the database is down everything waits here, up to a bound, and is tried again.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic, perf_counter, sleep
from uuid import UUID

import structlog
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    ProgrammingError,
    connections,
)

from billing.actions import note_drift
from billing.holds import Resolution
from billing.models import UsageRecord, Wallet
from billing.models.usage import MODEL_NOT_FOUND
from billing.settling import settle
from byok.catalogue.memory import Offer
from byok.health import Sighting, store_last_use, store_sightings
from megabrain.gateway.call import Call, Hold
from megabrain.gateway.metering import Usage, market_micros
from orgs.models import ApiToken

BATCH_SECONDS = 0.08
BATCH_SIZE = 2000
MAX_WAITING = 100_000
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)
#: A moment of last use is written at most this often for each key and token.
STAMP_SECONDS = 30.0
#: How long a process that stops waits for the database to take the rest.
CLOSE_SECONDS = 10.0
#: What PostgreSQL says of a table or a column that is not there, or not yet, or not for us: that is
#: for its operator to mend, and no fault of what is to be written.
_OF_THE_SCHEMA = {"42P01", "42703", "42501"}

log = structlog.get_logger(__name__)

Payer, Source = UsageRecord.Payer, UsageRecord.UsageSource


@dataclass(frozen=True, slots=True)
class _Settled:
    """A call that has ended; nothing of it changes any more."""

    call: Call
    status: int
    outcome: str
    latency_ms: int
    first_byte_ms: int | None


@dataclass(frozen=True, slots=True)
class _Marker:
    """A place in the queue. When all before it has been written, the thread calls `reached`."""

    reached: Callable[[], object]


_Item = _Settled | Hold | Sighting | _Marker


class Settlement:
    """The queue and its thread. `record` and `see` are for the event loop and never wait."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._stopping = threading.Event()
        #: When a process that stops waits no longer.
        self._last_moment = 0.0
        self._stamped: dict[UUID, float] = {}
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="settlement", daemon=True)
        self._thread.start()

    def record(self, call: Call) -> None:
        """Settle the call, once. Callers without a token leave no record."""
        if call.settled or call.caller is None:
            return
        call.settled = True
        # What was set aside is always resolved: without a database, nothing more is.
        if call.hold is None and self._full():
            return
        now = perf_counter()
        first = call.first_byte_at
        self._queue.put(
            _Settled(
                call,
                call.status,
                call.outcome,
                round((now - call.began) * 1000),
                None if first is None else round((first - call.began) * 1000),
            )
        )

    def release(self, hold: Hold) -> None:
        """Give back what was set aside for a call that is over. From any thread."""
        self._queue.put(hold)

    def see(self, sighting: Sighting) -> None:
        if not self._full():
            self._queue.put(sighting)

    def flush(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Wait until everything up to now has been written. For threads, not for the loop."""
        written = threading.Event()
        self._queue.put(_Marker(written.set))
        return written.wait(seconds)

    async def written(self, seconds: float) -> bool:
        """The same for the loop. It needs no thread: many may wait at the same time."""
        loop = asyncio.get_running_loop()
        written = asyncio.Event()

        def reached() -> None:
            with suppress(RuntimeError):  # The loop has ended, and with it whoever waited.
                loop.call_soon_threadsafe(written.set)

        self._queue.put(_Marker(reached))
        try:
            await asyncio.wait_for(written.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Write what is left, as far as the database takes it in time."""
        self._last_moment = monotonic() + CLOSE_SECONDS
        self._stopping.set()
        self.flush()
        self._thread.join(1.0)

    def _full(self) -> bool:
        if self._queue.qsize() < MAX_WAITING:
            return False
        self._lost += 1
        if self._lost % 1000 == 1:
            log.error("settlement.overflow", lost=self._lost)
        return True

    # In the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            self._write(batch)
            markers = [item for item in batch if isinstance(item, _Marker)]
            ended = bool(markers) and self._stopping.is_set() and self._queue.empty()
            if ended:
                connections.close_all()
            for marker in markers:
                marker.reached()
            if ended:
                return

    def _next_batch(self) -> list[_Item]:
        batch = [self._queue.get()]
        until = monotonic() + BATCH_SECONDS
        while len(batch) < BATCH_SIZE and not isinstance(batch[-1], _Marker):
            try:
                batch.append(self._queue.get_nowait())
            except Empty:
                left = until - monotonic()
                if left <= 0:
                    break
                try:
                    item = self._queue.get(timeout=left)
                except Empty:
                    break
                batch.append(item)
                # Woken by one, it lets the others gather.
                if not isinstance(item, _Marker):
                    sleep(max(0.0, until - monotonic()))
        return batch

    def _write(self, batch: Sequence[_Item]) -> None:
        work = [item for item in batch if not isinstance(item, _Marker)]
        settled = [item for item in work if isinstance(item, _Settled)]
        sightings = [item for item in work if isinstance(item, Sighting)]
        holds = [hold for item in work if (hold := _hold(item)) is not None]
        rows, resolutions = _rows(settled), _resolutions(work)
        # The connection is kept from batch to batch, for to open one costs as much as to write
        # twenty rows. After a failure the next one is new.
        if settled or holds:
            failed = self._insist(partial(settle, rows, resolutions), len(settled))
            if failed is not None:
                self._one_by_one(work, failed)
                return
            for hold in holds:
                hold.resolved()
        # What is no money is written apart, and its faults are none of the calls'.
        try:
            self._stamp(settled)
        except Exception:
            connections.close_all()
            log.exception("settlement.not_stamped")
        for sighting in sightings:
            failed = self._insist(partial(store_sightings, [sighting]), 0)
            if failed is not None:
                log.error("settlement.not_seen", exc_info=failed)

    def _insist(self, write: Callable[[], object], calls: int) -> Exception | None:
        """Write this as soon as the database takes it. Says why it never will; nothing may end the
        thread that writes all."""
        tries = 0
        while True:
            try:
                write()
            except Exception as error:  # noqa: BLE001 -- see above.
                connections.close_all()
                if not _will_pass(error):
                    return error
                stopping = self._stopping.is_set()
                if stopping and monotonic() >= self._last_moment:
                    log.error("settlement.lost", calls=calls, error=type(error).__name__)
                    return None
                log.warning("settlement.database_down", waiting=self._queue.qsize() + calls)
                pause = RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
                tries += 1
                if stopping:
                    sleep(max(0.0, min(pause, self._last_moment - monotonic())))
                else:
                    # Whoever stops need not wait for it.
                    self._stopping.wait(pause)
            else:
                return None

    def _one_by_one(self, work: Sequence[_Item], error: Exception) -> None:
        """One of these cannot be written as it is, and must not take the others with it."""
        if len(work) > 1:
            for item in work:
                self._write([item])
            return
        log.error("settlement.failed", exc_info=error)
        hold = _hold(work[0])
        if hold is None:
            return
        # Nothing is charged then; when the lease ends, the sweeper gives the hold back.
        hold.resolved()
        left: list[Callable[[], object]] = []
        if isinstance(work[0], _Settled):
            left.append(partial(settle, _rows([work[0]]), []))
        if isinstance(error, IntegrityError | Wallet.DoesNotExist):
            # What was altered is not to make more calls free.
            what = f"call {hold.request_id} cannot be charged"
            left.append(partial(note_drift, account_id=hold.account_id, what=what))
        for write in left:
            try:
                write()
            except Exception:
                connections.close_all()
                log.exception("settlement.lost", calls=1)

    def _stamp(self, settled: list[_Settled]) -> None:
        """When keys and tokens were last used, at most every STAMP_SECONDS for each."""
        keys: dict[UUID, datetime] = {}
        tokens: dict[UUID, datetime] = {}
        for item in settled:
            call = item.call
            assert call.caller is not None
            tokens[call.caller.token_id] = call.created_at
            for attempt in call.attempts:
                keys[attempt.candidate.key.id] = call.created_at
        keys, tokens = self._due(keys), self._due(tokens)
        store_last_use(keys)
        for token, at in tokens.items():
            ApiToken.objects.filter(pk=token).update(last_used_at=at)

    def _due(self, used: Mapping[UUID, datetime]) -> dict[UUID, datetime]:
        now = monotonic()
        due = {id_: at for id_, at in used.items() if now >= self._stamped.get(id_, 0.0)}
        if len(self._stamped) > MAX_WAITING:
            self._stamped.clear()
        self._stamped.update(dict.fromkeys(due, now + STAMP_SECONDS))
        return due


def _will_pass(error: Exception) -> bool:
    """Whether the database is away or busy, so that the same can be written later."""
    if isinstance(error, ProgrammingError):
        return getattr(error.__cause__, "sqlstate", None) in _OF_THE_SCHEMA
    of_the_rows = isinstance(error, DataError | IntegrityError | NotSupportedError)
    return isinstance(error, DatabaseError | InterfaceError | OSError) and not of_the_rows


def _hold(item: _Item) -> Hold | None:
    return (
        item.call.hold if isinstance(item, _Settled) else item if isinstance(item, Hold) else None
    )


def _resolutions(work: Sequence[_Item]) -> list[Resolution]:
    """How the holds of these calls are resolved. One that nobody can tell is left to the sweeper,
    and must not take the others with it."""
    found = []
    for item in work:
        try:
            resolution = _resolution(item)
        except Exception:
            log.exception("settlement.no_charge", request_id=_request_id(item))
        else:
            found += [resolution] if resolution is not None else []
    return found


def _request_id(item: _Item) -> str:
    hold = _hold(item)
    return str(hold.request_id) if hold is not None else ""


def _resolution(item: _Item) -> Resolution | None:
    """How the hold of a call is resolved: none is charged that no provider worked for."""
    hold = _hold(item)
    if hold is None:
        return None
    cost = _cost(item.call) if isinstance(item, _Settled) else None
    return Resolution(hold.request_id, hold.account_id, cost)


def _cost(call: Call) -> int | None:
    """What the balance pays for the call at the price of its moment, if it does."""
    if call.payer != Payer.BALANCE or call.usage is None:
        return None
    return market_micros(_served(call), call.usage, call.created_at)


def _served(call: Call) -> Offer | None:
    candidate = call.served_by or (call.attempts[-1].candidate if call.attempts else None)
    return candidate.offer if candidate else None


def _rows(settled: list[_Settled]) -> list[UsageRecord]:
    """The rows of these calls. One that cannot be made must not take the others with it."""
    rows = []
    for item in settled:
        try:
            rows.append(usage_record(item))
        except Exception:
            log.exception("settlement.no_row", request_id=item.call.request_id)
    return rows


def usage_record(settled: _Settled) -> UsageRecord:
    """The row of a call."""
    call = settled.call
    assert call.caller is not None
    usage = call.usage or Usage()
    served = call.served_by or (call.attempts[-1].candidate if call.attempts else None)
    return UsageRecord(
        request_id=call.id,
        account_id=call.caller.account_id,
        user_id=call.caller.user_id,
        token_id=call.caller.token_id,
        endpoint=str(call.endpoint),
        streamed=call.streamed,
        model=_text(_model(settled), 200),
        upstream_model=served.offer.upstream_id if served else "",
        provider=served.key.provider if served else "",
        provider_key_id=served.key.id if served else None,
        payer=Payer(call.payer),
        status=settled.status,
        outcome=settled.outcome,
        attempts=[
            {
                "provider": attempt.candidate.key.provider,
                "key": str(attempt.candidate.key.id),
                "own": attempt.candidate.own,
                "outcome": attempt.outcome,
                "status": attempt.status,
                "ms": attempt.milliseconds,
            }
            for attempt in call.attempts
        ],
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_long_tokens=usage.cache_write_long_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        usage_source=_source(call.usage),
        market_micros=market_micros(_served(call), usage, call.created_at),
        latency_ms=settled.latency_ms,
        first_byte_ms=settled.first_byte_ms,
        overhead_us=round(call.overhead * 1_000_000) if call.sent_at else None,
        client=_text(call.headers.get("user-agent", ""), 120),
        created_at=call.created_at,
    )


def _model(settled: _Settled) -> str:
    """Which model; of a name that none has, that name. Nothing where nobody looked for it."""
    call = settled.call
    if call.model is not None:
        return call.model.id
    return call.asked if settled.outcome == MODEL_NOT_FOUND else ""


def _source(usage: Usage | None) -> UsageRecord.UsageSource:
    if usage is None:
        return Source.NONE
    return Source.ESTIMATE if usage.estimated else Source.PROVIDER


def _text(text: str, length: int) -> str:
    """As every database can store it."""
    return text.replace("\x00", "")[:length].encode("utf-8", "replace").decode()
