"""The configured key-encryption keys.

MEGABRAIN_VAULT_KEYS lists them as `id:value`, separated by commas or white space. The first is the
primary: it seals. All of them open. A value is 32 random bytes in base64, or `kms:` and the ARN of
an AWS KMS key.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Self

from django.conf import settings

from byok.vault.errors import KeyringError, Reason, Unsealable
from byok.vault.kms import KmsKey
from byok.vault.wrapping import LocalKey, WrappingKey, short_id

SETTING = "MEGABRAIN_VAULT_KEYS"
KEY_BYTES = 32
KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}")
KMS_PREFIX = "kms:"
KMS_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+")
BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")

EXAMPLE = "2026a:$(openssl rand -base64 32)"
GOOD_ID = "use 1 to 16 letters, digits, '-' or '_', such as 2026a"

# The key that the documentation and the deployment examples show.
SAMPLE_KEY = b"megabrain-sample-key-do-not-use!"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with one configured key. `usable` ones only stop production."""

    message: str
    usable: bool = False


class Keyring:
    """The keys in order, the primary first."""

    __slots__ = ("_by_header", "keys", "primary")

    def __init__(self, keys: Sequence[WrappingKey]) -> None:
        self.keys = tuple(keys)
        self.primary = self.keys[0]
        self._by_header = {key.header: key for key in keys}

    @classmethod
    def parse(cls, text: str) -> Self:
        """The keyring that the setting describes. Raises `KeyringError` when a key is unusable."""
        keys, faults = examine(text)
        broken = [fault.message for fault in faults if not fault.usable]
        if broken:
            raise KeyringError(" ".join(broken))
        return cls(keys)

    def __repr__(self) -> str:
        return f"<Keyring {' '.join(key.id for key in self.keys)}>"

    def find(self, header: bytes) -> WrappingKey:
        """The key that seals under `header`. Raises `Unsealable`."""
        key = self._by_header.get(header)
        if key is None:
            raise Unsealable(Reason.UNKNOWN_KEY)
        return key


def current_keyring() -> Keyring:
    """The keyring of this process."""
    return _keyring(settings.MEGABRAIN_VAULT_KEYS)


# Keyrings are few, but a KMS key must outlive the call: it holds the connection and what it opened.
_keyring = lru_cache(maxsize=32)(Keyring.parse)


def examine(text: str) -> tuple[list[WrappingKey], list[Fault]]:
    """The usable keys among those listed, and every fault found. Never repeats key material."""
    keys: list[WrappingKey] = []
    faults: list[Fault] = []
    ids: dict[bytes, str] = {}
    values: dict[bytes | str, str] = {}

    entries = [entry for entry in re.split(r"[,\s]+", text) if entry]
    if not entries:
        faults.append(
            Fault(f"{SETTING} is missing: set it to an id and 32 random bytes, {EXAMPLE}.")
        )
    for position, entry in enumerate(entries, start=1):
        key_id, colon, value = entry.partition(":")
        twin = ids.setdefault(short_id(key_id), key_id)
        value_twin = values.setdefault(_decoded(value) or value, key_id)
        if not colon:
            faults.append(Fault(f"{SETTING}: entry {position} has no key id: write id:value."))
        elif not KEY_ID.fullmatch(key_id):
            faults.append(Fault(f"{SETTING}: entry {position} has a bad key id: {GOOD_ID}."))
        elif twin != key_id:
            faults.append(
                Fault(f"{SETTING}: key id {key_id} cannot be told from {twin}: rename one.")
            )
        elif any(key.id == key_id for key in keys):
            faults.append(Fault(f"{SETTING}: key {key_id} is listed twice."))
        elif value_twin != key_id:
            faults.append(
                Fault(
                    f"{SETTING}: key {key_id} has the same value as {value_twin}: make a new one."
                )
            )
        else:
            key, fault = _key(key_id, value)
            keys += [key] if key else []
            faults += [fault] if fault else []
    return keys, faults


def _key(key_id: str, value: str) -> tuple[WrappingKey | None, Fault | None]:
    where = f"{SETTING}: key {key_id}"
    if value.startswith(KMS_PREFIX):
        arn = value.removeprefix(KMS_PREFIX)
        if KMS_ARN.fullmatch(arn):
            return KmsKey(key_id, arn), None
        return None, Fault(f"{where} is not kms: and the ARN of a KMS key.")
    material = _decoded(value)
    if material is None:
        return None, Fault(f"{where} is not valid base64.")
    if len(material) != KEY_BYTES:
        length = f"{len(material)} bytes long; it must be {KEY_BYTES}"
        return None, Fault(f"{where} is {length}: openssl rand -base64 {KEY_BYTES} makes one.")
    key = LocalKey(key_id, material)
    if material == SAMPLE_KEY:
        return key, Fault(f"{where} is the sample of the documentation: make your own.", True)
    if is_weak(material):
        return key, Fault(f"{where} is weak: it is not {KEY_BYTES} random bytes.", True)
    return key, None


def _decoded(value: str) -> bytes | None:
    if not value or not BASE64.fullmatch(value):
        return None
    try:
        return base64.b64decode(value.translate(str.maketrans("-_", "+/")), validate=True)
    except binascii.Error:
        return None


def is_weak(material: bytes) -> bool:
    """Whether 32 bytes are a pattern or typed text. A random key is so once in 10⁹ or rarer."""
    steps = {(b - a) % 256 for a, b in pairwise(material)}
    return (
        len(set(material)) <= KEY_BYTES // 2
        or len(steps) < KEY_BYTES // 4
        or all(32 <= byte < 127 for byte in material)
    )
