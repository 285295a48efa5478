"""Provider keys: added, replaced, switched, reminded of, deleted and tested.

Plaintext goes in as a `Secret` and is sealed by the field that stores it; nothing here returns it.
"""

import datetime
import uuid
from datetime import timedelta

import structlog
from django.db import IntegrityError, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from byok import managed
from byok.actions.holding import KeyGone, hold
from byok.models import Coverage, KeyTest, ProviderKey
from byok.providers import PROVIDERS
from byok.tasks import ONE_MORE_TRY, run_key_test
from byok.vault import Secret, fingerprint, hint
from orgs.audit import Event, record
from orgs.changes import announce
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission

#: What staff may do to any account's key, too: try it, and stop it.
STAFF_TOO = {Permission.MANAGE_KEYS, Permission.ASSIST}
TESTS_A_MINUTE = 6
#: What is written with a new secret.
SECRET_FIELDS = (
    "secret",
    "host",
    "hint",
    "fingerprint",
    "secret_changed_at",
    "health",
    "health_code",
    "health_message",
    "health_at",
    "failing_told_at",
    "failing_claimed_at",
)
NOT_QUEUED = "not_queued"
NOT_QUEUED_MESSAGE = (
    "The test could not be started, because MegaBrain's task queue cannot be reached. The key was "
    "not tried. Test again in a minute; if it stays so, MegaBrain's operator has to look at it."
)

log = structlog.get_logger(__name__)


class KeyAlreadyExists(Exception):
    """The account has a key for this provider."""


