"""Anthropic Messages, and the counting of their tokens."""

import msgspec

from byok.providers.base import Endpoint
from megabrain.gateway import sse
from megabrain.gateway.dialects.base import Ask, Dialect, Events, decoded
from megabrain.gateway.errors import Problem
from megabrain.gateway.metering import Usage, count

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_ENCODER = msgspec.json.Encoder()


class Messages(Dialect):
    endpoint = Endpoint.MESSAGES
    answer_fields = ("content",)

    def error(self, problem: Problem, request_id: str) -> bytes:
        return _ENCODER.encode(
            {
                "type": "error",
                "error": {
                    "type": problem.kind(self.endpoint),
                    "message": problem.message,
                    "details": {"error_code": problem.code_for(self.endpoint)},
                },
                "request_id": request_id,
            }
        )

    def usage(self, answer: bytes) -> Usage | None:
        found = decoded(answer)
        said = found.get("usage") if found else None
        return _usage(said) if isinstance(said, dict) else None

    def events(self, ask: Ask) -> Events:
        return MessagesEvents()


class CountTokens(Messages):
    """The same requests, of which only the length is wanted. Nothing is used by that."""

    endpoint = Endpoint.COUNT_TOKENS
    answer_fields = ("input_tokens",)
    uses_tokens = False

    def read(self, body: bytes) -> Ask:
        ask = super().read(body)
        ask.stream = False
        return ask

    def usage(self, answer: bytes) -> Usage | None:
        return None


class MessagesEvents(Events):
    """Named events from message_start to message_stop, pings anywhere."""

    __slots__ = ("_said", "_started")

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._said: dict[str, object] = {}

    def is_sign_of_life(self, event: sse.Event) -> bool:
        return event.name == "ping"

    def plain(self, block: bytes) -> bool:
        # Only message_start, _delta and _stop and errors are read; content goes by.
        return (
            self.seen > 0
            and block.count(b"\n\n") == block.count(b"}\n\n")
            and b'"message_' not in block
            and b'"error"' not in block
            and b"\r" not in block
        )

    def read(self, event: sse.Event, raw: bytes) -> bytes:
        said = decoded(event.data)
        kind = said.get("type") if said else None
        if said is None or kind == "error":
            self.error = event.data.encode()
            return b""
        if kind == "message_start":
            self._started = True
            self._note(said.get("message"))
        elif kind == "message_delta":
            self._note(said)
        elif kind == "message_stop":
            self.finished = True
        return raw

    def _note(self, holder: object) -> None:
        """Merge what is said of the usage: later figures are totals and replace earlier ones."""
        said = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(said, dict):
            self._said.update({name: value for name, value in said.items() if value is not None})
            self.usage = _usage(self._said)

    def ending(self) -> bytes | None:
        return b"" if self.finished else None

    def keep_alive(self) -> bytes:
        # A comment is harmless where a ping would come before the message it belongs to.
        return PING if self._started else b": keep-alive\n\n"

    def failure(self, problem: Problem) -> bytes:
        return b"event: error\ndata: " + MESSAGES.error(problem, problem.request_id) + b"\n\n"


def _usage(said: dict[str, object]) -> Usage:
    """Anthropic counts cached tokens apart from the input, as we do, and thinking as output."""
    parts = [said]
    rounds = said.get("iterations")
    if isinstance(rounds, list):
        kinds = [each.get("type") for each in rounds if isinstance(each, dict)]
        if "fallback_message" not in kinds:
            # The totals leave out what was spent on compacting the conversation.
            found = [
                each
                for each in rounds
                if isinstance(each, dict) and each.get("type") in ("message", "compaction")
            ]
            parts = found or parts
    return Usage(
        input_tokens=sum(count(part, "input_tokens") for part in parts),
        cache_read_tokens=sum(count(part, "cache_read_input_tokens") for part in parts),
        cache_write_tokens=sum(count(part, "cache_creation_input_tokens") for part in parts),
        output_tokens=sum(count(part, "output_tokens") for part in parts),
        reasoning_tokens=count(said, "output_tokens_details", "thinking_tokens"),
    )


MESSAGES = Messages()
COUNT_TOKENS = CountTokens()
