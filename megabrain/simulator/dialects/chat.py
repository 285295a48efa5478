"""Chat Completions, the dialect of OpenAI that most others speak too."""

from collections.abc import Iterator, Mapping
from typing import Any

from megabrain.simulator.dialects.sse import data, encode
from megabrain.simulator.provider import Provider, UsageAt
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import (
    Call,
    Finish,
    Json,
    Model,
    Operation,
    Reply,
    Rule,
    Tool,
    Turn,
    Usage,
)

_FIELDS = frozenset(
    """audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens
    max_tokens messages metadata modalities model moderation n parallel_tool_calls prediction
    presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort
    response_format safety_identifier seed service_tier stop store stream stream_options
    temperature tool_choice tools top_logprobs top_p user verbosity web_search_options""".split()  # noqa: SIM905 (one name a line would fill the page)
)
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
CREATED = 1_790_000_000
FINISH_REASONS = {
    Finish.STOP: "stop",
    Finish.LENGTH: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.STOP_SEQUENCE: "stop",
    Finish.REFUSED: "content_filter",
}


def read(body: Json, headers: Mapping[str, str], provider: Provider, operation: Operation) -> Turn:
    if "model" not in body:
        raise bad_request("you must provide a model parameter")
    if provider.refuses_unknown_fields and (unknown := [n for n in body if n not in _FIELDS]):
        raise bad_request(f"Unrecognized request argument supplied: {unknown[0]}")
    if refused := [name for name in body if name in provider.refused_fields]:
        raise bad_request(f"Unsupported parameter: '{refused[0]}'", param=refused[0])
    model = provider.model(body["model"])
    if model.only not in {None, operation}:
        raise Refused(
            Case.MODEL_MISSING,
            "This model is only supported in v1/responses and not in v1/chat/completions.",
        )
    messages = body.get("messages")
    if messages is None:
        raise bad_request(
            "Missing required parameter: 'messages'.",
            param="messages",
            code="missing_required_parameter",
        )
    if not isinstance(messages, list) or not messages:
        raise bad_request(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
            "empty array instead.",
            param="messages",
            code="empty_array",
        )
    _check_messages(messages)
    if body.get("stream_options") and not body.get("stream"):
        raise bad_request(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    check_sampling(body, model, body.get("reasoning_effort"))
    _check_options(body, model)
    provider.check(operation, body, model)
    stop = body.get("stop")
    turn = Turn(
        model=model,
        stream=body.get("stream") is True,
        body=body,
        parts=[encode(body.get("tools")), *map(encode, messages)],
        cacheable=1 + len(messages),
        tools=[
            Tool(tool["function"]["name"], schema=tool["function"].get("parameters") or {})
            for tool in body.get("tools") or []
            if tool.get("type") == "function"
        ],
        tool_choice=_tool_choice(body.get("tool_choice")),
        parallel=body.get("parallel_tool_calls") is not False,
        thinking=provider.thinks(operation, body, model),
        limit=body.get("max_completion_tokens") or body.get("max_tokens") or provider.usual_output,
        stops=[stop] if isinstance(stop, str) else stop or [],
        schema=_schema(body),
    )
    turn.prompt, turn.results = _conversation(messages)
    if turn.input_tokens > model.context:
        raise Refused(
            Case.TOO_LONG,
            f"This model's maximum context length is {model.context} tokens. However, your "
            f"messages resulted in {turn.input_tokens} tokens. Please reduce the length of the "
            "messages.",
            param="messages",
        )
    return turn


def whole(turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider) -> Json:
    message: Json = {"role": "assistant", "content": "".join(reply.text) or None, "refusal": None}
    if reply.thinking and provider.shows_reasoning:
        thought = provider.reasoning("".join(reply.thinking))
        if "content" in thought and message["content"]:
            thought["content"] += [{"type": "text", "text": message["content"]}]
        message.update(thought)
    if reply.calls:
        message["tool_calls"] = [
            _tool_call(provider.call_id(number, index), call, call.arguments)
            for index, call in enumerate(reply.calls)
        ]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": FINISH_REASONS[reply.finish],
    }
    return {
        **_opening(turn, number, provider, "chat.completion"),
        "choices": [choice],
        "usage": provider.chat_usage(usage),
    }


