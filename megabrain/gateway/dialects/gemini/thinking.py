"""How much each generation of Gemini can be made to think.

From 3 on models know levels, and 2.5 counts tokens; a body with the other kind is refused, and so
is a level that the model does not have. Older models do not think at all.
Sources: ai.google.dev/gemini-api/docs (thinking, and the table of efforts of its page on OpenAI's
SDKs) and github.com/vercel/ai, as of November 2026.
"""

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from megabrain.gateway.dialects.neutral import Effort, Json, Prompt
from megabrain.gateway.dialects.translation import Target

_T = TypeVar("_T")

_ORDER = list(Effort)
_LOW_TO_HIGH = (Effort.LOW, Effort.MEDIUM, Effort.HIGH)
_MINIMAL_TO_HIGH = (Effort.MINIMAL, *_LOW_TO_HIGH)
_LOW_TO_XHIGH = (*_LOW_TO_HIGH, Effort.XHIGH)

#: By the beginning of the model's id, the first that fits. What is not listed is a newer one.
_LEVELS: Sequence[tuple[str, tuple[Effort, ...]]] = (
    ("gemini-4-hydrogen", _LOW_TO_XHIGH),
    ("gemini-4-neon", _LOW_TO_XHIGH),
    ("gemini-3.1-pro", _LOW_TO_HIGH),
    ("gemini-3.7", _LOW_TO_HIGH),
    ("gemini-3.8", _LOW_TO_HIGH),
    ("gemini-3", _MINIMAL_TO_HIGH),
    ("", _LOW_TO_HIGH),
)


class _Budget(msgspec.Struct, frozen=True):
    """The tokens that a model of 2.5 may be given for thinking, and whether it can do without."""

    least: int
    most: int
    off: bool = True


_BUDGETS: Sequence[tuple[str, _Budget]] = (
    ("gemini-2.5-pro", _Budget(128, 32_768, off=False)),
    ("gemini-2.5-flash-lite", _Budget(512, 24_576)),
    ("gemini-2.5", _Budget(1, 24_576)),
)
#: What an effort is worth in tokens; more than high is the most there is.
_TOKENS = {
    Effort.MINIMAL: 1024,
    Effort.LOW: 1024,
    Effort.MEDIUM: 8192,
    Effort.HIGH: 24_576,
}
#: What a number of tokens is worth as an effort, for models that know levels.
_EFFORTS = ((4096, Effort.HIGH), (2048, Effort.MEDIUM), (1024, Effort.LOW), (1, Effort.MINIMAL))
#: Thoughts count towards the limit of output, and this part of it is all they may take.
_SHARE = 0.8


def generation(model: str) -> tuple[int, int]:
    """The numbers in a model's name; those of the future for one without, such as an alias."""
    found = re.match(r"gemini-(\d{1,2})(?:\.(\d{1,2}))?(?!\d)", model)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def thinking_config(prompt: Prompt, target: Target) -> Json | None:
    """The thinkingConfig for what the caller asks. Thoughts are told unless none are wanted."""
    model = target.upstream_model
    if "reasoning" not in target.capabilities or generation(model) < (2, 5):
        return None
    if generation(model) < (3, 0):
        tokens = _tokens(prompt, _first(_BUDGETS, model))
        config: Json = {} if tokens is None else {"thinkingBudget": tokens}
    else:
        level = _level(prompt, _first(_LEVELS, model))
        config = {} if level is None else {"thinkingLevel": level.value.upper()}
    if not _unwanted(prompt):
        config["includeThoughts"] = True
    return config


def _unwanted(prompt: Prompt) -> bool:
    if prompt.effort is None:
        return prompt.thinking_budget is not None and prompt.thinking_budget <= 0
    return prompt.effort is Effort.NONE


def _tokens(prompt: Prompt, budget: _Budget) -> int | None:
    if _unwanted(prompt):
        return 0 if budget.off else budget.least
    wanted = prompt.thinking_budget
    if wanted is None and prompt.effort is not None:
        wanted = _TOKENS.get(prompt.effort, budget.most)
        if prompt.max_output is not None:
            wanted = min(wanted, int(prompt.max_output * _SHARE))
    return None if wanted is None else min(max(wanted, budget.least), budget.most)


def _level(prompt: Prompt, levels: tuple[Effort, ...]) -> Effort | None:
    effort = prompt.effort
    if effort is None and prompt.thinking_budget is not None:
        tokens = prompt.thinking_budget
        effort = next((effort for least, effort in _EFFORTS if tokens >= least), Effort.NONE)
    if effort is None or effort in levels:
        return effort
    return levels[0] if _ORDER.index(effort) < _ORDER.index(levels[0]) else levels[-1]


def _first(table: Sequence[tuple[str, _T]], model: str) -> _T:
    return next(found for prefix, found in table if model.startswith(prefix))
