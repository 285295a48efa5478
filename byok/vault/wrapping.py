"""Key-encryption keys: what wraps the data key of a blob."""

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from byok.vault.context import Context
from byok.vault.errors import Reason, Unsealable
from byok.vault.secret import DataKey

VERSION = 1
LOCAL = 1
KMS = 2

HEADER = 6
SHORT_ID = 4
NONCE = 12
TAG = 16

# How long the wrapped data key is, by algorithm, given the bytes after the header.
ALGORITHMS: Mapping[int, Callable[[bytes], int]] = {
    LOCAL: lambda _: NONCE + 32 + TAG,
    KMS: lambda rest: 2 + int.from_bytes(rest[:2]),
}


def short_id(key_id: str) -> bytes:
    """The four bytes by which a blob names its key. A keyring refuses ids that share them."""
    return hashlib.sha256(b"megabrain vault key id:" + key_id.encode()).digest()[:SHORT_ID]


def header(algorithm: int, key_id: str) -> bytes:
    return bytes([VERSION, algorithm]) + short_id(key_id)


class WrappingKey(Protocol):
    """One key-encryption key, in memory or in a key management service."""

    @property
    def id(self) -> str: ...

    @property
    def header(self) -> bytes:
        """The first bytes of every blob sealed under this key."""

    def wrap(self, data_key: DataKey, context: Context) -> bytes:
        """The data key, encrypted for `context`. Raises `CannotSeal`."""

    def unwrap(self, wrapped: bytes, context: Context) -> DataKey:
        """The data key that was wrapped for `context`. Raises `Unsealable`."""

    def at_hand(self, wrapped: bytes, context: Context) -> bool:
        """Whether `unwrap` would answer without waiting for another machine."""


class LocalKey:
    """A 256-bit key from the configuration."""

    algorithm: ClassVar = LOCAL

    __slots__ = ("_cipher", "header", "id")

    def __init__(self, key_id: str, material: bytes) -> None:
        self.id = key_id
        self.header = header(LOCAL, key_id)
        self._cipher = AESGCM(material)

    def __repr__(self) -> str:
        return f"<LocalKey {self.id}>"

    def wrap(self, data_key: DataKey, context: Context) -> bytes:
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, data_key.raw, context.bound_to(self.header))

    def unwrap(self, wrapped: bytes, context: Context) -> DataKey:
        nonce, ciphertext = wrapped[:NONCE], wrapped[NONCE:]
        try:
            return DataKey(self._cipher.decrypt(nonce, ciphertext, context.bound_to(self.header)))
        except InvalidTag:
            raise Unsealable(Reason.NOT_AUTHENTIC) from None

    def at_hand(self, wrapped: bytes, context: Context) -> bool:
        return True
