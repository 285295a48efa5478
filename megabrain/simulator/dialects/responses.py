"""Responses, the newer dialect of OpenAI."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from megabrain.simulator.dialects import chat
from megabrain.simulator.dialects import responses_rules as rules
from megabrain.simulator.dialects.sse import encode, event
from megabrain.simulator.provider import Provider
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Call, Finish, Json, Operation, Reply, Tool, Turn, Usage

_FIELDS = frozenset(
    """access_programs background background_options client_metadata context_management conversation
    include input instructions max_output_tokens max_tool_calls metadata model moderation
    parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_options
    prompt_cache_retention reasoning safety_identifier service_tier store stream stream_options
    temperature text tool_choice tools top_logprobs top_p truncation user""".split()  # noqa: SIM905 (one name a line would fill the page)
)
_CREATED = 1_790_000_000
_CALLS = {
    "function_call_output": "function call",
    "custom_tool_call_output": "custom tool call",
    "local_shell_call_output": "local shell call",
}


def read(body: Json, headers: Mapping[str, str], provider: Provider, operation: Operation) -> Turn:
    if "model" not in body:
        raise bad_request(
            "Missing required parameter: 'model'.", param="model", code="missing_required_parameter"
        )
    if provider.refuses_unknown_fields and (unknown := [n for n in body if n not in _FIELDS]):
        raise bad_request(
            f"Unknown parameter: '{unknown[0]}'.", param=unknown[0], code="unknown_parameter"
        )
    model = provider.model(body["model"])
    items = _items(body)
    _check_calls(items)
    rules.check_items(items)
    rules.check_tools(body.get("tools") or [])
    limit = body.get("max_output_tokens")
    if isinstance(limit, int) and limit < 16:
        raise bad_request(
            f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, "
            f"but got {limit} instead.",
            param="max_output_tokens",
            code="integer_below_min_value",
        )
    if response_id := body.get("previous_response_id"):
        raise bad_request(
            f"Previous response with id '{response_id}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    effort = (body.get("reasoning") or {}).get("effort")
    chat.check_sampling(body, model, effort)
    chat.check_effort(effort, model, "reasoning.effort")
    provider.check(operation, body, model)
    turn = Turn(
        model=model,
        stream=body.get("stream") is True,
        body=body,
        parts=[encode([body.get("instructions"), body.get("tools")]), *map(encode, items)],
        cacheable=1 + len(items),
        tools=list(_tools(body.get("tools") or [], None)),
        tool_choice=_tool_choice(body.get("tool_choice")),
        parallel=body.get("parallel_tool_calls") is not False,
        thinking=provider.thinks(operation, body, model),
        limit=limit,
        schema=_schema(body),
    )
    for item in items:
        if item.get("type") == "additional_tools":
            turn.tools += _tools(item.get("tools") or [], None)
    turn.prompt, turn.results = _conversation(items)
    if turn.input_tokens > model.context:
        raise Refused(Case.TOO_LONG, param="input")
    return turn


def whole(turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider) -> Json:
    return _finished(turn, reply, provider.responses_usage(usage), number)


def stream(
    turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider
) -> Iterator[bytes]:
    told = provider.responses_usage(usage)
    for sequence, (kind, fields) in enumerate(_events(turn, reply, told, number)):
        yield event({"type": f"response.{kind}", "sequence_number": sequence, **fields})


def error_event(body: Json, sequence: int) -> bytes:
    error = body["error"]
    if sequence == 0:
        flat = {name: error[name] for name in ("code", "message", "param")}
        return event({"type": "error", "sequence_number": 0, **flat})
    failed = {
        "id": "resp_failed",
        "object": "response",
        "created_at": _CREATED,
        "status": "failed",
        "error": {"code": error["code"] or error["type"], "message": error["message"]},
        "output": [],
        "usage": None,
    }
    return event({"type": "response.failed", "sequence_number": sequence, "response": failed})


def _events(turn: Turn, reply: Reply, usage: Json, number: int) -> Iterator[tuple[str, Json]]:
    """The events of a stream, each as its kind and fields."""
    started = {**_response(turn, number), "status": "in_progress"}
    yield "created", {"response": started}
    yield "in_progress", {"response": started}
    for index, item in enumerate(_output(turn, reply, number)):
        place = {"item_id": item["id"], "output_index": index}
        begun, details = _item_events(item, place, reply)
        yield "output_item.added", {"output_index": index, "item": begun}
        yield from details
        yield "output_item.done", {"output_index": index, "item": item}
    finished = _finished(turn, reply, usage, number)
    yield finished["status"], {"response": finished}


def _item_events(item: Json, place: Json, reply: Reply) -> tuple[Json, Iterator[tuple[str, Json]]]:
    """An item as it is when it begins, and the events that fill it."""
    begun = {**item, "status": "in_progress"}
    match item["type"]:
        case "reasoning":
            begun = {**item, "summary": [], "encrypted_content": ""}
            return begun, _summary_events(item, place, reply)
        case "message":
            refused = reply.finish is Finish.REFUSED
            fill = _refusal_events if refused else _text_events
            return {**begun, "content": []}, fill(item, place, reply)
        case "function_call":
            details = _argument_events("function_call_arguments", item, "arguments", place)
            return {**begun, "arguments": ""}, details
        case "custom_tool_call":
            return {**begun, "input": ""}, _argument_events(
                "custom_tool_call_input", item, "input", place
            )
    return begun, iter(())


def _summary_events(item: Json, place: Json, reply: Reply) -> Iterator[tuple[str, Json]]:
    for index, part in enumerate(item["summary"]):
        at = {**place, "summary_index": index}
        yield "reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}
        for piece in reply.thinking:
            yield "reasoning_summary_text.delta", {**at, "delta": piece}
        yield "reasoning_summary_text.done", {**at, "text": part["text"]}
        yield "reasoning_summary_part.done", {**at, "part": part}


def _text_events(item: Json, place: Json, reply: Reply) -> Iterator[tuple[str, Json]]:
    at = {**place, "content_index": 0}
    part = item["content"][0]
    yield "content_part.added", {**at, "part": {**part, "text": ""}}
    for piece in reply.text:
        yield "output_text.delta", {**at, "delta": piece, "logprobs": []}
    yield "output_text.done", {**at, "text": part["text"], "logprobs": []}
    yield "content_part.done", {**at, "part": part}


def _refusal_events(item: Json, place: Json, reply: Reply) -> Iterator[tuple[str, Json]]:
    at = {**place, "content_index": 0}
    part = item["content"][0]
    yield "content_part.added", {**at, "part": {**part, "refusal": ""}}
    for piece in reply.text:
        yield "refusal.delta", {**at, "delta": piece}
    yield "refusal.done", {**at, "refusal": part["refusal"]}
    yield "content_part.done", {**at, "part": part}


def _argument_events(kind: str, item: Json, field: str, place: Json) -> Iterator[tuple[str, Json]]:
    text = item[field]
    for start in range(0, len(text), 16):
        yield f"{kind}.delta", {**place, "delta": text[start : start + 16]}
    yield f"{kind}.done", {**place, "name": item["name"], field: text}


def _finished(turn: Turn, reply: Reply, usage: Json, number: int) -> Json:
    cut = reply.finish is Finish.LENGTH
    return {
        **_response(turn, number),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": _output(turn, reply, number),
        "usage": usage,
    }


def _response(turn: Turn, number: int) -> Json:
    body = turn.body
    return {
        "id": f"resp_{number:032x}",
        "object": "response",
        "created_at": _CREATED + number,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": turn.model.id,
        "output": [],
        "parallel_tool_calls": turn.parallel,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
        "usage": None,
    }


def _output(turn: Turn, reply: Reply, number: int) -> list[Json]:
    items: list[Json] = []
    if reply.thinking:
        text = "".join(reply.thinking)
        shown = (turn.body.get("reasoning") or {}).get("summary")
        item: Json = {
            "id": f"rs_{number:032x}",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text}] if shown else [],
        }
        if "reasoning.encrypted_content" in (turn.body.get("include") or []):
            item["encrypted_content"] = rules.encrypted(text)
        items.append(item)
    if reply.text:
        text = "".join(reply.text)
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        if reply.finish is Finish.REFUSED:
            part = {"type": "refusal", "refusal": text}
        items.append(
            {
                "id": f"msg_{number:032x}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        )
    items += [_call(call, number, index) for index, call in enumerate(reply.calls)]
    return items


def _call(call: Call, number: int, index: int) -> Json:
    reference = f"{number:016x}{index:04x}"
    common = {"call_id": f"call_{reference}", "status": "completed"}
    if call.tool.kind == "local_shell":
        command = json.loads(call.arguments)
        action = {"type": "exec", "command": command, "env": {}, "timeout_ms": 10_000}
        return {"id": f"lsh_{reference}", "type": "local_shell_call", **common, "action": action}
    named = {**common, "name": call.tool.name}
    if call.tool.namespace:
        named["namespace"] = call.tool.namespace
    if call.tool.kind == "custom":
        return {
            "id": f"ctc_{reference}",
            "type": "custom_tool_call",
            **named,
            "input": call.arguments,
        }
    return {"id": f"fc_{reference}", "type": "function_call", **named, "arguments": call.arguments}


def _items(body: Json) -> list[Json]:
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise bad_request(
            "Missing required parameter: 'input'.", param="input", code="missing_required_parameter"
        )
    if any(item.get("type") == "item_reference" for item in given):
        raise bad_request(
            "Item with id was not found. Items are not persisted here.", param="input"
        )
    return given


def _check_calls(items: list[Json]) -> None:
    """Every output belongs to a call before it, and every call has its output."""
    open_calls: set[str] = set()
    for item in items:
        kind = item.get("type", "")
        if kind in {"function_call", "custom_tool_call", "local_shell_call"}:
            open_calls.add(item["call_id"])
        elif kind in _CALLS:
            call_id = item.get("call_id")
            if call_id not in open_calls:
                raise bad_request(
                    f"No tool call found for {_CALLS[kind]} output with call_id {call_id}.",
                    param="input",
                )
            open_calls.discard(call_id)
    if open_calls:
        raise bad_request(
            f"No tool output found for function call {min(open_calls)}.", param="input"
        )


def _tools(given: list[Any], namespace: str | None) -> Iterator[Tool]:
    for tool in given:
        match tool.get("type"):
            case "namespace":
                yield from _tools(tool.get("tools") or [], tool["name"])
            case "function":
                schema = tool.get("parameters") or {}
                yield Tool(tool["name"], schema=schema, namespace=namespace)
            case "custom":
                yield Tool(tool["name"], kind="custom", namespace=namespace)
            case "local_shell":
                yield Tool("local_shell", kind="local_shell")


def _tool_choice(choice: Any) -> str:
    if isinstance(choice, dict):
        return str(choice.get("name", "auto"))
    return choice or "auto"


def _schema(body: Json) -> Json | None:
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        schema: Json = wanted.get("schema") or {}
        return schema
    return (
        {"properties": {"answer": {"type": "string"}}} if "json" in wanted.get("type", "") else None
    )


def _conversation(items: list[Json]) -> tuple[str, list[str]]:
    """The last thing the user wrote, and the tool results that came after it."""
    results: list[str] = []
    for item in reversed(items):
        if item.get("type") in _CALLS:
            results.insert(0, _text(item.get("output")))
        elif item.get("role") == "user" and (prompt := _text(item.get("content")).strip()):
            return prompt, results
    return "", results


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text") or "" for part in content)
    return content if isinstance(content, str) else encode(content).decode()
