"""Is this installation sound: what `manage.py doctor` looks at, and what it advises.

Each check returns what it found as one sentence, or raises `Trouble` with what is wrong and what
to do about it. A check never changes anything.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Min
from django.utils import timezone
from kombu.exceptions import KombuError

from billing.models import Hold, Reconciliation, Wallet
from byok.models import Offering
from byok.providers import PROVIDERS
from byok.vault import KeyringError, rotation
from byok.vault.errors import CannotSeal
from byok.vault.keyring import current_keyring
from byok.vault.register import certified_root
from megabrain.celery import app as celery
from orgs.models import AuditEvent

#: Clocks that differ by more make sessions, limits and one-time codes unreliable.
CLOCK_TOLERANCE = timedelta(seconds=5)
WORKER_SECONDS = 2.0
#: Workers release abandoned holds within a minute.
SWEPT_WITHIN = timedelta(minutes=5)
#: And compare all balances every day.
COMPARED_WITHIN = timedelta(hours=36)


class Trouble(Exception):
    """Something is wrong; the message says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    sound: bool
    sentence: str


def examine(*names: str) -> Iterator[Finding]:
    """These checks, or all, in turn. One that finds trouble does not keep others from looking."""
    for name in names or CHECKS:
        try:
            yield Finding(name, True, CHECKS[name]())
        except Trouble as trouble:
            yield Finding(name, False, str(trouble))
        except DatabaseError as error:
            yield Finding(name, False, f"Unknown while the database fails ({_kind(error)}).")


def configuration() -> str:
    found = checks.run_checks(include_deployment_checks=settings.MEGABRAIN_PRODUCTION)
    wrong = [message for message in found if message.level >= checks.WARNING]
    if wrong:
        raise Trouble(" ".join(f"{message.msg} {message.hint or ''}".strip() for message in wrong))
    kind = "A production installation" if settings.MEGABRAIN_PRODUCTION else "For this machine"
    served = {"both": "site and gateway"}.get(settings.MEGABRAIN_SERVE, settings.MEGABRAIN_SERVE)
    return f"{kind} at {settings.MEGABRAIN_BASE_URL}, serving {served}."


def database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise Trouble(
            f"The database does not answer ({_kind(error)}). Check DATABASE_URL, and that the "
            "server runs and lets this machine in."
        ) from None
    if missing:
        raise Trouble(
            f"{len(missing)} migrations have not been applied. Run: python manage.py migrate"
        )
    return f"{connection.display_name} answers, and every migration has been applied."


def shared_memory() -> str:
    if not settings.REDIS_URL:
        return "Not used: cache and word of changes stay in this process, the queue is a folder."
    try:
        redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2).ping()
    except (redis.RedisError, OSError) as error:
        raise Trouble(
            f"It does not answer ({_kind(error)}). Start it or correct REDIS_URL. Until then key "
            "tests wait, and changes take up to 5 seconds to reach every process."
        ) from None
    return "It answers."


def vault() -> str:
    try:
        certified_root()
        keyring = current_keyring()
    except (CannotSeal, KeyringError) as fault:
        raise Trouble(str(fault)) from None
    rows = rotation.rows_by_key()
    names = rotation.key_names()
    closed = Counter(
        (rotation.key_name(row.header, names), row.reason) for row in rotation.closed_rows()
    )
    if closed:
        told = [
            f"{count} of {rows[key_id]} secrets under {key_id} do not open. {reason.sentence}"
            for (key_id, reason), count in closed.items()
        ]
        raise Trouble(" ".join([*told, "`manage.py vault status` names the rows."]))
    return f"All {rows.total()} secrets open; {keyring.primary.id} seals what is saved."


def queue() -> str:
    try:
        workers = celery.control.ping(timeout=WORKER_SECONDS, limit=1)
    except (KombuError, redis.RedisError, OSError) as error:
        raise Trouble(f"The queue cannot be reached ({_kind(error)}).") from None
    if not workers:
        raise Trouble(
            "No worker answers, so key tests wait. Start one: celery -A megabrain worker --beat"
        )
    return "A worker answers."


