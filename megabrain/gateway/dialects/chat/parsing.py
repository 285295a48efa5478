"""A Chat request in neutral terms.

Everything that clients add to OpenAI's own fields is understood or left alone, and never refused:
OpenRouter's `reasoning`, Anthropic's `thinking` and `system`, marks for the prompt cache wherever
they stand (clients.md §§ 7.3, 9). Refused is only what means something that no other dialect has:
several answers to one question, and answers that are spoken.
"""

from typing import Any
from uuid import UUID

import msgspec

from megabrain.gateway.dialects.base import Ask, Unreadable
from megabrain.gateway.dialects.chat.content import cache_of, text_of
from megabrain.gateway.dialects.chat.conversation import Conversation
from megabrain.gateway.dialects.chat.tools import chosen, offer
from megabrain.gateway.dialects.neutral import Effort, Format, Json, Prompt, Reasoning, Refusal
from megabrain.gateway.dialects.tool_names import ToolNames
from megabrain.gateway.dialects.translation import Inexpressible

#: Fields that are read here; all others only tune.
_READ = frozenset(
    """audio cache_control function_call functions max_completion_tokens max_tokens messages
    modalities model n parallel_tool_calls prompt_cache_key reasoning reasoning_effort
    response_format safety_identifier service_tier stop stop_sequences stream stream_options system
    temperature thinking tool_choice tools top_k top_p usage user verbosity""".split()  # noqa: SIM905 (one name a line would fill the page)
)
#: In Responses these are something else, and have been read as such.
_OF_RESPONSES = frozenset({"tools", "tool_choice", "reasoning", "messages", "system"})
_NULL = b"null"
_EFFORTS = {effort.value: effort for effort in Effort}


class ChatPrompt(Prompt, kw_only=True):
    """A request of a Chat caller."""

    #: Whether calls are told as `function_call`, as callers of long ago know them.
    legacy_calls: bool = False


def parse(ask: Ask, account_id: UUID) -> ChatPrompt:
    """Raises Unreadable and Inexpressible."""
    fields = _decoded(ask, _READ)
    _refuse(fields)
    prompt = ChatPrompt(stream=ask.stream, wants_usage=ask.wants_usage)
    names = ToolNames()
    offer(fields, prompt, names)
    conversation = Conversation(names, account_id)
    conversation.system += text_of(fields.get("system"))
    messages = fields.get("messages")
    if not isinstance(messages, list):
        raise Unreadable("The field messages must be a list of messages.", "messages")
    for message in messages:
        if not isinstance(message, dict):
            raise Unreadable("Each of messages must be an object.", "messages")
        conversation.add(message)
    prompt.system, prompt.turns = conversation.system, conversation.turns
    chosen(fields, prompt, names)
    prompt.legacy_calls = not fields.get("tools") and bool(fields.get("functions"))
    tune(fields, prompt)
    prompt.dropped += [name for name, value in ask.fields.items() if _is_lost(name, value)]
    if mark := cache_of(fields):
        _mark_end(prompt, mark)
    return prompt


def add_chat_fields(ask: Ask, prompt: Prompt) -> None:
    """What a request of Responses, sent to Chat's address, says in Chat's own words."""
    prompt.wants_usage = ask.wants_usage
    fields = _decoded(ask, _READ - _OF_RESPONSES)
    _refuse(fields)
    tune(fields, prompt)


def tune(fields: Json, prompt: Prompt) -> None:
    """Note how the answer is wanted, of those fields that are there."""
    for name in ("max_completion_tokens", "max_tokens"):
        if prompt.max_output is None and (limit := _whole(fields.get(name))) is not None:
            prompt.max_output = limit
    for name in ("temperature", "top_p"):
        if (number := _number(fields.get(name))) is not None:
            setattr(prompt, name, number)
    prompt.top_k = _whole(fields.get("top_k")) or prompt.top_k
    stop = fields.get("stop") or fields.get("stop_sequences")
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    prompt.stop += [each for each in stops if isinstance(each, str) and each]
    _note_effort(fields, prompt)
    prompt.format = _format(fields.get("response_format")) or prompt.format
    prompt.verbosity = _word(fields.get("verbosity")) or prompt.verbosity
    user = _word(fields.get("safety_identifier")) or _word(fields.get("user"))
    prompt.user = user or prompt.user
    prompt.service_tier = _word(fields.get("service_tier")) or prompt.service_tier
    prompt.cache_key = _word(fields.get("prompt_cache_key")) or prompt.cache_key


def _decoded(ask: Ask, names: frozenset[str]) -> Json:
    """Those of the fields that have one of these names. Raises Unreadable."""
    found = {name: value for name, value in ask.fields.items() if name in names}
    try:
        return {name: msgspec.json.decode(value) for name, value in found.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"The body cannot be read: {error}.") from None


def _refuse(fields: Json) -> None:
    """Raises Inexpressible for what has no equal elsewhere and is no mere preference."""
    if fields.get("n") not in (None, 1):
        raise Inexpressible("This model gives one answer at a time: leave out n.", "n")
    modalities = fields.get("modalities")
    if fields.get("audio") or (isinstance(modalities, list) and "audio" in modalities):
        raise Inexpressible("This model does not answer in audio.", "modalities")


def _note_effort(fields: Json, prompt: Prompt) -> None:
    """How much is to be reasoned, in whichever of three ways it is said."""
    options, thinking = _object(fields.get("reasoning")), _object(fields.get("thinking"))
    for said in (fields.get("reasoning_effort"), options.get("effort")):
        if prompt.effort is None and isinstance(said, str):
            prompt.effort = _EFFORTS.get(said)
    off = options.get("enabled") is False or thinking.get("type") == "disabled"
    if prompt.effort is None and off:
        prompt.effort = Effort.NONE
    switched_on = thinking.get("type") in ("adaptive", "enabled")
    prompt.reasons = switched_on or options.get("enabled") is True
    for budget in (options.get("max_tokens"), thinking.get("budget_tokens")):
        if prompt.thinking_budget is None and (tokens := _whole(budget)):
            prompt.thinking_budget = tokens


def _format(wanted: object) -> Format | None:
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_object":
        return Format()
    if wanted.get("type") != "json_schema":
        return None
    about = _object(wanted.get("json_schema")) or wanted
    schema, strict = about.get("schema"), about.get("strict")
    return Format(
        schema=schema if isinstance(schema, dict) else None,
        name=_word(about.get("name")) or "answer",
        description=_word(about.get("description")) or "",
        strict=strict if isinstance(strict, bool) else None,
    )


def _mark_end(prompt: Prompt, mark: Any) -> None:  # Any: the literals of Cache.
    """A mark on the request as a whole is one on the last block of the conversation."""
    last = prompt.turns[-1].blocks[-1] if prompt.turns else None
    if last is not None and not isinstance(last, Reasoning | Refusal):
        last.cache = last.cache or mark


def _is_lost(name: str, value: msgspec.Raw) -> bool:
    return name not in _READ and bytes(value) != _NULL


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if sound and isinstance(value, int) else None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
