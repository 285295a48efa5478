"""A conversation as the messages of Converse, which is strict about them.

Users and assistants speak in turn, the user first; results follow their calls; no text is blank;
pictures and files are bytes, since Bedrock fetches nothing. Source: dialects.md §§ 4, 5 and 9.5.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

from megabrain.gateway.dialects.base import decoded
from megabrain.gateway.dialects.converse.families import Family
from megabrain.gateway.dialects.neutral import (
    Block,
    Cache,
    Document,
    Image,
    Json,
    Prompt,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.dialects.tool_names import id_for_converse
from megabrain.gateway.dialects.translation import Inexpressible

#: What a tool said that said nothing, and what a user says who only attaches a file.
NO_OUTPUT = "(no output)"
SEE_ATTACHED = "See the attached file."
#: What is in a file that is empty, for Bedrock wants a byte at least.
EMPTY = "(empty)"

_IMAGES = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_LONGEST_NAME = 200
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")
_SPACES = re.compile(r"\s{2,}")
_NINE = re.compile(r"[A-Za-z0-9]{9}")


class Contents:
    """Writes the messages of one request; the names of its documents must differ."""

    def __init__(self, rules: Family) -> None:
        self._rules = rules
        #: Each with the last number that was put after it.
        self._names: dict[str, int] = {}

    def messages(self, turns: list[Turn]) -> list[Json]:
        return [{"role": turn.role, "content": list(self._content(turn))} for turn in turns]

    def _content(self, turn: Turn) -> Iterator[Json]:
        for block in turn.blocks:
            yield self._block(block)
            mark: Cache | None = getattr(block, "cache", None)
            if mark and self._rules.caches:
                yield cache_point(mark, self._rules)
        kinds = {type(block) for block in turn.blocks}
        if Document in kinds and Text not in kinds:
            # A file alone is refused.
            yield {"text": SEE_ATTACHED}

    def _block(self, block: Block) -> Json:
        match block:
            case ToolCall():
                return {
                    "toolUse": {
                        "toolUseId": self._call_id(block.id),
                        "name": block.name,
                        "input": arguments(block.arguments),
                    }
                }
            case ToolResult():
                return {"toolResult": self._result(block)}
            case Reasoning():
                return {"reasoningContent": block.native}
        return self._part(block)

    # What may also be in the result of a tool.
    def _part(self, block: Block) -> Json:
        match block:
            case Image():
                return {"image": _image(block)}
            case Document():
                return {"document": self._document(block)}
            case Text():
                return {"text": block.text}
        raise TypeError(f"{type(block).__name__} has no place in a message.")

    def _result(self, result: ToolResult) -> Json:
        content = [self._part(part) for part in result.blocks] or [{"text": NO_OUTPUT}]
        answer: Json = {"toolUseId": self._call_id(result.call_id), "content": content}
        if result.is_error and self._rules.error_status:
            answer["status"] = "error"
        elif result.is_error:
            answer["content"] = [{"text": "Error:"}, *content]
        return answer

    def _call_id(self, call_id: str) -> str:
        if not self._rules.nine:
            return id_for_converse(call_id)
        if _NINE.fullmatch(call_id):
            return call_id
        return hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:9]

    def _document(self, block: Document) -> Json:
        if block.url:
            raise Inexpressible(
                "Bedrock fetches no documents: send this one as data instead of as a URL.",
                "messages",
            )
        if block.text or not block.data:
            kind, data = "txt", base64.b64encode((block.text or EMPTY).encode()).decode()
        else:
            kind, data = _document_format(block), _base64(block.data)
        return {"format": kind, "name": self._name(block.name), "source": {"bytes": data}}

    def _name(self, wanted: str) -> str:
        stem = wanted.rpartition(".")[0] or wanted
        plain = _SPACES.sub(" ", _NOT_IN_NAMES.sub(" ", stem)).strip() or "document"
        name = first = plain[:_LONGEST_NAME]
        number = self._names.get(first, 1)
        while name in self._names:
            number += 1
            end = f" {number}"
            name = plain[: _LONGEST_NAME - len(end)] + end
        self._names[first] = number
        self._names.setdefault(name, 1)
        return name


def cache_point(mark: Cache, rules: Family) -> Json:
    """What stands after a block that ends a cached prefix."""
    point: Json = {"type": "default"}
    if mark == "1h" and rules.claude:
        point["ttl"] = mark
    return {"cachePoint": point}


def arguments(text: str) -> Json:
    """The arguments of a call; what is no JSON object is kept as it is, under a name of ours."""
    if not text.strip():
        return {}
    found = decoded(text)
    return {"_raw": text} if found is None else found


def tools_in(prompt: Prompt) -> list[str]:
    """The names of the tools that the conversation mentions, in their order."""
    calls = (block for turn in prompt.turns for block in turn.blocks)
    return list(dict.fromkeys(block.name for block in calls if isinstance(block, ToolCall)))


def _image(block: Image) -> Json:
    if block.url:
        raise Inexpressible(
            "Bedrock fetches no pictures: send this one as base64 data instead of as a URL.",
            "messages",
        )
    kind = _IMAGES.get(block.media_type.lower())
    if kind is None:
        raise Inexpressible(
            "Bedrock takes pictures as PNG, JPEG, GIF or WebP: convert this one.", "messages"
        )
    return {"format": kind, "source": {"bytes": _base64(block.data)}}


def _document_format(block: Document) -> str:
    kind = _DOCUMENTS.get(block.media_type.partition(";")[0].strip().lower())
    ending = block.name.rpartition(".")[2].lower()
    if kind is None and ending in _DOCUMENTS.values():
        kind = ending
    if kind is None and _is_text(block.data):
        kind = "txt"
    if kind is None:
        kinds = ", ".join(sorted(_DOCUMENTS.values()))
        raise Inexpressible(f"Bedrock takes no documents of this kind, only {kinds}.", "messages")
    return kind


def _is_text(data: str) -> bool:
    """Whether the data is that of a text, as source code is."""
    try:
        base64.b64decode(data).decode()
    except ValueError:
        return False
    return True


def _base64(data: str) -> str:
    """The data with its line breaks taken out, which some clients put in."""
    pieces = data.split()
    data = pieces[0] if len(pieces) == 1 else "".join(pieces)
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        raise Inexpressible("A picture or document is not valid base64.", "messages") from None
    return data
