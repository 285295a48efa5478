"""MiniMax: Chat Completions, and Messages beside them; two kinds of keys on the same host.

Pay-as-you-go keys draw on a balance, Token Plan keys on the plan's quota, and neither does for the
other. Which one a key is, its beginning tells.
"""

from byok.providers import chat_fields, quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.vault import Secret

_TOKEN_PLAN = "sk-cp-"  # noqa: S105 - the public beginning of every such key
#: The lowest temperature for which 0 is refused; the same for all that anybody can tell.
_ALMOST_ZERO = 0.01
_REASONED = b'"reasoning_content"'
#: What clients of OpenRouter add and nobody knows here.
_UNKNOWN = chat_fields.EXTRAS - {"reasoning", "thinking"}
#: The model whose thinking can be switched off.
_SWITCHES = "MiniMax-M3"

#: Its own numbers, in the body of an HTTP 200 or in brackets behind an error's message.
_NUMBERS = {
    1000: Outcome.OVERLOADED,
    1001: Outcome.OVERLOADED,
    1002: Outcome.RATE_LIMITED,
    1004: Outcome.REJECTED,
    1008: Outcome.NO_CREDIT,
    1024: Outcome.OVERLOADED,
    1026: Outcome.BAD_REQUEST,
    1027: Outcome.BAD_REQUEST,
    1033: Outcome.OVERLOADED,
    1042: Outcome.BAD_REQUEST,
    2013: Outcome.BAD_REQUEST,
    2049: Outcome.REJECTED,
    # The window of a Token Plan is used up; it opens again within hours.
    2056: Outcome.RATE_LIMITED,
}


class MiniMax(Provider):
    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        fields = quirks.within(fields, "temperature", _ALMOST_ZERO, 1)
        if endpoint is Endpoint.MESSAGES:
            return quirks.within(fields, "max_tokens", None, max_output)
        fields = quirks.without(fields, *_UNKNOWN)
        fields = chat_fields.limit_as(fields, "max_completion_tokens", max_output)
        fields = _thinking(fields, model)
        if "reasoning_split" not in fields:
            # Otherwise what it thinks stands between tags in the text of the answer.
            fields = quirks.put(fields, "reasoning_split", True)
        if _REASONED in bytes(fields.get("messages", b"")):
            fields = quirks.each(fields, "messages", _with_details)
        return quirks.no_developer(fields)

    def remark(self, secret: Secret, host: str) -> str:
        if secret.reveal().startswith(_TOKEN_PLAN):
            return "It is a Token Plan key: calls draw on the plan's quota."
        return "It is a pay-as-you-go key: calls draw on the balance."


def _thinking(fields: Fields, model: str) -> Fields:
    """The fields with thinking as this company says it: on by itself, or off where it can be."""
    wanted, given = chat_fields.effort(fields), quirks.value(fields, "thinking")
    fields = quirks.without(fields, "reasoning", "reasoning_effort")
    if model != _SWITCHES:
        return quirks.without(fields, "thinking")
    if wanted == "none":
        return quirks.put(fields, "thinking", {"type": "disabled"})
    if isinstance(given, dict) and given != {"type": "adaptive"}:
        return quirks.put(fields, "thinking", {"type": "adaptive"})
    return fields


def _with_details(message: Fields) -> Fields:
    """A message with its reasoning where this company looks for it, when a turn comes back."""
    text = quirks.value(message, "reasoning_content")
    message = quirks.without(message, "reasoning_content")
    if not text or "reasoning_details" in message:
        return message
    detail = {"type": "reasoning.text", "format": "MiniMax-response-v1", "index": 0, "text": text}
    return quirks.put(message, "reasoning_details", [detail])


PROVIDER = MiniMax(
    id="minimax",
    name="MiniMax",
    base_url="https://api.minimax.io/v1",
    console_url="https://platform.minimax.io/user-center/basic-information/interface-key",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.MESSAGES: "/../anthropic/v1/messages",
    },
    models_path="/models",
    vendor="minimax",
    # Uncertain: whether it is there at all, and whether it looks at the key.
    list_proves_key=False,
    probes=(
        Probe("MiniMax-M2.5", {"max_tokens": 1}),
        Probe("MiniMax-M2.7", {"max_tokens": 1}),
        Probe("MiniMax-M3", {"max_tokens": 1}),
    ),
    placeholder="sk-api-… or sk-cp-…",
    key_pattern=r"^(?:sk-(?:api|cp)-[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_.-]{40,})$",
    # The last is how older pay-as-you-go keys begin.
    key_prefixes=("sk-api-", _TOKEN_PLAN, "eyJ"),
    key_note=(
        "Pay-as-you-go keys (sk-api-…) draw on your balance, Token Plan keys (sk-cp-…) on the "
        "quota of your plan. Either works here."
    ),
    returns=("retry-after",),
    usage_option=True,
    wants_reasoning=True,
    error_rules=(
        Rule(Outcome.BAD_REQUEST, contains="context window exceeds", context_too_long=True),
        Rule(Outcome.BAD_REQUEST, code="1039", context_too_long=True),
        Rule(Outcome.BAD_REQUEST, contains="(1039)", context_too_long=True),
        # Uncertain: the wordings for a model that does not exist, or that a plan does not include.
        Rule(Outcome.MODEL_MISSING, contains="unknown model"),
        Rule(Outcome.NO_ACCESS, contains="plan not support model"),
        *(Rule(outcome, code=str(number)) for number, outcome in _NUMBERS.items()),
        *(Rule(outcome, contains=f"({number})") for number, outcome in _NUMBERS.items()),
        Rule(Outcome.REJECTED, code="authorized_error"),
        Rule(Outcome.NO_CREDIT, code="insufficient_balance_error"),
    ),
)
