"""Novita: Chat Completions and Completions for open-weight models."""

from byok.providers import quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.chat_fields import EXTRAS, OPENAI_ONLY, effort, effort_as, limit_as
from byok.providers.listing import (
    TEN_THOUSANDTHS_A_MILLION,
    Entry,
    Listed,
    below,
    flags_as,
    id_in,
    rate,
    rates,
    strings,
    text,
    tokens,
    written,
)

_UNKNOWN = (EXTRAS | OPENAI_ONLY) - {
    "min_p",
    "reasoning",
    "repetition_penalty",
    "thinking",
    "top_k",
}
#: Uncertain: which of its models take more than these.
_EFFORTS = ("low", "medium", "high")
_ON_SALE = 1
#: What it calls the vendors whose models have the same names everywhere, and what we call them.
_VENDORS = {
    "deepseek": "deepseek",
    "meta-llama": "meta-llama",
    "minimax": "minimax",
    "moonshotai": "moonshotai",
    "openai": "openai",
    "xiaomimimo": "xiaomi",
    "zai-org": "z-ai",
}


class Novita(Provider):
    def read_entry(self, entry: Entry) -> Listed | None:
        id_, features = id_in(entry), strings(entry.get("features"))
        if entry.get("status", _ON_SALE) != _ON_SALE:
            return None
        takes, kind = strings(entry.get("input_modalities")), text(entry.get("model_type"))
        writes = kind == "chat" if kind else written(id_, entry.get("output_modalities"))
        return Listed(
            id_,
            context=tokens(entry.get("context_size")),
            max_output=tokens(entry.get("max_output_tokens")),
            capabilities=flags_as(
                {
                    "tools": None if features is None else "function-calling" in features,
                    "vision": None if takes is None else "image" in takes,
                    "reasoning": None if features is None else "reasoning" in features,
                }
            ),
            writes_text=writes,
            rates=rates(
                rate(
                    TEN_THOUSANDTHS_A_MILLION,
                    input=entry.get("input_token_price_per_m"),
                    output=entry.get("output_token_price_per_m"),
                    cache_read=below(entry, "pricing", "input_cache_read", "price_per_m"),
                )
            ),
        )

    def canonical(self, upstream_id: str) -> str | None:
        """The model of the vendor whose name is in front, where that name is certainly his."""
        vendor, _, name = upstream_id.lower().partition("/")
        if vendor not in _VENDORS or not name or "/" in name or ":" in name:
            return None
        return f"{_VENDORS[vendor]}/{name}"

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
    list_is_public=True,
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
