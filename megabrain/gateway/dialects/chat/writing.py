"""A Chat request for a provider of Chat Completions, written from neutral terms.

The system prompt is one message, whose text never changes from turn to turn; instructions in the
middle of a conversation stay where they are. What one company wants otherwise, other names for the
limit or no `developer`, its `adapt` sees to.
"""

import hashlib
import re

from megabrain.gateway.dialects.chat import reasoning, tools
from megabrain.gateway.dialects.neutral import (
    Block,
    Document,
    Format,
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
from megabrain.gateway.dialects.repairs import NO_RESULT, without_attribution
from megabrain.gateway.dialects.translation import Inexpressible, Target

_TIERS = {
    "auto": "auto",
    "default": "default",
    "flex": "flex",
    "priority": "priority",
    "fast": "fast",
    "standard_only": "default",
}
_MOST_STOPS = 4
_PLAIN_USER = re.compile(r"[\w.@-]{1,64}", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_ANSWER_IN_JSON = "Answer with one JSON object and nothing else."
_SEE_BELOW = "The pictures and files of this result follow in the next message of the user."


def request(prompt: Prompt, target: Target) -> Json:
    """Raises Inexpressible."""
    body: Json = {"messages": _messages(prompt, target), **_tools(prompt)}
    if prompt.max_output is not None:
        limit = min(prompt.max_output, target.max_output or prompt.max_output)
        body["max_tokens"] = max(1, limit)
    effort = prompt.wanted_effort if "reasoning" in target.capabilities else None
    options = {
        "temperature": prompt.temperature,
        "top_p": prompt.top_p,
        "stop": prompt.stop[:_MOST_STOPS] or None,
        "reasoning_effort": effort,
        "response_format": _format(prompt.format),
        "verbosity": prompt.verbosity,
        "safety_identifier": _user(prompt.user),
        "service_tier": _TIERS.get(prompt.service_tier or ""),
        "prompt_cache_key": prompt.cache_key,
    }
    body |= {name: value for name, value in options.items() if value is not None}
    if prompt.top_k is not None:
        prompt.dropped.append("top_k")
    if prompt.stream:
        body["stream"] = True
        if target.provider.usage_option:
            body["stream_options"] = {"include_usage": True}
    return body


def _tools(prompt: Prompt) -> Json:
    if not prompt.tools:
        return {}
    fields: Json = {"tools": [tools.definition(tool) for tool in prompt.tools]}
    if prompt.choice.kind != "auto":
        fields["tool_choice"] = tools.choice_field(prompt.choice)
    if prompt.parallel is not None:
        fields["parallel_tool_calls"] = prompt.parallel
    return fields


# Options ----------------------------------------------------------------------------------------


def _format(wanted: Format | None) -> Json | None:
    if wanted is None:
        return None
    if wanted.schema is None:
        return {"type": "json_object"}
    named: Json = {"name": _NOT_IN_NAMES.sub("_", wanted.name)[:64] or "answer"}
    if wanted.description:
        named["description"] = wanted.description
    named["schema"] = wanted.schema
    if wanted.strict is not None:
        named["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": named}


def _user(user: str | None) -> str | None:
    """OpenAI refuses long ids, and Claude Code's are whole objects (dialects.md § 9.2)."""
    if not user or _PLAIN_USER.fullmatch(user):
        return user or None
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


# Messages ---------------------------------------------------------------------------------------


def _messages(prompt: Prompt, target: Target) -> list[Json]:
    system = [block.text for block in without_attribution(prompt.system) if block.text.strip()]
    if prompt.format and prompt.format.schema is None:
        # OpenAI refuses the format unless something in the prompt says the word. Looking whether
        # something does would change the beginning of the conversation as it goes on.
        system.append(_ANSWER_IN_JSON)
    out = [_message("system", "\n\n".join(system))] if system else []
    turns = prompt.turns
    at = 0
    while at < len(turns):
        turn = turns[at]
        at += 1
        if turn.role == "assistant":
            start = at
            while at < len(turns) and turns[at].role != "assistant":
                at += 1
            out += _round(turn, turns[start:at], target)
        else:
            out += _others([turn])
    return out


def _round(turn: Turn, then: list[Turn], target: Target) -> list[Json]:
    """What the assistant says, and all that follows until it speaks again.

    Every call is answered at once, by one message, whatever the caller put in between: hosts refuse
    a call that is not, and a result whose call is not there.
    """
    calls = [block for block in turn.blocks if isinstance(block, ToolCall)]
    out = _spoken(turn, calls, target)
    asked = {call.id for call in calls}
    results: dict[str, ToolResult] = {}
    rest: list[Turn] = []
    for other in then:
        others: list[Block] = []
        for block in other.blocks:
            if isinstance(block, ToolResult) and block.call_id in asked:
                results[block.call_id] = block
            else:
                others.append(block)
        if others:
            rest.append(Turn(other.role, others))
    shown: list[Json] = []
    for call in calls:
        result = results.get(call.id) or ToolResult(call.id, [Text(NO_RESULT)], is_error=True)
        out.append(_result(result))
        shown += [part for block in result.blocks if (part := _attachment(block))]
    if shown:
        out.append({"role": "user", "content": shown})
    return out + _others(rest)


def _spoken(turn: Turn, calls: list[ToolCall], target: Target) -> list[Json]:
    texts = [
        block.text for block in turn.blocks if isinstance(block, Text | Refusal) and block.text
    ]
    text = "\n\n".join(texts)
    if not text and not calls:
        return []
    message: Json = {"role": "assistant", "content": text or None}
    if calls:
        signatures = _returned(turn.blocks, message, target)
        message["tool_calls"] = [_call(call, signatures.get(call.id, "")) for call in calls]
    return [message]


def _returned(blocks: list[Block], message: Json, target: Target) -> dict[str, str]:
    """Add the reasoning that led to the calls, where its host wants it; returns Gemini's
    signatures, by the ids of the calls."""
    signatures: dict[str, str] = {}
    thoughts: list[str] = []
    details: list[Json] = []
    for block in blocks:
        if not isinstance(block, Reasoning) or block.native is None:
            continue
        native = block.native
        if block.returns_to("google", target.origin):
            signatures |= native.get("calls") or {}
        # The plain text of a company's model is no secret of one key: it may return with another.
        elif block.maker == "chat" and (
            block.origin is None or block.origin.provider == target.provider.id
        ):
            if target.provider.wants_reasoning:
                thoughts += filter(None, [native.get("reasoning_content") or ""])
                if tagged := native.get("content"):
                    message["content"] = tagged + (message["content"] or "")
            if block.returns_to("chat", target.origin):
                details += native.get("reasoning_details") or []
    if thoughts:
        message["reasoning_content"] = "\n\n".join(thoughts)
    if details:
        message["reasoning_details"] = details
    return signatures


def _call(call: ToolCall, signature: str) -> Json:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    written: Json = {"id": call.id, "type": "function", "function": function}
    return {**written, **reasoning.signed(signature)} if signature else written


def _result(result: ToolResult) -> Json:
    texts = [block.text for block in result.blocks if isinstance(block, Text)]
    texts += [_file_text(b) for b in result.blocks if isinstance(b, Document) and b.text]
    if any(_attachment(block) for block in result.blocks):
        texts.append(_SEE_BELOW)
    text = "\n\n".join(texts)
    if result.is_error:
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": result.call_id, "content": text}


def _others(turns: list[Turn]) -> list[Json]:
    """Turns of users and of instructions. What a tool says without a call is a user's text."""
    out: list[Json] = []
    for turn in turns:
        if turn.role == "system":
            text = "\n\n".join(block.text for block in turn.blocks if isinstance(block, Text))
            out += [_message("system", text)] if text.strip() else []
            continue
        parts: list[Json] = []
        for block in turn.blocks:
            if isinstance(block, ToolResult):
                said = _result(block)["content"]
                parts.append(_text(f"[tool result {block.call_id}] {said}"))
                parts += [part for each in block.blocks if (part := _attachment(each))]
            elif isinstance(block, Text):
                parts += [_text(block.text)] if block.text else []
            elif isinstance(block, Document) and block.text:
                parts.append(_text(_file_text(block)))
            elif (part := _attachment(block)) is not None:
                parts.append(part)
        if len(parts) == 1 and parts[0]["type"] == "text":
            out.append(_message("user", parts[0]["text"]))
        elif parts:
            out.append({"role": "user", "content": parts})
    return out


def _attachment(block: Block) -> Json | None:
    """A picture or a file as a part of a user's message. Raises Inexpressible."""
    if isinstance(block, Image):
        url = block.url or f"data:{block.media_type or 'image/png'};base64,{block.data}"
        about: Json = {"url": url}
        if block.detail:
            about["detail"] = block.detail
        return {"type": "image_url", "image_url": about}
    if not isinstance(block, Document) or block.text:
        return None
    if not block.data:
        raise Inexpressible(
            "This model takes no files by their address: send the file itself.", "messages"
        )
    data = f"data:{block.media_type or 'application/pdf'};base64,{block.data}"
    return {"type": "file", "file": {"filename": block.name or "file.pdf", "file_data": data}}


def _file_text(block: Document) -> str:
    return f"{block.name}:\n\n{block.text}" if block.name else block.text


def _message(role: str, text: str) -> Json:
    return {"role": role, "content": text}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}
