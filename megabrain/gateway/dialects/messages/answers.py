"""Answers of Messages in one piece: read from providers, and written for callers."""

from collections.abc import Iterable, Iterator
from uuid import UUID

import msgspec

from megabrain.gateway import envelope
from megabrain.gateway.dialects.base import decoded
from megabrain.gateway.dialects.claude import JSON_TOOL
from megabrain.gateway.dialects.messages.blocks import arguments
from megabrain.gateway.dialects.messages.stops import read_stop, write_stop
from megabrain.gateway.dialects.messages.usage import read_usage, write_usage
from megabrain.gateway.dialects.neutral import (
    Answer,
    Block,
    Finish,
    Json,
    Origin,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from megabrain.gateway.dialects.tool_names import id_for_messages
from megabrain.gateway.dialects.translation import Told

_ENCODER = msgspec.json.Encoder()
_NATIVE = ("type", "thinking", "signature", "data")


# Reading ----------------------------------------------------------------------------------------


def read_answer(body: bytes, origin: Origin) -> Answer | None:
    """The answer in a 200's body, or None when it is something else."""
    said = decoded(body)
    if said is None or said.get("error") is not None:
        return None
    content, usage, stop = said.get("content"), said.get("usage"), said.get("stop_sequence")
    if not isinstance(content, list):
        return None
    found = (each for each in content if isinstance(each, dict))
    blocks = [block for each in found for block in _read(each, origin)]
    calls = any(isinstance(block, ToolCall) for block in blocks)
    return Answer(
        blocks=blocks,
        finish=read_stop(said.get("stop_reason"), calls=calls),
        stop_sequence=stop if isinstance(stop, str) else None,
        usage=read_usage(usage) if isinstance(usage, dict) else None,
        id=str(said.get("id") or ""),
    )


def _read(block: Json, origin: Origin) -> Iterator[Block]:
    """What a block says. Those of tools that Anthropic runs itself, and unknown ones, say nothing
    to the caller."""
    match block.get("type"):
        case "text":
            if text := str(block.get("text") or ""):
                yield Text(text)
        case "thinking" | "redacted_thinking":
            text = str(block.get("thinking") or "")
            yield Reasoning(text, "anthropic", native(block), origin)
        case "tool_use":
            given = block.get("input") or {}
            said = _ENCODER.encode(given).decode()
            if block.get("name") == JSON_TOOL:
                yield Text(said)
            else:
                yield ToolCall(
                    str(block.get("id") or ""),
                    str(block.get("name") or ""),
                    "" if said == "{}" else said,
                )


def native(block: Json) -> Json:
    """A thinking block as its maker wants it back."""
    return {name: block[name] for name in _NATIVE if name in block}


# Writing ----------------------------------------------------------------------------------------


def write_answer(prompt: Prompt, answer: Answer, told: Told) -> bytes:
    """The body for the caller."""
    content = list(_written(_joined(answer.blocks), prompt, told))
    calls = any(block["type"] == "tool_use" for block in content)
    said = opening(told)
    said |= {"content": content, **stopped(answer.finish, answer.stop_sequence, calls=calls)}
    said["usage"] = write_usage(answer.usage)
    return _ENCODER.encode(said)


def opening(told: Told) -> Json:
    """How every message begins."""
    return {
        "id": "msg_" + told.request_id.replace("-", ""),
        "type": "message",
        "role": "assistant",
        "model": told.model,
    }


def stopped(finish: Finish, stop_sequence: str | None, *, calls: bool) -> Json:
    """Why it ended; `calls` says that it calls a tool."""
    reason = write_stop(finish, calls=calls)
    said: Json = {"stop_reason": reason, "stop_sequence": None}
    if reason == "stop_sequence":
        said["stop_sequence"] = stop_sequence
    if reason == "refusal":
        said["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return said


def sealed(account_id: UUID, reasoning: Reasoning) -> str:
    """The signature of a thinking block: what its maker wants back, for nobody else to read.

    Clients drop blocks that are not signed, so one that nobody wants back has an empty envelope.
    """
    if reasoning.maker is None or reasoning.native is None or reasoning.origin is None:
        return envelope.PREFIX
    return envelope.seal(account_id, reasoning)


def own_names(prompt: Prompt) -> dict[str, str]:
    """The names under which the caller knows its tools, by those that they have upstream."""
    return {tool.name: tool.own_name or tool.name for tool in reversed(prompt.tools)}


def _joined(blocks: Iterable[Block]) -> list[Block]:
    """The blocks with refusals as text, and adjacent texts as one, as they are streamed."""
    out: list[Block] = []
    texts: list[str] = []
    for block in blocks:
        if isinstance(block, Text | Refusal):
            texts.append(block.text)
            continue
        out += _text(texts)
        texts = []
        out.append(block)
    return out + _text(texts)


def _text(pieces: list[str]) -> list[Block]:
    text = "".join(pieces)
    return [Text(text)] if text else []


def _written(blocks: list[Block], prompt: Prompt, told: Told) -> Iterator[Json]:
    names = own_names(prompt)
    for block in blocks:
        match block:
            case Text():
                yield {"type": "text", "text": block.text}
            case Reasoning(text="", native=None):
                pass
            case Reasoning():
                made = msgspec.structs.replace(block, origin=block.origin or told.origin)
                signature = sealed(told.account_id, made)
                yield {"type": "thinking", "thinking": block.text, "signature": signature}
            case ToolCall():
                yield {
                    "type": "tool_use",
                    "id": id_for_messages(block.id),
                    "name": names.get(block.name, block.name),
                    "input": arguments(block.arguments),
                }
