"""A Chat stream, or an answer in one piece, read into neutral events.

Hosts agree on the grammar of § 13.1 in dialects.md and on little else, so everything seen there is
understood: usage on the finish chunk, in a choice, and again later; content together with the
reason it ends; several calls in one chunk, calls without index or id, names that are repeated and
arguments all at once; nulls anywhere; content as a list; reasoning in any of four forms.
"""

from typing import Any

import msgspec

from megabrain.gateway import sse
from megabrain.gateway.dialects.base import decoded
from megabrain.gateway.dialects.chat import finishes, reasoning
from megabrain.gateway.dialects.chat.calls import Calls
from megabrain.gateway.dialects.chat.failures import is_error
from megabrain.gateway.dialects.chat.thinking import ThinkTags
from megabrain.gateway.dialects.chat.usage import read_usage
from megabrain.gateway.dialects.neutral import (
    Answer,
    Block,
    CallDelta,
    CallStarted,
    Ended,
    Event,
    Failed,
    Finish,
    Json,
    Reasoning,
    ReasoningDelta,
    ReasoningDone,
    Refusal,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    ToolCall,
)
from megabrain.gateway.dialects.translation import Reader, Target
from megabrain.gateway.metering import Usage

_ENCODER = msgspec.json.Encoder()


class ChatReader(Reader):
    def __init__(self, target: Target) -> None:
        self._reasoning_apart = target.provider.reasoning_apart
        self._started = False
        self._reason: object = None
        self._refused = False
        self._usage: Usage | None = None
        self._calls = Calls()
        self._tags = ThinkTags()
        #: The reasoning that is being read, in the forms in which it comes.
        self._thought: list[str] = []
        self._tagged: list[str] = []
        self._details: list[Json] = []

    def read(self, event: sse.Event) -> list[Event]:
        if event.data.strip() == "[DONE]":
            return self.end()
        chunk = decoded(event.data)
        return self.chunk(chunk, event.data.encode())

    def chunk(self, chunk: Json | None, data: bytes) -> list[Event]:
        """What one chunk says; `data` are its bytes."""
        choices = chunk.get("choices") if chunk else None
        choice = choices[0] if isinstance(choices, list) and choices else None
        choice = choice if isinstance(choice, dict) else {}
        if chunk is None or is_error(chunk):
            return [Failed(data, self._usage)]
        self._usage = read_usage(chunk, reasoning_apart=self._reasoning_apart) or self._usage
        out: list[Event] = []
        if not self._started:
            self._started = True
            self._calls.answer_id = str(chunk.get("id") or "")
            out.append(Started(self._calls.answer_id))
        if choice.get("index") not in (0, None):
            return out
        delta = choice.get("delta", choice.get("message"))
        if isinstance(delta, dict):
            self._read_delta(delta, out)
        reason = choice.get("finish_reason")
        if reason and self._reason is None:
            self._reason = reason
            if self._finish() is Finish.BROKEN:
                return [*out, Failed(data, self._usage)]
            self._close_thought(out)
            out += self._calls.done()
        return out

    @property
    def usage(self) -> Usage | None:
        return self._usage

    def end(self) -> list[Event]:
        if self._reason is None:
            return []
        return [Ended(self._finish(), usage=self._usage)]

    def _finish(self) -> Finish:
        return finishes.read(self._reason, called=self._calls.count > 0, refused=self._refused)

    def _read_delta(self, delta: Json, out: list[Event]) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        details = delta.get("reasoning_details")
        found = [each for each in _listed(details) if isinstance(each, dict)]
        self._details += found
        if not isinstance(thought, str) or not thought:
            thought = reasoning.text_of(found)
        if thought:
            self._think(thought, out)
        content = delta.get("content")
        if isinstance(content, str) and content:
            self._read_text(content, out)
        elif isinstance(content, list):
            self._read_parts(content, out)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._close_thought(out)
            self._refused = True
            out.append(RefusalDelta(refusal))
        calls = delta.get("tool_calls")
        if isinstance(legacy := delta.get("function_call"), dict):
            calls = [{"index": 0, "function": legacy}]
        if isinstance(calls, list) and calls:
            self._close_thought(out)
            out += self._calls.read(calls)

    def _read_text(self, text: str, out: list[Event]) -> None:
        for is_thought, piece in self._tags.feed(text):
            self._read_piece(is_thought, piece, out)

    def _read_piece(self, is_thought: bool, piece: str, out: list[Event]) -> None:
        if is_thought:
            self._tagged.append(piece)
            out.append(ReasoningDelta(piece))
        else:
            self._end_thought(out)
            out.append(TextDelta(piece))

    def _read_parts(self, parts: list[Any], out: list[Event]) -> None:
        """Content as a list, as Mistral writes it where a model thinks."""
        for part in parts:
            if isinstance(part, str):
                self._read_text(part, out)
            elif not isinstance(part, dict):
                continue
            elif part.get("type") == "thinking":
                inside = part.get("thinking")
                pieces = inside if isinstance(inside, list) else [{"text": inside}]
                texts = [each.get("text") for each in pieces if isinstance(each, dict)]
                for text in texts:
                    if isinstance(text, str) and text:
                        self._think(text, out)
            elif isinstance(part.get("text"), str) and part["text"]:
                self._read_text(part["text"], out)

    def _think(self, text: str, out: list[Event]) -> None:
        # Whoever has a field for it does not use tags as well.
        for is_thought, piece in self._tags.flush():
            self._read_piece(is_thought, piece, out)
        self._thought.append(text)
        out.append(ReasoningDelta(text))

    def _close_thought(self, out: list[Event]) -> None:
        """Something else begins, or nothing: neither text nor reasoning is held back any more."""
        for is_thought, piece in self._tags.flush():
            self._read_piece(is_thought, piece, out)
        self._end_thought(out)

    def _end_thought(self, out: list[Event]) -> None:
        native: Json = {}
        if self._thought:
            native["reasoning_content"] = "".join(self._thought)
        if self._details:
            native["reasoning_details"] = reasoning.merged(self._details)
        if self._tagged:
            native["content"] = f"<think>{''.join(self._tagged)}</think>\n\n"
        if native:
            out.append(ReasoningDone("chat", native))
            self._thought, self._tagged, self._details = [], [], []


