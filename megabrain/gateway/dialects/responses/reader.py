"""A stream of a provider that speaks Responses.

Sources: dialects.md § 13.6, providers.md §§ 2 and 10. Events are matched by the place or the id of
their item and not by when they come. Perplexity names no events and announces no items; others send
an item only when it is done.
"""

from collections.abc import Iterator

import msgspec

from megabrain.gateway import sse
from megabrain.gateway.dialects.base import decoded
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
    Refusal,
    RefusalDelta,
    Started,
    TextDelta,
)
from megabrain.gateway.dialects.responses.items import text_of
from megabrain.gateway.dialects.responses.reading import (
    CALLS,
    arguments_of,
    can_return,
    finish_of,
    parts_of,
    word,
)
from megabrain.gateway.dialects.responses.usage import usage_of
from megabrain.gateway.dialects.tool_names import id_at
from megabrain.gateway.dialects.translation import Reader

_ENCODER = msgspec.json.Encoder()
_KINDS = {"message": "message", "reasoning": "reasoning", **dict.fromkeys(CALLS, "call")}
_TEXT = ("response.output_text.delta", "response.refusal.delta")
_THOUGHT = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_ARGUMENTS = "response.function_call_arguments.delta"
_INPUT = "response.custom_tool_call_input.delta"
#: The arguments of a custom tool, up to its text.
_BEFORE_INPUT = '{"input":"'


class _Item:
    """An item of a stream: how much of it has been told, and what waits for earlier items."""

    __slots__ = ("announced", "call", "done", "kind", "part", "told", "waiting")

    def __init__(self, kind: str, *, announced: bool) -> None:
        self.kind = kind
        #: Whether its end will be told as well.
        self.announced = announced
        self.done = False
        self.told: list[str] = []
        #: Which part of a summary came last.
        self.part: object = None
        #: The number of a call among the calls of the answer.
        self.call: int | None = None
        self.waiting: list[Event] = []


