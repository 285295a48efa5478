"""What each Claude model takes, and how a neutral request is fitted to it.

A body is refused for a parameter that the model does not know, so all of it is decided here, for
Anthropic's own API and for Amazon's. Ids are matched by substring, the first row that fits, which
holds for those of Anthropic, of Bedrock and of the catalogue alike.
Sources: the model catalogue of vercel/ai's provider for Anthropic, OpenRouter's migration guides,
and LiteLLM's flags, as of November 2026.
"""

from typing import Literal

import msgspec

from megabrain.gateway.dialects.neutral import Choice, Effort, Json, Prompt, Text, Tool

#: The tool by which a model answers in JSON that knows no other way; it is unwrapped on return.
JSON_TOOL = "mb__json"

_TO_HIGH = (Effort.LOW, Effort.MEDIUM, Effort.HIGH)
_TO_MAX = (*_TO_HIGH, Effort.XHIGH, Effort.MAX)
_NO_XHIGH = (*_TO_HIGH, Effort.MAX)

#: How much of the limit of output an effort is worth, where models count tokens.
_RATIOS = {
    Effort.MINIMAL: 0.1,
    Effort.LOW: 0.2,
    Effort.MEDIUM: 0.5,
    Effort.HIGH: 0.8,
    Effort.XHIGH: 0.95,
    Effort.MAX: 0.95,
}
_LEAST_BUDGET, _LARGEST_BUDGET = 1024, 128_000
#: For a caller who names no limit: the answer in one piece is to come within ten minutes.
_DEFAULT_OUTPUT = 32_000


class Claude(msgspec.Struct, kw_only=True, frozen=True):
    """What one family of models takes. The defaults are those of the newest."""

    max_output: int | None = 128_000
    #: Temperature, top_p and top_k.
    sampling: bool = False
    #: Thinking as much as it takes, steered by the effort; or within a budget of tokens.
    adaptive: bool = True
    budget: bool = False
    #: Whether thinking can be off: always, up to the effort high, only between tool calls, never.
    off: Literal["yes", "to high", "between tools", "no"] = "to high"
    #: Whether a call of some tool can be demanded.
    forced_choice: bool = True
    efforts: tuple[Effort, ...] = _TO_MAX
    #: Whether a conversation may end with the beginning of the answer.
    prefill: bool = False
    #: Whether instructions may stand in the middle of a conversation.
    system_turns: bool = True
    #: Whether JSON of a schema can be demanded; not at Amazon, whose own schema refuses it.
    format: bool = True


_4_6 = Claude(
    sampling=True,
    budget=True,
    off="yes",
    efforts=_NO_XHIGH,
    system_turns=False,
)
_4_5 = Claude(
    max_output=64_000,
    sampling=True,
    adaptive=False,
    budget=True,
    off="yes",
    efforts=(),
    prefill=True,
    system_turns=False,
)
_4 = msgspec.structs.replace(_4_5, format=False)
_3 = msgspec.structs.replace(_4, max_output=8192, budget=False)
_ALWAYS_THINKS = Claude(off="no", forced_choice=False)
_4_7 = Claude(off="yes", system_turns=False)

_TABLE = (
    ("sonnet-5-5", msgspec.structs.replace(_ALWAYS_THINKS, off="between tools")),
    ("opus-5-5", _ALWAYS_THINKS),
    ("haiku-5-5", Claude()),
    ("fable-5-1", _ALWAYS_THINKS),
    ("fable-5-2", _ALWAYS_THINKS),
    ("fable-5", Claude(off="no")),
    ("opus-5", Claude()),
    ("opus-4-7", _4_7),
    ("opus-4-8", msgspec.structs.replace(_4_7, system_turns=True)),
    ("sonnet-5", msgspec.structs.replace(_4_7, system_turns=True)),
    ("opus-4-6", _4_6),
    ("sonnet-4-6", _4_6),
    ("opus-4-5", _4_5),
    ("sonnet-4-5", _4_5),
    ("haiku-4-5", _4_5),
    ("opus-4-1", msgspec.structs.replace(_4_5, max_output=32_000)),
    ("sonnet-4", _4),
    ("opus-4", msgspec.structs.replace(_4, max_output=32_000)),
    ("3-7-sonnet", _4),
    ("3-haiku", msgspec.structs.replace(_3, max_output=4096)),
    ("claude-3", _3),
    # One that came after this table.
    ("claude", Claude(system_turns=False)),
)
#: Other companies' models that are spoken to in Anthropic's dialect.
_OTHER = Claude(
    max_output=None,
    sampling=True,
    adaptive=False,
    budget=True,
    off="yes",
    efforts=(),
    prefill=True,
    system_turns=False,
    format=False,
)


def is_claude(model: str) -> bool:
    return "claude" in model.lower()


def claude(model: str) -> Claude:
    """What the model of this id takes, whoever gave it the id."""
    name = model.lower().replace(".", "-")
    if "claude" not in name:
        return _OTHER
    return next(rules for part, rules in _TABLE if part in name)


# The limit, and thinking ------------------------------------------------------------------------


def output_limit(rules: Claude, wanted: int | None, max_output: int | None) -> int:
    """The limit of output tokens for a body that must name one; `max_output` is the catalogue's."""
    known = [limit for limit in (rules.max_output, max_output) if limit]
    if wanted is None:
        return min([_DEFAULT_OUTPUT, *known])
    return min([max(1, wanted), *known])