def answer(body: bytes, target: Target) -> Answer | None:
    """The answer in a 200's body, or None when it is something else, such as an error."""
    whole = decoded(body)
    choices = whole.get("choices") if whole else None
    first = choices[0] if isinstance(choices, list) and choices else None
    if whole is None or whole.get("error") or not isinstance(first, dict):
        return None
    # An answer in one piece is all there is, even where nobody says why it ends.
    choice = {**first, "index": 0, "finish_reason": first.get("finish_reason") or "stop"}
    reader = ChatReader(target)
    events = reader.chunk({**whole, "choices": [choice]}, body)
    if isinstance(events[-1], Failed):
        return None
    return _folded(events + reader.end(), str(whole.get("id") or ""))


def _folded(events: list[Event], answer_id: str) -> Answer:
    blocks: list[Block] = []
    #: Of the blocks, those that are calls; and the pieces of texts and arguments.
    calls: dict[int, int] = {}
    pieces: dict[int, list[str]] = {}
    ended: Ended | None = None
    thought = ""
    for event in events:
        match event:
            case TextDelta(text):
                blocks += [] if blocks and isinstance(blocks[-1], Text) else [Text("")]
                pieces.setdefault(len(blocks) - 1, []).append(text)
            case RefusalDelta(text):
                blocks.append(Refusal(text))
            case ReasoningDelta(text):
                thought += text
            case ReasoningDone():
                blocks.append(Reasoning(thought, event.maker, event.native))
                thought = ""
            case CallStarted(index, call_id, name):
                calls[index] = len(blocks)
                blocks.append(ToolCall(call_id, name, ""))
            case CallDelta(index, arguments):
                pieces.setdefault(calls[index], []).append(arguments)
            case Ended():
                ended = event
    assert ended is not None
    _fill(blocks, pieces)
    return Answer(blocks=blocks, finish=ended.finish, usage=ended.usage, id=answer_id)


def _fill(blocks: list[Block], pieces: dict[int, list[str]]) -> None:
    """Give the texts and calls at these places their text, or their arguments."""
    for at, found in pieces.items():
        name = "arguments" if isinstance(blocks[at], ToolCall) else "text"
        blocks[at] = msgspec.structs.replace(blocks[at], **{name: "".join(found)})


def _listed(value: object) -> list[Any]:  # Any: whatever JSON the host sent.
    return value if isinstance(value, list) else []
