"""What each family of models on Bedrock takes beyond what Converse has in common for all.

Ids are matched by a part of them, the first row that fits. Claude is usually asked by InvokeModel;
over Converse it follows the same rules (claude.py).
Sources: dialects.md § 9.5, providers.md § 4.10, vercel/ai's provider for Bedrock.
"""

from collections.abc import Callable

import msgspec

from megabrain.gateway.dialects.claude import nearest
from megabrain.gateway.dialects.neutral import Effort, Json

_LOW_TO_HIGH = (Effort.LOW, Effort.MEDIUM, Effort.HIGH)
_GPT_6 = (*_LOW_TO_HIGH, Effort.XHIGH, Effort.MAX)
_GPT_5_6 = (Effort.NONE, *_GPT_6)


class Family(msgspec.Struct, kw_only=True, frozen=True):
    """The rules for one family of models."""

    claude: bool = False
    #: Temperature and top_p.
    sampling: bool = True
    stop: bool = True
    #: Whether cache marks are known, on system prompt and messages; and on tools, and for an hour.
    caches: bool = False
    caches_tools: bool = False
    #: Whether an answer can be held to a JSON schema.
    schema: bool = False
    #: Whether the result of a tool can say that it is an error.
    error_status: bool = False
    #: Whether a conversation may end with the beginning of the answer.
    prefill: bool = False
    #: Whether ids of tool calls are exactly nine letters or digits.
    nine: bool = False
    #: The fields that make it reason so much, or None where nothing does.
    reasoning: Callable[[Effort], Json] | None = None
    #: The efforts with which no limit of output and no sampling is taken.
    unlimited: tuple[Effort, ...] = ()


def _gpt_oss(effort: Effort) -> Json:
    return {"reasoning_effort": nearest(effort, _LOW_TO_HIGH)}


def _gpt_5_6(effort: Effort) -> Json:
    return {"reasoning": {"effort": nearest(effort, _GPT_5_6)}}


def _gpt_6(effort: Effort) -> Json:
    return {"reasoning": {"effort": nearest(effort, _GPT_6)}}


def _nova(effort: Effort) -> Json:
    if effort is Effort.NONE:
        return {"reasoningConfig": {"type": "disabled"}}
    most = nearest(effort, _LOW_TO_HIGH)
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": most}}


_NOVA = Family(caches=True, error_status=True, prefill=True)
_TABLE = (
    (
        "anthropic.",
        Family(claude=True, caches=True, caches_tools=True, error_status=True),
    ),
    (
        "amazon.nova-2",
        Family(
            caches=True,
            error_status=True,
            prefill=True,
            reasoning=_nova,
            unlimited=(Effort.HIGH, Effort.XHIGH, Effort.MAX),
        ),
    ),
    ("amazon.nova", _NOVA),
    ("openai.gpt-oss", Family(stop=False, schema=True, reasoning=_gpt_oss)),
    ("openai.gpt-5", Family(stop=False, sampling=False, schema=True, reasoning=_gpt_5_6)),
    ("openai.", Family(stop=False, sampling=False, schema=True, reasoning=_gpt_6)),
    ("mistral.", Family(schema=True, nine=True)),
    ("deepseek.", Family(schema=True)),
    ("moonshotai.", Family(schema=True)),
    ("minimax.", Family(schema=True)),
    ("zai.", Family(schema=True)),
    ("qwen.", Family(schema=True)),
)
_OTHER = Family()


def family(upstream_model: str) -> Family:
    """The rules for a model, by Bedrock's id of it."""
    return next((rules for part, rules in _TABLE if part in upstream_model), _OTHER)