class Thinking(msgspec.Struct, frozen=True):
    """How a body asks for thinking: the fields `thinking` and `output_config.effort` if any, and
    the limit of output that goes with them."""

    thinking: Json | None
    effort: str | None
    limit: int

    @property
    def on(self) -> bool:
        """Whether it is asked for, so that sampling cannot be changed."""
        return self.thinking is not None and self.thinking["type"] in ("adaptive", "enabled")

    @property
    def counted(self) -> bool:
        """Whether it has a budget; a tool call cannot be demanded then."""
        return self.thinking is not None and self.thinking["type"] == "enabled"


def thinking(prompt: Prompt, rules: Claude, max_output: int | None) -> Thinking:
    """How to ask this model for the reasoning that a prompt wants."""
    limit = output_limit(rules, prompt.max_output, max_output)
    effort, budget = prompt.effort, prompt.thinking_budget
    adaptive = {"type": "adaptive", "display": "summarized"}
    if effort is None and budget is None and (rules.adaptive or not prompt.reasons):
        return Thinking(adaptive if prompt.reasons else None, None, limit)
    if effort is Effort.NONE:
        return _no_thinking(rules, limit)
    if rules.budget and (budget is not None or not rules.adaptive):
        ceiling = min(each for each in (rules.max_output, max_output, _LARGEST_BUDGET) if each)
        return _counted(effort, budget, limit, ceiling)
    if not rules.adaptive:
        return Thinking(None, None, limit)
    wanted = prompt.wanted_effort or Effort.MINIMAL
    return Thinking(adaptive, nearest(wanted, rules.efforts), limit)


def nearest(wanted: Effort, accepted: tuple[Effort, ...]) -> str | None:
    """The most reasoning among what is accepted that is no more than wanted, else the least."""
    if not accepted:
        return None
    scale = list(Effort)
    within = [each for each in accepted if scale.index(each) <= scale.index(wanted)]
    return (within[-1] if within else accepted[0]).value


def _no_thinking(rules: Claude, limit: int) -> Thinking:
    match rules.off:
        case "no":
            return Thinking(None, nearest(Effort.LOW, rules.efforts), limit)
        case "between tools":
            return Thinking({"type": "between_tools"}, None, limit)
        case "to high":
            return Thinking({"type": "disabled"}, None, limit)
    # Without the field, these do not think at all, or would; said clearly, none does.
    asked = {"type": "disabled"} if rules.adaptive or rules.budget else None
    return Thinking(asked, None, limit)


def _counted(effort: Effort | None, budget: int | None, limit: int, ceiling: int) -> Thinking:
    wanted = budget if budget is not None else int(_RATIOS[effort or Effort.MEDIUM] * limit)
    tokens = min(max(wanted, _LEAST_BUDGET), _LARGEST_BUDGET)
    if limit <= tokens:
        limit = min(limit + tokens, ceiling)
        tokens = min(tokens, limit - 1)
    if tokens < _LEAST_BUDGET:
        return Thinking(None, None, limit)
    return Thinking({"type": "enabled", "budget_tokens": tokens}, None, limit)


# Sampling and tools -----------------------------------------------------------------------------

_SAMPLING = ("temperature", "top_p", "top_k")


def sampling(prompt: Prompt, rules: Claude, asked: Thinking) -> dict[str, float | int]:
    """The sampling parameters that the model takes, under Anthropic's names; others are dropped."""
    found: dict[str, float | int] = {}
    if rules.sampling and not asked.on:
        if prompt.temperature is not None:
            found["temperature"] = min(prompt.temperature, 1.0)
        elif prompt.top_p is not None:
            # Not both at once.
            found["top_p"] = prompt.top_p
        if prompt.top_k is not None:
            found["top_k"] = prompt.top_k
    given = (name for name in _SAMPLING if getattr(prompt, name) is not None)
    prompt.dropped += [name for name in given if name not in found]
    return found


class Offered(msgspec.Struct, frozen=True):
    """The tools that are offered and which may be called; `note` is a sentence for the system
    prompt where a call is wanted and cannot be demanded."""

    tools: list[Tool]
    choice: Choice
    note: str = ""


def offered(prompt: Prompt, rules: Claude, *, counted: bool = False) -> Offered:
    """The tools of a prompt; `counted` says that there is a budget for thinking."""
    tools, choice = prompt.tools, prompt.choice
    if not tools or choice.kind in ("auto", "none") or (rules.forced_choice and not counted):
        return Offered(tools, choice)
    if choice.kind == "tool":
        tools = [tool for tool in tools if tool.name == choice.name] or tools
    if len(tools) == 1:
        return Offered(tools, Choice(), f"Answer by calling the tool {tools[0].name}.")
    return Offered(tools, Choice(), "Answer by calling one of the tools.")


# JSON -------------------------------------------------------------------------------------------


def asks_for_json(prompt: Prompt) -> str:
    """The instruction for an answer in JSON, where nothing else demands it; "" for none."""
    if prompt.format is None:
        return ""
    words = "Answer with one JSON object and nothing else: no words around it and no code fence."
    if prompt.format.schema is not None:
        schema = msgspec.json.encode(prompt.format.schema).decode()
        words += f" It must fit this JSON schema: {schema}"
    return words


def noted(system: list[Text], *notes: str) -> list[Text]:
    """The system prompt with sentences of ours at its end, which are not cached for others."""
    return system + [Text(note) for note in notes if note]