def clock() -> str:
    here = timezone.now()
    apart = abs(_time_of_the_database(here) - here)
    if apart > CLOCK_TOLERANCE:
        raise Trouble(
            f"This machine and the database differ by {apart.total_seconds():.0f} seconds. "
            "Set both by the same time server."
        )
    newest = AuditEvent.objects.order_by("-id").values_list("created_at", flat=True).first()
    if newest is not None and newest > here + CLOCK_TOLERANCE:
        raise Trouble(
            f"The newest audit event is of {newest:%Y-%m-%d %H:%M:%S} UTC, which is yet to come: "
            "this machine's clock has been set back, or was ahead. Correct it."
        )
    return f"It is {here:%Y-%m-%d %H:%M:%S} UTC."


def _time_of_the_database(here: datetime) -> datetime:
    if connection.vendor != "postgresql":
        return here  # SQLite has no clock but this one.
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found


def catalogue() -> str:
    offerings = Offering.objects.routable()
    models = offerings.values("model_id").distinct().count()
    if not models:
        raise Trouble("It is empty, so nothing can be routed. Run: python manage.py migrate")
    served = offerings.values("provider").distinct().count()
    return f"{models} models of {served} providers."


def upstreams() -> str:
    replaced = settings.MEGABRAIN_UPSTREAM_URLS
    hosts = {host for provider in PROVIDERS.values() for host in provider.hosts}
    unknown = sorted(replaced.keys() - PROVIDERS.keys() - hosts)
    if unknown:
        names = ", ".join(
            f"MEGABRAIN_UPSTREAM_{id_.upper().replace('-', '_')}_URL" for id_ in unknown
        )
        raise Trouble(f"No provider is called so: {names}. Correct the name or remove it.")
    if settings.MEGABRAIN_SIMULATOR:
        return "Providers are simulated: no call leaves this machine."
    if replaced:
        count = len(replaced.keys() - hosts)
        return f"{count} of {len(PROVIDERS)} are called at an address of the operator's."
    return "Every provider is called at its own address."


def endpoints() -> str:
    networks = settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS
    if not settings.MEGABRAIN_CUSTOM_ENDPOINTS:
        if networks:
            raise Trouble(
                "MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS is set and has no effect. Set "
                "MEGABRAIN_CUSTOM_ENDPOINTS, too, or remove it."
            )
        return "Accounts cannot add endpoints of their own."
    where = " and ".join(["public addresses", *map(str, networks)])
    return f"Accounts can add endpoints of their own, at {where}."


def balances() -> str:
    late = Hold.objects.abandoned(timezone.now() - SWEPT_WITHIN).count()
    frozen = Wallet.objects.filter(frozen_at__isnull=False).count()
    told = []
    if late:
        told.append(
            f"{late} calls whose process died still have money set aside. A worker with --beat "
            "releases it; what it cannot release is in its log as billing.hold.stuck."
        )
    if frozen:
        told.append(
            f"Nothing is paid from {frozen} frozen balances. Search the admin's wallets for "
            "“frozen”; docs/money.md says what to look at."
        )
    compared = _compared_at()
    if compared and compared < timezone.now() - COMPARED_WITHIN:
        told.append(
            f"They have not all been compared with their ledgers since {compared:%Y-%m-%d %H:%M} "
            "UTC. A worker with --beat does it every day, or at once: manage.py reconcile"
        )
    if told:
        raise Trouble(" ".join(told))
    return "None is frozen, no hold is overdue, and none waits to be compared."


def _compared_at() -> datetime | None:
    """When all balances were, or when there was the first; None while there is none."""
    row = Reconciliation.objects.first()
    if row is not None and row.done_at is not None:
        return row.done_at
    first: datetime | None = Wallet.objects.aggregate(first=Min("created_at"))["first"]
    return first


CHECKS: dict[str, Callable[[], str]] = {
    "configuration": configuration,
    "database": database,
    "redis": shared_memory,
    "vault": vault,
    "queue": queue,
    "clock": clock,
    "catalogue": catalogue,
    "balances": balances,
    "providers": upstreams,
    "endpoints": endpoints,
}


def _kind(error: Exception) -> str:
    """What kind of error it is. Its text may hold an address with a password."""
    return type(error.__cause__ or error).__name__
