"""OpenAI Chat Completions."""

from dataclasses import replace
from typing import Any

import msgspec

from byok.providers.base import Endpoint, Provider
from megabrain.gateway import sse
from megabrain.gateway.dialects.base import Ask, Dialect, Events, decoded
from megabrain.gateway.errors import Problem
from megabrain.gateway.metering import Usage, count

#: Nobody has more to say in an object of options.
LONGEST_OPTIONS = 4096
DONE = b"data: [DONE]\n\n"
_ENCODER = msgspec.json.Encoder()


class Chat(Dialect):
    endpoint = Endpoint.CHAT
    answer_fields = ("choices",)

    def read(self, body: bytes) -> Ask:
        ask = super().read(body)
        # OpenRouter's clients ask in their own way.
        ask.wants_usage = ask.stream and (
            _flag(_object(ask, "stream_options"), "include_usage")
            or _flag(_object(ask, "usage"), "include")
        )
        return ask

    def write(self, ask: Ask, upstream_model: str, provider: Provider) -> bytes:
        fields = dict(ask.fields)
        options = _object(ask, "stream_options")
        if ask.stream and provider.usage_option and options is not None:
            wanted = _ENCODER.encode({**options, "include_usage": True})
            fields["stream_options"] = msgspec.Raw(wanted)
        if _object(ask, "usage"):
            # OpenRouter's clients say so to us; no provider has such a field.
            del fields["usage"]
        return super().write(replace(ask, fields=fields), upstream_model, provider)

    def error(self, problem: Problem, request_id: str) -> bytes:
        return openai_error(self, problem)

    def usage(self, answer: bytes) -> Usage | None:
        return _usage(decoded(answer))

    def events(self, ask: Ask) -> Events:
        return ChatEvents(ask.wants_usage)


class ChatEvents(Events):
    """Chunks without names; a finish reason, perhaps usage, and then [DONE]."""

    __slots__ = ("reason_seen", "wants_usage")

    def __init__(self, wants_usage: bool) -> None:
        super().__init__()
        self.wants_usage = wants_usage
        self.reason_seen = False

    def plain(self, block: bytes) -> bool:
        # Inside a JSON string a quotation mark has a backslash, so these are real fields.
        return (
            self.seen > 0
            and block.count(b"\n\n") == block.count(b"}\n\n")
            and block.count(b'"finish_reason"') == block.count(b'"finish_reason":null')
            and block.count(b'"usage"') == block.count(b'"usage":null')
            and b'"error"' not in block
            and b"\r" not in block
        )

    def read(self, event: sse.Event, raw: bytes) -> bytes:
        if event.data.strip() == "[DONE]":
            # Without a finish reason it ends like one that was cut.
            self.finished = self.reason_seen
            return raw if self.finished else b""
        chunk = decoded(event.data)
        if chunk is None or (chunk.get("error") and not chunk.get("choices")):
            self.error = event.data.encode()
            return b""
        choices = chunk.get("choices")
        choices = choices if isinstance(choices, list) else []
        if any(isinstance(each, dict) and each.get("finish_reason") for each in choices):
            self.reason_seen = True
        self.usage = _usage(chunk) or self.usage
        # The chunk that holds nothing but the usage comes only because we asked for it.
        unasked = "usage" in chunk and not choices and not self.wants_usage
        return b"" if unasked and self.usage else raw

    def ending(self) -> bytes | None:
        if self.finished:
            return b""
        return DONE if self.reason_seen else None

    def keep_alive(self) -> bytes:
        return b": keep-alive\n\n"

    def failure(self, problem: Problem) -> bytes:
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


def _usage(answer: dict[str, object] | None) -> Usage | None:
    """The usage of an answer or chunk; some hosts put it inside the first choice."""
    if answer is None:
        return None
    said = answer.get("usage")
    if not isinstance(said, dict):
        choices = answer.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        said = first.get("usage") if isinstance(first, dict) else None
    if not isinstance(said, dict):
        return None
    read = count(said, "prompt_tokens_details", "cached_tokens")
    return Usage.inclusive(
        prompt=count(said, "prompt_tokens"),
        read=read or count(said, "prompt_cache_hit_tokens") or count(said, "cached_tokens"),
        write=count(said, "prompt_tokens_details", "cache_write_tokens"),
        output=count(said, "completion_tokens"),
        reasoning=count(said, "completion_tokens_details", "reasoning_tokens"),
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
