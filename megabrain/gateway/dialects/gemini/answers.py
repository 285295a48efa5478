"""Gemini's answers, whole and streamed. Each event of a stream has the form of a whole answer.

Usage is cumulative: the last word counts, field by field. Function calls come in one piece, may
lack ids, and end with STOP like anything else. A stream ends with its connection; it is complete
where a reason to finish has been given.
"""

import uuid

import msgspec

from megabrain.gateway import sse
from megabrain.gateway.dialects.base import decoded
from megabrain.gateway.dialects.gemini.contents import tool_name
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
    Refusal,
    RefusalDelta,
    Started,
    Text,
    TextDelta,
    ToolCall,
)
from megabrain.gateway.dialects.tool_names import id_at, id_for_messages, id_for_responses
from megabrain.gateway.dialects.translation import Reader
from megabrain.gateway.metering import Usage, count

_ENCODER = msgspec.json.Encoder()

#: What is not listed is a finish of a kind that is still to come.
_FINISHES = {
    "STOP": Finish.END,
    "MAX_TOKENS": Finish.LENGTH,
    "CONTINUATION": Finish.LENGTH,
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MODEL_ARMOR",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "IMAGE_OTHER",
        ),
        Finish.FILTERED,
    ),
    **dict.fromkeys(
        (
            "MALFORMED_FUNCTION_CALL",
            "MALFORMED_RESPONSE",
            "MISSING_THOUGHT_SIGNATURE",
            "NO_IMAGE",
            "OTHER",
            "TOO_MANY_TOOL_CALLS",
            "UNEXPECTED_TOOL_CALL",
        ),
        Finish.BROKEN,
    ),
}
_KEPT = (Finish.LENGTH, Finish.FILTERED)


class _Reading:
    """What has been read of one answer, piece by piece."""

    __slots__ = ("_calls", "_counts", "_finish", "_id", "_refused", "_started", "_texts", "_thinks")

    def __init__(self) -> None:
        self._id = ""
        self._started = False
        self._thinks = False
        self._texts = False
        self._refused = False
        self._calls = 0
        self._counts: Json = {}
        self._finish: Finish | None = None

    @property
    def usage(self) -> Usage | None:
        """All tokens so far: cached ones are part of the prompt, thoughts no part of the answer."""
        counts = self._counts
        if not counts:
            return None
        thoughts = count(counts, "thoughtsTokenCount")
        return Usage.inclusive(
            prompt=count(counts, "promptTokenCount") + count(counts, "toolUsePromptTokenCount"),
            read=count(counts, "cachedContentTokenCount"),
            write=0,
            output=count(counts, "candidatesTokenCount") + thoughts,
            reasoning=thoughts,
        )

    def piece(self, body: Json) -> list[Event]:
        """What one piece says."""
        counts = body.get("usageMetadata")
        if isinstance(counts, dict):
            self._counts.update(
                {name: value for name, value in counts.items() if value is not None}
            )
        events: list[Event] = []
        if not self._started:
            self._started = True
            self._id = _text(body.get("responseId"))
            events.append(Started(self._id, self.usage))
        feedback = body.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            events += self._blocked(feedback)
        candidates = body.get("candidates")
        first = candidates[0] if isinstance(candidates, list) and candidates else None
        if isinstance(first, dict) and first.get("index") in (None, 0):
            events += self._candidate(first)
        return events

    @property
    def broken(self) -> bool:
        """Whether the model failed to say what it would. The calls that it did make count."""
        return self._finish is Finish.BROKEN and not self._calls

    def end(self) -> list[Event]:
        """The end of the answer; nothing where no reason for it has been given."""
        if self._finish is None:
            return []
        finish = self._finish
        if self._calls and finish not in _KEPT:
            finish = Finish.TOOLS
        return [*self._thought(None), Ended(finish, usage=self.usage)]

    def settle(self) -> None:
        """Take the answer for complete, whether or not it says why it ended."""
        self._finish = self._finish or Finish.END

    def _blocked(self, feedback: Json) -> list[Event]:
        """The prompt has been blocked: there are no candidates, now or later."""
        self._finish = Finish.FILTERED
        why = _text(feedback.get("blockReasonMessage"))
        return self._refusal(why or f"Google blocked the prompt: {feedback['blockReason']}.")

    def _refusal(self, words: str) -> list[Event]:
        if self._refused or not words:
            return []
        self._refused = True
        return [*self._thought(None), RefusalDelta(words)]

    def _candidate(self, candidate: Json) -> list[Event]:
        events: list[Event] = []
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                events += self._part(part)
        reason = candidate.get("finishReason")
        if isinstance(reason, str) and reason:
            self._finish = _FINISHES.get(reason, Finish.END)
            if self._finish is Finish.FILTERED and not self._texts:
                events += self._refusal(_text(candidate.get("finishMessage")))
        return events

    def _part(self, part: Json) -> list[Event]:
        signature = _text(part.get("thoughtSignature"))
        call = part.get("functionCall")
        if isinstance(call, dict):
            return self._call(call, signature)
        text = part.get("text")
        if not isinstance(text, str):
            # Code that Google runs, pictures: no caller asks for any of it.
            return []
        if part.get("thought") is True:
            self._thinks = self._thinks or bool(text)
            return [ReasoningDelta(text)] if text else []
        # Signed reasoning goes before what it led to. A signature that comes when the text is
        # already on its way, which Google only recommends to bring back, would end the answer
        # with reasoning, and clients take what comes last for the result.
        native = {"text": signature} if signature and not self._texts and not self._calls else None
        events = self._thought(native)
        if text:
            self._texts = True
            events.append(TextDelta(text))
        return events

    def _call(self, call: Json, signature: str) -> list[Event]:
        function, arguments = _text(call.get("name")), call.get("args")
        # Callers know a call by its id, in each turn of the conversation: where Google gives none,
        # it is made of what no other answer has.
        own, answer = _text(call.get("id")), self._id or uuid.uuid4().hex
        call_id = (
            id_for_responses(id_for_messages(own))
            if own
            else id_at(self._calls, f"{answer}\0{function}")
        )
        text = _ENCODER.encode(arguments).decode() if isinstance(arguments, dict) else "{}"
        index, self._calls = self._calls, self._calls + 1
        return [
            *self._thought({"calls": {call_id: signature}} if signature else None),
            CallStarted(index, call_id, tool_name(function)),
            CallDelta(index, text),
            CallDone(index),
        ]

    def _thought(self, native: Json | None) -> list[Event]:
        """The end of a piece of reasoning, if there is one or something of it to bring back."""
        if native is None and not self._thinks:
            return []
        self._thinks = False
        return [ReasoningDone("google", {"calls": {}} if native is None else native)]


