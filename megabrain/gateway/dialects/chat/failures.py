"""Errors among the chunks of a Chat stream, in all the forms that hosts have for them."""

from byok.providers.errors import failed_within
from megabrain.gateway.dialects.neutral import Json

_SPOKEN = ("delta", "message", "text")
#: What Mistral AI, Novita and gateways in front of others have at the top of an error's body.
_BARE = ("message", "detail", "msg")


def is_error(chunk: Json) -> bool:
    """Whether a host reports an error instead of more."""
    choices = chunk.get("choices")
    if isinstance(choices, list) and choices:
        choice = choices[0] if isinstance(choices[0], dict) else {}
        return bool(chunk.get("error")) and not any(choice.get(name) for name in _SPOKEN)
    return failed_within(chunk) or _is_bare(chunk)


def _is_bare(chunk: Json) -> bool:
    """Whether it is an error without `error` around it; then nothing of a chunk is there."""
    if "choices" in chunk or "usage" in chunk:
        return False
    return chunk.get("object") == "error" or any(chunk.get(name) for name in _BARE)
