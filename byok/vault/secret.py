"""What is secret in memory, in forms that no print, log, serializer or traceback can show."""

import hmac
import secrets
from collections.abc import Iterable
from typing import Never

MASK = "***"
HINT_NEEDS = 20  # characters; anything shorter gets no hint at all
HINT_TAIL = 4
HINT_HIDES = 12  # characters that a hint always leaves out


class Secret:
    """A provider credential in clear. Everything about it reads `***` but `reveal()`.

    It does not leave the process: a pickled copy arrives as `***` and refuses to be revealed.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError("A Secret is made from a str.")
        if not is_utf8(text):
            raise ValueError("A Secret holds valid Unicode text only.")
        self._text = text

    def reveal(self) -> str:
        """The plaintext. Keep it inside one expression, out of local variables and messages."""
        return self._text

    def unseal(self) -> "Secret":
        """Itself, so that a key just assigned reads like one loaded from the database."""
        return self

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]  # A hash would be a fingerprint without a key.

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> tuple[type["RedactedSecret"], tuple[()]]:
        return RedactedSecret, ()


class RedactedSecret(Secret):
    """What a pickled `Secret` comes back as."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(MASK)

    def reveal(self) -> Never:
        raise ValueError("This secret has been serialized: only the original holds its text.")


def is_utf8(text: str) -> bool:
    """Whether `text` can be encoded. The codec's own error would carry the text in its repr."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class DataKey:
    """The 256-bit key that one blob is encrypted with."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @classmethod
    def fresh(cls) -> "DataKey":
        return cls(secrets.token_bytes(32))

    def __repr__(self) -> str:
        return MASK


def hint(text: str, prefixes: Iterable[str]) -> str:
    """How a secret is recognised on the page: its known prefix and last four, `sk-ant-…a1b2`.

    Empty for secrets of fewer than 20 characters, and wherever it would leave fewer than twelve
    characters unsaid.
    """
    if len(text) < HINT_NEEDS:
        return ""
    prefix = max((p for p in prefixes if text.startswith(p)), key=len, default="")
    if len(text) - len(prefix) - HINT_TAIL < HINT_HIDES:
        return ""
    return f"{prefix}…{text[-HINT_TAIL:]}"
