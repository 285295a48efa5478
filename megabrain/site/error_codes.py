"""Every error code of the gateway, in words for the person who meets it.

A test holds this list against the gateway's own, so that no error lacks an entry to link to.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """`statuses` is what callers see; the meaning and the remedy are whole sentences."""

    code: str
    statuses: str
    meaning: str
    remedy: str


ERROR_CODES: list[ErrorCode] = []
