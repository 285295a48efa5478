"""The parts of messages in neutral terms, told by their shape.

Chat's own are read, and beside them those of Responses and Messages, which Cursor mixes in
(clients.md § 7.9).
"""

import base64
from urllib.parse import unquote_to_bytes
from uuid import UUID

from megabrain.gateway import envelope
from megabrain.gateway.dialects.neutral import (
    Block,
    Cache,
    Document,
    Image,
    Json,
    Reasoning,
    Refusal,
    Text,
)
from megabrain.gateway.dialects.translation import Inexpressible

_FIELD = "messages"
_PDF = "application/pdf"
_AUDIO_OR_VIDEO = ("input_audio", "audio", "video_url", "input_video", "video")
_TEXTS = ("text", "input_text", "output_text")


def cache_of(holder: Json) -> Cache | None:
    """How long the cache is to keep what ends here: Anthropic's mark, or OpenAI's newer one."""
    mark = holder.get("cache_control") or holder.get("prompt_cache_breakpoint")
    if not isinstance(mark, dict):
        return None
    return "1h" if mark.get("ttl") in ("1h", "12h") else "5m"


def parts_of(content: object) -> list[Json]:
    """The content of a message as its parts; a bare string is one of text."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if isinstance(content, dict):
        return [content]
    if not isinstance(content, list):
        return []
    return [
        {"type": "text", "text": part} if isinstance(part, str) else part
        for part in content
        if isinstance(part, str | dict)
    ]


def text_of(content: object) -> list[Text]:
    """The texts among the parts of an instruction."""
    return [
        Text(part["text"], cache_of(part))
        for part in parts_of(content)
        if isinstance(part.get("text"), str) and part["text"]
    ]


def block_of(part: Json) -> Text | Image | Document | None:
    """A part that a user or a tool may send; None for an empty text. Raises Inexpressible."""
    kind = part.get("type")
    if kind in _TEXTS or (kind is None and "text" in part):
        text = part.get("text")
        return Text(text, cache_of(part)) if isinstance(text, str) and text else None
    if kind in ("image_url", "input_image", "image"):
        return _image(part)
    if kind in ("file", "input_file", "document"):
        return _document(part)
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return Text(part["refusal"])
    if kind in _AUDIO_OR_VIDEO:
        raise Inexpressible("This model takes no audio or video.", _FIELD)
    if isinstance(part.get("text"), str):
        return Text(part["text"], cache_of(part)) if part["text"] else None
    raise Inexpressible(f"Content of type {str(kind)[:40]} cannot be sent to this model.", _FIELD)


def said(part: Json, account_id: UUID) -> Block | None:
    """A part of what the assistant said; None for what nobody would miss."""
    kind = part.get("type")
    if kind == "refusal":
        return Refusal(part["refusal"]) if isinstance(part.get("refusal"), str) else None
    if kind in ("thinking", "redacted_thinking"):
        return _thinking(part, account_id)
    if isinstance(part.get("text"), str):
        return Text(part["text"], cache_of(part)) if part["text"] else None
    return None


def _thinking(part: Json, account_id: UUID) -> Reasoning | None:
    """A block of Anthropic's, which may have been ours to begin with."""
    seal = part.get("signature") or part.get("data")
    if isinstance(seal, str) and envelope.is_envelope(seal):
        return envelope.unseal(account_id, seal)
    text = part.get("thinking")
    if not isinstance(text, str | None) or not isinstance(seal, str):
        return None
    native = {name: value for name, value in part.items() if name != "cache_control"}
    return Reasoning(text or "", "anthropic", native)


def _image(part: Json) -> Image:
    cache = cache_of(part)
    if isinstance(source := part.get("source"), dict):
        media_type, data, url = _source(source)
        return Image(media_type=media_type, data=data, url=url, cache=cache)
    holder = part.get("image_url")
    detail = part.get("detail")
    if isinstance(holder, dict):
        detail = holder.get("detail", detail)
        holder = holder.get("url")
    if not isinstance(holder, str):
        raise Inexpressible("A picture has no image_url that MegaBrain could send on.", _FIELD)
    media_type, data, url = _address(holder, "image/png")
    detail = detail if isinstance(detail, str) else None
    return Image(media_type=media_type, data=data, url=url, detail=detail, cache=cache)


def _document(part: Json) -> Document:
    cache = cache_of(part)
    if isinstance(source := part.get("source"), dict):
        name = _word(part.get("title"))
        if source.get("type") == "text" and isinstance(source.get("data"), str):
            return Document(name=name, media_type="text/plain", text=source["data"], cache=cache)
        media_type, data, url = _source(source)
        return Document(name=name, media_type=media_type, data=data, url=url, cache=cache)
    inside = part.get("file")
    file: Json = inside if isinstance(inside, dict) else part
    name = _word(file.get("filename"))
    content = file.get("file_data") or file.get("file_url")
    if not isinstance(content, str):
        # An id is known to the company alone that was given the file.
        raise Inexpressible("Send the file itself as file_data instead of a file_id.", _FIELD)
    media_type, data, url = _address(content, _PDF)
    return Document(name=name, media_type=media_type, data=data, url=url, cache=cache)


def _source(source: Json) -> tuple[str, str, str]:
    """Media type, data and address of Anthropic's `source`."""
    data, url, media_type = source.get("data"), source.get("url"), source.get("media_type")
    if isinstance(data, str):
        return media_type if isinstance(media_type, str) else "", data, ""
    if isinstance(url, str):
        return "", "", url
    raise Inexpressible("Send a file itself instead of a file_id.", _FIELD)


def _address(text: str, assumed: str) -> tuple[str, str, str]:
    """Media type, base64 data and address of what is at a URL, of which data: is one."""
    scheme, colon, rest = text.partition(":")
    if not colon:
        return assumed, text, ""
    if scheme.lower() != "data":
        return "", "", text
    options, _, data = rest.partition(",")
    media_type, *others = options.split(";")
    if "base64" not in others:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return media_type or assumed, data, ""


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
