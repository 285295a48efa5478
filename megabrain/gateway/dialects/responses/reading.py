"""Answers in one piece of a provider that speaks Responses.

Sources: dialects.md §§ 10 and 11, providers.md §§ 2 and 10. Items that are not known, such as
Perplexity's search results, are left out.
"""

import msgspec

from megabrain.gateway.dialects.base import decoded
from megabrain.gateway.dialects.neutral import (
    Answer,
    Block,
    Finish,
    Json,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from megabrain.gateway.dialects.responses.items import text_of
from megabrain.gateway.dialects.responses.passing import FAILED
from megabrain.gateway.dialects.responses.usage import usage_of
from megabrain.gateway.dialects.tool_names import id_at

_ENCODER = msgspec.json.Encoder()
CALLS = ("function_call", "custom_tool_call")


def answer(body: bytes) -> Answer | None:
    """The answer in a 200's body, or None when it is something else."""
    response = decoded(body)
    if response is None or response.get("error") is not None or response.get("status") in FAILED:
        return None
    output = response.get("output")
    if not isinstance(output, list):
        return None
    blocks: list[Block] = []
    for position, item in enumerate(output):
        if isinstance(item, dict):
            blocks += blocks_of(item, position)
    return Answer(
        blocks=blocks,
        finish=finish_of(
            response,
            called=any(isinstance(block, ToolCall) for block in blocks),
            refused=any(isinstance(block, Refusal) for block in blocks),
        ),
        usage=usage_of(response),
        id=word(response, "id"),
    )


def blocks_of(item: Json, position: int) -> list[Block]:
    """What an item of the output holds; nothing for kinds that are not known."""
    kind = item.get("type")
    if kind == "message":
        return list(parts_of(item))
    if kind == "reasoning":
        text = text_of(item)
        return [Reasoning(text, "openai", item) if can_return(item) else Reasoning(text)]
    if kind in CALLS:
        name = word(item, "name")
        call_id = word(item, "call_id") or word(item, "id") or id_at(position, name)
        return [ToolCall(call_id, name, arguments_of(item))]
    return []


def can_return(reasoning: Json) -> bool:
    """Whether a reasoning item can be sent in the next turn. Without what is encrypted it stands
    for something that was not kept, and is refused."""
    return bool(word(reasoning, "encrypted_content"))


def finish_of(response: Json, *, called: bool, refused: bool) -> Finish:
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return Finish.FILTERED if reason == "content_filter" else Finish.LENGTH
    if called:
        return Finish.TOOLS
    return Finish.FILTERED if refused else Finish.END


def parts_of(message: Json) -> list[Text | Refusal]:
    """The parts of a message's content."""
    content = message.get("content")
    parts: list[Text | Refusal] = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "refusal":
            parts.append(Refusal(word(part, "refusal")))
        elif isinstance(part, dict) and (text := word(part, "text")):
            parts.append(Text(text))
    return parts


def arguments_of(item: Json) -> str:
    """The arguments of a call as JSON text."""
    if item.get("type") == "custom_tool_call":
        return _ENCODER.encode({"input": word(item, "input")}).decode()
    arguments = item.get("arguments")
    return arguments if isinstance(arguments, str) else _ENCODER.encode(arguments or {}).decode()


def word(holder: Json, name: str) -> str:
    word = holder.get(name)
    return word if isinstance(word, str) else ""
