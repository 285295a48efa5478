"""A conversation as Gemini's contents: turns of `user` and `model`, each made of parts.

All results of a turn's calls stand together at the beginning of the user's next turn. A call names
its function and so does its result, beside the id that joins them.

From Gemini 3 on, the first call of each turn of the model's must bring back the signature that it
came with, or the request is refused. It travels in the reasoning of that turn; where it is lost, or
somebody else made the call, Google documents a dummy that passes.
Sources: ai.google.dev/gemini-api/docs (function-calling, thought-signatures, file-input-methods)
and github.com/googleapis/python-genai, as of November 2026.
"""

import mimetypes
import re
from urllib.parse import urlsplit

from megabrain.gateway.dialects.base import decoded
from megabrain.gateway.dialects.gemini.thinking import generation
from megabrain.gateway.dialects.neutral import (
    Document,
    Image,
    Json,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.dialects.repairs import alternating
from megabrain.gateway.dialects.translation import Inexpressible, Target

#: Passes where a signature is wanted: for calls that another model has made.
DUMMY_SIGNATURE = "skip_thought_signature_validator"
_SIGNING = (3, 0)
#: Before these, a conversation may end with the beginning of the answer.
_NOT_BEGUN = (3, 5)
#: Says what a result is that has no text beside its pictures.
_ATTACHED = "The result is attached."
#: What is in a file that is empty.
_EMPTY = "(empty)"

# A function's name begins with a letter or an underscore, and a tool's may not. With this before
# it, it does; one that looks as if that had been done already gets it once more.
_MARK = "t_"
_NEEDS_MARK = re.compile(r"(?:t_)*[0-9-]")
_HAS_MARK = re.compile(r"(?:t_)+[0-9-]")


def function_name(tool: str) -> str:
    """What a tool is called upstream."""
    return _MARK + tool if _NEEDS_MARK.match(tool) else tool


def tool_name(function: str) -> str:
    """The tool that is called so upstream."""
    return function.removeprefix(_MARK) if _HAS_MARK.match(function) else function


def contents(prompt: Prompt, target: Target) -> list[Json]:
    """The turns of a conversation, repaired where Gemini would refuse them."""
    known = generation(target.upstream_model)
    turns = alternating(
        prompt.turns,
        returned=lambda reasoning: reasoning.returns_to("google", target.origin),
        ends_with_user=known >= _NOT_BEGUN,
    )
    signing = known >= _SIGNING
    names: dict[str, str] = {}
    written = []
    for turn in turns:
        if turn.role == "assistant":
            written.append({"role": "model", "parts": _said(turn, names, signing=signing)})
        else:
            written.append({"role": "user", "parts": _asked(turn, names, nested=signing)})
    return written


def _said(turn: Turn, names: dict[str, str], *, signing: bool) -> list[Json]:
    """The parts of a turn of the model's; notes the names of the functions it calls."""
    parts: list[Json] = []
    signatures = _signatures(turn)
    of_text: str | None = None
    called = False
    for block in turn.blocks:
        match block:
            case Reasoning(native=native):
                of_text = _word((native or {}).get("text")) or of_text
            case ToolCall():
                names[block.id] = name = function_name(block.name)
                call = {"id": block.id, "name": name, "args": _arguments(block.arguments)}
                first = signing and not called
                signature = signatures.get(block.id) or (DUMMY_SIGNATURE if first else None)
                parts.append(_signed({"functionCall": call}, signature))
                called = True
            case Text() | Refusal():
                parts.append(_signed({"text": block.text}, of_text))
                of_text = None
            case Image() | Document():
                parts.append(_media(block))
    return parts


def _asked(turn: Turn, names: dict[str, str], *, nested: bool) -> list[Json]:
    """The parts of a turn of the user's, results first.

    `nested` says that pictures of a result can be in it; otherwise they come after the results.
    """
    parts: list[Json] = []
    beside: list[Json] = []
    for block in turn.blocks:
        match block:
            case ToolResult():
                answered, media = _result(block, names[block.call_id], nested=nested)
                parts.append({"functionResponse": answered})
                beside += media
            case Text():
                beside.append({"text": block.text})
            case Image() | Document():
                beside.append(_media(block))
    return parts + beside


def _result(result: ToolResult, name: str, *, nested: bool) -> tuple[Json, list[Json]]:
    """A functionResponse, and what could not be said inside it."""
    text = "\n".join(block.text for block in result.blocks if isinstance(block, Text))
    media = [_media(block) for block in result.blocks if not isinstance(block, Text)]
    inside: list[Json] = []
    beside: list[Json] = []
    for part in media:
        (inside if nested and "inlineData" in part else beside).append(part)
    response = {"error" if result.is_error else "output": text or (_ATTACHED if media else "")}
    answered: Json = {"id": result.call_id, "name": name, "response": response}
    if inside:
        answered["parts"] = inside
    return answered, beside


def _media(block: Image | Document) -> Json:
    """A picture or a file, as its data or, since Google fetches those itself, as its address."""
    if isinstance(block, Document) and not block.data and not block.url:
        text = block.text or _EMPTY
        return {"text": f"{block.name}\n\n{text}" if block.name else text}
    if block.data:
        usual = "image/png" if isinstance(block, Image) else "application/pdf"
        return {"inlineData": {"mimeType": block.media_type or usual, "data": block.data}}
    if not block.url.startswith("https://"):
        raise Inexpressible(
            "Gemini takes pictures and files as base64 data, or from an address that begins with "
            "https:// and that everybody can read. Send the data itself.",
            "messages",
        )
    kind = block.media_type or mimetypes.guess_type(urlsplit(block.url).path)[0]
    return {"fileData": {"fileUri": block.url, **({"mimeType": kind} if kind else {})}}


def _signatures(turn: Turn) -> dict[str, str]:
    """The signatures of the calls of a turn, by the ids of the calls."""
    found: dict[str, str] = {}
    for block in turn.blocks:
        calls = (block.native or {}).get("calls") if isinstance(block, Reasoning) else None
        if isinstance(calls, dict):
            found.update({id_: signature for id_, signature in calls.items() if _word(signature)})
    return found


def _signed(part: Json, signature: str | None) -> Json:
    return {**part, "thoughtSignature": signature} if signature else part


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _arguments(text: str) -> Json:
    """Arguments as an object. What is none is told as it is: a conversation must not end for it."""
    if not text.strip():
        return {}
    found = decoded(text)
    return {"_raw": text} if found is None else found
