"""Chat Completions between a caller and a provider who both speak them."""

from dataclasses import replace
from typing import Any

import msgspec

from byok.providers.base import Endpoint, Fields, Provider
from megabrain.gateway import sse
from megabrain.gateway.dialects.base import Ask, Dialect, Events, decoded
from megabrain.gateway.dialects.chat import reasoning, shapes
from megabrain.gateway.dialects.chat.failures import is_error
from megabrain.gateway.dialects.chat.usage import read_usage
from megabrain.gateway.errors import Problem
from megabrain.gateway.metering import Usage
from megabrain.gateway.routing import Candidate

#: Nobody has more to say in an object of options.
LONGEST_OPTIONS = 4096
DONE = b"data: [DONE]\n\n"
#: Anything with data would have to be a chunk (clients.md § 5).
KEEP_ALIVE = b": keep-alive\n\n"
_ENCODER = msgspec.json.Encoder()


class Chat(Dialect):
    endpoint = Endpoint.CHAT
    answer_fields = ("choices",)

    def __init__(self, *, reasoning_apart: bool = False) -> None:
        self._reasoning_apart = reasoning_apart

    def read(self, body: bytes) -> Ask:
        ask = super().read(body)
        # OpenRouter's clients ask in their own way.
        ask.wants_usage = ask.stream and (
            _flag(_object(ask, "stream_options"), "include_usage")
            or _flag(_object(ask, "usage"), "include")
        )
        return ask

    def passes(self, ask: Ask, provider: Provider) -> bool:
        return shapes.is_chat(ask.fields, custom_tools=provider.custom_tools)

    def at(self, provider: Provider) -> Dialect:
        return _REASONING_APART if provider.reasoning_apart else self

    def without_reasoning(self, fields: Fields, *, only_ours: bool) -> Fields:
        return reasoning.without(fields, only_ours=only_ours)

    def write(self, ask: Ask, candidate: Candidate) -> bytes:
        fields = dict(ask.fields)
        options = _object(ask, "stream_options")
        if ask.stream and candidate.provider.usage_option and options is not None:
            wanted = _ENCODER.encode({**options, "include_usage": True})
            fields["stream_options"] = msgspec.Raw(wanted)
        if _object(ask, "usage"):
            # OpenRouter's clients say so to us; no provider has such a field.
            del fields["usage"]
        return super().write(replace(ask, fields=fields), candidate)

    def error(self, problem: Problem, request_id: str) -> bytes:
        return openai_error(self, problem)

    def usage(self, answer: bytes) -> Usage | None:
        return read_usage(decoded(answer), reasoning_apart=self._reasoning_apart)

    def events(self, ask: Ask) -> Events:
        return ChatEvents(ask.wants_usage, self._reasoning_apart)


class ChatEvents(Events):
    """Chunks without names; a finish reason, perhaps usage, and then [DONE]."""

    __slots__ = ("_reasoning_apart", "reason_seen", "wants_usage")

    def __init__(self, wants_usage: bool, reasoning_apart: bool) -> None:
        super().__init__()
        self._reasoning_apart = reasoning_apart
        self.wants_usage = wants_usage
        self.reason_seen = False

    def plain(self, block: bytes) -> bool:
        # Inside a JSON string a quotation mark has a backslash, so these are real fields.
        return (
            self.seen > 0
            and block.count(b"\n\n") == block.count(b"}\n\n") == block.count(b'"choices"')
            and block.count(b'"finish_reason"') == block.count(b'"finish_reason":null')
            and block.count(b'"usage"') == block.count(b'"usage":null')
            and b'"error"' not in block
            and b'"base_resp"' not in block
            and b"\r" not in block
        )

    def read(self, event: sse.Event, raw: bytes) -> bytes:
        if event.data.strip() == "[DONE]":
            # Without a finish reason it ends like one that was cut.
            self.finished = self.reason_seen
            return raw if self.finished else b""
        chunk = decoded(event.data)
        if chunk is None or is_error(chunk):
            self.error = event.data.encode()
            return b""
        choices = chunk.get("choices")
        choices = choices if isinstance(choices, list) else []
        if any(isinstance(each, dict) and each.get("finish_reason") for each in choices):
            self.reason_seen = True
        self.usage = read_usage(chunk, reasoning_apart=self._reasoning_apart) or self.usage
        # The chunk that holds nothing but the usage comes only because we asked for it.
        unasked = "usage" in chunk and not choices and not self.wants_usage
        return b"" if unasked and self.usage else raw

    def ending(self) -> bytes | None:
        if self.finished:
            return b""
        return DONE if self.reason_seen else None

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def failure(self, problem: Problem) -> bytes:
        return failure_event(problem)


def failure_event(problem: Problem) -> bytes:
    """What ends a stream that cannot go on; it has no choices, or nobody reads it."""
    return b"data: " + openai_error(CHAT, problem) + b"\n\n"


def openai_error(dialect: Dialect, problem: Problem) -> bytes:
    """`{"error": …}`, as all of OpenAI's endpoints answer."""
    return _ENCODER.encode(
        {
            "error": {
                "message": problem.message,
                "type": problem.kind(dialect.endpoint),
                "param": problem.param,
                "code": problem.code_for(dialect.endpoint),
            }
        }
    )


def _object(ask: Ask, name: str) -> dict[str, Any] | None:
    """A field that is an object, or empty; None if it is anything else, for which the provider
    has better words."""
    raw = ask.fields.get(name)
    if raw is None or bytes(raw) == b"null":
        return {}
    if len(bytes(raw)) > LONGEST_OPTIONS:
        return None
    return decoded(bytes(raw))


def _flag(options: dict[str, Any] | None, name: str) -> bool:
    return options is not None and options.get(name) is True


CHAT = Chat()
_REASONING_APART = Chat(reasoning_apart=True)
