"""What the hot path knows without asking the database: tokens, provider keys, the catalogue.

Entries are loaded in threads, at most once at a time, and count no more when somebody announces a
change (`orgs.changes`). Whether or not a word of it arrives, none is used for longer than
FRESH_SECONDS after its loading began: that is how long a revoked token or a disabled key can still
serve. While the database is down, fresh entries serve; whoever needs another one gets
`SnapshotUnavailable`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from threading import Barrier
from time import monotonic
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from byok.catalogue.memory import Catalogue, catalogue
from byok.catalogue.own import own_ids
from byok.fields import Sealed
from byok.models import ProviderKey
from byok.providers import PROVIDERS
from byok.vault.errors import Reason
from megabrain.gateway.callers import UNKNOWN, Grant, depends_on, load_grant
from orgs import changes
from orgs.models import Account

FRESH_SECONDS = 5.0
#: An entry in use is loaded again before it expires, so that no request has to wait for it.
REFRESH_SECONDS = 3.0
THREADS = 4
MAX_TOKENS = 50_000
MAX_NOTHING = 10_000
MAX_ACCOUNTS = 50_000

log = structlog.get_logger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SnapshotUnavailable(Exception):
    """The database cannot be asked, and what is remembered of it is too old."""


@dataclass(frozen=True, slots=True)
class Key:
    """A provider key of an account, sealed. `trouble` says why it cannot be opened."""

    id: UUID
    account_id: UUID
    provider: str
    #: Which of the provider's hosts takes it; "" for the usual one.
    host: str
    sealed: Sealed
    enabled: bool
    created_at: datetime
    secret_changed_at: datetime
    health: str
    health_code: str
    health_at: datetime | None
    trouble: Reason | None
    #: What its owner wants when it fails.
    on_failure: str = ProviderKey.OnFailure.ERROR
    #: Upstream ids that its provider does not list for it, although it lists them.
    lacking: frozenset[str] = frozenset()
    #: Upstream ids that are listed for it, if it may know models of its own
    #: (byok/catalogue/own.py).
    own: tuple[str, ...] = ()

    @property
    def falls_back(self) -> bool:
        """Whether MegaBrain's own keys may take over from it, and the balance pay."""
        return self.on_failure == ProviderKey.OnFailure.BALANCE

    @property
    def shown(self) -> str:
        """The beginning of its id, as the key's page and the receipts show it."""
        return str(self.id)[:8]


@dataclass(frozen=True, slots=True)
class Entry(Generic[V]):
    value: V
    since: float


class Cache(Generic[K, V]):
    """Values by key, each loaded by one thread at a time, the longest unused pushed out first.

    A value changes with its key and with whatever `depends_on` says of it. Any of these can be
    forgotten, which takes as long for one value as for all: no entry is looked at until somebody
    wants it, and then one that was loaded before counts no more.
    """

    def __init__(
        self,
        load: Callable[[K], V],
        pool: ThreadPoolExecutor,
        size: int,
        depends_on: Callable[[V], Iterable[Hashable]] = lambda value: (),
    ) -> None:
        self._load = load
        self._pool = pool
        self._size = size
        self._depends_on = depends_on
        self._entries: OrderedDict[K, Entry[V]] = OrderedDict()
        # None has its own memory, or asking for much that is not there would push out the rest.
        self._nothing: OrderedDict[K, Entry[V]] = OrderedDict()
        self._loading: dict[K, asyncio.Future[Entry[V]]] = {}
        #: When what was forgotten, the latest at the end.
        self._forgotten: OrderedDict[Hashable, float] = OrderedDict()
        self._cleared = self._last_forgotten = 0.0

    def fresh(self, key: K) -> Entry[V] | None:
        """The entry if it may be used. One that is getting old is loaded anew meanwhile."""
        entry = self._entries.get(key) or self._nothing.get(key)
        if entry is None or not self._counts(key, entry):
            return None
        if monotonic() - entry.since >= REFRESH_SECONDS and key not in self._loading:
            self._begin(key)
        return entry

    async def get(self, key: K) -> V:
        """The value. Raises SnapshotUnavailable when it cannot be known."""
        entry, asked = self.fresh(key), monotonic()
        while entry is None:
            # Shielded: others may wait for the same, whatever becomes of this request.
            loaded = await asyncio.shield(self._loading.get(key) or self._begin(key))
            # One that was under way may have missed a change which had been heard of by then.
            if loaded.since >= asked or self._counts(key, loaded):
                entry = loaded
        return entry.value

    def forget(self, changed: Hashable) -> None:
        """What has this key, or depends on it, has changed; also what is being loaded just now."""
        self._last_forgotten = self._forgotten[changed] = monotonic()
        self._forgotten.move_to_end(changed)
        # What was loaded before the oldest of them may be too old to be used anyway.
        while next(iter(self._forgotten.values())) <= self._last_forgotten - FRESH_SECONDS:
            self._forgotten.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._cleared = monotonic()

    def _counts(self, key: K, entry: Entry[V]) -> bool:
        """Whether it is young enough, and nothing it depends on has changed since."""
        since = entry.since
        if since <= self._cleared or monotonic() - since >= FRESH_SECONDS:
            return False
        if since > self._last_forgotten:
            return True
        forgotten = self._forgotten
        names = (key, *self._depends_on(entry.value))
        return all(forgotten.get(name, 0.0) < since for name in names)

    def _begin(self, key: K) -> asyncio.Future[Entry[V]]:
        future = asyncio.ensure_future(self._fetch(key))
        self._loading[key] = future
        future.add_done_callback(_seen)
        return future

    async def _fetch(self, key: K) -> Entry[V]:
        since = monotonic()
        try:
            value = await asyncio.get_running_loop().run_in_executor(
                self._pool, _with_database, self._load, key
            )
        except (DatabaseError, InterfaceError, OSError) as error:
            log.warning("snapshot.database_down", error=type(error).__name__)
            raise SnapshotUnavailable from None
        finally:
            del self._loading[key]
        entry = Entry(value, since)
        self._keep(key, entry)
        return entry

    def _keep(self, key: K, entry: Entry[V]) -> None:
        self._entries.pop(key, None)
        self._nothing.pop(key, None)
        memory, size = self._entries, self._size
        if entry.value is None:
            memory, size = self._nothing, MAX_NOTHING
        memory[key] = entry
        if len(memory) > size:
            memory.popitem(last=False)


