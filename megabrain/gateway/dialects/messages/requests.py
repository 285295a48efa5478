"""A Messages request, read into neutral terms."""

import hashlib
from typing import Any
from uuid import UUID

import msgspec

from byok.providers.base import Fields
from megabrain.gateway.dialects.base import Ask, Unreadable
from megabrain.gateway.dialects.messages import content
from megabrain.gateway.dialects.messages.tools import read_tools
from megabrain.gateway.dialects.neutral import Effort, Format, Json, Prompt, Turn, effort_of
from megabrain.gateway.dialects.tool_names import ToolNames
from megabrain.gateway.dialects.translation import Inexpressible

#: What is read, here or by routing. Of other fields the names are kept.
_KNOWN = frozenset(
    (
        "cache_control",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "service_tier",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    )
)
#: Anthropic's tiers, under the names that others use.
_TIERS = {"auto": "auto", "standard_only": "default"}
_ANYWHERE = (None, "", "global", "not_available")
_PLAIN_USER = 64


def parse(ask: Ask, account_id: UUID) -> Prompt:
    """The request in neutral terms. Raises Unreadable and Inexpressible."""
    fields = ask.fields
    prompt = Prompt(stream=ask.stream)
    names = ToolNames()
    _read_options(fields, prompt)
    read_tools(_value(fields, "tools"), _value(fields, "tool_choice"), names, prompt)
    prompt.system = content.texts(_value(fields, "system"))
    _read_messages(_value(fields, "messages"), names, account_id, prompt)
    if isinstance(mark := _value(fields, "cache_control"), dict):
        _mark_the_last(prompt, mark)
    prompt.dropped += sorted(fields.keys() - _KNOWN)
    return prompt


def _value(fields: Fields, name: str) -> Any:  # Any: whatever JSON the caller sent.
    raw = fields.get(name)
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable(f"The field {name} cannot be read as JSON.", name) from None


# Messages ---------------------------------------------------------------------------------------


def _read_messages(said: Any, names: ToolNames, account_id: UUID, prompt: Prompt) -> None:
    if not isinstance(said, list):
        raise Unreadable("The field messages must be a list.", "messages")
    for number, message in enumerate(said):
        if not isinstance(message, dict):
            raise Unreadable(f"messages.{number} must be an object.", "messages")
        match message.get("role"):
            case "user":
                results, blocks = content.of_user(message.get("content"))
                if results:
                    prompt.turns.append(Turn("tool", results))
                if blocks or not results:
                    prompt.turns.append(Turn("user", blocks))
            case "assistant":
                blocks, summaries = content.of_assistant(
                    message.get("content"), names, account_id, number * 1000
                )
                if summaries:
                    prompt.turns.append(Turn("system", [*summaries]))
                prompt.turns.append(Turn("assistant", blocks))
            case "system":
                _read_instruction(message, prompt)
            case role:
                raise Unreadable(
                    f"messages.{number}.role is {role!r}: it must be user, assistant or system.",
                    "messages",
                )


def _read_instruction(message: Json, prompt: Prompt) -> None:
    """An instruction in the middle, which may change the effort from there on."""
    found = content.texts(message.get("content"))
    if not prompt.turns:
        prompt.system += found
    elif found:
        prompt.turns.append(Turn("system", [*found]))
    config = message.get("output_config")
    if isinstance(config, dict) and (effort := _effort(config.get("effort"))):
        prompt.effort = effort


def _mark_the_last(prompt: Prompt, mark: Json) -> None:
    """A mark on the whole request is one on its last block."""
    blocks: list[Any] = prompt.turns[-1].blocks if prompt.turns else prompt.system
    if blocks and getattr(blocks[-1], "cache", mark) is None:
        blocks[-1].cache = content.cache_of({"cache_control": mark})


# Options ----------------------------------------------------------------------------------------


def _read_options(fields: Fields, prompt: Prompt) -> None:
    limit = _number(fields, "max_tokens")
    # Zero asks for nothing but a warm cache; the least that others can do is one token.
    prompt.max_output = None if limit is None else max(1, int(limit))
    prompt.temperature = _number(fields, "temperature")
    prompt.top_p = _number(fields, "top_p")
    top_k = _number(fields, "top_k")
    prompt.top_k = None if top_k is None else int(top_k)
    stops = _value(fields, "stop_sequences")
    prompt.stop = [each for each in stops if isinstance(each, str)] if _is_list(stops) else []
    _read_thinking(_value(fields, "thinking"), prompt)
    config = _value(fields, "output_config")
    config = config if isinstance(config, dict) else {}
    prompt.effort = _effort(config.get("effort")) or prompt.effort
    prompt.format = _format(config.get("format") or _value(fields, "output_format"))
    if (place := _value(fields, "inference_geo")) not in _ANYWHERE:
        raise Inexpressible(
            f"The provider that serves this model cannot promise inference_geo {place!r}.",
            "inference_geo",
        )
    prompt.service_tier = _TIERS.get(str(_value(fields, "service_tier")))
    metadata = _value(fields, "metadata")
    if isinstance(metadata, dict) and isinstance(user := metadata.get("user_id"), str) and user:
        _read_user(user, prompt)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _number(fields: Fields, name: str) -> float | None:
    value = _value(fields, name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _effort(word: Any) -> Effort | None:
    return Effort(word) if isinstance(word, str) and word in list(Effort) else None


def _read_thinking(said: Any, prompt: Prompt) -> None:
    if not isinstance(said, dict):
        return
    match said.get("type"):
        case "disabled":
            prompt.effort = Effort.NONE
        case "adaptive":
            prompt.reasons = True
        case "between_tools":
            prompt.effort = Effort.LOW
        case "enabled":
            budget = said.get("budget_tokens")
            if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0:
                prompt.thinking_budget = budget
                prompt.effort = effort_of(budget)


def _format(said: Any) -> Format | None:
    if isinstance(said, dict) and said.get("type") == "json_schema":
        schema = said.get("schema")
        return Format(schema if isinstance(schema, dict) else None)
    return None


def _read_user(user: str, prompt: Prompt) -> None:
    """Who is served, and which conversation it is.

    Claude Code's is a long JSON text with a session in it, and others refuse ids so long.
    """
    try:
        inside = msgspec.json.decode(user)
    except (msgspec.DecodeError, RecursionError):
        inside = None
    if isinstance(inside, dict):
        session = inside.pop("session_id", None)
        prompt.cache_key = session if isinstance(session, str) and session else None
        user = msgspec.json.encode(inside, order="sorted").decode()
    elif len(user) <= _PLAIN_USER:
        prompt.user = user
        return
    prompt.user = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
