"""Responses as it passes through to a provider that speaks it."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from byok.providers.base import Endpoint, Fields, Provider
from megabrain.gateway import envelope, sse
from megabrain.gateway.dialects.base import Ask, Dialect, Events, decoded
from megabrain.gateway.dialects.chat import openai_error
from megabrain.gateway.dialects.neutral import ENVELOPE_PREFIX
from megabrain.gateway.dialects.responses.failures import failed_event, keep_alive_event
from megabrain.gateway.dialects.responses.usage import usage_of
from megabrain.gateway.errors import Problem
from megabrain.gateway.metering import Usage

_ENCODER = msgspec.json.Encoder()
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ENVELOPE = ENVELOPE_PREFIX.encode()

#: Kinds of tools and of items that OpenAI alone has, and for which functions can stand.
_NEWER = {
    *("custom", "namespace", "tool_search", "additional_tools", "allowed_tools"),
    *("custom_tool_call", "custom_tool_call_output", "tool_search_call", "tool_search_output"),
}
_MAY_BE_NEWER = (b'"custom', b'"namespace"', b'"tool_search', b'"additional_tools"')

#: Of a response that has no answer, although it came with a 200.
FAILED = ("failed", "cancelled")


class _Item(msgspec.Struct):
    type: str | None = None
    encrypted_content: str | None = None


class _Kind(msgspec.Struct):
    type: object = None


_ITEM = msgspec.json.Decoder(_Item)
_KINDS = msgspec.json.Decoder(list[_Kind | str | None])
_KIND = msgspec.json.Decoder(_Kind | str | None)


class Responses(Dialect):
    endpoint = Endpoint.RESPONSES
    answer_fields = ("output",)

    def passes(self, ask: Ask, provider: Provider) -> bool:
        return provider.custom_tools or not _has_newer_tools(ask.fields)

    def error(self, problem: Problem, request_id: str) -> bytes:
        return openai_error(self, problem)

    def usage(self, answer: bytes) -> Usage | None:
        return usage_of(decoded(answer))

    def events(self, ask: Ask) -> Events:
        return ResponsesEvents()

    def sound(self, answer: bytes) -> bool:
        if not super().sound(answer):
            return False
        try:
            status = msgspec.json.decode(_FIELDS.decode(answer).get("status", b"null"))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return status not in FAILED

    def without_reasoning(self, fields: Fields, *, only_ours: bool) -> Fields:
        unwanted = _is_ours if only_ours else _is_reasoning
        try:
            items = _ITEMS.decode(fields.get("input", b"null"))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return fields
        kept = [item for item in items if not unwanted(item)]
        if len(kept) == len(items):
            return fields
        return {**fields, "input": msgspec.Raw(_ENCODER.encode(kept))}


def _has_newer_tools(fields: Fields) -> bool:
    """Whether tools are offered, or were called, that only OpenAI's own models can be told of."""
    if _is_newer(fields, "tool_choice", _KIND):
        return True
    return any(
        any(mark in bytes(fields.get(name, b"")) for mark in _MAY_BE_NEWER)
        and _is_newer(fields, name, _KINDS)
        for name in ("tools", "input")
    )


def _is_newer(fields: Fields, name: str, decoder: msgspec.json.Decoder[Any]) -> bool:
    try:
        found = decoder.decode(fields.get(name, b"null"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    kinds = found if isinstance(found, list) else [found]
    return any(isinstance(each, _Kind) and str(each.type) in _NEWER for each in kinds)


def _is_ours(item: msgspec.Raw) -> bool:
    return _ENVELOPE in bytes(item) and _holds(
        item, lambda found: envelope.is_envelope(found.encrypted_content)
    )


def _is_reasoning(item: msgspec.Raw) -> bool:
    return b'"reasoning"' in bytes(item) and _holds(item, lambda found: found.type == "reasoning")


def _holds(item: msgspec.Raw, true_of: Callable[[_Item], bool]) -> bool:
    try:
        return true_of(_ITEM.decode(item))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


class ResponsesEvents(Events):
    """Named and numbered events from response.created to completed, incomplete or failed."""

    __slots__ = ("_added", "_last", "_number", "_response")

    def __init__(self) -> None:
        super().__init__()
        self._response: dict[str, object] = {}
        self._last = b""
        self._number = -1
        #: Events of our own so far; the provider's numbers move up by as many.
        self._added = 0

    def plain(self, block: bytes) -> bool:
        return (
            self.seen > 0
            and not self._added
            and block.count(b"\n\n") == block.count(b"}\n\n")
            and b'"response.completed"' not in block
            and b'"response.incomplete"' not in block
            and b'"response.failed"' not in block
            and b'"response.cancelled"' not in block
            and b'"error"' not in block
            and b"\r" not in block
        )

    def forward(self, block: bytes) -> bytes:
        out = super().forward(block)
        if out:
            self._last = out
        return out

    def repeats(self, block: bytes) -> bool:
        # The response begins with what was asked, and each of its parts ends with all of it.
        return b'.delta"' not in block or b'.done"' in block

    def read(self, event: sse.Event, raw: bytes) -> bytes:
        said = decoded(event.data)
        kind = said.get("type") if said else None
        if said is None or kind in ("error", "response.failed", "response.cancelled"):
            self.error = event.data.encode()
            self.usage = _response_usage(said)
            self.usage_is_final = self.usage is not None
            return b""
        response = said.get("response")
        if isinstance(response, dict) and not self._response:
            self._response = response
        if kind in ("response.completed", "response.incomplete"):
            self.finished = True
            self.usage = _response_usage(said)
        return self._renumbered(event, raw) if self._added else raw

    def ending(self) -> bytes | None:
        return b"" if self.finished else None

    def keep_alive(self) -> bytes:
        if not self.seen:
            # The numbers begin with response.created, which is the provider's to send.
            return b": keep-alive\n\n"
        number = self._next_number()
        self._added += 1
        return keep_alive_event(number)

    def failure(self, problem: Problem) -> bytes:
        response = {
            "id": "resp_" + problem.request_id.replace("-", ""),
            "object": "response",
            "created_at": int(time.time()),
            "model": "",
            "output": [],
            **self._response,
        }
        return failed_event(response, problem, self._next_number())

    def _next_number(self) -> int:
        """The number after that of the last event the caller has seen."""
        for raw in reversed(sse.split(self._last)):
            event = sse.Event.parse(raw)
            said = decoded(event.data) if event else None
            number = said.get("sequence_number") if said else None
            if isinstance(number, int):
                self._number = max(self._number, number)
                break
        self._last = b""
        self._number += 1
        return self._number

    def _renumbered(self, event: sse.Event, raw: bytes) -> bytes:
        """The event with its number moved up; every other byte of its fields as it was."""
        fields = _FIELDS.decode(event.data)
        try:
            number = msgspec.json.decode(fields["sequence_number"], type=int)
        except (KeyError, msgspec.DecodeError):
            return raw
        fields["sequence_number"] = msgspec.Raw(b"%d" % (number + self._added))
        return sse.Event(_ENCODER.encode(fields).decode(), event.name, event.id).emit()


def _response_usage(said: dict[str, object] | None) -> Usage | None:
    response = said.get("response") if said else None
    return usage_of(response) if isinstance(response, dict) else None


RESPONSES = Responses()
