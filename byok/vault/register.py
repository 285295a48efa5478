"""The register of vault keys in the database: which key an id stands for, and the vault's root.

The first start makes a random root secret and keeps it sealed under each configured key, as that
key's check value. It proves that a key is the one meant: any other key of that id does not open it.
And it is what fingerprints are derived from, so they outlive every single key: as long as one
registered key is left, the root is.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection, transaction

from byok.vault.context import Context, length_prefixed
from byok.vault.envelope import seal, unseal
from byok.vault.errors import CannotSeal, KeyringError, Reason, Unsealable
from byok.vault.keyring import SETTING, Keyring, current_keyring, examine
from byok.vault.secret import Secret
from byok.vault.wrapping import WrappingKey

log = logging.getLogger(__name__)


def verify_keyring() -> None:
    """Check the configured keys before this process serves. Raises `KeyringError`.

    The message names the setting, the key id and the reason. Keys are compared with the register,
    and those it does not know yet are entered. In production a sample or weak key is refused too.
    Rows sealed under a key that is no longer configured are logged; they stop nothing.
    """
    refused = [
        fault.message
        for fault in examine(settings.MEGABRAIN_VAULT_KEYS)[1]
        if settings.MEGABRAIN_PRODUCTION or not fault.usable
    ]
    if refused:
        raise KeyringError(" ".join(refused))
    if _inside_event_loop():
        # An ASGI server imports us from its event loop, where Django refuses to use the database.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(_verify_in_thread).result()
    else:
        _verify_against_register()


def certified_root() -> Secret:
    """The root, opened by the primary key: proof that this key may seal. Raises `CannotSeal`.

    Asked before every write of a secret, so that a process started with a wrong key, or before a
    key was retired, can do no harm.
    """
    from byok.models import VaultKey

    keyring = current_keyring()
    primary = keyring.primary
    entry = VaultKey.objects.filter(key_id=primary.id).first()
    if entry is None:
        _enter_missing(keyring)
        entry = VaultKey.objects.get(key_id=primary.id)
    if entry.retired_at:
        raise CannotSeal(_retired(primary))
    try:
        return unseal(bytes(entry.check_value), root_context(primary.id), keyring=keyring)
    except Unsealable as failure:
        raise CannotSeal(_mismatch(primary, failure)) from None


def fingerprint(secret: Secret, account_id: UUID | str) -> str:
    """What tells that an account holds the same secret twice. Says nothing across accounts.

    It does not depend on which vault key is primary, nor on the row. Raises `CannotSeal`.
    """
    return fingerprint_under(certified_root(), secret, account_id)


def fingerprint_under(root: Secret, secret: Secret, account_id: UUID | str) -> str:
    derivation = HKDF(SHA512(), length=32, salt=None, info=b"megabrain fingerprint")
    return hmac.digest(
        derivation.derive(bytes.fromhex(root.reveal())),
        length_prefixed((str(account_id).encode(), secret.reveal().encode())),
        hashlib.sha256,
    ).hex()


def _inside_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _verify_in_thread() -> None:
    try:
        _verify_against_register()
    finally:
        connection.close()


def _verify_against_register() -> None:
    keyring = current_keyring()
    try:
        _enter_missing(keyring)
        _compare_with_register(keyring)
    except CannotSeal as failure:
        raise KeyringError(str(failure)) from None
    except DatabaseFailure as failure:
        # The vault keys are not to blame: a database that is down or not migrated says so itself.
        log.warning("The vault keys were not compared with the database: %s", failure)


def _enter_missing(keyring: Keyring) -> None:
    """Enter the configured keys that the register lacks, each with the one root.

    Sorted, and the root taken from what the register then holds: of processes that start at once on
    an empty register, whichever comes first decides. Raises `CannotSeal`.
    """
    from byok.models import VaultKey

    register = dict(VaultKey.objects.values_list("key_id", "check_value"))
    keys = sorted(keyring.keys, key=lambda key: (key.id not in register, key.id))
    if keys[-1].id in register:
        return
    root = None
    with transaction.atomic():
        for key in keys:
            context = root_context(key.id)
            if key.id not in register:
                fresh = root or Secret(secrets.token_hex(32))
                check_value = seal(fresh, context, keyring=Keyring([key]))
                VaultKey.objects.bulk_create(
                    [VaultKey(key_id=key.id, check_value=check_value)], ignore_conflicts=True
                )
                register[key.id] = VaultKey.objects.get(key_id=key.id).check_value
            if root is None:
                with suppress(Unsealable):
                    root = unseal(bytes(register[key.id]), context, keyring=keyring)


def _compare_with_register(keyring: Keyring) -> None:
    from byok.models import VaultKey
    from byok.vault.rotation import rows_by_key

    register = {entry.key_id: entry for entry in VaultKey.objects.all()}
    for key in keyring.keys:
        entry = register.pop(key.id)
        if entry.retired_at and key is keyring.primary:
            raise KeyringError(_retired(key))
        if entry.retired_at:
            log.warning("%s: key %s is retired: remove it.", SETTING, key.id)
        try:
            unseal(bytes(entry.check_value), root_context(key.id), keyring=keyring)
        except Unsealable as failure:
            if failure.reason is not Reason.UNAVAILABLE:
                raise KeyringError(_mismatch(key, failure)) from None
            log.warning("%s: key %s was not verified. %s", SETTING, key.id, failure)

    rows = rows_by_key() if register else {}
    for key_id in register.keys() & rows.keys():
        log.error(
            "%s: key %s is not configured and %d sealed values need it. They stay closed until it "
            "is restored or they are entered again.",
            SETTING,
            key_id,
            rows[key_id],
        )


def root_context(key_id: str) -> Context:
    return Context("byok_vaultkey", "check_value", key_id, "-", "-")


def _retired(key: WrappingKey) -> str:
    return f"{SETTING}: key {key.id} is retired: put another key first and remove it."


def _mismatch(key: WrappingKey, failure: Unsealable) -> str:
    if failure.reason in {Reason.REFUSED, Reason.UNAVAILABLE}:
        return f"{SETTING}: key {key.id} cannot be used. {failure}"
    return (
        f"{SETTING}: key {key.id} is wrong: it is not the key that this database knows as "
        f"{key.id}. Restore that key, or list this one under an id of its own."
    )
