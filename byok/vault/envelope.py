"""The sealed form of a secret: what is written to the database, and how it opens.

    header              version(1) algorithm(1) key id(4)
    wrapped data key    algorithm 1: nonce(12) data key(32) tag(16), AES-256-GCM
                        algorithm 2: length(2) and what AWS KMS made of it
    commitment(32)
    sealed secret       nonce(12) ciphertext tag(16), AES-256-GCM

Every write has a data key of its own. HKDF-SHA-512 of the data key gives the key that encrypts the
secret with AES-256-GCM, and the commitment: AES-GCM alone allows a blob that opens under two keys
(to different texts), so the commitment is compared before anything is decrypted.

Both layers are bound to the row by associated data (see `Context`). The wrapped data key is bound
to the whole header too; the ciphertext to its version only, which fixes cipher and layout. So a
rotation replaces the front of the blob and never sees the secret.
"""

import hmac
import os
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from byok.vault.context import Context
from byok.vault.errors import Reason, Unsealable
from byok.vault.keyring import Keyring, current_keyring
from byok.vault.secret import DataKey, Secret
from byok.vault.wrapping import ALGORITHMS, HEADER, LOCAL, NONCE, TAG, VERSION, WrappingKey

COMMITMENT = 32
DERIVATION = b"megabrain vault 1: encryption key, commitment"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A blob taken apart. Nothing about it has been verified."""

    header: bytes
    wrapped: bytes
    commitment: bytes
    sealed: bytes

    @classmethod
    def parse(cls, blob: bytes) -> Self:
        """Take a blob apart. Raises `Unsealable` for what this release cannot have written."""
        if len(blob) < HEADER:
            raise Unsealable(Reason.MALFORMED)
        if blob[0] != VERSION:
            raise Unsealable(Reason.UNKNOWN_VERSION)
        wrapped_length = ALGORITHMS.get(blob[1])
        if wrapped_length is None:
            raise Unsealable(Reason.UNKNOWN_ALGORITHM)
        commitment = HEADER + wrapped_length(blob[HEADER:])
        sealed = commitment + COMMITMENT
        if len(blob) < sealed + NONCE + TAG:
            raise Unsealable(Reason.MALFORMED)
        return cls(blob[:HEADER], blob[HEADER:commitment], blob[commitment:sealed], blob[sealed:])

    def __bytes__(self) -> bytes:
        return self.header + self.wrapped + self.commitment + self.sealed


def seal(secret: Secret, context: Context, *, keyring: Keyring | None = None) -> bytes:
    """The secret sealed for `context` under the primary key, with a fresh data key and nonces.

    Raises `CannotSeal` when the primary key is one of a key service that does not answer.
    """
    key = (keyring or current_keyring()).primary
    data_key = DataKey.fresh()
    cipher, commitment = derive(data_key)
    nonce = os.urandom(NONCE)
    return b"".join(
        (
            key.header,
            key.wrap(data_key, context),
            commitment,
            nonce,
            cipher.encrypt(nonce, secret.reveal().encode(), payload_binding(context)),
        )
    )


def unseal(blob: bytes, context: Context, *, keyring: Keyring | None = None) -> Secret:
    """The secret that was sealed for `context`. Raises `Unsealable` for every other blob."""
    envelope = Envelope.parse(blob)
    key = (keyring or current_keyring()).find(envelope.header)
    _, cipher = unwrap(envelope, key, context)
    secret = decrypt(envelope.sealed, cipher, context)
    if secret is None:
        raise Unsealable(Reason.NOT_AUTHENTIC)
    return secret


def opens_at_once(blob: bytes, context: Context) -> bool:
    """Whether `unseal` would answer, for good or ill, without waiting for a key service."""
    if blob[1:2] == bytes([LOCAL]):
        return True
    try:
        envelope = Envelope.parse(blob)
        return current_keyring().find(envelope.header).at_hand(envelope.wrapped, context)
    except Unsealable:
        return True


def rewrap(blob: bytes, context: Context, *, keyring: Keyring | None = None) -> bytes:
    """The same blob, its data key wrapped by the primary key. The secret stays sealed throughout.

    Raises `Unsealable` for a blob whose data key cannot be unwrapped.
    """
    keyring = keyring or current_keyring()
    envelope = Envelope.parse(blob)
    data_key, _ = unwrap(envelope, keyring.find(envelope.header), context)
    primary = keyring.primary
    return bytes(
        Envelope(
            header=primary.header,
            wrapped=primary.wrap(data_key, context),
            commitment=envelope.commitment,
            sealed=envelope.sealed,
        )
    )


def unwrap(envelope: Envelope, key: WrappingKey, context: Context) -> tuple[DataKey, AESGCM]:
    """The data key that the envelope is committed to, and the cipher made of it."""
    data_key = key.unwrap(envelope.wrapped, context)
    cipher, commitment = derive(data_key)
    if not hmac.compare_digest(commitment, envelope.commitment):
        raise Unsealable(Reason.NOT_COMMITTED)
    return data_key, cipher


def decrypt(sealed: bytes, cipher: AESGCM, context: Context) -> Secret | None:
    """The secret, or None when it is not authentic.

    It answers instead of raising: a traceback must not reach into a frame that held plaintext.
    """
    try:
        text = cipher.decrypt(sealed[:NONCE], sealed[NONCE:], payload_binding(context)).decode()
    except (InvalidTag, UnicodeDecodeError):
        return None
    return Secret(text)


def derive(data_key: DataKey) -> tuple[AESGCM, bytes]:
    """The cipher that a data key stands for, and its commitment."""
    material = HKDF(SHA512(), length=64, salt=None, info=DERIVATION).derive(data_key.raw)
    return AESGCM(material[:32]), material[32:]


def payload_binding(context: Context) -> bytes:
    return context.bound_to(bytes([VERSION]))