class ResponsesReader(Reader):
    """Reads a stream. What comes of an item waits until those before it are done, so that the
    blocks are those of the same answer in one piece."""

    def __init__(self) -> None:
        #: By their place in the output and by their id, for not every event has both.
        self._items: dict[object, _Item] = {}
        #: Those that are not told to their end, in their order.
        self._open: list[_Item] = []
        self._calls = 0
        self._refused = False

    def read(self, event: sse.Event) -> list[Event]:
        said = decoded(event.data)
        if said is None:
            return []
        kind = said.get("type")
        response = said.get("response")
        response = response if isinstance(response, dict) else {}
        match kind:
            case "response.output_item.added":
                return self._added(said)
            case "response.output_item.done":
                return self._done(said)
            case "response.created":
                return [Started(word(response, "id"))]
            case "response.completed" | "response.incomplete":
                return self._ended(kind, response)
            case "response.failed" | "response.cancelled" | "error":
                usage = usage_of(response)
                return [Failed(event.data.encode(), usage, usage is not None)]
            case None if said.get("error") is not None:
                return [Failed(event.data.encode())]
        return self._delta(kind, said)

    # What events say of an item --------------------------------------------------------------

    def _added(self, said: Json) -> list[Event]:
        given = said.get("item")
        if not isinstance(given, dict) or word(given, "type") not in _KINDS:
            return []
        item = self._item(said, given["type"], word(given, "id"), announced=True)
        return [] if item.done else self._tell(item, self._begun(item, given))

    def _delta(self, kind: object, said: Json) -> list[Event]:
        delta = said.get("delta")
        if not isinstance(delta, str) or not delta:
            return []
        if kind in _TEXT:
            item = self._item(said, "message", word(said, "item_id"))
            refusal = kind == "response.refusal.delta"
            self._refused |= refusal
            event: Event = RefusalDelta(delta) if refusal else TextDelta(delta)
        elif kind in _THOUGHT:
            item = self._item(said, "reasoning", word(said, "item_id"))
            part = said.get("summary_index", said.get("content_index"))
            if item.told and part != item.part:
                delta = "\n\n" + delta
            item.part = part
            event = ReasoningDelta(delta)
        elif kind in (_ARGUMENTS, _INPUT):
            known = self._known(said, "call", word(said, "item_id"))
            if known is None or known.call is None:
                return []  # Whose call it is will be known when the item is done.
            item = known
            if kind == _INPUT:
                delta = _ENCODER.encode(delta).decode()[1:-1]
                delta = delta if item.told else _BEFORE_INPUT + delta
            event = CallDelta(known.call, delta)
        else:
            return []
        if item.done:
            return []
        item.told.append(delta)
        return self._tell(item, [event])

    def _done(self, said: Json) -> list[Event]:
        given = said.get("item")
        if not isinstance(given, dict) or word(given, "type") not in _KINDS:
            return []
        item = self._item(said, given["type"], word(given, "id"), announced=True)
        if item.done:
            return []
        rest = self._begun(item, given) + list(self._rest(item, given))
        return self._finish(item, rest)

    def _begun(self, item: _Item, given: Json) -> list[Event]:
        """The beginning of a call, if the item is one and has not begun."""
        if item.kind != "call" or item.call is not None:
            return []
        item.call = self._calls
        self._calls += 1
        name = word(given, "name")
        call_id = word(given, "call_id") or word(given, "id") or id_at(item.call, name)
        return [CallStarted(item.call, call_id, name)]

    def _rest(self, item: _Item, given: Json) -> Iterator[Event]:
        """What of a finished item has not been told."""
        if item.kind == "message":
            yield from self._untold(item, given)
        elif item.kind == "reasoning":
            if text := _after("".join(item.told), text_of(given)):
                yield ReasoningDelta(text)
            yield ReasoningDone("openai", given) if can_return(given) else ReasoningDone()
        elif item.call is not None:
            if text := _after("".join(item.told), arguments_of(given)):
                yield CallDelta(item.call, text)
            yield CallDone(item.call)

    def _untold(self, item: _Item, given: Json) -> Iterator[Event]:
        parts = parts_of(given)
        before = "".join(item.told)
        if not "".join(part.text for part in parts).startswith(before):
            return
        told = len(before)
        for part in parts:
            text, told = part.text[told:], max(0, told - len(part.text))
            if isinstance(part, Refusal):
                self._refused = True
                if text:
                    yield RefusalDelta(text)
            elif text:
                yield TextDelta(text)

    def _ended(self, kind: str, response: Json) -> list[Event]:
        events: list[Event] = []
        output = response.get("output")
        unseen = not self._items
        for given in output if isinstance(output, list) else ():
            # What the events left out. Where some came, places alone prove nothing.
            if isinstance(given, dict) and (unseen or word(given, "id") in self._items):
                events += self._done({"item": given})
        while self._open:
            events += self._finish(self._open[0], _closing(self._open[0]))
        status = {"status": "incomplete"} if kind == "response.incomplete" else {}
        finish = finish_of({**response, **status}, called=self._calls > 0, refused=self._refused)
        return [*events, Ended(finish, usage=usage_of(response))]

    # Items in their order --------------------------------------------------------------------

    def _known(self, said: Json, kind: str, item_id: str) -> _Item | None:
        for key in (said.get("output_index"), item_id):
            item = self._items.get(key) if isinstance(key, int | str) and key != "" else None
            if item is not None and item.kind == kind:
                return item
        return None

    def _item(self, said: Json, kind: str, item_id: str, *, announced: bool = False) -> _Item:
        kind = _KINDS[kind]
        item = self._known(said, kind, item_id)
        if item is None:
            item = _Item(kind, announced=announced)
            self._open.append(item)
        for key in (said.get("output_index"), item_id):
            if isinstance(key, int | str) and key != "":
                self._items[key] = item
        return item

    def _tell(self, item: _Item, events: list[Event]) -> list[Event]:
        """What of these can be told now, after what had to come before."""
        out: list[Event] = []
        while self._open[0] is not item and not self._open[0].announced:
            out += self._finish(self._open[0], _closing(self._open[0]))
        if self._open[0] is item:
            return out + events
        item.waiting += events
        return out

    def _finish(self, item: _Item, events: list[Event]) -> list[Event]:
        """The last of an item, and whatever has waited for that."""
        out = self._tell(item, events)
        item.done = True
        while self._open and self._open[0].done:
            self._open.pop(0)
            if self._open:
                out += self._open[0].waiting
                self._open[0].waiting = []
        return out


def _closing(item: _Item) -> list[Event]:
    """The end of an item of which nobody told it."""
    if item.kind == "reasoning":
        return [ReasoningDone()]
    return [CallDone(item.call)] if item.call is not None else []


def _after(told: str, whole: str) -> str:
    return whole[len(told) :] if whole.startswith(told) else ""
