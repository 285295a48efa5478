"""The output items of an answer, as they are filled one event after the other.

A whole answer is made of the same items as a streamed one: `Output` builds them, and a stream's
writer hears of each step. Source: dialects.md §§ 13.1, 13.4 and 13.5, and the recorded streams.
"""

from typing import Literal

import msgspec

from megabrain.gateway import envelope
from megabrain.gateway.dialects.neutral import (
    CallDelta,
    CallDone,
    CallStarted,
    Event,
    Json,
    Prompt,
    Reasoning,
    ReasoningDelta,
    ReasoningDone,
    RefusalDelta,
    TextDelta,
    Tool,
)
from megabrain.gateway.dialects.tool_names import id_for_responses
from megabrain.gateway.dialects.translation import Told

_ENCODER = msgspec.json.Encoder()
_ARGUMENTS = msgspec.json.Decoder(dict[str, msgspec.Raw])

Status = Literal["completed", "incomplete"]


class Open:
    """An item that is not done: its place, and what has come of it."""

    __slots__ = ("around", "id", "index", "pieces")

    def __init__(self, index: int, item_id: str) -> None:
        self.index = index
        self.id = item_id
        self.pieces: list[str] = []
        #: The writer's: what stands before and after each piece.
        self.around = (b"", b"")

    @property
    def place(self) -> Json:
        return {"item_id": self.id, "output_index": self.index}

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class _Message(Open):
    """A message. `part` is the kind of its open part, `parts` are those that are done."""

    __slots__ = ("part", "parts")

    def __init__(self, index: int, item_id: str) -> None:
        super().__init__(index, item_id)
        self.part = ""
        self.parts: list[Json] = []


class _Thought(Open):
    """A piece of reasoning, all of it one part of the summary."""

    __slots__ = ()


class _Call(Open):
    """A call of a tool, which is None for one that was never offered."""

    __slots__ = ("call_id", "name", "tool")

    def __init__(self, index: int, item_id: str, call_id: str, name: str, tool: Tool | None):
        super().__init__(index, item_id)
        self.call_id = call_id
        self.tool = tool
        self.name = tool.own_name or tool.name if tool else name

    @property
    def kind(self) -> str:
        return self.tool.kind if self.tool else "function"