class GeminiReader(Reader):
    """Reads a stream of `alt=sse`."""

    __slots__ = ("_reading",)

    def __init__(self) -> None:
        self._reading = _Reading()

    def read(self, event: sse.Event) -> list[Event]:
        body = decoded(event.data)
        if body is None:
            return []
        if body.get("error"):
            return [Failed(event.data.encode(), self._reading.usage)]
        events = self._reading.piece(body)
        if self._reading.broken:
            # Without a beginning: where nothing else was said, the call can be tried once more.
            said = [each for each in events if not isinstance(each, Started)]
            failed = Failed(event.data.encode(), self._reading.usage, usage_is_final=True)
            return [*said, failed]
        return events

    @property
    def usage(self) -> Usage | None:
        return self._reading.usage

    def end(self) -> list[Event]:
        return self._reading.end()


def read_answer(body: bytes) -> Answer | None:
    """The answer in a 200's body, or None when it is something else: an error, nothing, or what
    the model broke off."""
    found = decoded(body)
    if found is None or found.get("error"):
        return None
    if not found.get("candidates") and not isinstance(found.get("promptFeedback"), dict):
        return None
    reading = _Reading()
    events = reading.piece(found)
    if reading.broken:
        return None
    reading.settle()
    *said, ended = events + reading.end()
    assert isinstance(ended, Ended)
    return Answer(
        blocks=_blocks(said),
        finish=ended.finish,
        usage=ended.usage,
        id=_text(found.get("responseId")),
    )


def _blocks(events: list[Event]) -> list[Block]:
    """What these events tell, in one piece each."""
    blocks: list[Block] = []
    texts: dict[int, list[str]] = {}
    thought = ""
    for event in events:
        last = blocks[-1] if blocks else None
        match event:
            case ReasoningDelta(text):
                thought += text
            case ReasoningDone(maker, native):
                blocks.append(Reasoning(thought, maker, native))
                thought = ""
            case TextDelta(text):
                if not isinstance(last, Text):
                    blocks.append(Text(""))
                texts.setdefault(len(blocks) - 1, []).append(text)
            case RefusalDelta(text):
                blocks.append(Refusal(text))
            case CallStarted(_, call_id, name):
                blocks.append(ToolCall(call_id, name, ""))
            case CallDelta(_, arguments) if isinstance(last, ToolCall):
                last.arguments += arguments
    for at, pieces in texts.items():
        blocks[at] = Text("".join(pieces))
    return blocks


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
