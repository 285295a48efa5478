"""Which headers of a request or an answer may be passed on."""

import re
from collections.abc import Mapping
from functools import lru_cache


def sifted(
    headers: Mapping[str, str], listed: tuple[str, ...], withheld: tuple[str, ...] = ()
) -> dict[str, str]:
    """The headers of the listed names and families that are safe to pass on."""
    names, families = _split(listed)
    return {
        name: value
        for name, value in headers.items()
        if (name in names or name.startswith(families))
        and name not in withheld
        and _safe(name, value)
    }


@lru_cache
def _split(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names, and the beginnings of families, of a list that is gone through with every call."""
    families = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    return frozenset(pattern for pattern in patterns if not pattern.endswith("*")), families


def _safe(name: str, value: str) -> bool:
    """Whether a header can be passed on without becoming something else on the way."""
    return (
        re.fullmatch(r"[a-z0-9_-]{1,128}", name) is not None
        and re.fullmatch(r"[\t\x20-\x7e]*", value) is not None
    )