class Snapshot:
    """The memory of one process. Lives on one event loop; `changed` alone may come from threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="snapshot")
        #: By a token's digest; None if it is nobody's.
        self.grants: Cache[str, Grant | None] = Cache(
            load_grant, self._pool, MAX_TOKENS, depends_on
        )
        self.keys: Cache[UUID, tuple[Key, ...]] = Cache(load_keys, self._pool, MAX_ACCOUNTS)
        self.catalogue: Cache[None, Catalogue] = Cache(lambda _: catalogue(), self._pool, 1)
        #: The id of the account that holds MegaBrain's own keys; None before it has any.
        self.platform: Cache[None, UUID | None] = Cache(
            lambda _: load_platform(), self._pool, 1, lambda id_: (UNKNOWN,) if id_ is None else ()
        )
        self._unsubscribe = changes.subscribe(self._changed)

    async def platform_keys(self) -> tuple[Key, ...]:
        """MegaBrain's own provider keys. Raises SnapshotUnavailable."""
        platform = await self.platform.get(None)
        return () if platform is None else await self.keys.get(platform)

    async def run(self, work: Callable[..., V], *arguments: Any) -> V:  # Any: the work's own.
        """Run `work`, which may use the database, in a thread. Raises SnapshotUnavailable."""
        try:
            return await self._loop.run_in_executor(self._pool, _with_database, work, *arguments)
        except (DatabaseError, InterfaceError, OSError) as error:
            log.warning("snapshot.database_down", error=type(error).__name__)
            raise SnapshotUnavailable from None

    def close(self) -> None:
        """Stop listening, and end the threads and their connections."""
        self._unsubscribe()
        barrier = Barrier(THREADS)

        def close_connections() -> None:
            barrier.wait(5)
            connections.close_all()

        for _ in range(THREADS):
            self._pool.submit(close_connections)
        self._pool.shutdown()

    def _changed(self, kind: changes.Kind, changed: str) -> None:
        """Called by whichever thread heard of it."""
        with suppress(RuntimeError):  # The loop has just been closed: there is nothing to forget.
            self._loop.call_soon_threadsafe(self._forget, kind, changed)

    def _forget(self, kind: changes.Kind, changed: str) -> None:
        if kind == "catalogue":
            # Also said when word may have been missed, so that nothing is certain any more.
            self.catalogue.clear()
            self.keys.clear()
            self.platform.clear()
            self.grants.clear()
            return
        with suppress(ValueError):  # Whatever it names, it is no token or account.
            id_ = UUID(changed)
            if kind in {"account", "keys"}:
                self.keys.forget(id_)
                # It may be the first that is heard of MegaBrain's own.
                self.platform.forget(UNKNOWN)
            if kind in {"account", "token"}:
                self.grants.forget(id_)
                # An unknown token may have been tried before it was announced here.
                self.grants.forget(UNKNOWN)


def _seen(future: "asyncio.Future[Any]") -> None:
    """Nobody may be waiting for a background load; its failure has been logged."""
    if not future.cancelled():
        future.exception()


def _with_database(work: Callable[..., V], *arguments: Any) -> V:  # Any: the work's own.
    """Run in a thread of ours: Django leaves the care of its connections to whoever made it."""
    close_old_connections()
    try:
        return work(*arguments)
    finally:
        close_old_connections()


# Loading, in threads ---------------------------------------------------------------------------


def load_platform() -> UUID | None:
    """The id of the platform account, which is made when first asked for by name."""
    platform = Account.objects.filter(kind=Account.Kind.PLATFORM)
    return platform.values_list("pk", flat=True).first()


def load_keys(account_id: UUID) -> tuple[Key, ...]:
    """All keys of the account, in the order they were added."""
    keys = ProviderKey.objects.filter(account_id=account_id).order_by("created_at", "id")
    return tuple(_key(row) for row in keys.with_coverage())


def _key(row: ProviderKey) -> Key:
    assert isinstance(row.secret, Sealed)
    return Key(
        id=row.pk,
        account_id=row.account_id,
        provider=row.provider,
        host=row.host if _has_host(row) else "",
        sealed=row.secret,
        enabled=row.enabled,
        created_at=row.created_at,
        secret_changed_at=row.secret_changed_at,
        health=row.health,
        health_code=row.health_code,
        health_at=row.health_at,
        trouble=row.secret.trouble() if row.enabled else None,
        on_failure=row.on_failure,
        lacking=row.lacking,
        own=own_ids(row),
    )


def _has_host(row: ProviderKey) -> bool:
    provider = PROVIDERS.get(row.provider)
    return provider is not None and row.host in provider.hosts
