"""Z.ai: Chat Completions of the GLM models, paid by use.

The same key works at the hosts of the coding plan, and the host decides which of the two pays; the
plan is a provider of its own. Uncertain: who pays at its Messages endpoint, so it is not used.
"""

from byok.providers import quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.chat_fields import (
    EXTRAS,
    OPENAI_ONLY,
    call_as_instruction,
    json_object_for_schema,
    limit_as,
    thinking_as_switch,
)

_UNKNOWN = (
    EXTRAS
    | OPENAI_ONLY
    | {"frequency_penalty", "logit_bias", "logprobs", "presence_penalty", "top_logprobs"}
) - {"reasoning", "thinking"}
_OF_THINKING = ("type", "clear_thinking")
_EFFORTS = ("low", "high", "max")
#: These cannot be kept from thinking, and its siblings can.
_ALWAYS_THINK = ("glm-5.3", "glm-5.3-prime")


class Zai(Provider):
    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        fields = quirks.without(fields, *_UNKNOWN)
        fields = limit_as(fields, "max_tokens", max_output)
        fields = quirks.within(fields, "temperature", 0, 1)
        fields = thinking_as_switch(
            fields,
            _EFFORTS if model.startswith("glm-5.3") else (),
            kept=_OF_THINKING,
            say_on=True,
            always=model in _ALWAYS_THINK,
        )
        return quirks.no_developer(json_object_for_schema(_tools(fields)))


def _tools(fields: Fields) -> Fields:
    """The model calls what it wants to, so what it shall not call it is not told of."""
    if quirks.value(fields, "tool_choice") == "none":
        return quirks.without(fields, "tools", "tool_choice")
    return call_as_instruction(fields)


def _coded(outcome: Outcome, *codes: int) -> tuple[Rule, ...]:
    return tuple(Rule(outcome, code=str(code)) for code in codes)


PROVIDER = Zai(
    id="zai",
    name="Z.ai",
    base_url="https://api.z.ai/api/paas/v4",
    console_url="https://z.ai/manage-apikey/apikey-list",
    endpoints={Endpoint.CHAT: "/chat/completions"},
    models_path="/models",
    vendor="z-ai",
    # Not the free model: it answers an empty account as well.
    probes=(
        Probe("glm-4.5-air", {"max_tokens": 1, "thinking": {"type": "disabled"}}),
        Probe("glm-5.3-flash", {"max_tokens": 1, "thinking": {"type": "disabled"}}),
        Probe("glm-4.7", {"max_tokens": 1, "thinking": {"type": "disabled"}}),
    ),
    placeholder="an id, a dot and a secret",
    key_pattern=r"^[0-9a-f]{32}\.[A-Za-z0-9]{16}$",
    key_prefixes=("",),
    key_note=(
        "Calls are paid from your balance at Z.ai. For a coding plan add the same key to Z.ai "
        "Coding Plan, whose models you choose by its own name."
    ),
    returns=("retry-after",),
    usage_option=True,
    wants_reasoning=True,
    error_rules=(
        # What is wrong stands in the code; many come with 429.
        *_coded(Outcome.REJECTED, 1000, 1001, 1002, 1003, 1004, 1005),
        *_coded(Outcome.NO_CREDIT, 1113),
        # The account is locked, or in another state in which it may do nothing.
        *_coded(Outcome.NO_ACCESS, 1110, 1111, 1112, 1121, 1220),
        *_coded(Outcome.MODEL_MISSING, 1211),
        *_coded(Outcome.BAD_REQUEST, 1210, 1212, 1213, 1214, 1215, 1301),
        Rule(Outcome.BAD_REQUEST, code="1261", context_too_long=True),
        *_coded(Outcome.RATE_LIMITED, 1302, 1303, 1304, 1313),
        *_coded(Outcome.OVERLOADED, 1230, 1234, 1305, 1312),
        # A plan's window of five hours opens by itself; one of a week or a month, or a plan that
        # has ended, is nothing to wait for.
        *_coded(Outcome.RATE_LIMITED, 1308),
        *_coded(Outcome.NO_CREDIT, 1309, 1310),
        *_coded(Outcome.NO_ACCESS, 1311),
    ),
)