class TooManyTests(Exception):
    """The key was tested as often as it may be in a minute; `seconds` until the next test."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Test again in {seconds} seconds.")
        self.seconds = seconds


def add_key(
    *, actor: User | None, account: Account, provider: str, secret: Secret, origin: Origin
) -> ProviderKey:
    """Seal and store the account's key for a provider, enabled.

    Raises `NotPermitted`, `AccountGone`, and `KeyAlreadyExists` if there is one, also when two
    people add at once: the database's constraint decides.
    """
    try:
        with transaction.atomic():
            account = hold(account, actor, Permission.MANAGE_KEYS)
            key = ProviderKey(account=account, provider=provider, created_by=actor)
            _put(secret, key)
            key.save(force_insert=True)
            record(event=Event.KEY_ADDED, account=account, actor=actor, target=key, origin=origin)
            announce("keys", str(account.pk))
    except IntegrityError:
        if ProviderKey.objects.for_account(account).filter(provider=provider).exists():
            # Without its cause: a database's complaint may quote the row.
            raise KeyAlreadyExists(provider) from None
        raise
    return key


def update_key(
    *, actor: User | None, key: ProviderKey, secret: Secret, origin: Origin
) -> ProviderKey:
    """Replace the secret. What was known of the old one's health, age and models is void.

    A key that was managed for the account is an ordinary one of its own from then on.

    Raises `NotPermitted`, and `KeyGone` if the key was deleted meanwhile; an update never brings
    one back.
    """
    with transaction.atomic():
        key = _locked(key, actor, Permission.MANAGE_KEYS)
        changed = ["secret"]
        if key.managed_by:
            managed.replaced(key)
            key.managed_by = ""
            changed.append("managed_by")
        _put(secret, key)
        key.remind_on = None
        key.save(update_fields=[*SECRET_FIELDS, "remind_on", "managed_by", "updated_at"])
        Coverage.objects.filter(key=key).delete()
        _told(Event.KEY_UPDATED, key, actor, origin, changed=changed)
    return key


def set_enabled(*, actor: User | None, key: ProviderKey, enabled: bool, origin: Origin) -> bool:
    """Let routing use the key, or not. Says whether that changed anything.

    Staff may stop the key of any account; only who manages it lets it run again. Raises
    `NotPermitted`, `KeyGone`.
    """
    with transaction.atomic():
        key = _locked(key, actor, *([Permission.MANAGE_KEYS] if enabled else STAFF_TOO))
        if key.enabled == enabled:
            return False
        key.enabled = enabled
        key.save(update_fields=["enabled", "updated_at"])
        event = Event.KEY_ENABLED if enabled else Event.KEY_DISABLED
        _told(event, key, actor, origin, changed=["enabled"])
    return True


def set_reminder(
    *, actor: User | None, key: ProviderKey, remind_on: datetime.date | None, origin: Origin
) -> bool:
    """Mark the key for replacement from a day on, or never. Says whether that changed anything.

    Raises `NotPermitted`, `KeyGone`.
    """
    with transaction.atomic():
        key = _locked(key, actor, Permission.MANAGE_KEYS)
        if key.remind_on == remind_on:
            return False
        key.remind_on = remind_on
        key.save(update_fields=["remind_on", "updated_at"])
        _told(Event.KEY_REMINDER_CHANGED, key, actor, origin, changed=["remind_on"])
    return True


def set_on_failure(
    *, actor: User | None, key: ProviderKey, on_failure: ProviderKey.OnFailure, origin: Origin
) -> bool:
    """Say what a call does once every key that could serve it has failed, this one among them.

    Says whether that changed anything. Raises `NotPermitted`, `KeyGone`.
    """
    with transaction.atomic():
        key = _locked(key, actor, Permission.MANAGE_KEYS)
        if key.on_failure == on_failure:
            return False
        key.on_failure = on_failure
        key.save(update_fields=["on_failure", "updated_at"])
        _told(Event.KEY_FAILURE_CHANGED, key, actor, origin, changed=["on_failure"])
    return True


def delete_key(*, actor: User | None, key: ProviderKey, origin: Origin) -> None:
    """Delete the key and its sealed secret for good; its audit rows stay.

    Raises `NotPermitted`, `KeyGone`.
    """
    with transaction.atomic():
        key = _locked(key, actor, Permission.MANAGE_KEYS)
        _told(Event.KEY_DELETED, key, actor, origin)
        key.delete()


def put_managed_key(
    *, account: Account, provider: str, secret: Secret, managed_by: str, created_by: User | None
) -> ProviderKey:
    """Store a key that `managed_by` manages for the account, in the transaction of its change.

    The account is held already, and the event of that change tells of the key, too. Raises
    `KeyAlreadyExists`.
    """
    if ProviderKey.objects.for_account(account).filter(provider=provider).exists():
        raise KeyAlreadyExists(provider)
    key = ProviderKey(
        account=account, provider=provider, managed_by=managed_by, created_by=created_by
    )
    _put(secret, key)
    key.save(force_insert=True)
    announce("keys", str(account.pk))
    return key


def take_managed_key(*, account: Account, key_id: uuid.UUID, managed_by: str) -> bool:
    """Delete that key of the account if `managed_by` manages it still; say whether it did.

    In the transaction of a change that holds the account and tells of it.
    """
    keys = ProviderKey.objects.select_for_update().filter(
        account_id=account.pk, pk=key_id, managed_by=managed_by
    )
    key = keys.first()
    if key is None:
        return False
    key.delete()
    announce("keys", str(account.pk))
    return True


def request_test(*, actor: User | None, key: ProviderKey, origin: Origin) -> KeyTest:
    """Have a worker try the key. While a test of it is under way, that one is returned.

    Staff may do so with any account's key. Raises `NotPermitted`, `KeyGone`, and `TooManyTests` for
    the seventh test within a minute. If the queue cannot be reached the test ends as failed and
    says so. Only the test's id goes into the queue.
    """
    with transaction.atomic():
        key = _locked(key, actor, *STAFF_TOO)
        running = key.tests.unfinished().first()
        if running is not None:
            return running
        _check_rate(key)
        test = KeyTest.objects.create(key=key, requested_by=actor)
        record(event=Event.KEY_TESTED, account=key.account, actor=actor, target=key, origin=origin)
        transaction.on_commit(lambda: _enqueue(test.pk))
    return test


def _put(secret: Secret, key: ProviderKey) -> None:
    """Give the key this secret, and what may be known of it: nobody has tried it yet."""
    key.secret = secret
    key.host = ""
    provider = PROVIDERS[key.provider]
    key.hint = hint(provider.hinted(secret.reveal()), provider.key_prefixes)
    key.fingerprint = fingerprint(secret, key.account_id)
    key.secret_changed_at = timezone.now()
    key.health = ProviderKey.Health.UNTESTED
    key.health_code = key.health_message = ""
    key.health_at = key.failing_told_at = key.failing_claimed_at = None


def _locked(key: ProviderKey, actor: User | None, *permissions: Permission) -> ProviderKey:
    """The row as it is now, kept from others until the transaction ends, and its account held."""
    # By its id alone: the account may be gone, and then there is no row to load.
    hold(Account(pk=key.account_id), actor, *permissions)
    rows = ProviderKey.objects.select_for_update(of=("self",)).select_related("account")
    try:
        return rows.get(pk=key.pk)
    except ProviderKey.DoesNotExist:
        raise KeyGone from None


def _told(
    event: Event,
    key: ProviderKey,
    actor: User | None,
    origin: Origin,
    changed: list[str] | None = None,
) -> None:
    """Write the audit row of a change, and have everyone forget what they knew of its keys."""
    record(
        event=event,
        account=key.account,
        actor=actor,
        target=key,
        origin=origin,
        changed=changed or [],
    )
    announce("keys", str(key.account_id))


def _check_rate(key: ProviderKey) -> None:
    minute_ago = timezone.now() - timedelta(minutes=1)
    recent = key.tests.filter(created_at__gt=minute_ago).order_by("-created_at")
    times = list(recent.values_list("created_at", flat=True)[:TESTS_A_MINUTE])
    if len(times) == TESTS_A_MINUTE:
        raise TooManyTests(max(1, round((times[-1] - minute_ago).total_seconds())))


def _enqueue(test_id: uuid.UUID) -> None:
    try:
        run_key_test.apply_async((str(test_id),), retry_policy=ONE_MORE_TRY)
    except (OperationalError, OSError) as error:
        log.error("byok.test.not_queued", test=str(test_id), error=str(error))
        KeyTest.objects.unfinished().filter(pk=test_id).update(
            state=KeyTest.State.FAILED,
            code=NOT_QUEUED,
            message=NOT_QUEUED_MESSAGE,
            finished_at=timezone.now(),
        )
