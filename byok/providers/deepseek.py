"""DeepSeek: Chat Completions, fill-in-the-middle, and Messages beside them.

Its models think unless they are told not to. While they do, a turn that called tools must come back
with the reasoning that led to it; where a caller does not keep that, thinking is switched off.
"""

from byok.providers import quirks
from byok.providers.base import API_KEY, Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.chat_fields import (
    EXTRAS,
    OPENAI_ONLY,
    json_object_for_schema,
    limit_as,
    reasoning_is_lost,
    thinking_as_switch,
    thinking_off,
)
from byok.providers.listing import Entry, Listed, id_in, tokens

_UNKNOWN = (EXTRAS | OPENAI_ONLY | {"seed", "logit_bias"}) - {"reasoning", "thinking"}
#: Fields of other companies' fill-in-the-middle, and those of thinking, which is not done there.
_UNKNOWN_TO_FIM = (
    EXTRAS | OPENAI_ONLY | {"min_tokens", "n", "random_seed", "reasoning_effort", "seed"}
)
_LONGEST_FIM = 4096
#: The one alias that does not think.
_UNTHINKING = "deepseek-chat"


class DeepSeek(Provider):
    def read_entry(self, entry: Entry) -> Listed:
        return Listed(
            id_in(entry),
            context=tokens(entry.get("context_window")),
            max_output=tokens(entry.get("max_output_tokens")),
            writes_text=True,
        )

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        if endpoint is Endpoint.CHAT:
            return _chat(model, fields, max_output)
        if endpoint is Endpoint.FIM:
            fields = quirks.without(fields, *_UNKNOWN_TO_FIM)
            return limit_as(fields, "max_tokens", _LONGEST_FIM)
        return quirks.within(fields, "max_tokens", None, max_output)


def _chat(model: str, fields: Fields, max_output: int | None) -> Fields:
    fields = quirks.without(fields, *_UNKNOWN)
    if quirks.value(fields, "n") == 1:
        fields = quirks.without(fields, "n")
    fields = limit_as(fields, "max_tokens", max_output)
    efforts = ("high", "max") if model.endswith("-pro") else ("low", "high", "max")
    fields = thinking_as_switch(fields, efforts)
    if model != _UNTHINKING and reasoning_is_lost(fields):
        fields = thinking_off(fields)
    return quirks.no_developer(json_object_for_schema(fields))


PROVIDER = DeepSeek(
    id="deepseek",
    name="DeepSeek",
    base_url="https://api.deepseek.com",
    console_url="https://platform.deepseek.com/api_keys",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.FIM: "/beta/completions",
        Endpoint.MESSAGES: "/anthropic/v1/messages",
    },
    models_path="/models",
    vendor="deepseek",
    probes=(
        Probe("deepseek-flash", {"max_tokens": 1, "thinking": {"type": "disabled"}}),
        Probe("deepseek-chat", {"max_tokens": 1}),
    ),
    placeholder="sk-…",
    key_pattern=r"^sk-[A-Za-z0-9]{20,}$",
    key_prefixes=("sk-",),
    auth_at={Endpoint.MESSAGES: API_KEY},
    returns=("retry-after",),
    usage_option=True,
    wants_reasoning=True,
    error_rules=(
        # Its message repeats the last four characters of the key.
        Rule(Outcome.REJECTED, 401, code="authentication_error"),
        Rule(Outcome.NO_CREDIT, 402, contains="insufficient balance"),
        Rule(Outcome.MODEL_MISSING, 400, contains="supported api model names"),
        Rule(Outcome.BAD_REQUEST, 422),
        Rule(Outcome.RATE_LIMITED, 429),
        Rule(Outcome.OVERLOADED, 503),
        Rule(Outcome.BAD_REQUEST, 400, contains="maximum context length", context_too_long=True),
    ),
)
