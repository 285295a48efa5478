"""OpenAI Responses."""

import time

import msgspec

from byok.providers.base import Endpoint
from megabrain.gateway import sse
from megabrain.gateway.dialects.base import Ask, Dialect, Events, decoded
from megabrain.gateway.dialects.chat import openai_error
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.metering import Usage, count

_ENCODER = msgspec.json.Encoder()
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Responses(Dialect):
    endpoint = Endpoint.RESPONSES
    answer_fields = ("output",)

    def error(self, problem: Problem, request_id: str) -> bytes:
        return openai_error(self, problem)

    def usage(self, answer: bytes) -> Usage | None:
        return _usage(decoded(answer))

    def events(self, ask: Ask) -> Events:
        return ResponsesEvents()


class ResponsesEvents(Events):
    """Named and numbered events from response.created to completed, incomplete or failed."""

    __slots__ = ("_added", "_last", "_number", "_response")

    def __init__(self) -> None:
        super().__init__()
        self._response: dict[str, object] = {}
        self._last = b""
        self._number = -1
        #: Events of our own so far; the provider's numbers move up by as many.
        self._added = 0

    def plain(self, block: bytes) -> bool:
        return (
            self.seen > 0
            and not self._added
            and block.count(b"\n\n") == block.count(b"}\n\n")
            and b'"response.completed"' not in block
            and b'"response.incomplete"' not in block
            and b'"response.failed"' not in block
            and b'"error"' not in block
            and b"\r" not in block
        )

    def forward(self, block: bytes) -> bytes:
        out = super().forward(block)
        if out:
            self._last = out
        return out

    def read(self, event: sse.Event, raw: bytes) -> bytes:
        said = decoded(event.data)
        kind = said.get("type") if said else None
        if said is None or kind in ("error", "response.failed"):
            self.error = event.data.encode()
            self.usage = _response_usage(said)
            self.usage_is_final = self.usage is not None
            return b""
        response = said.get("response")
        if isinstance(response, dict) and not self._response:
            self._response = response
        if kind in ("response.completed", "response.incomplete"):
            self.finished = True
            self.usage = _response_usage(said)
        return self._renumbered(event, raw) if self._added else raw

    def ending(self) -> bytes | None:
        return b"" if self.finished else None

    def keep_alive(self) -> bytes:
        if not self.seen:
            # The numbers begin with response.created, which is the provider's to send.
            return b": keep-alive\n\n"
        number = self._next_number()
        self._added += 1
        return _event({"type": "keepalive", "sequence_number": number}, "keepalive")

    def failure(self, problem: Problem) -> bytes:
        response = {
            "id": "resp_" + problem.request_id.replace("-", ""),
            "object": "response",
            "created_at": int(time.time()),
            "model": "",
            "output": [],
            **self._response,
            "status": "failed",
            "error": {
                "code": _FINAL.get(problem.code) or problem.code_for(Endpoint.RESPONSES),
                "message": problem.message,
            },
        }
        number = self._next_number()
        return _event(
            {"type": "response.failed", "sequence_number": number, "response": response},
            "response.failed",
        )

    def _next_number(self) -> int:
        """The number after that of the last event the caller has seen."""
        for raw in reversed(sse.split(self._last)):
            event = sse.Event.parse(raw)
            said = decoded(event.data) if event else None
            number = said.get("sequence_number") if said else None
            if isinstance(number, int):
                self._number = max(self._number, number)
                break
        self._last = b""
        self._number += 1
        return self._number

    def _renumbered(self, event: sse.Event, raw: bytes) -> bytes:
        """The event with its number moved up; every other byte of its fields as it was."""
        fields = _FIELDS.decode(event.data)
        try:
            number = msgspec.json.decode(fields["sequence_number"], type=int)
        except (KeyError, msgspec.DecodeError):
            return raw
        fields["sequence_number"] = msgspec.Raw(b"%d" % (number + self._added))
        return sse.Event(_ENCODER.encode(fields).decode(), event.name, event.id).emit()


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


def _event(data: dict[str, object], name: str) -> bytes:
    return sse.Event(_ENCODER.encode(data).decode(), name).emit()


def _response_usage(said: dict[str, object] | None) -> Usage | None:
    response = said.get("response") if said else None
    return _usage(response) if isinstance(response, dict) else None


def _usage(answer: dict[str, object] | None) -> Usage | None:
    said = answer.get("usage") if answer else None
    if not isinstance(said, dict):
        return None
    return Usage.inclusive(
        prompt=count(said, "input_tokens"),
        read=count(said, "input_tokens_details", "cached_tokens"),
        write=count(said, "input_tokens_details", "cache_write_tokens"),
        output=count(said, "output_tokens"),
        reasoning=count(said, "output_tokens_details", "reasoning_tokens"),
    )


RESPONSES = Responses()
