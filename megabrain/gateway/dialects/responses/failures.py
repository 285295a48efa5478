"""A stream that cannot go on, as callers of Responses are told."""

import msgspec

from byok.providers.base import Endpoint
from megabrain.gateway import sse
from megabrain.gateway.dialects.neutral import Json
from megabrain.gateway.errors import Code, Problem

_ENCODER = msgspec.json.Encoder()

#: Codex goes by the code of a failed stream: with these it gives up, or waits the time the message
#: names; with any other it tries five times more.
_FINAL = {
    Code.BYOK_NO_CREDIT: "insufficient_quota",
    Code.BYOK_RATE_LIMITED: "rate_limit_exceeded",
    Code.BYOK_KEY_REJECTED: "invalid_prompt",
    Code.BYOK_NO_ACCESS: "invalid_prompt",
    Code.BYOK_KEY_REQUIRED: "invalid_prompt",
    Code.MODEL_NOT_FOUND: "invalid_prompt",
    Code.INVALID_REQUEST: "invalid_prompt",
}


def code_of(problem: Problem) -> str:
    return _FINAL.get(problem.code) or problem.code_for(Endpoint.RESPONSES)


def event(data: Json, name: str) -> bytes:
    return sse.Event(_ENCODER.encode(data).decode(), name).emit()


def failed_event(response: Json, problem: Problem, number: int) -> bytes:
    """`response.failed` with what is known of the response."""
    failed = {
        **response,
        "status": "failed",
        "error": {"code": code_of(problem), "message": problem.message},
    }
    return event(
        {"type": "response.failed", "sequence_number": number, "response": failed},
        "response.failed",
    )


def keep_alive_event(number: int) -> bytes:
    """An event that every client skips, and that resets Codex's clock, as a comment does not."""
    return event({"type": "keepalive", "sequence_number": number}, "keepalive")
