"""What OpenAI-style hosts take in their own way: limits, reasoning, tools, formats, extras.

Built from the small changes of quirks.py and under the same rules: fields go in, and the very same
come out where nothing is to change, so that an ordinary body goes on byte for byte. Messages are
decoded only when they hold the word that matters. A provider's `adapt` is a few of these in a row:

    fields = quirks.without(fields, *EXTRAS - {"reasoning", "thinking"}, "seed")
    fields = limit_as(fields, "max_tokens", max_output)
    fields = effort_as(fields, ("low", "medium", "high"))
    return quirks.no_developer(fields)
"""

from collections.abc import Collection, Sequence

import msgspec

from byok.providers import quirks
from byok.providers.base import Fields

#: What clients of OpenRouter and LiteLLM add to a Chat or Responses request, and no host knows
#: unless its own file says so.
EXTRAS = frozenset(
    {
        "cache_control",
        "include_reasoning",
        "min_p",
        "models",
        "plugins",
        "provider",
        "reasoning",
        "repetition_penalty",
        "route",
        "thinking",
        "top_a",
        "top_k",
        "transforms",
        "usage",
    }
)

#: OpenAI's own fields that only tune, or that are about an account there.
OPENAI_ONLY = frozenset(
    {
        "metadata",
        "moderation",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "verbosity",
        "web_search_options",
    }
)

#: What the limit of output tokens is called, the newer name first.
LIMITS = ("max_completion_tokens", "max_tokens")
#: From no reasoning to the most.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: What a budget of thinking tokens amounts to, as an effort.
_BUDGETS = ((4096, "high"), (2048, "medium"), (1024, "low"), (0, "minimal"))

