"""A request in Responses, read into neutral terms."""

from typing import Any
from uuid import UUID

import msgspec

from byok.providers.base import Fields
from megabrain.gateway.dialects.base import Ask, Unreadable
from megabrain.gateway.dialects.neutral import Effort, Format, Json, Prompt, Text
from megabrain.gateway.dialects.responses.items import SEND_ALL, Conversation
from megabrain.gateway.dialects.responses.tools import ToolBox
from megabrain.gateway.dialects.translation import Inexpressible

#: What only OpenAI keeps, and that a request can refer to.
_KEPT_ELSEWHERE = ("previous_response_id", "conversation")
_ONLY_AT_OPENAI = ("prompt", "background")
_EMPTY: tuple[object, ...] = (None, False, "", [], {})

#: Fields whose meaning is in the prompt, or that nobody upstream needs to know.
_READ = {
    *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "stream"),
    *("max_output_tokens", "temperature", "top_p", "reasoning", "text", "service_tier", "user"),
    *("safety_identifier", "prompt_cache_key", "store", "include", "metadata"),
    *("truncation", "client_metadata", "stream_options"),
    *_KEPT_ELSEWHERE,
    *_ONLY_AT_OPENAI,
}
#: What a response says that its request said, with what stands for silence.
_REPEATED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


class ResponsesPrompt(Prompt, kw_only=True):
    """A prompt with those fields of the request that its answer repeats."""

    repeated: Json = msgspec.field(default_factory=lambda: dict(_REPEATED))


# Any: what a caller sends is whatever JSON it likes.


def parse(ask: Ask, account_id: UUID) -> ResponsesPrompt:
    """Raises Unreadable and Inexpressible."""
    fields = _decoded(ask.fields)
    _refuse_what_is_kept_elsewhere(fields)
    box = ToolBox()
    box.add(fields.get("tools"))
    conversation = Conversation(account_id, box)
    instructions = fields.get("instructions")
    if isinstance(instructions, str) and instructions:
        conversation.system.append(Text(instructions))
    conversation.read(_items(fields))
    tools, choice = box.chosen(fields.get("tool_choice"))
    reasoning, text = _object(fields, "reasoning"), _object(fields, "text")
    parallel = fields.get("parallel_tool_calls")
    return ResponsesPrompt(
        system=conversation.system,
        turns=conversation.turns,
        tools=tools,
        choice=choice,
        parallel=parallel if isinstance(parallel, bool) else None,
        max_output=_whole(fields, "max_output_tokens"),
        temperature=_number(fields, "temperature"),
        top_p=_number(fields, "top_p"),
        effort=_effort(reasoning.get("effort")),
        format=_format(_object(text, "format")),
        verbosity=_word(text, "verbosity"),
        user=_word(fields, "safety_identifier") or _word(fields, "user"),
        service_tier=_word(fields, "service_tier"),
        cache_key=_word(fields, "prompt_cache_key"),
        stream=ask.stream,
        dropped=[
            *(name for name in fields if name not in _READ and fields[name] is not None),
            *(f"tools.{kind}" for kind in dict.fromkeys(box.hosted)),
            *dict.fromkeys(conversation.dropped),
        ],
        repeated=_repeated(fields),
    )


def _decoded(fields: Fields) -> Json:
    try:
        return {name: msgspec.json.decode(raw) for name, raw in fields.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"The body must be a JSON object: {error}.") from None


def _refuse_what_is_kept_elsewhere(fields: Json) -> None:
    for name in _KEPT_ELSEWHERE:
        if fields.get(name) not in _EMPTY:
            raise Inexpressible(
                f"{name} refers to an earlier answer, and no answers are kept here: {SEND_ALL}.",
                name,
            )
    for name in _ONLY_AT_OPENAI:
        if fields.get(name) not in _EMPTY:
            raise Inexpressible(f"Only OpenAI's own models can be asked with {name}.", name)


def _items(fields: Json) -> list[Any]:
    """The input as items, after those of instructions that are a list."""
    given = fields.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise Unreadable("The field input must be a text or a list of items.", "input")
    before = fields.get("instructions")
    return [*before, *given] if isinstance(before, list) else given


def _effort(word: object) -> Effort | None:
    return Effort(word) if isinstance(word, str) and word in list(Effort) else None


def _format(wanted: Json) -> Format | None:
    kind = wanted.get("type")
    if kind == "json_object":
        return Format()
    if kind != "json_schema":
        return None
    schema, strict = wanted.get("schema"), wanted.get("strict")
    return Format(
        schema=schema if isinstance(schema, dict) else None,
        name=_word(wanted, "name") or "answer",
        description=_word(wanted, "description") or "",
        strict=strict if isinstance(strict, bool) else None,
    )


def _repeated(fields: Json) -> Json:
    said = {
        name: default if fields.get(name) is None else fields[name]
        for name, default in _REPEATED.items()
    }
    for name in ("reasoning", "text"):
        if isinstance(said[name], dict):
            said[name] = {**_REPEATED[name], **said[name]}
    return said


def _object(holder: Json, name: str) -> Json:
    found = holder.get(name)
    return found if isinstance(found, dict) else {}


def _word(holder: Json, name: str) -> str | None:
    found = holder.get(name)
    return found if isinstance(found, str) and found else None


def _number(holder: Json, name: str) -> float | None:
    found = holder.get(name)
    sound = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if found is not None and sound else None


def _whole(holder: Json, name: str) -> int | None:
    found = holder.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
