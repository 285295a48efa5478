"""xAI: Chat Completions and Responses."""

from byok.providers import chat_fields, quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.listing import (
    TEN_THOUSANDTHS_A_MILLION,
    Entry,
    Listed,
    ListedRate,
    Page,
    decoded,
    id_in,
    ids_in,
    items,
    rate,
    rates,
    read_each,
    tokens,
    written,
)

#: Refused even at 0, by every model.
_PENALTIES = ("presence_penalty", "frequency_penalty")
#: The pair that says by its name whether it reasons, and takes no effort.
_WITHOUT_EFFORT = "grok-4.20"
_EFFORTS = ("none", "low", "medium", "high")


class XAI(Provider):
    def read_list(self, body: bytes) -> Page:
        return read_each(items(decoded(body), "models"), self.read_entry)

    def read_entry(self, entry: Entry) -> Listed:
        id_ = id_in(entry)
        return Listed(
            id_,
            writes_text=written(id_, entry.get("output_modalities")),
            rates=_rates(entry),
            aliases=tuple(alias for alias in ids_in(entry.get("aliases")) if alias != id_),
        )

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        fields = quirks.without(fields, *_PENALTIES)
        if endpoint is Endpoint.RESPONSES:
            fields = quirks.within(fields, "max_output_tokens", None, max_output)
            return _reasoning(fields, model)
        if "non-reasoning" not in model:
            fields = quirks.without(fields, "stop")
        for limit in ("max_tokens", "max_completion_tokens"):
            fields = quirks.within(fields, limit, None, max_output)
        if model.startswith(_WITHOUT_EFFORT):
            fields = quirks.without(fields, "reasoning_effort")
        else:
            fields = chat_fields.effort_as(fields, _EFFORTS)
        return quirks.without(fields, *chat_fields.EXTRAS)


def _reasoning(fields: Fields, model: str) -> Fields:
    """The fields of a Responses body with an effort that the model knows, if it knows any."""
    options = quirks.value(fields, "reasoning")
    if not isinstance(options, dict) or options.get("effort") not in chat_fields.EFFORTS:
        return fields
    if model.startswith(_WITHOUT_EFFORT):
        del options["effort"]
        if not options:
            return quirks.without(fields, "reasoning")
    elif options["effort"] in _EFFORTS:
        return fields
    else:
        options["effort"] = chat_fields.nearest(options["effort"], _EFFORTS)
    return quirks.put(fields, "reasoning", options)


def _rates(entry: Entry) -> tuple[ListedRate, ...]:
    """The price of an entry, and the one of prompts above its threshold where there is one."""

    def told(ending: str, above_tokens: int = 0) -> ListedRate | None:
        return rate(
            TEN_THOUSANDTHS_A_MILLION,
            input=entry.get(f"prompt_text_token_price{ending}"),
            output=entry.get(f"completion_text_token_price{ending}"),
            cache_read=entry.get(f"cached_prompt_text_token_price{ending}"),
            above_tokens=above_tokens,
        )

    threshold = tokens(entry.get("long_context_threshold"))
    if threshold is None:
        return rates(told(""))
    return rates(told(""), told("_long_context", threshold))


PROVIDER = XAI(
    id="xai",
    name="xAI",
    base_url="https://api.x.ai/v1",
    console_url="https://console.x.ai",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.RESPONSES: "/responses",
    },
    # Unlike its /models it has no more than what writes text, and the prices of it.
    models_path="/language-models",
    vendor="x-ai",
    probes=(
        # It spends nothing on reasoning.
        Probe("grok-4.20-0309-non-reasoning", {"max_tokens": 1}),
        Probe("grok-build-0.1", {"max_tokens": 1}),
        Probe("grok-4.3", {"max_tokens": 1}),
    ),
    placeholder="xai-…",
    key_pattern=r"^xai-[A-Za-z0-9]{20,}$",
    key_prefixes=("xai-",),
    forwards=("x-grok-conv-id",),
    returns=("x-request-id", "retry-after"),
    returns_to_key_owner=("x-ratelimit-*",),
    usage_option=True,
    reasoning_apart=True,
    error_rules=(
        # A bad key is a bad request here. Its message repeats a part of the key.
        Rule(Outcome.REJECTED, 400, contains="incorrect api key"),
        Rule(Outcome.REJECTED, 401, code="unauthenticated:no-credentials"),
        # Uncertain: whether this comes with 403 or with 429.
        Rule(Outcome.NO_CREDIT, contains="used all available credits"),
        Rule(Outcome.NO_CREDIT, contains="spending limit"),
        Rule(Outcome.NO_ACCESS, 403, code="permission-denied"),
        Rule(Outcome.MODEL_MISSING, 400, contains="model not found"),
        Rule(Outcome.MODEL_MISSING, 404, contains="does not exist"),
        Rule(Outcome.BAD_REQUEST, 400, contains="maximum prompt length", context_too_long=True),
        Rule(Outcome.RATE_LIMITED, 429),
    ),
)
