"""Streams of Messages, written for callers.

Blocks come strictly one after another. What the provider says of a second one while the first is
open (parallel calls in turns) waits until the first is complete.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from megabrain.gateway.dialects.messages.answers import opening, own_names, sealed, stopped
from megabrain.gateway.dialects.messages.passing import PING, failure
from megabrain.gateway.dialects.messages.usage import write_usage
from megabrain.gateway.dialects.neutral import (
    CallDelta,
    CallDone,
    CallStarted,
    Ended,
    Event,
    Json,
    Prompt,
    Reasoning,
    ReasoningDelta,
    ReasoningDone,
    RefusalDelta,
    Started,
    TextDelta,
)
from megabrain.gateway.dialects.tool_names import id_for_messages
from megabrain.gateway.dialects.translation import Told, Writer
from megabrain.gateway.errors import Problem
from megabrain.gateway.metering import Usage

_ENCODER = msgspec.json.Encoder()


def _template(kind: str, field: str) -> bytes:
    """A content_block_delta with places for its index and its text, which is most of a stream."""
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%%d,'
        b'"delta":{"type":"%b","%b":%%b}}\n\n' % (kind.encode(), field.encode())
    )


_DELTAS = {
    "text": _template("text_delta", "text"),
    "thinking": _template("thinking_delta", "thinking"),
    "tool_use": _template("input_json_delta", "partial_json"),
}
_SIGNATURE = _template("signature_delta", "signature")


class _Block(msgspec.Struct):
    """A block of the answer. `waiting` is what has not been written of it."""

    kind: str
    start: Json
    waiting: list[str]
    #: All of its text, for the envelope; of a call, no more than whether there was any.
    text: list[str]
    signature: str = ""
    complete: bool = False
    begun: bool = False


class MessagesWriter(Writer):
    def __init__(self, prompt: Prompt, told: Told) -> None:
        self._names = own_names(prompt)
        self._told = told
        self._out: list[bytes] = []
        self._started = False
        #: The number of the first block that is not complete, and those from there on.
        self._index = 0
        self._blocks: deque[_Block] = deque()
        self._calls: dict[int, _Block] = {}

    def write(self, events: Iterable[Event]) -> bytes:
        for event in events:
            if not self._started:
                self._start(event.usage if isinstance(event, Started) else None)
            self._write(event)
        written = b"".join(self._out)
        self._out.clear()
        return written

    def _write(self, event: Event) -> None:
        match event:
            case TextDelta() | RefusalDelta():
                self._say("text", event.text)
            case ReasoningDelta():
                self._say("thinking", event.text)
            case ReasoningDone():
                self._thought(event)
            case CallStarted():
                self._call(event)
            case CallDelta():
                self._argue(event)
            case CallDone(index):
                if index in self._calls:
                    self._complete(self._calls[index])
            case Ended():
                self._end(event)

    def keep_alive(self) -> bytes:
        # A comment is harmless where a ping would come before the message it belongs to.
        return PING if self._started else b": keep-alive\n\n"

    def failure(self, problem: Problem) -> bytes:
        return failure(problem)

    # What is said ----------------------------------------------------------------------------

    def _start(self, usage: Usage | None) -> None:
        self._started = True
        message = opening(self._told)
        message |= {"content": [], "stop_reason": None, "stop_sequence": None}
        message["usage"] = write_usage(usage)
        self._event({"type": "message_start", "message": message})

    def _say(self, kind: str, text: str) -> None:
        if not text:
            return
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.kind != kind or last.complete:
            last = self._open(kind, {"text": ""} if kind == "text" else _NO_THOUGHT)
        self._add(last, text)

    def _thought(self, event: ReasoningDone) -> None:
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.kind != "thinking" or last.complete:
            if event.native is None:
                return
            last = self._open("thinking", _NO_THOUGHT)
        origin = self._told.origin
        thought = Reasoning("".join(last.text), event.maker, event.native, origin)
        last.signature = sealed(self._told.account_id, thought)
        self._complete(last)

    def _call(self, event: CallStarted) -> None:
        if event.index in self._calls:
            return
        name = self._names.get(event.name, event.name)
        call = {"id": id_for_messages(event.id), "name": name, "input": {}}
        self._calls[event.index] = self._open("tool_use", call)

    def _argue(self, event: CallDelta) -> None:
        call = self._calls.get(event.index)
        if call is not None and not call.complete and event.arguments:
            self._add(call, event.arguments)

    def _end(self, event: Ended) -> None:
        for block in list(self._blocks):
            self._complete(block)
        delta = stopped(event.finish, event.stop_sequence, calls=bool(self._calls))
        usage = write_usage(event.usage)
        self._event({"type": "message_delta", "delta": delta, "usage": usage})
        self._event({"type": "message_stop"})

    # Blocks ----------------------------------------------------------------------------------

    def _open(self, kind: str, rest: Json) -> _Block:
        """A new block, which completes what is not a call before it."""
        if self._blocks and self._blocks[-1].kind != "tool_use":
            self._complete(self._blocks[-1])
        block = _Block(kind, {"type": kind, **rest}, [], [])
        self._blocks.append(block)
        self._begin()
        return block

    def _add(self, block: _Block, text: str) -> None:
        if block.kind == "thinking" or not block.text:
            block.text.append(text)
        if block.begun:
            self._out.append(_DELTAS[block.kind] % (self._index, _ENCODER.encode(text)))
        else:
            block.waiting.append(text)

    def _complete(self, block: _Block) -> None:
        block.complete = True
        while self._blocks and self._blocks[0].begun and self._blocks[0].complete:
            first = self._blocks.popleft()
            if first.kind == "thinking":
                signature = first.signature or sealed(self._told.account_id, Reasoning())
                self._out.append(_SIGNATURE % (self._index, _ENCODER.encode(signature)))
            elif first.kind == "tool_use" and not first.text:
                self._out.append(_DELTAS["tool_use"] % (self._index, b'"{}"'))
            self._event({"type": "content_block_stop", "index": self._index})
            self._index += 1
            self._begin()

    def _begin(self) -> None:
        """Write the beginning of the block whose turn it is, and what waits of it."""
        if not self._blocks or self._blocks[0].begun:
            return
        first = self._blocks[0]
        first.begun = True
        start = {"type": "content_block_start", "index": self._index}
        self._event({**start, "content_block": first.start})
        for text in first.waiting:
            self._out.append(_DELTAS[first.kind] % (self._index, _ENCODER.encode(text)))
        first.waiting.clear()

    def _event(self, said: Json) -> None:
        self._out.append(
            b"event: %b\ndata: %b\n\n" % (said["type"].encode(), _ENCODER.encode(said))
        )


_NO_THOUGHT: Json = {"thinking": "", "signature": ""}
