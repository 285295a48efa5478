"""Streams to Chat callers.

The first chunk has the role, each later one a piece; then come the reason it ended, the usage if
that was asked for, and [DONE]. Every chunk has what the strict readers want: `choices` with an
`index`, tool calls with an `index` and, but for custom tools, a `function`; and `usage` is null or
complete (clients.md § 5).
"""

from collections.abc import Iterable

import msgspec

from megabrain.gateway.dialects.chat import finishes, reasoning
from megabrain.gateway.dialects.chat.answers import PARAGRAPH, Callers, opening, text_input
from megabrain.gateway.dialects.chat.passing import DONE, KEEP_ALIVE, failure_event
from megabrain.gateway.dialects.chat.usage import write_usage
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
from megabrain.gateway.dialects.translation import Told, Writer
from megabrain.gateway.errors import Problem

_ENCODER = msgspec.json.Encoder()


class ChatWriter(Writer):
    def __init__(self, prompt: Prompt, told: Told) -> None:
        self._callers = Callers(prompt, told)
        self._wants_usage = prompt.wants_usage
        self._opening = opening(told, "chat.completion.chunk")
        head = _ENCODER.encode(self._opening)[:-1]
        # All that chunks have in common, written once.
        self._before = b"data: " + head + b',"choices":[{"index":0,"delta":'
        self._after = b',"logprobs":null,"finish_reason":null}]'
        self._after += b',"usage":null}\n\n' if self._wants_usage else b"}\n\n"
        self._begun = False
        #: The text of the piece of reasoning that goes on, the number of pieces before it, and
        #: whether any of those could be read.
        self._thought: list[str] = []
        self._thoughts = 0
        self._has_thought = False
        self._calls: dict[int, _Call] = {}

    def write(self, events: Iterable[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if not self._begun:
                self._begun = True
                out.append(self._chunk({"role": "assistant", "content": ""}))
            self._write(event, out)
        return b"".join(out)

    def _write(self, event: Event, out: list[bytes]) -> None:
        match event:
            case TextDelta(text):
                out.append(self._chunk({"content": text}))
            case ReasoningDelta(text):
                out.append(self._thinking(text))
            case CallDelta(index, arguments):
                self._argue(index, arguments, out)
            case CallStarted():
                self._start(event, out)
            case CallDone(index):
                self._finish_call(index, out)
            case ReasoningDone():
                self._seal(event, out)
            case RefusalDelta(text):
                out.append(self._chunk({"refusal": text}))
            case Ended():
                self._end(event, out)
            case Started():
                pass

    def _chunk(self, delta: Json) -> bytes:
        return self._before + _ENCODER.encode(delta) + self._after

    # Reasoning -------------------------------------------------------------------------------

    def _thinking(self, text: str) -> bytes:
        detail = reasoning.text_detail(text, self._thoughts)
        # The details are told apart by their index; the text is one.
        shown = PARAGRAPH + text if self._has_thought and not self._thought else text
        self._thought.append(text)
        return self._chunk(
            {"reasoning_content": shown, "reasoning": shown, "reasoning_details": [detail]}
        )

    def _seal(self, event: ReasoningDone, out: list[bytes]) -> None:
        text, self._thought = "".join(self._thought), []
        seal = self._callers.seal(text, Reasoning(text, event.maker, event.native))
        if seal:
            detail = reasoning.seal_detail(seal, self._thoughts, after_text=bool(text))
            out.append(self._chunk({"reasoning_details": [detail]}))
        self._has_thought = self._has_thought or bool(text)
        self._thoughts += bool(text or seal)

    # Tool calls ------------------------------------------------------------------------------

    def _start(self, event: CallStarted, out: list[bytes]) -> None:
        # Numbered anew, for callers want them from 0 and without gaps.
        call = self._calls[event.index] = _Call(len(self._calls))
        call.custom = self._callers.is_custom(event.name)
        name = self._callers.name(event.name)
        if self._callers.legacy:
            if call.number == 0:
                out.append(self._chunk({"function_call": {"name": name, "arguments": ""}}))
            return
        told: Json = {"index": call.number, "id": event.id}
        if call.custom:
            told |= {"type": "custom", "custom": {"name": name, "input": ""}}
        else:
            told |= {"type": "function", "function": {"name": name, "arguments": ""}}
        told |= self._callers.signature(event.id)
        out.append(self._chunk({"tool_calls": [told]}))

    def _argue(self, index: int, arguments: str, out: list[bytes]) -> None:
        call = self._calls.get(index)
        if call is None or not arguments:
            return
        call.argued = True
        if call.custom:
            # The text is known only once the JSON around it is complete.
            call.held.append(arguments)
        else:
            out.append(self._arguments(call, arguments))

    def _finish_call(self, index: int, out: list[bytes]) -> None:
        call = self._calls.get(index)
        if call is None or call.done:
            return
        call.done = True
        if call.custom and (text := text_input("".join(call.held))):
            piece = {"index": call.number, "custom": {"input": text}}
            out.append(self._chunk({"tool_calls": [piece]}))
        elif not call.custom and not call.argued:
            out.append(self._arguments(call, "{}"))

    def _arguments(self, call: "_Call", text: str) -> bytes:
        if not self._callers.legacy:
            piece = {"index": call.number, "function": {"arguments": text}}
            return self._chunk({"tool_calls": [piece]})
        # That form has room for one.
        return self._chunk({"function_call": {"arguments": text}}) if call.number == 0 else b""

    # Ends ------------------------------------------------------------------------------------

    def _end(self, event: Ended, out: list[bytes]) -> None:
        for index in self._calls:
            self._finish_call(index, out)
        reason = finishes.written(event.finish)
        if reason == "tool_calls" and self._callers.legacy:
            reason = "function_call"
        choice = {
            "index": 0,
            "delta": {},
            "logprobs": None,
            "finish_reason": reason,
            "native_finish_reason": event.finish.value,
        }
        out.append(self._event({"choices": [choice]}, {"usage": None}))
        if self._wants_usage and event.usage:
            out.append(self._event({"choices": []}, {"usage": write_usage(event.usage)}))
        out.append(DONE)

    def _event(self, said: Json, usage: Json) -> bytes:
        body = {**self._opening, **said, **(usage if self._wants_usage else {})}
        return b"data: " + _ENCODER.encode(body) + b"\n\n"

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def failure(self, problem: Problem) -> bytes:
        return failure_event(problem)


class _Call:
    __slots__ = ("argued", "custom", "done", "held", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.custom = False
        self.argued = False
        self.done = False
        self.held: list[str] = []
