"""Novita: Chat Completions for open-weight models."""

from byok.providers.base import Endpoint, Outcome, Probe, Provider, Rule

PROVIDER = Provider(
    id="novita",
    name="Novita",
    base_url="https://api.novita.ai/openai/v1",
    console_url="https://novita.ai/settings/key-management",
    endpoints={Endpoint.CHAT: "/chat/completions"},
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
