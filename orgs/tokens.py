"""API tokens as text: `mb-`, 256 random bits, and a checksum that tells a typing error apart.

The text is shown once and then forgotten; what is kept is its SHA-256. A fast hash is enough: the
text is random, so there is nothing to guess, and a token is found by its whole digest, never by a
part of it.
"""

import hashlib
import re
import secrets
import zlib

PREFIX = "mb-"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_DIGITS = 43  # 62 ** 43 > 2 ** 256
CHECK_DIGITS = 6  # 62 ** 6 > 2 ** 32
SHOWN = 8  # Characters kept in clear, to tell tokens apart; the rest still has 224 random bits.

_SHAPE = re.compile(f"{PREFIX}[0-9A-Za-z]{{{RANDOM_DIGITS + CHECK_DIGITS}}}", re.ASCII)


def new_token() -> str:
    """`mb-`, 43 base-62 digits of 256 random bits, and 6 of the CRC-32 of all before them."""
    text = PREFIX + _base62(secrets.randbits(256), RANDOM_DIGITS)
    return text + _checksum(text)


def looks_like_token(text: str) -> bool:
    """Whether `text` has the shape and the checksum of a token. It need not exist."""
    if not _SHAPE.fullmatch(text):
        return False
    return text[-CHECK_DIGITS:] == _checksum(text[:-CHECK_DIGITS])


def digest(text: str) -> str:
    """What the database keeps of a token, and finds it by."""
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), CHECK_DIGITS)


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, len(DIGITS))
        digits = DIGITS[rest] + digits
    return digits.rjust(width, DIGITS[0])
