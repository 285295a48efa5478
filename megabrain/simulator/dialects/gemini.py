"""Gemini's generateContent. Model and streaming are in the path, and neither is in the body."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from megabrain.simulator.dialects import gemini_rules as rules
from megabrain.simulator.dialects.sse import data, encode
from megabrain.simulator.provider import Provider
from megabrain.simulator.refusals import Case, Refused
from megabrain.simulator.turn import (
    Call,
    Finish,
    Json,
    Model,
    Operation,
    Reply,
    Tool,
    Turn,
    Usage,
)

_FINISH_REASONS = {
    Finish.STOP: "STOP",
    Finish.LENGTH: "MAX_TOKENS",
    Finish.TOOL_CALLS: "STOP",
    Finish.STOP_SEQUENCE: "STOP",
    Finish.REFUSED: "SAFETY",
}
_MODES = {"NONE": "none", "ANY": "required"}


def read(
    body: Json, headers: Mapping[str, str], provider: Provider, operation: Operation, model: Model
) -> Turn:
    body = rules.in_camel_case(body)
    if operation is Operation.GEMINI_COUNT_TOKENS:
        body = rules.counted(body, model)
    rules.check_fields(body)
    contents = body.get("contents") or []
    rules.check_contents(contents)
    rules.check_end(contents, model)
    rules.check_tools(body)
    rules.check_config(body, model)
    if rules.signs(model):
        rules.check_signatures(contents, signature)
    provider.check(operation, body, model)
    config = body.get("generationConfig") or {}
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    names = calling.get("allowedFunctionNames") or []
    turn = Turn(
        model=model,
        stream=operation is Operation.STREAM_GENERATE_CONTENT,
        body=body,
        parts=[
            encode(body.get("tools")),
            encode(body.get("systemInstruction")),
            *map(encode, contents),
        ],
        cacheable=2 + len(contents),
        tools=[
            Tool(declared["name"], schema=rules.schema_of(declared))
            for declared in rules.declarations(body)
        ],
        tool_choice=names[0] if names else _MODES.get(calling.get("mode", ""), "auto"),
        thinking=provider.thinks(operation, body, model),
        limit=config.get("maxOutputTokens"),
        stops=config.get("stopSequences") or [],
        schema=_schema(config),
    )
    turn.prompt, turn.results = _conversation(contents)
    if turn.input_tokens > model.context:
        raise Refused(
            Case.TOO_LONG,
            f"The input token count ({turn.input_tokens}) exceeds the maximum number of tokens "
            f"allowed ({model.context}).",
        )
    return turn


def whole(turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider) -> Json:
    if reply.finish is Finish.REFUSED:
        return _refusal(turn, reply, number, usage)
    parts: list[Json] = []
    if reply.thinking:
        parts.append({"text": "".join(reply.thinking), "thought": True})
    if reply.text:
        parts.append({"text": "".join(reply.text)})
    calls = _calls(turn, reply, number)
    if not calls and rules.signs(turn.model):
        parts.append(_end_of_text(number))
    return _piece(turn, number, [*parts, *calls], reply.finish, _counts(usage))


def stream(
    turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider
) -> Iterator[bytes]:
    """Usage grows with each event, and its last word is that of the whole answer."""
    if reply.finish is Finish.REFUSED:
        yield data(_refusal(turn, reply, number, usage))
        return
    early = {"promptTokenCount": usage.input, "totalTokenCount": usage.input}
    for piece in reply.thinking:
        yield data(_piece(turn, number, [{"text": piece, "thought": True}], None, early))
    for piece in reply.text:
        yield data(_piece(turn, number, [{"text": piece}], None, early))
    calls = _calls(turn, reply, number)
    for call in calls[:-1]:
        yield data(_piece(turn, number, [call], None, early))
    last = calls[-1:] or ([_end_of_text(number)] if rules.signs(turn.model) else [{"text": ""}])
    yield data(_piece(turn, number, last, reply.finish, _counts(usage)))


def error_event(body: Json, sequence: int) -> bytes:
    return data(body)


def signature(name: str, arguments: Json) -> str:
    """Ties a call to the model that made it, as real signatures do."""
    said = json.dumps([name, arguments], sort_keys=True)
    return base64.b64encode(hashlib.sha256(f"google:{said}".encode()).digest()).decode()


def _piece(turn: Turn, number: int, parts: list[Json], finish: Finish | None, counts: Json) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = _FINISH_REASONS[finish]
    return {
        "candidates": [candidate],
        "usageMetadata": counts,
        "modelVersion": turn.model.id,
        "responseId": f"sim{number:020d}",
    }


def _refusal(turn: Turn, reply: Reply, number: int, usage: Usage) -> Json:
    """Nothing of the answer is shown, but for a sentence on why."""
    body = _piece(turn, number, [], reply.finish, _counts(usage))
    first = body["candidates"][0]
    first["content"] = {"role": "model"}
    first["finishMessage"] = "".join(reply.text)
    return body


def _counts(usage: Usage) -> Json:
    counts = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": usage.input + usage.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}],
    }
    if usage.reasoning:
        counts["thoughtsTokenCount"] = usage.reasoning
    if usage.cache_read:
        counts["cachedContentTokenCount"] = usage.cache_read
    return counts


def _end_of_text(number: int) -> Json:
    return {"text": "", "thoughtSignature": base64.b64encode(b"text%d" % number).decode()}


def _calls(turn: Turn, reply: Reply, number: int) -> list[Json]:
    """The calls, of which the first alone is signed; only the newest models give them ids."""
    parts = []
    for index, call in enumerate(reply.calls):
        said: Json = {"name": call.tool.name, "args": _arguments(call)}
        if turn.model.id.startswith("gemini-4"):
            said["id"] = f"sim{number:x}-{index:x}"
        part: Json = {"functionCall": said}
        if index == 0 and rules.signs(turn.model):
            part["thoughtSignature"] = signature(said["name"], said["args"])
        parts.append(part)
    return parts


def _arguments(call: Call) -> Json:
    arguments: Json = json.loads(call.arguments or "{}")
    return arguments


def _schema(config: Json) -> Json | None:
    if config.get("responseMimeType") != "application/json":
        return None
    schema: Json = config.get("responseJsonSchema") or {
        "properties": {"answer": {"type": "string"}}
    }
    return schema


def _conversation(contents: list[Any]) -> tuple[str, list[str]]:
    """The last thing the user wrote, and the tool results that came after it."""
    results: list[str] = []
    for content in reversed(contents):
        if content.get("role") == "model":
            continue
        said = "\n".join(part["text"] for part in content["parts"] if part.get("text"))
        answered = [
            _result(part["functionResponse"])
            for part in content["parts"]
            if "functionResponse" in part
        ]
        results = answered + results
        if said.strip():
            return said, results
    return "", results


def _result(response: Json) -> str:
    said = response.get("response") or {}
    words = said.get("output", said.get("error"))
    return words if isinstance(words, str) else json.dumps(said)
