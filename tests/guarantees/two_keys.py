"""The attack that a key commitment is for: one AES-GCM ciphertext that two keys accept.

The tag is a polynomial in the blocks of the ciphertext, evaluated at a point that depends on the
key. Of two blocks, the second can be solved for so that both keys arrive at the same tag.
"""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

REDUCTION = 0xE1 << 120
ONE = 1 << 127


def ciphertext_for_both(one: bytes, two: bytes, nonce: bytes, associated: bytes) -> bytes:
    """Two blocks and a tag that AES-256-GCM opens under either key, to different texts."""
    first = number(b"any sixteen byte")
    aad = [
        number(associated[at : at + 16].ljust(16, b"\0")) for at in range(0, len(associated), 16)
    ]
    lengths = len(associated) * 8 << 64 | 32 * 8

    def without_second(key: bytes) -> tuple[int, int]:
        """The tag with the second block left out, and what the second block is multiplied by."""
        point = number(block(key, bytes(16)))
        value = 0
        for part in [*aad, first, 0, lengths]:
            value = times(value ^ part, point)
        return value ^ number(block(key, nonce + b"\0\0\0\1")), times(point, point)

    tag_one, factor_one = without_second(one)
    tag_two, factor_two = without_second(two)
    second = times(tag_one ^ tag_two, inverse(factor_one ^ factor_two))
    tag = tag_one ^ times(second, factor_one)
    return b"".join(value.to_bytes(16) for value in (first, second, tag))


def block(key: bytes, text: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(text)  # noqa: S305 -- one raw block is what GCM is made of.


def number(text: bytes) -> int:
    return int.from_bytes(text)


def times(a: int, b: int) -> int:
    """The product in GF(2^128) as GCM defines it: the first bit is the lowest power."""
    product = 0
    for place in range(127, -1, -1):
        if b >> place & 1:
            product ^= a
        a = a >> 1 ^ (REDUCTION if a & 1 else 0)
    return product


def inverse(a: int) -> int:
    """a to the power 2^128 - 2."""
    result = ONE
    for _ in range(127):
        a = times(a, a)
        result = times(result, a)
    return result
