"""Tool calls in the pieces in which hosts of Chat send them."""

from typing import Any

import msgspec

from megabrain.gateway.dialects.chat.reasoning import signature_of
from megabrain.gateway.dialects.neutral import (
    CallDelta,
    CallDone,
    CallStarted,
    Event,
    Json,
    ReasoningDone,
)
from megabrain.gateway.dialects.tool_names import id_at

_ENCODER = msgspec.json.Encoder()


class _Call:
    __slots__ = ("arguments", "id", "name", "number", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self.id = ""
        self.name = ""
        #: All that has come, also before there was a name.
        self.arguments: list[str] = []
        #: Its number among the calls that have been told, once it has a name.
        self.number: int | None = None


class Calls:
    """Tells the calls of one answer apart, by index where there is one."""

    def __init__(self) -> None:
        self.answer_id = ""
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}
        #: The first of each id.
        self._named: dict[str, _Call] = {}
        #: How many there are.
        self.count = 0

    def read(self, entries: list[Any]) -> list[Event]:  # Any: whatever JSON the host sent.
        """What one chunk says of calls."""
        out: list[Event] = []
        pieces = [entry for entry in entries if isinstance(entry, dict)]
        for entry in pieces:
            function = entry.get("function")
            function = function if isinstance(function, dict) else {}
            self._read(entry, function, out, alone=len(pieces) == 1)
        return out

    def done(self) -> list[Event]:
        """The end of all of them. One that never got a name is none."""
        return [CallDone(call.number) for call in self._calls if call.number is not None]

    def _read(self, entry: Json, function: Json, out: list[Event], *, alone: bool) -> None:
        call_id, name = _word(entry.get("id")), _word(function.get("name"))
        call = self._of(entry.get("index"), call_id, name, alone=alone)
        if call_id and not call.id:
            call.id = call_id
            self._named.setdefault(call_id, call)
        call.name = call.name or name
        if signature := signature_of(entry):
            native = {"calls": {self._id(call): signature}}
            out.append(ReasoningDone("google", native))
        text = function.get("arguments")
        if text is not None and not isinstance(text, str):
            text = _ENCODER.encode(text).decode()
        text = text or ""
        if text:
            call.arguments.append(text)
        if call.number is not None:
            if text:
                out.append(CallDelta(call.number, text))
        elif call.name:
            call.number = self.count
            self.count += 1
            out.append(CallStarted(call.number, self._id(call), call.name))
            if call.arguments:
                out.append(CallDelta(call.number, "".join(call.arguments)))

    def _of(self, index: object, call_id: str, name: str, *, alone: bool) -> _Call:
        """The call that a piece belongs to."""
        known = index if isinstance(index, int) and not isinstance(index, bool) else None
        if known is not None:
            call = self._at.get(known)
            # Some say 0 of every call, each with an id and a name of its own.
            other = call is not None and call_id and name and call.id and call.id != call_id
            if call is None or other:
                call = self._at[known] = self._new()
            return call
        if call_id:
            call = self._named.get(call_id)
            return call if call is not None and (alone or not name) else self._new()
        last = self._calls[-1] if self._calls else None
        if last is None or not alone:
            return self._new()
        if name and last.name and (name != last.name or _is_complete(last.arguments)):
            return self._new()
        return last

    def _new(self) -> _Call:
        call = _Call(len(self._calls))
        self._calls.append(call)
        return call

    def _id(self, call: _Call) -> str:
        if not call.id:
            call.id = id_at(call.position, f"{self.answer_id}\0{call.name}")
            self._named.setdefault(call.id, call)
        return call.id


def _is_complete(arguments: list[str]) -> bool:
    try:
        return isinstance(msgspec.json.decode("".join(arguments)), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
