"""A request in Responses, for a provider that speaks it.

Sources: dialects.md §§ 1, 2, 4 to 8, 9.7 and 9.8, and the types of openai-python 3.54. What one
company or model refuses of this is its provider's to adapt.
"""

import hashlib
import re
from collections.abc import Iterable

from megabrain.gateway.dialects.neutral import (
    Block,
    Cache,
    Document,
    Effort,
    Format,
    Image,
    Json,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from megabrain.gateway.dialects.repairs import NO_RESULT, without_attribution
from megabrain.gateway.dialects.schemas import can_be_strict, of_parameters
from megabrain.gateway.dialects.tool_names import flat, id_for_responses
from megabrain.gateway.dialects.translation import Target

LEAST_OUTPUT = 16
LONGEST_IDENTIFIER = 64
#: Models that take explicit marks for their prompt cache: gpt-5.6 and later.
_TAKES_MARKS = re.compile(r"gpt-(?:5\.(?:[6-9]|\d\d)|[6-9]|\d\d)\b")
_LIFETIMES = {"5m": "30m", "1h": "12h"}
_NO_EQUAL = ("stop", "top_k")
_TIERS = {"standard_only": "default", "standard": "default"}
_KNOWN_TIERS = ("auto", "default", "flex", "priority", "fast")


def request(prompt: Prompt, target: Target) -> Json:
    """The body. Nothing is kept at the provider: each request brings its whole conversation, and
    the encrypted reasoning with it."""
    body = {
        "model": target.upstream_model,
        "input": Items(target).of(prompt),
        "store": False,
        "prompt_cache_key": _short(prompt.cache_key or _conversation(prompt)),
        "stream": prompt.stream or None,
        **_tools(prompt),
        **_reasoning_wanted(prompt, target),
        "temperature": prompt.temperature,
        "top_p": prompt.top_p,
        "text": _text(prompt) or None,
        "service_tier": _tier(prompt),
        "safety_identifier": _short(prompt.user) if prompt.user else None,
    }
    prompt.dropped += [name for name in _NO_EQUAL if getattr(prompt, name) not in (None, [])]
    if prompt.max_output is not None:
        body["max_output_tokens"] = max(LEAST_OUTPUT, prompt.max_output)
    return {name: value for name, value in body.items() if value is not None}


class Items:
    """Writes a conversation as items."""

    def __init__(self, target: Target) -> None:
        self._origin = target.origin
        self._marks = _TAKES_MARKS.match(target.upstream_model) is not None
        self._items: list[Json] = []
        self._results: dict[int, int] = {}

    def of(self, prompt: Prompt) -> list[Json]:
        self._results = _matched(prompt.turns)
        system = without_attribution(prompt.system)
        self._message("developer", system)
        for turn in prompt.turns:
            if turn.role == "assistant":
                self._assistant(turn.blocks)
            elif turn.role == "tool":
                for block in turn.blocks:
                    if isinstance(block, ToolResult):
                        self._result(block)
            else:
                role = "developer" if turn.role == "system" else "user"
                self._message(role, turn.blocks)
        return self._items

    def _message(self, role: str, blocks: Iterable[Block]) -> None:
        parts = [part for block in blocks if (part := self._part(block)) is not None]
        if parts:
            self._items.append({"type": "message", "role": role, "content": parts})

    def _part(self, block: Block) -> Json | None:
        match block:
            case Text() if block.text:
                part: Json = {"type": "input_text", "text": block.text}
            case Image():
                part = {"type": "input_image", "image_url": _image_url(block)}
                if block.detail:
                    part["detail"] = block.detail
            case Document():
                part = _file(block)
            case _:
                return None
        return self._marked(part, block.cache)

    def _marked(self, part: Json, cache: Cache | None) -> Json:
        if cache is not None and self._marks:
            mark = {"mode": "explicit", "ttl": _LIFETIMES[cache]}
            return {**part, "prompt_cache_breakpoint": mark}
        return part

    # What the assistant said and did ---------------------------------------------------------

    def _assistant(self, blocks: Iterable[Block]) -> None:
        #: Reasoning waits for what it led to: alone it is refused.
        thoughts: list[Json] = []
        message: Json | None = None
        calls: list[ToolCall] = []
        for block in blocks:
            if isinstance(block, Text | Refusal):
                if not block.text:
                    continue
                if message is None:
                    message = {"type": "message", "role": "assistant", "content": []}
                    self._items += [*thoughts, message]
                    thoughts = []
                message["content"].append(_said(block))
                continue
            message = None
            if isinstance(block, Reasoning):
                if block.native is not None and block.returns_to("openai", self._origin):
                    thoughts.append(_reasoning(block.native))
            elif isinstance(block, ToolCall):
                self._items += [*thoughts, _call(block)]
                thoughts = []
                calls.append(block)
        for call in calls:
            if id(call) not in self._results:
                self._output(call.id, f"Error: {NO_RESULT}")

    def _result(self, result: ToolResult) -> None:
        call = self._results.get(id(result))
        if call is None:
            blocks: list[Block] = [Text(f"[tool result {result.call_id}]"), *result.blocks]
            self._message("user", blocks)
        elif self._results[call] == id(result):
            self._output(result.call_id, self._told(result))

    def _output(self, call_id: str, output: str | list[Json]) -> None:
        self._items.append(
            {
                "type": "function_call_output",
                "call_id": id_for_responses(call_id),
                "output": output,
            }
        )

    def _told(self, result: ToolResult) -> str | list[Json]:
        """A text, unless there is more to it, or a mark could ever be set: where marks move on
        from turn to turn, all else stays as it was."""
        blocks = list(result.blocks)
        if result.is_error:
            first = blocks[0] if blocks else None
            if isinstance(first, Text):
                blocks[0] = Text(f"Error: {first.text}", first.cache)
            else:
                blocks.insert(0, Text("Error:"))
        texts = [block.text for block in blocks if isinstance(block, Text)]
        if len(texts) == len(blocks) and not self._marks:
            return "\n".join(texts)
        parts = [part for block in blocks if (part := self._part(block)) is not None]
        if parts and result.cache:
            parts[-1] = self._marked(parts[-1], result.cache)
        return parts or ""


def _matched(turns: Iterable[Turn]) -> dict[int, int]:
    """Which result belongs to which call, both ways, by identity: of several the last one counts.
    A result without a call is not in it, nor a call without a result."""
    calls: dict[str, int] = {}
    found: dict[int, int] = {}
    for turn in turns:
        for block in turn.blocks:
            if isinstance(block, ToolCall):
                calls[block.id] = id(block)
            elif isinstance(block, ToolResult) and block.call_id in calls:
                call = calls[block.call_id]
                found[id(block)] = call
                found[call] = id(block)
    return found


def _reasoning(native: Json) -> Json:
    """A reasoning item as it came, without the id of something that was not kept."""
    return {name: native[name] for name in native if name not in ("id", "status")}


def _said(block: Text | Refusal) -> Json:
    if isinstance(block, Refusal):
        return {"type": "refusal", "refusal": block.text}
    return {"type": "output_text", "text": block.text}


def _call(call: ToolCall) -> Json:
    return {
        "type": "function_call",
        "call_id": id_for_responses(call.id),
        "name": call.name,
        "arguments": call.arguments or "{}",
    }


def _image_url(image: Image) -> str:
    return image.url or f"data:{image.media_type or 'image/png'};base64,{image.data}"


def _file(document: Document) -> Json:
    if document.text:
        text = f"{document.name}\n\n{document.text}" if document.name else document.text
        return {"type": "input_text", "text": text}
    if document.url:
        return {"type": "input_file", "file_url": document.url}
    return {
        "type": "input_file",
        "filename": document.name or "document.pdf",
        "file_data": f"data:{document.media_type or 'application/pdf'};base64,{document.data}",
    }


# Tools and options ------------------------------------------------------------------------------


def _tool(tool: Tool) -> Json:
    parameters = of_parameters(tool.parameters)
    function: Json = {"type": "function", "name": tool.name}
    if tool.description:
        function["description"] = tool.description
    # Unless it is told otherwise, OpenAI rewrites a schema into a strict one where it can.
    strict = tool.strict is True and can_be_strict(parameters)
    return {**function, "parameters": parameters, "strict": strict}


def _choice(prompt: Prompt) -> str | Json:
    if prompt.choice.kind == "tool":
        return {"type": "function", "name": prompt.choice.name}
    return prompt.choice.kind


def _tools(prompt: Prompt) -> Json:
    if not prompt.tools:
        return {}
    return {
        "tools": [_tool(tool) for tool in prompt.tools],
        "tool_choice": _choice(prompt),
        "parallel_tool_calls": prompt.parallel,
    }


def _reasoning_wanted(prompt: Prompt, target: Target) -> Json:
    """What only models that reason can be asked for; of one that is not known, only what the
    caller asks for."""
    thinks = "reasoning" in target.capabilities
    asked: Json = {"include": ["reasoning.encrypted_content"]} if thinks else {}
    effort = prompt.wanted_effort
    if effort is not None and (thinks or not target.capabilities):
        asked["reasoning"] = {"effort": effort.value}
        if effort is not Effort.NONE:
            asked["reasoning"]["summary"] = "auto"
    return asked


def _tier(prompt: Prompt) -> str | None:
    tier = _TIERS.get(prompt.service_tier or "", prompt.service_tier)
    return tier if tier in _KNOWN_TIERS else None


def _text(prompt: Prompt) -> Json:
    text: Json = {}
    if prompt.format is not None:
        text["format"] = _format(prompt.format)
    if prompt.verbosity:
        text["verbosity"] = prompt.verbosity
    return text


def _format(wanted: Format) -> Json:
    if wanted.schema is None:
        return {"type": "json_object"}
    strict = wanted.strict is True and can_be_strict(wanted.schema)
    form: Json = {"type": "json_schema", "name": flat(wanted.name), "schema": wanted.schema}
    if wanted.description:
        form["description"] = wanted.description
    return {**form, "strict": strict}


def _short(word: str) -> str:
    """The word, or its hash where it is too long: Claude Code names its user in a page of JSON."""
    return word if len(word) <= LONGEST_IDENTIFIER else _digest(word)


def _conversation(prompt: Prompt) -> str:
    """A word for the conversation of a caller who gives none: the same in each of its turns, as
    what it began with is; cache marks move on."""
    first: list[Block] = prompt.turns[0].blocks if prompt.turns else []
    blocks = (*without_attribution(prompt.system), *first)
    return _digest("\n".join(block.text for block in blocks if isinstance(block, Text)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