_NULL, _NO_TEXT, _NONE = b"null", b'""', b"[]"
_MARK = b'"cache_control"'
_OBJECTS = msgspec.json.Decoder(list[Fields])
_VALUES = msgspec.json.Decoder(list[msgspec.Raw])
_UNREADABLE = (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def limit_as(fields: Fields, name: str, highest: int | None = None, lowest: int = 1) -> Fields:
    """The limit of output tokens under the one name that is known there, and within bounds."""
    other = next(each for each in LIMITS if each != name)
    if other in fields:
        limit = fields[other]
        fields = quirks.without(fields, other)
        # Of two limits the one with the newer name counts.
        newer = other == LIMITS[0] or bytes(fields.get(name, _NULL)) == _NULL
        if newer and bytes(limit) != _NULL:
            fields = {**fields, name: limit}
    return quirks.within(fields, name, lowest, highest)


# Reasoning --------------------------------------------------------------------------------------


def effort(fields: Fields) -> str | None:
    """How much reasoning is asked for, one of EFFORTS, in whichever of three ways: OpenAI's
    `reasoning_effort`, OpenRouter's and Responses' `reasoning`, Anthropic's `thinking`."""
    asked = quirks.value(fields, "reasoning_effort")
    if asked in EFFORTS:
        return str(asked)
    options = quirks.value(fields, "reasoning")
    if isinstance(options, dict):
        if options.get("effort") in EFFORTS:
            return str(options["effort"])
        if options.get("enabled") is False:
            return "none"
        if (asked := _budgeted(options.get("max_tokens"))) is not None:
            return asked
    thinking = quirks.value(fields, "thinking")
    if isinstance(thinking, dict):
        if thinking.get("type") == "disabled":
            return "none"
        return _budgeted(thinking.get("budget_tokens"))
    return None


def nearest(wanted: str, accepted: Sequence[str]) -> str:
    """The one of `accepted` that is nearest on the scale; of two, the one with more reasoning."""
    at = EFFORTS.index(wanted)
    return min(accepted, key=lambda each: (abs(EFFORTS.index(each) - at), -EFFORTS.index(each)))


def effort_as(fields: Fields, accepted: Sequence[str]) -> Fields:
    """The effort as `reasoning_effort`, the nearest that is accepted, and in no other way."""
    wanted = effort(fields)
    fields = quirks.without(fields, "reasoning", "thinking")
    return _with_effort(fields, wanted, accepted)


def thinking_as_switch(
    fields: Fields,
    accepted: Sequence[str] = (),
    *,
    kept: Collection[str] = ("type",),
    say_on: bool = False,
    always: bool = False,
) -> Fields:
    """Thinking as `thinking: {"type": "enabled"}` or disabled, the effort as far as `accepted`.

    `kept` are the options of `thinking` that are known there. `say_on` switches it on for an
    effort, where a model may not think by itself; `always` is a model that cannot be kept from it.
    """
    wanted, given = effort(fields), quirks.value(fields, "thinking")
    fields = quirks.without(fields, "reasoning")
    if wanted == "none":
        known = {"type": "disabled"}
    elif isinstance(given, dict):
        known = {name: option for name, option in given.items() if name in kept}
        if known.get("type") == "adaptive":
            known["type"] = "enabled"
    else:
        known = {"type": "enabled"} if wanted is not None and say_on else {}
    off = known.get("type") == "disabled"
    if not known or (off and always):
        fields = quirks.without(fields, "thinking")
    elif known != given:
        fields = quirks.put(fields, "thinking", known)
    if off and not always:
        return quirks.without(fields, "reasoning_effort")
    return _with_effort(fields, wanted, accepted)


def thinking_off(fields: Fields) -> Fields:
    """With thinking switched off."""
    fields = quirks.without(fields, "reasoning", "reasoning_effort")
    off = {"type": "disabled"}
    return (
        fields if quirks.value(fields, "thinking") == off else quirks.put(fields, "thinking", off)
    )


def reasoning_is_lost(fields: Fields) -> bool:
    """Whether a turn with tool calls comes back without the reasoning that led to them.

    Companies that want it back refuse such a conversation for as long as the model thinks.
    """
    if b'"tool_calls"' not in bytes(fields.get("messages", b"")):
        return False
    try:
        messages = _OBJECTS.decode(fields["messages"])
    except _UNREADABLE:
        return False
    return any(
        bytes(message.get("tool_calls", _NULL)) not in (_NULL, _NONE)
        and bytes(message.get("reasoning_content", _NULL)) in (_NULL, _NO_TEXT)
        for message in messages
    )


def _with_effort(fields: Fields, wanted: str | None, accepted: Sequence[str]) -> Fields:
    if not accepted:
        return quirks.without(fields, "reasoning_effort")
    if wanted is None:
        unsaid = bytes(fields.get("reasoning_effort", b"")) == _NULL
        return quirks.without(fields, "reasoning_effort") if unsaid else fields
    best = nearest(wanted, accepted)
    same = quirks.value(fields, "reasoning_effort") == best
    return fields if same else quirks.put(fields, "reasoning_effort", best)


def _budgeted(tokens: object) -> str | None:
    if not isinstance(tokens, int) or isinstance(tokens, bool):
        return None
    return next((name for least, name in _BUDGETS if tokens >= least), None)


# Messages, tools and formats --------------------------------------------------------------------


def unmarked(fields: Fields) -> Fields:
    """Without the marks for a prompt cache on messages, their parts, their calls and on tools."""
    for name in ("messages", "tools"):
        if _MARK in bytes(fields.get(name, b"")):
            fields = quirks.each(fields, name, _unmarked)
    return fields


def _unmarked(item: Fields) -> Fields:
    item = quirks.without(item, "cache_control")
    for name in ("content", "tool_calls", "function"):
        if _MARK in bytes(item.get(name, b"")):
            part = _object(item, name)
            if part is None:
                item = quirks.each(item, name, _unmarked)
            else:
                item = quirks.put(item, name, _unmarked(part))
    return item


def only_chosen_tool(fields: Fields, demand: str | None = None) -> Fields:
    """Where a tool is chosen by name, that one alone, and `tool_choice` as `demand` or left out.

    For hosts that cannot be told which tool is to be called.
    """
    choice = quirks.value(fields, "tool_choice")
    if not isinstance(choice, dict):
        return fields
    name = _chosen(choice)
    fields = quirks.without(fields, "tool_choice")
    tools = quirks.value(fields, "tools")
    if isinstance(tools, list):
        chosen = [tool for tool in tools if _name(tool) == name]
        fields = quirks.put(fields, "tools", chosen) if chosen else fields
    return quirks.put(fields, "tool_choice", demand) if demand else fields


def call_wanted(fields: Fields) -> str:
    """What to say to a model that cannot be made to call the tool that `tool_choice` demands, in
    whichever dialect; "" where none is demanded."""
    choice = quirks.value(fields, "tool_choice")
    if choice is None or bytes(fields.get("tools", _NULL)) in (_NULL, _NONE):
        return ""
    if choice == "required" or (isinstance(choice, dict) and choice.get("type") == "any"):
        return "Answer by calling one of the tools."
    name = _chosen(choice) if isinstance(choice, dict) else None
    return f"Answer by calling the tool {name}." if isinstance(name, str) else ""


def call_as_instruction(fields: Fields, demand: str | None = None) -> Fields:
    """An instruction where a call is demanded, the chosen tool alone, `tool_choice` as `demand`.

    For hosts of models that call what they want to.
    """
    words = call_wanted(fields)
    if quirks.value(fields, "tool_choice") == "required":
        fields = quirks.without(fields, "tool_choice")
        fields = quirks.put(fields, "tool_choice", demand) if demand else fields
    return instructed(only_chosen_tool(fields, demand), words)


def _chosen(choice: dict[str, object]) -> object:
    function = choice.get("function")
    return function.get("name") if isinstance(function, dict) else choice.get("name")


def instructed(fields: Fields, words: str) -> Fields:
    """A Chat body with an instruction before its messages."""
    if not words:
        return fields
    try:
        messages = _VALUES.decode(fields["messages"])
    except _UNREADABLE:
        return fields
    instruction = quirks.raw({"role": "system", "content": words})
    return quirks.put(fields, "messages", [instruction, *messages])


def _name(tool: object) -> object:
    if not isinstance(tool, dict):
        return None
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else tool.get("name")


def json_object_for_schema(fields: Fields) -> Fields:
    """`json_object` in place of a JSON schema, which becomes an instruction before the messages."""
    if b'"json_schema"' not in bytes(fields.get("response_format", b"")):
        return fields
    wanted = quirks.value(fields, "response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return fields
    named = wanted.get("json_schema")
    schema = named.get("schema") if isinstance(named, dict) else None
    words = "Answer with one JSON object and nothing else."
    if isinstance(schema, dict):
        words += f" It must fit this JSON schema: {msgspec.json.encode(schema).decode()}"
    return quirks.put(instructed(fields, words), "response_format", {"type": "json_object"})


def _object(fields: Fields, name: str) -> Fields | None:
    try:
        return msgspec.json.decode(fields[name], type=Fields)
    except _UNREADABLE:
        return None
