"""Novita: Chat Completions and Completions for open-weight models."""

from byok.providers import quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.chat_fields import EXTRAS, OPENAI_ONLY, effort, effort_as, limit_as

_UNKNOWN = (EXTRAS | OPENAI_ONLY) - {
    "min_p",
    "reasoning",
    "repetition_penalty",
    "thinking",
    "top_k",
}
#: Uncertain: which of its models take more than these.
_EFFORTS = ("low", "medium", "high")


class Novita(Provider):
    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        fields = quirks.without(fields, *_UNKNOWN)
        fields = limit_as(fields, "max_tokens", max_output)
        if endpoint is not Endpoint.CHAT:
            return quirks.without(fields, "reasoning", "reasoning_effort", "thinking")
        if effort(fields) == "none":
            fields = quirks.without(fields, "reasoning", "reasoning_effort", "thinking")
            fields = quirks.put(fields, "enable_thinking", wanted=False)
        return quirks.no_developer(effort_as(fields, _EFFORTS))


PROVIDER = Novita(
    id="novita",
    name="Novita",
    base_url="https://api.novita.ai/openai/v1",
    console_url="https://novita.ai/settings/key-management",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.COMPLETIONS: "/completions",
    },
    models_path="/models",
    # The list is public.
    list_proves_key=False,
    probes=(
        Probe("openai/gpt-oss-20b", {"max_tokens": 1}),
        Probe("openai/gpt-oss-120b", {"max_tokens": 1}),
        Probe("meta-llama/llama-3.3-70b-instruct", {"max_tokens": 1}),
    ),
    placeholder="sk_…",
    key_pattern=r"^sk_[A-Za-z0-9_-]{20,}$",
    key_prefixes=("sk_",),
    returns=("x-request-id", "retry-after"),
    returns_to_key_owner=("x-ratelimit-*",),
    usage_option=True,
    error_rules=(
        Rule(Outcome.REJECTED, 401, code="FAILED_TO_AUTH"),
        Rule(Outcome.NO_CREDIT, 403, code="NOT_ENOUGH_BALANCE"),
        # Uncertain: the reasons given for a model that needs an application or an identity check.
        Rule(Outcome.NO_ACCESS, 403),
        Rule(Outcome.MODEL_MISSING, 404, code="MODEL_NOT_FOUND"),
        # Uncertain: the names of the reasons that come with 429 and 503.
        Rule(Outcome.RATE_LIMITED, 429),
        Rule(Outcome.OVERLOADED, 503),
    ),
)
