"""Converse's answers, whole and streamed.

A stream has no event for the beginning of a text, and tells what it used after it has stopped, so
that its end is held back until then. Source: dialects.md §§ 10, 11 and 13.7, providers.md § 4.6.
"""

from typing import Any

import msgspec

from megabrain.gateway import sse
from megabrain.gateway.dialects.base import decoded
from megabrain.gateway.dialects.neutral import (
    Answer,
    Block,
    CallDelta,
    CallDone,
    CallStarted,
    Ended,
    Event,
    Failed,
    Finish,
    Json,
    Reasoning,
    ReasoningDelta,
    ReasoningDone,
    Started,
    Text,
    TextDelta,
    ToolCall,
)
from megabrain.gateway.dialects.tool_names import id_at
from megabrain.gateway.dialects.translation import Reader
from megabrain.gateway.metering import Usage, count

_ENCODER = msgspec.json.Encoder()

#: What is not listed is a reason of a kind that is still to come.
_FINISHES = {
    "end_turn": Finish.END,
    "tool_use": Finish.TOOLS,
    "max_tokens": Finish.LENGTH,
    "stop_sequence": Finish.STOP,
    "guardrail_intervened": Finish.FILTERED,
    "content_filtered": Finish.FILTERED,
    "malformed_model_output": Finish.BROKEN,
    "malformed_tool_use": Finish.BROKEN,
    "model_context_window_exceeded": Finish.CONTEXT_FULL,
}
#: A turn that calls a tool ends for that, whatever is said, unless it ended too early.
_BEFORE_TOOLS = (Finish.LENGTH, Finish.FILTERED, Finish.BROKEN, Finish.CONTEXT_FULL)


def read_answer(body: bytes) -> Answer | None:
    """The answer in a 200's body, or None when it is something else, or the model broke it off."""
    found = decoded(body)
    output = found.get("output") if found else None
    message = output.get("message") if isinstance(output, dict) else None
    if found is None or not isinstance(message, dict):
        return None
    content = message.get("content")
    content = content if isinstance(content, list) else []
    parts = [part for part in content if isinstance(part, dict)]
    blocks = [block for at, part in enumerate(parts) if (block := _block(part, at)) is not None]
    called = any(isinstance(block, ToolCall) for block in blocks)
    finish, stop = _finish(found, called)
    if finish is Finish.BROKEN:
        return None
    return Answer(blocks=blocks, finish=finish, stop_sequence=stop, usage=_usage(found))


def _block(part: Json, at: int) -> Block | None:
    text, call, thought = part.get("text"), part.get("toolUse"), part.get("reasoningContent")
    if isinstance(text, str):
        return Text(text) if text else None
    if isinstance(call, dict):
        name = _word(call, "name")
        given = call.get("input")
        arguments = _ENCODER.encode(given).decode() if isinstance(given, dict) else "{}"
        return ToolCall(_word(call, "toolUseId") or id_at(at, name), name, arguments)
    if isinstance(thought, dict):
        said = thought.get("reasoningText")
        said = said if isinstance(said, dict) else {}
        words = _word(said, "text")
        native = _native(words, _word(said, "signature"), _word(thought, "redactedContent"))
        return Reasoning(words, "bedrock" if native else None, native)
    cited = part.get("citationsContent")
    if isinstance(cited, dict) and isinstance(cited.get("content"), list):
        return Text("".join(_word(each, "text") for each in cited["content"]))
    return None


def _native(text: str, signature: str, redacted: str) -> Json | None:
    """What the model wants back of its reasoning: nothing, where it has not signed it."""
    if redacted:
        return {"redactedContent": redacted}
    return {"reasoningText": {"text": text, "signature": signature}} if signature else None


def _finish(said: Json, called: bool) -> tuple[Finish, str | None]:
    """Why an answer ended, and at which stop sequence."""
    reason = said.get("stopReason")
    finish = _FINISHES.get(reason, Finish.END) if isinstance(reason, str) else Finish.END
    if called and finish not in _BEFORE_TOOLS:
        finish = Finish.TOOLS
    more = said.get("additionalModelResponseFields")
    more = more if isinstance(more, dict) else {}
    nested = more.get("delta")
    stop = _word(nested if isinstance(nested, dict) else more, "stop_sequence")
    return finish, (stop or None) if finish is Finish.STOP else None


def _usage(said: Json) -> Usage | None:
    """Tokens read from the cache and written to it are no part of the input here."""
    used = said.get("usage")
    if not isinstance(used, dict):
        return None
    written = count(used, "cacheWriteInputTokens")
    details = used.get("cacheDetails")
    for_an_hour = sum(
        count(each, "inputTokens")
        for each in (details if isinstance(details, list) else ())
        if _word(each, "ttl") == "1h"
    )
    return Usage(
        input_tokens=count(used, "inputTokens"),
        cache_read_tokens=count(used, "cacheReadInputTokens"),
        cache_write_tokens=written,
        cache_write_long_tokens=min(for_an_hour, written),
        output_tokens=count(used, "outputTokens"),
    )