class Output:
    """Builds the items of one answer."""

    def __init__(self, prompt: Prompt, told: Told) -> None:
        self._told = told
        self._tools = {tool.name: tool for tool in prompt.tools}
        self._number = told.request_id.replace("-", "")
        self._begun = 0
        self._open: _Message | _Thought | None = None
        self._calls: dict[int, _Call] = {}
        self._done: dict[int, Json] = {}

    @property
    def items(self) -> list[Json]:
        """The items that are done, in their order."""
        return [self._done[index] for index in sorted(self._done)]

    # What a writer hears of; nobody listens to a whole answer.

    def event(self, kind: str, fields: Json) -> None:
        """Something has happened."""

    def deltas_of(self, item: Open, kind: str, place: Json) -> None:
        """The pieces of the item that follow are events of this kind, at this place."""

    def delta(self, item: Open, text: str) -> None:
        """A piece more of the item."""

    # Events ----------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        match event:
            case TextDelta(text=text) if text:
                self._said("output_text", text)
            case RefusalDelta(text=text) if text:
                self._said("refusal", text)
            case ReasoningDelta(text=text) if text:
                self._thought(text)
            case ReasoningDone():
                self._reasoned(event)
            case CallStarted() if event.index not in self._calls:
                self._called(event)
            case CallDelta(arguments=text) if text and event.index in self._calls:
                self._argued(self._calls[event.index], text)
            case CallDone() if event.index in self._calls:
                self._close_call(self._calls.pop(event.index), "completed")

    def close(self, status: Status) -> None:
        """Nothing more comes: what is open has this status."""
        self._close_open(status)
        for index in sorted(self._calls):
            self._close_call(self._calls.pop(index), status)

    # Messages --------------------------------------------------------------------------------

    def _said(self, part: str, text: str) -> None:
        message = self._open
        if not isinstance(message, _Message):
            self._close_open("completed")
            message = self._open = _Message(*self._next("msg"))
            self._added(message, _message(message, "in_progress"))
        if message.part != part:
            self._close_part(message)
            message.part = part
            at = {**message.place, "content_index": len(message.parts)}
            self.event("response.content_part.added", {**at, "part": _part(part, "")})
        if not message.pieces:
            at = {**message.place, "content_index": len(message.parts)}
            self.deltas_of(message, f"response.{part}.delta", at)
        message.pieces.append(text)
        self.delta(message, text)

    def _close_part(self, message: _Message) -> None:
        if not message.part:
            return
        at = {**message.place, "content_index": len(message.parts)}
        part = _part(message.part, message.text)
        if message.part == "refusal":
            self.event("response.refusal.done", {**at, "refusal": message.text})
        else:
            self.event("response.output_text.done", {**at, "text": message.text, "logprobs": []})
        self.event("response.content_part.done", {**at, "part": part})
        message.parts.append(part)
        message.part = ""
        message.pieces = []

    # Reasoning -------------------------------------------------------------------------------

    def _thought(self, text: str) -> None:
        thought = self._open
        if not isinstance(thought, _Thought):
            thought = self._begin_thought()
        at = {**thought.place, "summary_index": 0}
        if not thought.pieces:
            self.event("response.reasoning_summary_part.added", {**at, "part": _summary("")})
            self.deltas_of(thought, "response.reasoning_summary_text.delta", at)
        thought.pieces.append(text)
        self.delta(thought, text)

    def _begin_thought(self) -> _Thought:
        self._close_open("completed")
        thought = self._open = _Thought(*self._next("rs"))
        self._added(thought, {"id": thought.id, "type": "reasoning", "summary": []})
        return thought

    def _reasoned(self, done: ReasoningDone) -> None:
        thought = self._open if isinstance(self._open, _Thought) else None
        sealed = None
        if done.maker is not None and done.native is not None:
            text = thought.text if thought else ""
            reasoning = Reasoning(text, done.maker, done.native, self._told.origin)
            sealed = envelope.seal(self._told.account_id, reasoning)
            thought = thought or self._begin_thought()
        if thought is not None:
            self._close_thought(thought, sealed)

    def _close_thought(self, thought: _Thought, sealed: str | None) -> None:
        item: Json = {"id": thought.id, "type": "reasoning", "summary": []}
        if thought.pieces:
            at = {**thought.place, "summary_index": 0}
            part = _summary(thought.text)
            self.event("response.reasoning_summary_text.done", {**at, "text": thought.text})
            self.event("response.reasoning_summary_part.done", {**at, "part": part})
            item["summary"] = [part]
        if sealed is not None:
            item["encrypted_content"] = sealed
        self._open = None
        self._finished(thought, item)

    # Calls -----------------------------------------------------------------------------------

    def _called(self, started: CallStarted) -> None:
        self._close_open("completed")
        tool = self._tools.get(started.name)
        prefix = _PREFIXES[tool.kind if tool else "function"]
        call_id = id_for_responses(started.id)
        call = _Call(*self._next(prefix), call_id, started.name, tool)
        self._calls[started.index] = call
        self._added(call, _call(call, "", "in_progress"))
        stem = "custom_tool_call_input" if call.kind == "custom" else "function_call_arguments"
        self.deltas_of(call, f"response.{stem}.delta", call.place)

    def _argued(self, call: _Call, arguments: str) -> None:
        call.pieces.append(arguments)
        # The text of a custom tool is inside the arguments, and a search is told as a whole.
        if call.kind == "function":
            self.delta(call, arguments)

    def _close_call(self, call: _Call, status: Status) -> None:
        if call.kind == "custom":
            text = _input(call.text)
            if text:
                self.delta(call, text)
            self.event("response.custom_tool_call_input.done", {**call.place, "input": text})
        elif call.kind == "function":
            if not call.pieces and status == "completed":
                self._argued(call, "{}")
            done = {**call.place, "name": call.name, "arguments": call.text}
            self.event("response.function_call_arguments.done", done)
        self._finished(call, _call(call, call.text, status))

    # Items -----------------------------------------------------------------------------------

    def _next(self, prefix: str) -> tuple[int, str]:
        """The place and the id of the next item."""
        index = self._begun
        self._begun += 1
        return index, f"{prefix}_{self._number}{index:04x}"

    def _close_open(self, status: Status) -> None:
        match self._open:
            case _Thought() as thought:
                self._close_thought(thought, None)
            case _Message() as message:
                self._close_part(message)
                self._open = None
                self._finished(message, _message(message, status))

    def _added(self, item: Open, value: Json) -> None:
        self.event("response.output_item.added", {"output_index": item.index, "item": value})

    def _finished(self, item: Open, value: Json) -> None:
        self._done[item.index] = value
        self.event("response.output_item.done", {"output_index": item.index, "item": value})


_PREFIXES = {"function": "fc", "custom": "ctc", "tool_search": "tsc"}


def _message(message: _Message, status: str) -> Json:
    return {
        "id": message.id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": message.parts,
    }


def _part(kind: str, text: str) -> Json:
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary(text: str) -> Json:
    return {"type": "summary_text", "text": text}


def _call(call: _Call, arguments: str, status: str) -> Json:
    """A call in the words of the caller, who knows its namespace apart from its name."""
    item: Json = {"id": call.id, "call_id": call.call_id, "status": status}
    if call.kind == "tool_search":
        return {
            **item,
            "type": "tool_search_call",
            "execution": "client",
            "arguments": _object(arguments),
        }
    item["name"] = call.name
    if call.tool and call.tool.namespace is not None:
        item["namespace"] = call.tool.namespace
    if call.kind == "custom":
        return {**item, "type": "custom_tool_call", "input": _input(arguments)}
    return {**item, "type": "function_call", "arguments": arguments}


def _input(arguments: str) -> str:
    """The text in the arguments of a custom tool; they themselves where a model wrote it bare, or
    where they were cut."""
    try:
        return msgspec.json.decode(_ARGUMENTS.decode(arguments)["input"], type=str)
    except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError):
        return arguments


def _object(arguments: str) -> Json:
    if not arguments:
        return {}
    try:
        return msgspec.json.decode(arguments, type=Json)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {"_raw": arguments}
