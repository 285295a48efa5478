"""Answers to Chat callers, in one piece."""

import msgspec

from megabrain.gateway import envelope
from megabrain.gateway.dialects.chat import finishes, reasoning
from megabrain.gateway.dialects.chat.parsing import ChatPrompt
from megabrain.gateway.dialects.chat.usage import write_usage
from megabrain.gateway.dialects.neutral import (
    Answer,
    Json,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
)
from megabrain.gateway.dialects.translation import Told

_ENCODER = msgspec.json.Encoder()
#: Between two pieces of reasoning, whose text clients run together.
PARAGRAPH = "\n\n"


class Callers:
    """How the caller of one request knows the tools, and who it is that reads the reasoning."""

    def __init__(self, prompt: Prompt, told: Told) -> None:
        self.legacy = isinstance(prompt, ChatPrompt) and prompt.legacy_calls
        self._tools = {tool.name: tool for tool in prompt.tools}
        self._told = told
        #: Envelopes of Gemini's signatures, by the id of the first call that each is of.
        self._signatures: dict[str, str] = {}

    def is_custom(self, name: str) -> bool:
        """Whether the tool takes text, for which upstream there is a function."""
        tool = self._tools.get(name)
        return tool is not None and tool.kind == "custom"

    def name(self, name: str) -> str:
        """The caller's name of a tool. Chat has no namespaces, so that of one in there is ours."""
        tool: Tool | None = self._tools.get(name)
        return name if tool is None or tool.namespace else tool.own_name or name

    def seal(self, text: str, block: Reasoning) -> str:
        """The envelope of a piece of reasoning, or "" if nobody wants it back."""
        if not block.maker or block.native is None:
            return ""
        sealed = Reasoning(text, block.maker, block.native, self._told.origin)
        seal = envelope.seal(self._told.account_id, sealed)
        if block.maker == "google":
            for call_id in block.native.get("calls") or {}:
                self._signatures[str(call_id)] = seal
                break
        return seal

    def signature(self, call_id: str) -> Json:
        """The fields of a call beside its own, for clients that keep Gemini's signature there."""
        seal = self._signatures.pop(call_id, "")
        return reasoning.signed(seal) if seal else {}


def opening(told: Told, kind: str) -> Json:
    return {
        "id": "chatcmpl-" + told.request_id.replace("-", ""),
        "object": kind,
        "created": told.created,
        "model": told.model,
    }


def text_input(arguments: str) -> str:
    """What a custom tool is given, of the arguments of the function that it is upstream."""
    try:
        found = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return arguments
    inside = found.get("input", "") if isinstance(found, dict) else found
    return inside if isinstance(inside, str) else _ENCODER.encode(inside).decode()


def whole(prompt: Prompt, answer: Answer, told: Told) -> bytes:
    """The body of an answer in one piece."""
    callers = Callers(prompt, told)
    message = _message(answer, callers)
    reason = finishes.written(answer.finish)
    if callers.legacy and reason == "tool_calls":
        reason = "function_call"
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": reason,
        "native_finish_reason": answer.finish.value,
    }
    body = {**opening(told, "chat.completion"), "choices": [choice]}
    if answer.usage:
        body["usage"] = write_usage(answer.usage)
    return _ENCODER.encode(body)


def _message(answer: Answer, callers: Callers) -> Json:
    text, refusal, thoughts = "", "", []
    details: list[Json] = []
    calls: list[Json] = []
    for block in answer.blocks:
        match block:
            case Text():
                text += block.text
            case Refusal():
                refusal += block.text
            case Reasoning():
                details += _details(block, callers, len(details))
                thoughts += [block.text] if block.text else []
            case ToolCall():
                calls.append(_call(block, callers))
            case _:  # A model answers with nothing else.
                pass
    nothing = None if calls or refusal else ""
    message: Json = {"role": "assistant", "content": text or nothing, "refusal": refusal or None}
    if thoughts:
        message["reasoning_content"] = message["reasoning"] = PARAGRAPH.join(thoughts)
    if details:
        message["reasoning_details"] = details
    if calls and callers.legacy:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def _details(block: Reasoning, callers: Callers, index: int) -> list[Json]:
    seal = callers.seal(block.text, block)
    if not block.text:
        return [reasoning.seal_detail(seal, index, after_text=False)] if seal else []
    told = reasoning.text_detail(block.text, index)
    return [{**told, "signature": seal} if seal else told]


def _call(block: ToolCall, callers: Callers) -> Json:
    name = callers.name(block.name)
    beside = callers.signature(block.id)
    if callers.is_custom(block.name):
        custom = {"name": name, "input": text_input(block.arguments)}
        return {"id": block.id, "type": "custom", "custom": custom, **beside}
    function = {"name": name, "arguments": block.arguments or "{}"}
    return {"id": block.id, "type": "function", "function": function, **beside}
