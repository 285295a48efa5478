"""The content of messages, read into neutral blocks.

Blocks of unknown kinds are left out: new ones come every few months, and a conversation is worth
more than any of them. What stands for a file that is kept at Anthropic cannot be told to others.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec

from megabrain.gateway import envelope
from megabrain.gateway.dialects.neutral import (
    Block,
    Cache,
    Document,
    Image,
    Json,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from megabrain.gateway.dialects.tool_names import ToolNames, id_at
from megabrain.gateway.dialects.translation import Inexpressible

# Any, here and below: whatever JSON the caller sent.


def cache_of(said: Json) -> Cache | None:
    """The cache mark of a block or a tool."""
    mark = said.get("cache_control")
    if not isinstance(mark, dict):
        return None
    return "1h" if mark.get("ttl") == "1h" else "5m"


def objects(content: Any) -> list[Json]:
    """The blocks of a content, which may be a string."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


def texts(content: Any) -> list[Text]:
    """The texts of a content that has nothing else, such as a system prompt."""
    return [
        Text(text, cache_of(block))
        for block in objects(content)
        if isinstance(text := block.get("text"), str)
    ]


def of_user(content: Any) -> tuple[list[Block], list[Block]]:
    """The results of tools in a user's message, and what else it says."""
    results: list[Block] = []
    said: list[Block] = []
    for block in objects(content):
        if block.get("type") == "tool_result":
            results.append(_result(block))
        else:
            said += _shown(block)
    return results, said


def of_assistant(
    content: Any, names: ToolNames, account_id: UUID, position: int
) -> tuple[list[Block], list[Text]]:
    """What an assistant's message says, and summaries of what came before it.

    `position` is where in the conversation its calls are, for those without ids.
    """
    said: list[Block] = []
    summaries: list[Text] = []
    for block in objects(content):
        match block.get("type"):
            case "text":
                said += _shown(block)
            case "tool_use":
                said.append(_call(block, names, position + len(said)))
            case "thinking":
                said += _thinking(block, block.get("signature"), account_id)
            case "redacted_thinking":
                said += _thinking(block, block.get("data"), account_id)
            case "compaction":
                if isinstance(summary := block.get("content"), str):
                    summaries.append(Text(summary, cache_of(block)))
    return said, summaries


def _shown(block: Json) -> Iterator[Text | Image | Document]:
    """A block that may also be part of a tool's result."""
    mark = cache_of(block)
    match block.get("type"):
        case "text":
            yield Text(str(block.get("text") or ""), mark)
        case "image":
            yield _image(block.get("source"), mark)
        case "document":
            yield from _document(block, mark)
        case "search_result":
            found = [str(block.get("title") or ""), str(block.get("source") or "")]
            found += [text.text for text in texts(block.get("content"))]
            yield Text("\n".join(line for line in found if line), mark)
        case "tool_reference":
            yield Text(f"Tool found: {block.get('tool_name')}", mark)


def _image(source: Any, mark: Cache | None) -> Image:
    match source:
        case {"type": "base64", "data": str(data)}:
            return Image(str(source.get("media_type") or ""), data, cache=mark)
        case {"type": "url", "url": str(url)}:
            return Image(url=url, cache=mark)
    raise _elsewhere("image")


def _document(block: Json, mark: Cache | None) -> Iterator[Text | Image | Document]:
    title = str(block.get("title") or "")
    if isinstance(context := block.get("context"), str) and context:
        yield Text(f"{title}: {context}" if title else context)
    source: Any = block.get("source")
    match source:
        case {"type": "base64", "data": str(data)}:
            media_type = str(source.get("media_type") or "application/pdf")
            yield Document(title, media_type, data, cache=mark)
        case {"type": "text", "data": str(text)}:
            yield Document(title, "text/plain", text=text, cache=mark)
        case {"type": "url", "url": str(url)}:
            yield Document(title, "application/pdf", url=url, cache=mark)
        case {"type": "content"}:
            inside = objects(source.get("content"))
            text = "\n".join(text.text for text in texts(inside))
            yield Document(title, "text/plain", text=text, cache=mark)
            yield from (
                _image(part.get("source"), None) for part in inside if part.get("type") == "image"
            )
        case _:
            raise _elsewhere("document")


def _elsewhere(kind: str) -> Inexpressible:
    return Inexpressible(
        f"The {kind} is not in the request, and the provider that serves this model cannot fetch "
        "it from Anthropic's Files API: send it as base64, or by its URL.",
        "messages",
    )


def _result(block: Json) -> ToolResult:
    return ToolResult(
        call_id=str(block.get("tool_use_id") or ""),
        blocks=[part for inside in objects(block.get("content")) for part in _shown(inside)],
        is_error=block.get("is_error") is True,
        cache=cache_of(block),
    )


def _call(block: Json, names: ToolNames, position: int) -> ToolCall:
    own_name, given = str(block.get("name") or ""), block.get("input")
    arguments = given if isinstance(given, str) else msgspec.json.encode(given or {}).decode()
    return ToolCall(
        id=str(block.get("id") or id_at(position, own_name)),
        name=names.of(own_name),
        arguments="" if arguments == "{}" else arguments,
        cache=cache_of(block),
    )


def _thinking(block: Json, sealed: Any, account_id: UUID) -> Iterator[Reasoning]:
    """Thinking that can go back to its maker: sealed by us, or signed by Anthropic."""
    if not isinstance(sealed, str) or not sealed:
        return
    if envelope.is_envelope(sealed):
        found = envelope.unseal(account_id, sealed)
        if found is not None:
            yield found
        return
    wanted = ("type", "thinking", "signature", "data")
    native = {name: block[name] for name in wanted if name in block}
    yield Reasoning(str(block.get("thinking") or ""), "anthropic", native)