# Any: whatever JSON the provider sent.
def _word(holder: Any, name: str) -> str:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, str) else ""


# Streams ----------------------------------------------------------------------------------------


class _Called(msgspec.Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""


class _Start(msgspec.Struct, rename="camel"):
    tool_use: _Called | None = None


class _BlockStart(msgspec.Struct, rename="camel"):
    content_block_index: int
    start: _Start


class _Piece(msgspec.Struct, rename="camel"):
    input: str = ""


class _Thought(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Delta(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _Piece | None = None
    reasoning_content: _Thought | None = None


class _BlockDelta(msgspec.Struct, rename="camel"):
    content_block_index: int
    delta: _Delta


class _BlockStop(msgspec.Struct, rename="camel"):
    content_block_index: int


_START = msgspec.json.Decoder(_BlockStart)
_DELTA = msgspec.json.Decoder(_BlockDelta)
_STOP = msgspec.json.Decoder(_BlockStop)


class _Thinking(msgspec.Struct):
    """A piece of reasoning that is still coming."""

    text: list[str] = []
    signature: list[str] = []
    redacted: list[str] = []


class ConverseReader(Reader):
    """Reads the frames of a ConverseStream, told as server-sent events."""

    __slots__ = ("_calls", "_stopped", "_thinking", "_usage")

    def __init__(self) -> None:
        #: Of the blocks that are calls: which call of the answer each is.
        self._calls: dict[int, int] = {}
        self._thinking: dict[int, _Thinking] = {}
        self._stopped: Ended | Failed | None = None
        self._usage: Usage | None = None

    def read(self, event: sse.Event) -> list[Event]:
        try:
            match event.name:
                case "contentBlockDelta":
                    return self._delta(_DELTA.decode(event.data))
                case "contentBlockStart":
                    return self._start(_START.decode(event.data))
                case "contentBlockStop":
                    return self._stop(_STOP.decode(event.data).content_block_index)
                case "messageStart":
                    return [Started()]
                case "messageStop":
                    return self._message_stop(event.data)
                case "metadata":
                    return self._metadata(decoded(event.data) or {})
                case "error":
                    return [Failed(event.data.encode(), self._usage)]
        except (msgspec.DecodeError, RecursionError):
            return []  # Of a form that is still to come.
        return []

    def end(self) -> list[Event]:
        # The answer is whole although what it used was not told.
        return [] if self._stopped is None else [self._stopped]

    def _start(self, said: _BlockStart) -> list[Event]:
        call = said.start.tool_use
        if call is None:
            return []
        index = self._calls[said.content_block_index] = len(self._calls)
        call_id = call.tool_use_id or id_at(index, call.name)
        return [*self._thought_through(), CallStarted(index, call_id, call.name)]

    def _delta(self, said: _BlockDelta) -> list[Event]:
        at, delta = said.content_block_index, said.delta
        if delta.text is not None:
            return [*self._thought_through(), TextDelta(delta.text)] if delta.text else []
        if delta.tool_use is not None:
            index = self._calls.get(at)
            piece = delta.tool_use.input
            return [CallDelta(index, piece)] if index is not None and piece else []
        if delta.reasoning_content is not None:
            return self._think(at, delta.reasoning_content)
        return []

    def _think(self, at: int, more: _Thought) -> list[Event]:
        thinking = self._thinking.setdefault(at, _Thinking())
        thinking.signature.append(more.signature or "")
        thinking.redacted.append(more.redacted_content or "")
        thinking.text.append(more.text or "")
        return [ReasoningDelta(more.text)] if more.text else []

    def _thought_through(self) -> list[Event]:
        """The end of all reasoning that was not ended by an event of its own."""
        events: list[Event] = []
        for at in list(self._thinking):
            events += self._stop(at)
        return events

    def _stop(self, at: int) -> list[Event]:
        thinking = self._thinking.pop(at, None)
        if thinking is not None:
            native = _native(*map("".join, (thinking.text, thinking.signature, thinking.redacted)))
            return [ReasoningDone("bedrock" if native else None, native)]
        return [CallDone(self._calls[at])] if at in self._calls else []

    def _message_stop(self, data: str) -> list[Event]:
        finish, stop = _finish(decoded(data) or {}, bool(self._calls))
        if finish is Finish.BROKEN:
            self._stopped = Failed(data.encode(), usage_is_final=True)
        else:
            self._stopped = Ended(finish, stop)
        return self._thought_through()

    def _metadata(self, said: Json) -> list[Event]:
        self._usage = _usage(said) or self._usage
        if self._stopped is None:
            return []
        self._stopped.usage = self._usage
        return [self._stopped]
