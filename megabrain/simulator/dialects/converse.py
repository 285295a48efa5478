"""Converse, the dialect of Bedrock."""

from collections.abc import Iterator, Mapping
from typing import Any

from megabrain.simulator.dialects import converse_rules as rules
from megabrain.simulator.dialects import frames
from megabrain.simulator.dialects.frames import GARBAGE, STREAM_HEADERS
from megabrain.simulator.dialects.messages_rules import signature
from megabrain.simulator.dialects.sse import decode, encode
from megabrain.simulator.provider import Provider
from megabrain.simulator.refusals import Case, Refused
from megabrain.simulator.turn import Finish, Json, Model, Operation, Reply, Tool, Turn, Usage

__all__ = ["GARBAGE", "STREAM_HEADERS", "error_event", "read", "stream", "whole"]

_STOP_REASONS = {
    Finish.STOP: "end_turn",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.REFUSED: "content_filtered",
}


def read(
    body: Json,
    headers: Mapping[str, str],
    provider: Provider,
    operation: Operation,
    model: Model,
) -> Turn:
    if operation is Operation.BEDROCK_COUNT_TOKENS:
        body = rules.counted(body)
    rules.check(body, model, provider)
    config = body.get("inferenceConfig") or {}
    tools = (body.get("toolConfig") or {}).get("tools") or []
    turn = Turn(
        model=model,
        stream=operation is Operation.CONVERSE_STREAM,
        body=body,
        tools=[
            Tool(tool["toolSpec"]["name"], schema=tool["toolSpec"]["inputSchema"]["json"])
            for tool in tools
            if "toolSpec" in tool
        ],
        thinking=provider.thinks(Operation.CONVERSE, body, model),
        limit=config.get("maxTokens"),
        stops=config.get("stopSequences") or [],
        schema=_schema(body),
        **_parts(body),
    )
    choice = (body.get("toolConfig") or {}).get("toolChoice") or {}
    turn.tool_choice = (
        "required" if "any" in choice else (choice.get("tool") or {}).get("name", "auto")
    )
    more = (body.get("additionalModelRequestFields") or {}).get("tool_choice") or {}
    turn.parallel = not more.get("disable_parallel_tool_use")
    turn.prompt, turn.results = _conversation(body["messages"])
    if turn.input_tokens > model.context:
        raise Refused(Case.TOO_LONG)
    return turn


def whole(turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider) -> Json:
    content: list[Json] = []
    if reply.thinking:
        text = "".join(reply.thinking)
        said: Json = {"text": text}
        if rules.signs(turn.model):
            said["signature"] = signature(text, provider)
        content.append({"reasoningContent": {"reasoningText": said}})
    if reply.text:
        content.append({"text": "".join(reply.text)})
    content += [
        {
            "toolUse": {
                "toolUseId": _tool_id(turn, number, index),
                "name": call.tool.name,
                "input": decode(call.arguments),
            }
        }
        for index, call in enumerate(reply.calls)
    ]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        **_stopped(turn, reply),
        "usage": _usage(usage),
        "metrics": {"latencyMs": 120},
    }


def stream(
    turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider
) -> Iterator[bytes]:
    yield frames.event("messageStart", {"role": "assistant"})
    index = 0
    if reply.thinking:
        for piece in reply.thinking:
            yield _delta(index, {"reasoningContent": {"text": piece}})
        if rules.signs(turn.model):
            signed = signature("".join(reply.thinking), provider)
            yield _delta(index, {"reasoningContent": {"signature": signed}})
        yield frames.event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    if reply.text:
        for piece in reply.text:
            yield _delta(index, {"text": piece})
        yield frames.event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    for position, call in enumerate(reply.calls):
        tool = {"toolUseId": _tool_id(turn, number, position), "name": call.tool.name}
        yield frames.event(
            "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": tool}}
        )
        yield _delta(index, {"toolUse": {"input": ""}})
        for start in range(0, len(call.arguments), 16):
            yield _delta(index, {"toolUse": {"input": call.arguments[start : start + 16]}})
        yield frames.event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    yield frames.event("messageStop", _stopped(turn, reply))
    yield frames.event("metadata", {"usage": _usage(usage), "metrics": {"latencyMs": 120}})


def error_event(body: Json, sequence: int) -> bytes:
    return frames.exception("serviceUnavailableException", body)


def _stopped(turn: Turn, reply: Reply) -> Json:
    said: Json = {"stopReason": _STOP_REASONS[reply.finish]}
    if reply.stop and "/delta/stop_sequence" in turn.body.get(
        "additionalModelResponseFieldPaths", []
    ):
        said["additionalModelResponseFields"] = {"delta": {"stop_sequence": reply.stop}}
    return said


def _usage(usage: Usage) -> Json:
    plain = usage.input - usage.cache_read - usage.cache_write
    return {
        "inputTokens": plain,
        "outputTokens": usage.output,
        "totalTokens": usage.input + usage.output,
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": usage.cache_write,
        "cacheDetails": [
            {"ttl": ttl, "inputTokens": tokens}
            for ttl, tokens in (
                ("1h", usage.cache_write_long),
                ("5m", usage.cache_write - usage.cache_write_long),
            )
            if tokens
        ],
    }


def _delta(index: int, delta: Json) -> bytes:
    return frames.event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def _tool_id(turn: Turn, number: int, index: int) -> str:
    if rules.takes_nine(turn.model):
        return f"{number % 0xFFFFF:05x}{index:04x}"
    return f"tooluse_{number:016x}{index:04x}"


def _schema(body: Json) -> Json | None:
    wanted = (body.get("outputConfig") or {}).get("textFormat")
    return decode(wanted["structure"]["jsonSchema"]["schema"]) if wanted else None


def _conversation(messages: list[Json]) -> tuple[str, list[str]]:
    """The last thing the user wrote, and the tool results that came after it."""
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "user":
            continue
        found = [
            _text(block["toolResult"]) for block in message["content"] if "toolResult" in block
        ]
        if found:
            results = found + results
            continue
        texts = [block["text"] for block in message["content"] if "text" in block]
        if prompt := "\n".join(texts).strip():
            return prompt, results
    return "", results


def _text(result: Json) -> str:
    parts = (part.get("text", "") for part in result["content"])
    return "\n".join(part for part in parts if part).strip()


def _parts(body: Json) -> Json:
    """The prompt in pieces for counting and caching, without the marks."""
    pieces: list[Any] = [
        {name: body[name] for name in ("toolConfig", "system") if name in body},
        *body["messages"],
    ]
    encoded = [encode(piece) for piece in pieces]
    marked = [at for at, part in enumerate(encoded) if b'"cachePoint"' in part]
    for at in marked:
        encoded[at] = encode(_unmarked(pieces[at]))
    return {"parts": encoded, "cacheable": marked[-1] + 1 if marked else 0}


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unmarked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_unmarked(item) for item in value if not _is_mark(item)]
    return value


def _is_mark(item: Any) -> bool:
    return isinstance(item, dict) and "cachePoint" in item
