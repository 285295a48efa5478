"""Neutral content, written as blocks of Messages."""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import msgspec

from megabrain.gateway.dialects.neutral import (
    Block,
    Cache,
    Document,
    Image,
    Json,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.dialects.tool_names import id_for_messages
from megabrain.gateway.dialects.translation import Inexpressible

_PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def marked(block: Json, mark: Cache | None) -> Json:
    """With its cache mark."""
    if mark is None:
        return block
    ttl = {"ttl": "1h"} if mark == "1h" else {}
    return {**block, "cache_control": {"type": "ephemeral", **ttl}}


def text(block: Text) -> Json:
    return marked({"type": "text", "text": block.text}, block.cache)


def message(turn: Turn) -> Json:
    """A turn as a message. Of an assistant's, pictures and files are left out."""
    blocks = [written for block in turn.blocks for written in _written(block, turn.role)]
    while turn.role == "assistant" and blocks and blocks[-1]["type"] in _THINKING:
        # The last of a turn may not be thinking.
        blocks.pop()
    return {"role": turn.role, "content": blocks}


_THINKING = ("thinking", "redacted_thinking")


def _written(block: Block, role: str) -> Iterator[Json]:
    match block:
        case Text():
            yield text(block)
        case Refusal():
            yield {"type": "text", "text": block.text}
        case Reasoning():
            # It goes back as it came, to the byte: it is signed.
            if block.native is not None:
                yield block.native
        case ToolCall():
            yield marked(
                {
                    "type": "tool_use",
                    "id": id_for_messages(block.id),
                    "name": block.name,
                    "input": arguments(block.arguments),
                },
                block.cache,
            )
        case ToolResult():
            yield _result(block)
        case Image() | Document() if role != "assistant":
            yield _image(block) if isinstance(block, Image) else _document(block)


def arguments(said: str) -> Json:
    """The arguments of a call as an object, which is all that is taken."""
    if not said.strip():
        return {}
    try:
        found: Any = msgspec.json.decode(said)  # Any: whatever JSON a model wrote.
    except (msgspec.DecodeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"_raw": said}


def _result(block: ToolResult) -> Json:
    out: Json = {"type": "tool_result", "tool_use_id": id_for_messages(block.call_id)}
    inside = [written for part in block.blocks for written in _written(part, "user")]
    if inside:
        out["content"] = inside
    if block.is_error:
        out["is_error"] = True
    return marked(out, block.cache)


def _image(block: Image) -> Json:
    if block.url:
        return marked({"type": "image", "source": {"type": "url", "url": block.url}}, block.cache)
    if block.media_type not in _PICTURES:
        kind = block.media_type or "of an unknown kind"
        raise Inexpressible(
            f"The image is {kind}, and this model takes JPEG, PNG, GIF and WebP.", "messages"
        )
    source = {"type": "base64", "media_type": block.media_type, "data": block.data}
    return marked({"type": "image", "source": source}, block.cache)


def _document(block: Document) -> Json:
    if block.media_type.startswith("image/") and block.data:
        return _image(Image(block.media_type, block.data, cache=block.cache))
    out: Json = {"type": "document", "source": _source(block)}
    if block.name:
        out["title"] = block.name
    return marked(out, block.cache)


def _source(block: Document) -> Json:
    if block.url:
        return {"type": "url", "url": block.url}
    if block.text or not block.data:
        return {"type": "text", "media_type": "text/plain", "data": block.text}
    if block.media_type == "application/pdf":
        return {"type": "base64", "media_type": "application/pdf", "data": block.data}
    try:
        plain = base64.b64decode(block.data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Inexpressible(
            f"The file {block.name or 'without a name'} is {block.media_type or 'of no known kind'}"
            ", and this model takes PDF and plain text.",
            "messages",
        ) from None
    return {"type": "text", "media_type": "text/plain", "data": plain}
