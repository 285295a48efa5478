"""Answers in Responses: the response object, whole or as the end of a stream."""

from collections.abc import Iterator

import msgspec

from megabrain.gateway.dialects.neutral import (
    Answer,
    CallDelta,
    CallDone,
    CallStarted,
    Event,
    Finish,
    Json,
    Prompt,
    Reasoning,
    ReasoningDelta,
    ReasoningDone,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    ToolCall,
)
from megabrain.gateway.dialects.responses.output import Output, Status
from megabrain.gateway.dialects.responses.requests import ResponsesPrompt
from megabrain.gateway.dialects.responses.usage import told as told_usage
from megabrain.gateway.dialects.translation import Told
from megabrain.gateway.metering import Usage

_ENCODER = msgspec.json.Encoder()

_INCOMPLETE = {Finish.LENGTH: "max_output_tokens", Finish.FILTERED: "content_filter"}
_FAILED = {
    Finish.CONTEXT_FULL: (
        "context_length_exceeded",
        "The conversation and its answer exceed the context window of this model.",
    ),
    Finish.BROKEN: ("server_error", "The model broke off its answer."),
}


def answer(prompt: Prompt, given: Answer, told: Told) -> bytes:
    """The body of an answer in one piece."""
    output = Output(prompt, told)
    for event in _events(given):
        output.take(event)
    output.close(status_of_items(given.finish))
    return _ENCODER.encode(ended(prompt, told, output.items, given.finish, given.usage))


def begun(prompt: Prompt, told: Told) -> Json:
    """The response object while its answer is being made."""
    repeated = prompt.repeated if isinstance(prompt, ResponsesPrompt) else {}
    return {
        "id": "resp_" + told.request_id.replace("-", ""),
        "object": "response",
        "created_at": told.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": told.model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        **repeated,
        "usage": None,
    }


def ended(
    prompt: Prompt, told: Told, items: list[Json], finish: Finish, usage: Usage | None
) -> Json:
    """The response object of an answer that is over."""
    response = {**begun(prompt, told), "status": "completed", "output": items}
    if finish in _FAILED:
        code, message = _FAILED[finish]
        response["status"] = "failed"
        response["error"] = {"code": code, "message": message}
    elif finish in _INCOMPLETE and not (finish is Finish.FILTERED and _refuses(items)):
        response["status"] = "incomplete"
        response["incomplete_details"] = {"reason": _INCOMPLETE[finish]}
    response["usage"] = told_usage(usage)
    return response


def status_of_items(finish: Finish) -> Status:
    """That of an item which the end of the answer has found open."""
    return "incomplete" if finish in (Finish.LENGTH, *_FAILED) else "completed"


def _refuses(items: list[Json]) -> bool:
    """Whether the answer says itself that it is a refusal."""
    return any(part["type"] == "refusal" for item in items for part in item.get("content", ()))


def _events(given: Answer) -> Iterator[Event]:
    """An answer in one piece as a stream would tell it."""
    calls = 0
    for block in given.blocks:
        match block:
            case Text():
                yield TextDelta(block.text)
            case Refusal():
                yield RefusalDelta(block.text)
            case Reasoning():
                yield ReasoningDelta(block.text)
                yield ReasoningDone(block.maker, block.native)
            case ToolCall():
                yield CallStarted(calls, block.id, block.name)
                yield CallDelta(calls, block.arguments)
                # One that was cut stays open, for the end of the answer to say so.
                if given.finish is not Finish.LENGTH or block is not given.blocks[-1]:
                    yield CallDone(calls)
                calls += 1
