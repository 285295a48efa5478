"""Messages, the dialect of Anthropic."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from megabrain.simulator.dialects import messages_rules as rules
from megabrain.simulator.dialects.sse import decode, encode, event
from megabrain.simulator.provider import Provider
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import (
    Finish,
    Json,
    Operation,
    Reply,
    Tool,
    Turn,
    Usage,
)

_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
_STOP_REASONS = {
    Finish.STOP: "end_turn",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.REFUSED: "refusal",
}


def read(body: Json, headers: Mapping[str, str], provider: Provider, operation: Operation) -> Turn:
    version = ""
    if provider.wants_version:
        version = rules.check_version(headers.get("anthropic-version", ""))
    counting = operation is Operation.COUNT_TOKENS
    required = ("model", "messages") if counting else ("model", "max_tokens", "messages")
    for name in required:
        if name not in body:
            raise bad_request(f"{name}: Field required")
    if provider.refuses_unknown_fields:
        rules.refuse_unknown(body, headers.get("anthropic-beta", ""))
    model = provider.model(body["model"])
    messages = body["messages"]
    if not isinstance(messages, list) or not messages:
        raise bad_request("messages: at least one message is required")
    rules.check_texts("system", rules.content_blocks(body.get("system")))
    rules.check_messages(messages, model, provider)
    rules.check_cache_marks(body)
    thinking = rules.thinks(body, model)
    rules.check_options(body, model, version)
    provider.check(operation, body, model)
    turn = Turn(
        model=model,
        stream=body.get("stream") is True,
        body=body,
        tools=[
            Tool(tool.get("name", ""), schema=tool.get("input_schema") or {})
            for tool in body.get("tools") or []
        ],
        thinking=thinking,
        limit=body.get("max_tokens"),
        stops=body.get("stop_sequences") or [],
        schema=_schema(body),
        **_parts(body),
    )
    choice = body.get("tool_choice") or {}
    turn.tool_choice = {"any": "required", "tool": choice.get("name", "")}.get(
        choice.get("type", "auto"), choice.get("type", "auto")
    )
    turn.parallel = not choice.get("disable_parallel_tool_use")
    turn.prompt, turn.results = _conversation(messages)
    if turn.input_tokens > model.context:
        raise Refused(
            Case.TOO_LONG,
            f"prompt is too long: {turn.input_tokens} tokens > {model.context} maximum",
        )
    return turn


def whole(turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider) -> Json:
    content: list[Json] = []
    if reply.thinking:
        content.append(_thinking_block(turn, "".join(reply.thinking), provider))
    if reply.text:
        content.append({"type": "text", "text": "".join(reply.text)})
    content += [
        {
            "type": "tool_use",
            "id": _tool_id(number, index),
            "name": call.tool.name,
            "input": decode(call.arguments),
        }
        for index, call in enumerate(reply.calls)
    ]
    return {
        **_opening(turn, number),
        "content": content,
        "stop_reason": _STOP_REASONS[reply.finish],
        "stop_sequence": reply.stop,
        "usage": {**_input_usage(usage), **_output_usage(usage)},
    }


def stream(
    turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider
) -> Iterator[bytes]:
    opening = {
        **_opening(turn, number),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_input_usage(usage), "output_tokens": 1},
    }
    yield event({"type": "message_start", "message": opening}) + event({"type": "ping"})
    index = 0
    if reply.thinking:
        yield _start(index, {"type": "thinking", "thinking": "", "signature": ""})
        block = _thinking_block(turn, "".join(reply.thinking), provider)
        if block["thinking"]:
            for piece in reply.thinking:
                yield _delta(index, {"type": "thinking_delta", "thinking": piece})
        yield _delta(index, {"type": "signature_delta", "signature": block["signature"]})
        yield _stop(index)
        index += 1
    if reply.text:
        yield _start(index, {"type": "text", "text": ""})
        for piece in reply.text:
            yield _delta(index, {"type": "text_delta", "text": piece})
        yield _stop(index)
        index += 1
    for position, call in enumerate(reply.calls):
        tool_use = {"type": "tool_use", "id": _tool_id(number, position), "name": call.tool.name}
        yield _start(index, {**tool_use, "input": {}})
        yield _delta(index, {"type": "input_json_delta", "partial_json": ""})
        for start in range(0, len(call.arguments), 16):
            piece = call.arguments[start : start + 16]
            yield _delta(index, {"type": "input_json_delta", "partial_json": piece})
        yield _stop(index)
        index += 1
    yield event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": _STOP_REASONS[reply.finish], "stop_sequence": reply.stop},
            "usage": {**_input_usage(usage), **_output_usage(usage)},
        }
    )
    yield event({"type": "message_stop"})


def error_event(body: Json, sequence: int) -> bytes:
    return event({"type": "error", "error": body["error"]})


def _opening(turn: Turn, number: int) -> Json:
    return {
        "id": f"msg_{number:024x}",
        "type": "message",
        "role": "assistant",
        "model": turn.model.id,
    }


def _input_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input - usage.cache_read - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write - usage.cache_write_long,
            "ephemeral_1h_input_tokens": usage.cache_write_long,
        },
        "service_tier": "standard",
    }


def _output_usage(usage: Usage) -> Json:
    return {
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _tool_id(number: int, index: int) -> str:
    return f"toolu_{number:016x}{index:04x}"


def _start(index: int, block: Json) -> bytes:
    return event({"type": "content_block_start", "index": index, "content_block": block})


def _delta(index: int, delta: Json) -> bytes:
    return event({"type": "content_block_delta", "index": index, "delta": delta})


def _stop(index: int) -> bytes:
    return event({"type": "content_block_stop", "index": index})


def _thinking_block(turn: Turn, text: str, provider: Provider) -> Json:
    shown = "" if turn.body.get("thinking", {}).get("display") == "omitted" else text
    return {"type": "thinking", "thinking": shown, "signature": rules.signature(shown, provider)}


def _conversation(messages: list[Any]) -> tuple[str, list[str]]:
    """The last thing the user wrote, and the tool results that came after it."""
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "user":
            continue
        blocks = rules.blocks_of(message)
        tool_results = [
            _REMINDER.sub("", _text(block)).strip()
            for block in blocks
            if block["type"] == "tool_result"
        ]
        if tool_results:
            results = tool_results + results
            continue
        texts = [block["text"] for block in blocks if block["type"] == "text"]
        prompt = _REMINDER.sub("", "\n".join(texts)).strip()
        if prompt:
            return prompt, results
    return "", results


def _parts(body: Json) -> Json:
    """The prompt in pieces for counting and caching, without the marks, which move about."""
    messages = body["messages"]
    head = {name: body[name] for name in ("tools", "system") if name in body}
    pieces: list[Any] = [head, *messages]
    encoded = [encode(piece) for piece in pieces]
    marked = [index for index, part in enumerate(encoded) if b'"cache_control"' in part]
    for index in marked:
        encoded[index] = encode(_unmarked(pieces[index]))
    everything = "cache_control" in body
    return {
        "parts": encoded,
        "cacheable": len(encoded) if everything else marked[-1] + 1 if marked else 0,
    }


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unmarked(item) for name, item in value.items() if name != "cache_control"}
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    return value


def _schema(body: Json) -> Json | None:
    format_ = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    return format_.get("schema") if format_.get("type") == "json_schema" else None


def _text(block: Json) -> str:
    return "\n".join(
        part["text"] for part in rules.content_blocks(block.get("content")) if "text" in part
    )
