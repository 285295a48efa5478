"""What a call leaves behind, written by one thread in batches, so that no call waits for it.

Usage rows, the health of keys, and when keys and tokens were last used. At most BATCH_SECONDS late;
while the database is down everything waits here, up to a bound, and is tried again.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from time import monotonic, perf_counter, sleep
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, connections

from billing.models import UsageRecord
from billing.usage import record_usage
from byok.health import Sighting, store_last_use, store_sightings
from megabrain.gateway.call import Call
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


class Settlement:
    """The queue and its thread. `record` and `see` are for the event loop and never wait."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Settled | Sighting | _Marker] = SimpleQueue()
        self._stopping = threading.Event()
        self._stamped: dict[UUID, float] = {}
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="settlement", daemon=True)
        self._thread.start()

    def record(self, call: Call) -> None:
        """Settle the call, once. Callers without a token leave no record."""
        if call.settled or call.caller is None:
            return
        call.settled = True
        if self._full():
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

    def _next_batch(self) -> list[_Settled | Sighting | _Marker]:
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

    def _write(self, batch: list[_Settled | Sighting | _Marker]) -> None:
        settled = [item for item in batch if isinstance(item, _Settled)]
        sightings = [item for item in batch if isinstance(item, Sighting)]
        rows = _rows(settled)
        tries = 0
        # The connection is kept from batch to batch, for to open one costs as much as to write
        # twenty rows. After a failure the next one is new.
        while settled or sightings:
            try:
                record_usage(rows)
                self._stamp(settled)
                settled, rows = [], []
                store_sightings(sightings)
                sightings = []
            except (DatabaseError, InterfaceError, OSError) as error:
                if self._stopping.is_set() and tries >= len(RETRY_SECONDS):
                    log.error("settlement.lost", calls=len(settled), error=type(error).__name__)
                    return
                pause = RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
                log.warning("settlement.database_down", waiting=self._queue.qsize() + len(settled))
                tries += 1
                connections.close_all()
                self._stopping.wait(pause)
            except (
                Exception
            ):  # A row nobody foresaw must not end the thread that writes all others.
                log.exception("settlement.failed", calls=len(settled))
                connections.close_all()
                return

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
        model=_text(call.model.id if call.model else call.asked, 200),
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
                "outcome": attempt.outcome,
                "status": attempt.status,
                "ms": attempt.milliseconds,
            }
            for attempt in call.attempts
        ],
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        usage_source=_source(call.usage),
        market_micros=market_micros(served.offer if served else None, usage, call.created_at),
        latency_ms=settled.latency_ms,
        first_byte_ms=settled.first_byte_ms,
        overhead_us=round(call.overhead * 1_000_000) if call.sent_at else None,
        client=_text(call.headers.get("user-agent", ""), 120),
        created_at=call.created_at,
    )


def _source(usage: Usage | None) -> UsageRecord.UsageSource:
    if usage is None:
        return Source.NONE
    return Source.ESTIMATE if usage.estimated else Source.PROVIDER


def _text(text: str, length: int) -> str:
    """As every database can store it."""
    return text.replace("\x00", "")[:length].encode("utf-8", "replace").decode()
