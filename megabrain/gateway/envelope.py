"""Reasoning that only its maker can read, on its way through a caller who speaks another dialect.

What a provider wants back in the next turn (signed thinking, encrypted items) travels inside the
caller's own form of reasoning as `mb1.…`: sealed, bound to the account, and with its origin, so
that it returns to nobody else. Losing the site's SECRET_KEY costs no more than these: an envelope
that does not open is left out of the conversation.
"""

import base64
import binascii
import os
from functools import lru_cache
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from megabrain.gateway.dialects.neutral import (
    ENVELOPE_PREFIX,
    Json,
    Maker,
    Origin,
    Reasoning,
)

PREFIX = ENVELOPE_PREFIX
_NONCE = 12


class _Sealed(msgspec.Struct):
    maker: Maker
    native: Json
    origin: Origin
    text: str = ""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_Sealed)


def seal(account_id: UUID, reasoning: Reasoning) -> str:
    """The envelope of reasoning that has `maker`, `native` and `origin`."""
    assert reasoning.maker
    assert reasoning.native is not None
    assert reasoning.origin
    inside = _ENCODER.encode(
        _Sealed(reasoning.maker, reasoning.native, reasoning.origin, reasoning.text)
    )
    nonce = os.urandom(_NONCE)
    sealed = _cipher(settings.SECRET_KEY).encrypt(nonce, inside, account_id.bytes)
    return PREFIX + base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")


def is_envelope(text: object) -> bool:
    return isinstance(text, str) and text.startswith(PREFIX)


def unseal(account_id: UUID, envelope: str) -> Reasoning | None:
    """What was sealed for this account, or None for anything else."""
    text = envelope.removeprefix(PREFIX)
    try:
        blob = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            inside = _cipher(key).decrypt(blob[:_NONCE], blob[_NONCE:], account_id.bytes)
            found = _DECODER.decode(inside)
        except (InvalidTag, ValueError, msgspec.DecodeError):
            continue
        return Reasoning(found.text, found.maker, found.native, found.origin)
    return None


@lru_cache(maxsize=8)
def _cipher(secret_key: str) -> AESGCM:
    derived = HKDF(SHA256(), 32, salt=None, info=b"megabrain reasoning envelope")
    return AESGCM(derived.derive(secret_key.encode()))
