"""Reasoning as messages of Chat Completions carry it.

Callers get it as text, `reasoning_content` and `reasoning`, since clients read one or the other,
and as OpenRouter's `reasoning_details`, whose `signature` or `data` holds our envelope; Gemini's
signatures are also where its own Chat endpoint puts them, `tool_calls[].extra_content`. What comes
back is read from any of them. Hosts give it in all these forms, and in `<think>` tags.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from byok.providers.base import Fields
from megabrain.gateway import envelope
from megabrain.gateway.dialects.neutral import Json, Reasoning

#: OpenRouter's word for what none of its own formats is.
_FORMAT = "unknown"
_ENCODER = msgspec.json.Encoder()
_MESSAGES = msgspec.json.Decoder(list[Fields])
_OBJECTS = msgspec.json.Decoder(list[Fields])
_SEALED_FIELDS = ("signature", "data")
_NULL = msgspec.Raw(b"null")
#: Of these, each piece of a stream is more of the same.
_GROWING = ("text", "summary", "data")


# From and to callers ----------------------------------------------------------------------------


def returned(message: Json, account_id: UUID) -> list[Reasoning]:
    """The reasoning that comes back with an assistant's message."""
    found = _told(message, account_id)
    # Some clients return Gemini's signatures twice, some only with the calls.
    known = {call_id for each in found if each.maker == "google" for call_id in _signed_by(each)}
    signatures = _signatures(message, account_id)
    return found + [each for each in signatures if not known.issuperset(_signed_by(each))]


def _told(message: Json, account_id: UUID) -> list[Reasoning]:
    found: list[Reasoning] = []
    theirs: list[Json] = []
    details = message.get("reasoning_details")
    sealed_for_us = False
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        seal = next((detail[n] for n in _SEALED_FIELDS if envelope.is_envelope(detail.get(n))), "")
        if not seal:
            theirs.append(detail)
            continue
        sealed_for_us = True
        if opened := envelope.unseal(account_id, seal):
            found.append(opened)
    if sealed_for_us:
        # The pieces beside it, and the text, say the same once more.
        return found
    native: Json = {"reasoning_details": theirs} if theirs else {}
    text = _word(message, "reasoning_content") or _word(message, "reasoning")
    if text:
        native["reasoning_content"] = text
    return [Reasoning(text or text_of(theirs), "chat", native)] if native else []


def _signatures(message: Json, account_id: UUID) -> list[Reasoning]:
    """Gemini's signatures on the calls of a message, in envelopes of ours or as they were made."""
    calls: dict[str, str] = {}
    found: list[Reasoning] = []
    entries = message.get("tool_calls")
    for call in entries if isinstance(entries, list) else ():
        signature = signature_of(call) if isinstance(call, dict) else ""
        if envelope.is_envelope(signature):
            opened = envelope.unseal(account_id, signature)
            found += [opened] if opened else []
        elif signature and isinstance(call.get("id"), str):
            calls[call["id"]] = signature
    return [*found, Reasoning("", "google", {"calls": calls})] if calls else found


def _signed_by(thought: Reasoning) -> set[str]:
    """The calls that Gemini's signatures are of."""
    return set((thought.native or {}).get("calls") or ())


def signature_of(call: Json) -> str:
    """Gemini's signature on a call, or ""."""
    found: Any = call.get("extra_content")  # Any: whatever JSON was sent.
    for name in ("google", "thought_signature"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def signed(signature: str) -> Json:
    """A call's field that holds a signature of Gemini's."""
    return {"extra_content": {"google": {"thought_signature": signature}}}


def text_detail(text: str, index: int) -> Json:
    """A piece of readable reasoning."""
    return {"type": "reasoning.text", "text": text, "format": _FORMAT, "index": index}


def seal_detail(seal: str, index: int, *, after_text: bool) -> Json:
    """What belongs to a reasoning that has been told, or stands for one that nobody can read."""
    named = {"type": "reasoning.text", "signature": seal}
    hidden = {"type": "reasoning.encrypted", "data": seal}
    return {**(named if after_text else hidden), "format": _FORMAT, "index": index}


# From and to hosts ------------------------------------------------------------------------------


def text_of(details: list[Json]) -> str:
    """What can be read of reasoning details."""
    return "".join(_word(each, "text") or _word(each, "summary") for each in details)


def merged(details: list[Json]) -> list[Json]:
    """The details of an answer, of the pieces in which they were streamed."""
    whole: list[Json] = []
    #: Of each, the pieces of its texts.
    texts: list[dict[str, list[str]]] = []
    for piece in details:
        last = whole[-1] if whole else None
        if last is None or (piece.get("type"), piece.get("index")) != (
            last.get("type"),
            last.get("index"),
        ):
            whole.append(dict(piece))
            texts.append({})
            continue
        for name, value in piece.items():
            before = last.get(name)
            if name in _GROWING and isinstance(before, str) and isinstance(value, str):
                texts[-1].setdefault(name, [before]).append(value)
            elif value is not None:
                last[name] = value
                texts[-1].pop(name, None)
    for each, grown in zip(whole, texts, strict=True):
        each |= {name: "".join(pieces) for name, pieces in grown.items()}
    return whole


# Passing through --------------------------------------------------------------------------------


def without(fields: Fields, *, only_ours: bool) -> Fields:
    """The fields of a request without signed or encrypted reasoning, or without our envelopes.

    Readable reasoning stays, for it is nobody's secret and some hosts insist on it.
    """
    raw = bytes(fields.get("messages", b""))
    marks = (
        (envelope.PREFIX.encode(),)
        if only_ours
        else (b'"signature"', b'"data"', b'"thought_signature"')
    )
    if not any(mark in raw for mark in marks):
        return fields
    try:
        before = _MESSAGES.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return fields
    goes = envelope.is_envelope if only_ours else bool
    after = [_message_without(message, goes) for message in before]
    return {**fields, "messages": msgspec.Raw(_ENCODER.encode(after))}


def _message_without(message: Fields, goes: Callable[[object], bool]) -> Fields:
    details = _objects(message, "reasoning_details")
    kept = [each for each in details if not _sealed(each, goes)]
    if len(kept) < len(details):
        message = {**message, "reasoning_details": msgspec.Raw(_ENCODER.encode(kept))}
        if not kept:
            del message["reasoning_details"]
    if b'"thought_signature"' in bytes(message.get("tool_calls", b"")):
        calls = []
        for call in _objects(message, "tool_calls"):
            extra = {"extra_content": _value(call.get("extra_content", _NULL))}
            if goes(signature_of(extra)):
                call.pop("extra_content")
            calls.append(call)
        if calls:
            message = {**message, "tool_calls": msgspec.Raw(_ENCODER.encode(calls))}
    return message


def _sealed(detail: Fields, goes: Callable[[object], bool]) -> bool:
    return any(goes(_value(detail.get(name, _NULL))) for name in _SEALED_FIELDS)


def _objects(message: Fields, name: str) -> list[Fields]:
    """The objects in a list, or none where it is anything else."""
    try:
        return _OBJECTS.decode(message.get(name, _NULL))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []


def _value(raw: msgspec.Raw) -> Any:  # Any: whatever JSON was sent.
    return msgspec.json.decode(raw)


def _word(holder: Json, name: str) -> str:
    found = holder.get(name)
    return found if isinstance(found, str) else ""
