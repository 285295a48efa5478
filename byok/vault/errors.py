"""Why the vault would not do something, in words for operators. No message holds a secret."""

from enum import StrEnum

from django.core.exceptions import ImproperlyConfigured


class KeyringError(ImproperlyConfigured):
    """The configured vault keys cannot be used. The message names setting, key id and reason."""


class VaultError(Exception):
    """Something the vault was asked to do that it cannot."""


class CannotSeal(VaultError):
    """Nothing was sealed; the message says why, for the operator."""


class KeyInUse(VaultError):
    """A vault key cannot be retired yet."""


class Reason(StrEnum):
    """Why a sealed value does not open."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> "Reason":
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    MALFORMED = "malformed", "The stored value is not a sealed secret."
    UNKNOWN_VERSION = "unknown_version", "It was sealed by a newer release of MegaBrain."
    UNKNOWN_ALGORITHM = (
        "unknown_algorithm",
        "It was sealed by an algorithm unknown to this release.",
    )
    UNKNOWN_KEY = "unknown_key", "It is sealed under a vault key that is not configured."
    NOT_AUTHENTIC = "not_authentic", "It was altered, or belongs to another row."
    NOT_COMMITTED = "not_committed", "Its data key is not the one it was sealed with."
    REFUSED = "refused", "The key management service refuses to use its vault key."
    UNAVAILABLE = "unavailable", "The key management service does not answer."


class Unsealable(VaultError):
    """A sealed value that does not open, and the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.sentence)
        self.reason = reason

    def __reduce__(self) -> tuple[type["Unsealable"], tuple[Reason]]:
        return Unsealable, (self.reason,)
