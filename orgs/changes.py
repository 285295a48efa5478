"""Tell every process that something it may hold in memory has changed.

`announce` is called by actions and speaks on commit. With REDIS_URL set the word travels over a
Redis channel to all processes; without it, to the subscribers of this one. Nobody may rely on it
arriving: whoever caches also expires its entries after a few seconds.
"""

import json
import threading
from collections.abc import Callable
from typing import Literal

import redis
import structlog
from django.conf import settings
from django.db import transaction

#: `account`: the account itself, or who its members are and as what. `keys`: its provider keys.
Kind = Literal["account", "keys", "token", "catalogue"]
Callback = Callable[[Kind, str], None]

RECONNECT_SECONDS = 1.0

log = structlog.get_logger(__name__)
_subscribers: list[Callback] = []
_lock = threading.Lock()
_listener: threading.Thread | None = None
_publisher: redis.Redis | None = None


def announce(kind: Kind, id: str = "") -> None:  # noqa: A002 -- "id" is the word for it.
    """After the current transaction commits, tell subscribers that `kind` `id` has changed."""
    transaction.on_commit(lambda: _send(kind, id))


def subscribe(callback: Callback) -> Callable[[], None]:
    """Call `callback(kind, id)` for every change, from a thread of ours; returns how to stop."""
    with _lock:
        _subscribers.append(callback)
    if settings.REDIS_URL:
        _listen()

    def unsubscribe() -> None:
        with _lock:
            if callback in _subscribers:
                _subscribers.remove(callback)

    return unsubscribe


def _send(kind: Kind, changed: str) -> None:
    if settings.REDIS_URL:
        try:
            client = _redis()
            client.publish(channel_of(client), json.dumps([kind, changed]))
        except redis.RedisError as error:
            # Expiry still brings the change to the others within seconds.
            log.warning("changes.publish_failed", error=str(error))
    _deliver(kind, changed)


def channel_of(client: redis.Redis) -> str:
    """The channel of this installation. A server has its channels for all of its databases, and
    each of those may belong to another installation."""
    database = client.connection_pool.connection_kwargs.get("db", 0)
    return f"megabrain:{database}:changes"


def _deliver(kind: Kind, changed: str) -> None:
    with _lock:
        subscribers = list(_subscribers)
    for callback in subscribers:
        callback(kind, changed)


def _redis() -> redis.Redis:
    global _publisher
    if _publisher is None:
        _publisher = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2
        )
    return _publisher


def _listen() -> None:
    global _listener
    with _lock:
        if _listener is None or not _listener.is_alive():
            _listener = threading.Thread(target=_listen_forever, name="changes", daemon=True)
            _listener.start()


def _listen_forever() -> None:
    lost = threading.Event()
    while True:
        try:
            client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2)
            # redis ships this method without types.
            with client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                channel.subscribe(channel_of(client))
                # Whatever was said while we were away is unknown, so everything counts as changed.
                _deliver("catalogue", "")
                for message in channel.listen():
                    kind, changed = json.loads(message["data"])
                    _deliver(kind, changed)
        except (redis.RedisError, ValueError, OSError) as error:
            log.warning("changes.listen_failed", error=str(error))
            lost.wait(RECONNECT_SECONDS)