def stream(
    turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider
) -> Iterator[bytes]:
    opening = _opening(turn, number, provider, "chat.completion.chunk")
    counting = (turn.body.get("stream_options") or {}).get("include_usage") is True

    def chunk(delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        usage_field = {"usage": None} if counting else {}
        return data({**opening, "choices": [choice], **usage_field})

    yield chunk({"role": "assistant", "content": ""})
    if provider.shows_reasoning:
        for piece in reply.thinking:
            yield chunk(provider.reasoning(piece))
    for piece in reply.text:
        yield chunk({"content": piece})
    for index, call in enumerate(reply.calls):
        call_id = provider.call_id(number, index)
        yield chunk({"tool_calls": [{"index": index, **_tool_call(call_id, call, "")}]})
        for start in range(0, len(call.arguments), 16):
            part = {"arguments": call.arguments[start : start + 16]}
            yield chunk({"tool_calls": [{"index": index, "function": part}]})
    finish = FINISH_REASONS[reply.finish]
    if provider.usage_at is not UsageAt.OWN_EVENT:
        yield data(_ended(opening, finish, provider.chat_usage(usage), provider.usage_at))
    else:
        yield chunk({}, finish)
    if provider.usage_at is UsageAt.OWN_EVENT and (counting or provider.usage_unasked):
        yield data({**opening, "choices": [], "usage": provider.chat_usage(usage)})
    yield b"data: [DONE]\n\n"


def error_event(body: Json, sequence: int) -> bytes:
    return data(body)


def check_sampling(body: Json, model: Model, effort: object) -> None:
    """Refuses what reasoning models do not let a caller choose, on Chat and Responses alike."""
    free = effort == "none" and Rule.SAMPLING_UNLESS_NO_EFFORT in model.refuses
    if model.refuses.isdisjoint({Rule.SAMPLING, Rule.SAMPLING_UNLESS_NO_EFFORT}) or free:
        return
    for name, default in (("temperature", 1), ("top_p", 1)):
        if body.get(name, default) not in {default, None}:
            raise bad_request(
                f"Unsupported value: '{name}' does not support {body[name]} with this model. Only "
                f"the default ({default}) value is supported.",
                param=name,
                code="unsupported_value",
            )


def check_effort(effort: object, model: Model, param: str) -> None:
    if effort == "none" and Rule.NO_EFFORT in model.refuses:
        raise bad_request(
            f"Unsupported value: '{param}' does not support 'none' with this model. Supported "
            "values are: 'low', 'medium', 'high', and 'xhigh'.",
            param=param,
            code="unsupported_value",
        )


def _check_options(body: Json, model: Model) -> None:
    effort = body.get("reasoning_effort")
    check_effort(effort, model, "reasoning_effort")
    if Rule.MAX_TOKENS in model.refuses and body.get("max_tokens") is not None:
        raise bad_request(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if isinstance(limit, int) and limit > model.output:
        raise bad_request(
            f"max_tokens is too large: {limit}. This model supports at most {model.output} "
            "completion tokens.",
            param="max_tokens",
            code="invalid_value",
        )
    if isinstance(limit, int) and limit < 1:
        raise bad_request(f"Invalid value for 'max_tokens': {limit}. It must be at least 1.")
    if body.get("tools") and effort != "none" and Rule.TOOLS_WITH_EFFORT_ON_CHAT in model.refuses:
        raise bad_request(
            f"Function tools with reasoning_effort are not supported for {model.id} in "
            "/v1/chat/completions. Please use /v1/responses instead.",
            param="reasoning_effort",
        )


def _check_messages(messages: list[Any]) -> None:
    open_calls: set[str] = set()
    for number, message in enumerate(messages):
        role = message.get("role")
        if role not in _ROLES:
            raise bad_request(
                f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', "
                "'function', 'tool', and 'developer'.",
                param=f"messages[{number}].role",
                code="invalid_value",
            )
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise bad_request(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceeding message with 'tool_calls'.",
                    param=f"messages.[{number}].role",
                )
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            break
        open_calls = {call["id"] for call in message.get("tool_calls") or []}
    if open_calls:
        raise bad_request(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(sorted(open_calls)),
            param="messages",
        )


def _opening(turn: Turn, number: int, provider: Provider, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{number:024x}",
        "object": kind,
        "created": CREATED + number,
        "model": turn.model.id,
        "system_fingerprint": "fp_simulated",
        **provider.chat_extras(),
    }


def _ended(opening: Json, finish: str, usage: Json, at: UsageAt) -> Json:
    """The chunk that ends an answer and tells what it used."""
    choice: Json = {"index": 0, "delta": {}, "finish_reason": finish}
    if at is UsageAt.CHOICE:
        return {**opening, "choices": [{**choice, "usage": usage}]}
    return {**opening, "choices": [choice], "usage": usage}


def _tool_call(call_id: str, call: Call, arguments: str) -> Json:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": call.tool.name, "arguments": arguments},
    }


def _tool_choice(choice: Any) -> str:
    if isinstance(choice, dict):
        return str((choice.get("function") or {}).get("name", "auto"))
    return choice or "auto"


def _schema(body: Json) -> Json | None:
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema: Json = (wanted.get("json_schema") or {}).get("schema") or {}
        return schema
    return (
        {"properties": {"answer": {"type": "string"}}} if "json" in wanted.get("type", "") else None
    )


def _conversation(messages: list[Any]) -> tuple[str, list[str]]:
    """The last thing the user wrote, and the tool results that came after it."""
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] == "tool":
            results.insert(0, _text(message.get("content")))
        elif message["role"] == "user" and (prompt := _text(message.get("content")).strip()):
            return prompt, results
    return "", results


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text") or "" for part in content)
    return content or ""
