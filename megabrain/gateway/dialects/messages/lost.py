"""A body of Messages without the thinking of earlier turns, which another key has made.

Only what must go is taken out, and the rest keeps its bytes.
"""

from typing import Any

import msgspec

from byok.providers.base import Fields
from megabrain.gateway.dialects.neutral import ENVELOPE_PREFIX

_ENCODER = msgspec.json.Encoder()
_MESSAGES = msgspec.json.Decoder(list[Fields])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_THINKING, _REDACTED = b'"thinking"', b'"redacted_thinking"'
_OURS = b'"' + ENVELOPE_PREFIX.encode()
#: An edit of the context that is refused where nobody thinks.
_CLEARS_THINKING = "clear_thinking"


def without_thinking(fields: Fields, *, only_ours: bool) -> Fields:
    """The fields without thinking blocks: all of them, or those that we have sealed.

    A model that counts its thinking wants every turn of a tool loop to begin with it; where that is
    lost, this request goes without.
    """
    raw = bytes(fields.get("messages", b""))
    if (_OURS if only_ours else b'thinking"') not in raw:
        return fields
    try:
        messages = _MESSAGES.decode(raw)
        kept = [_stripped(message, only_ours=only_ours) for message in messages]
    except _UNREADABLE:
        return fields
    if all(new is old for new, old in zip(kept, messages, strict=True)):
        return fields
    found = [message for message in kept if message is not None]
    fields = {**fields, "messages": msgspec.Raw(_ENCODER.encode(found))}
    return _calm(fields) if _counts(fields) and _in_a_loop_without(found) else fields


def _stripped(message: Fields, *, only_ours: bool) -> Fields | None:
    """The message without its thinking; None where nothing else is in it."""
    content = bytes(message.get("content", b""))
    if b'thinking"' not in content or not content.startswith(b"["):
        return message
    blocks = _MESSAGES.decode(content)
    kept = [block for block in blocks if not _is_lost(block, only_ours=only_ours)]
    if len(kept) == len(blocks):
        return message
    return {**message, "content": msgspec.Raw(_ENCODER.encode(kept))} if kept else None


def _is_lost(block: Fields, *, only_ours: bool) -> bool:
    kind = bytes(block.get("type", b""))
    if kind == _REDACTED:
        return not only_ours or bytes(block.get("data", b"")).startswith(_OURS)
    if kind != _THINKING:
        return False
    return not only_ours or bytes(block.get("signature", b"")).startswith(_OURS)


def _counts(fields: Fields) -> bool:
    """Whether thinking has a budget."""
    return b'"budget_tokens"' in bytes(fields.get("thinking", b""))


def _in_a_loop_without(messages: list[Fields]) -> bool:
    """Whether the last turn of the assistant calls a tool and does not begin with thinking."""
    for message in reversed(messages):
        if bytes(message.get("role", b"")) == b'"assistant"':
            content = bytes(message.get("content", b""))
            if b'"tool_use"' not in content or not content.startswith(b"["):
                return False
            kinds = [bytes(block.get("type", b"")) for block in _MESSAGES.decode(content)]
            return b'"tool_use"' in kinds and kinds[0] not in (_THINKING, _REDACTED)
    return False


def _calm(fields: Fields) -> Fields:
    """Without thinking, and without what is only allowed beside it."""
    fields = {name: value for name, value in fields.items() if name != "thinking"}
    try:
        # Any: whatever JSON the caller sent.
        management: Any = msgspec.json.decode(fields.get("context_management", b"null"))
    except _UNREADABLE:
        return fields
    edits = management.get("edits") if isinstance(management, dict) else None
    if not isinstance(edits, list):
        return fields
    left = [
        edit
        for edit in edits
        if not (isinstance(edit, dict) and str(edit.get("type")).startswith(_CLEARS_THINKING))
    ]
    if len(left) == len(edits):
        return fields
    if not left:
        return {name: value for name, value in fields.items() if name != "context_management"}
    return {
        **fields,
        "context_management": msgspec.Raw(_ENCODER.encode({**management, "edits": left})),
    }
