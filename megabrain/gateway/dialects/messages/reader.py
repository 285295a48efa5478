"""Streams of Messages, read from providers. Events and blocks of unknown kinds are passed over."""

from typing import Any

import msgspec

from megabrain.gateway import sse
from megabrain.gateway.dialects.base import decoded
from megabrain.gateway.dialects.claude import JSON_TOOL
from megabrain.gateway.dialects.messages.answers import native
from megabrain.gateway.dialects.messages.passing import is_error
from megabrain.gateway.dialects.messages.stops import read_stop
from megabrain.gateway.dialects.messages.usage import UsageSoFar
from megabrain.gateway.dialects.neutral import (
    CallDelta,
    CallDone,
    CallStarted,
    Ended,
    Event,
    Failed,
    Json,
    ReasoningDelta,
    ReasoningDone,
    Started,
    TextDelta,
)
from megabrain.gateway.dialects.translation import Reader
from megabrain.gateway.metering import Usage


class _Delta(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Said(msgspec.Struct):
    """The fields of all events."""

    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: Json | None = None
    message: Json | None = None
    usage: Json | None = None


class _Open(msgspec.Struct):
    """A block that has begun."""

    kind: str
    #: Of a call, which it is among the calls of the answer.
    call: int = 0
    thought: list[str] = []
    signature: list[str] = []
    redacted: Json | None = None


_DECODER = msgspec.json.Decoder(_Said)
_ENCODER = msgspec.json.Encoder()
_JSON = "json"


class MessagesReader(Reader):
    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._calls = 0
        self._usage = UsageSoFar()
        self._reason: str | None = None
        self._stop: str | None = None

    @property
    def usage(self) -> Usage | None:
        return self._usage.usage

    def read(self, event: sse.Event) -> list[Event]:
        try:
            said = _DECODER.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # One of another shape may well be new; one that is no object is no event.
            found = decoded(event.data)
            broken = found is None or is_error(found)
            return [self._failed(event)] if broken else []
        match said.type:
            case "content_block_delta":
                return _delta(self._open.get(said.index), said.delta)
            case "content_block_start":
                return self._begun(said.index, said.content_block or {})
            case "content_block_stop":
                return _complete(self._open.pop(said.index, None))
            case "message_start":
                message = said.message or {}
                self._usage.note(message.get("usage"))
                return [Started(str(message.get("id") or ""), self._usage.usage)]
            case "message_delta":
                self._note(said)
            case "message_stop":
                return self._ended()
            case "error":
                return [self._failed(event)]
        return []

    def _note(self, said: _Said) -> None:
        self._usage.note(said.usage)
        if said.delta is not None:
            self._reason = said.delta.stop_reason or self._reason
            self._stop = said.delta.stop_sequence or self._stop

    def _begun(self, index: int, block: Json) -> list[Event]:
        match block.get("type"):
            case "text":
                self._open[index] = _Open("text")
                text = block.get("text")
                return [TextDelta(text)] if isinstance(text, str) and text else []
            case "thinking":
                thought, signature = block.get("thinking"), block.get("signature")
                opened = self._open[index] = _Open("thinking")
                opened.signature += [signature] if isinstance(signature, str) else []
                if isinstance(thought, str) and thought:
                    opened.thought.append(thought)
                    return [ReasoningDelta(thought)]
            case "redacted_thinking":
                self._open[index] = _Open("redacted_thinking", redacted=native(block))
            case "tool_use":
                return self._called(index, block)
        return []

    def _called(self, index: int, block: Json) -> list[Event]:
        name, given = str(block.get("name") or ""), block.get("input")
        arguments = _ENCODER.encode(given).decode() if given else ""
        if name == JSON_TOOL:
            self._open[index] = _Open(_JSON)
            return [TextDelta(arguments)] if arguments else []
        opened = self._open[index] = _Open("tool_use", self._calls)
        self._calls += 1
        events: list[Event] = [CallStarted(opened.call, str(block.get("id") or ""), name)]
        return [*events, CallDelta(opened.call, arguments)] if arguments else events

    def _ended(self) -> list[Event]:
        # What was not closed is complete all the same.
        events = [event for block in self._open.values() for event in _complete(block)]
        finish = read_stop(self._reason, calls=self._calls > 0)
        return [*events, Ended(finish, self._stop, self._usage.usage)]

    def _failed(self, event: sse.Event) -> Failed:
        return Failed(event.data.encode(), self._usage.usage)


def _delta(block: _Open | None, delta: _Delta | None) -> list[Event]:
    if block is None or delta is None:
        return []
    if delta.text:
        return [TextDelta(delta.text)]
    if delta.thinking:
        block.thought.append(delta.thinking)
        return [ReasoningDelta(delta.thinking)]
    if delta.signature:
        block.signature.append(delta.signature)
    elif delta.partial_json:
        if block.kind == _JSON:
            return [TextDelta(delta.partial_json)]
        return [CallDelta(block.call, delta.partial_json)]
    return []


def _complete(block: _Open | None) -> list[Event]:
    match block:
        case _Open(kind="thinking"):
            text, signature = "".join(block.thought), "".join(block.signature)
            # Any: the values of a block.
            wanted: dict[str, Any] = {"type": "thinking", "thinking": text, "signature": signature}
            return [ReasoningDone("anthropic", wanted)]
        case _Open(kind="redacted_thinking"):
            return [ReasoningDone("anthropic", block.redacted)]
        case _Open(kind="tool_use"):
            return [CallDone(block.call)]
    return []
