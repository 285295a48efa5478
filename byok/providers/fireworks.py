"""Fireworks: Chat Completions and Completions for open-weight models."""

from byok.providers import quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.chat_fields import EXTRAS, effort_as, limit_as
from byok.providers.listing import Entry, Listed, flag, id_in, tokens, written

_UNKNOWN = EXTRAS - {"min_p", "reasoning", "repetition_penalty", "thinking", "top_k"}
#: Uncertain: which of its models take more than these.
_EFFORTS = ("none", "low", "medium", "high")
#: Models that cannot be kept from reasoning, by the end of their ids.
_ALWAYS_REASON = ("/glm-5p3", "/gpt-oss-20b", "/gpt-oss-120b")
#: Where a caller sets no limit, theirs ends an answer early. Uncertain: whether prompt and limit
#: must fit into the context together, so this leaves room for the prompt.
_ENOUGH = 32_768


class Fireworks(Provider):
    def read_entry(self, entry: Entry) -> Listed:
        id_, chats = id_in(entry), flag(entry.get("supports_chat"))
        return Listed(
            id_,
            context=tokens(entry.get("context_length")),
            writes_text=written(id_) if chats is None else chats,
        )

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        fields = quirks.without(fields, *_UNKNOWN)
        fields = limit_as(fields, "max_tokens", max_output)
        if endpoint is not Endpoint.CHAT:
            return quirks.without(fields, "reasoning", "thinking")
        if quirks.value(fields, "stream") is True and quirks.value(fields, "max_tokens") is None:
            fields = quirks.put(fields, "max_tokens", min(_ENOUGH, max_output or _ENOUGH))
        # Either of reasoning_effort and thinking is taken, and not both.
        fields = effort_as(fields, _EFFORTS[model.endswith(_ALWAYS_REASON) :])
        return quirks.no_developer(fields)


PROVIDER = Fireworks(
    id="fireworks",
    name="Fireworks",
    base_url="https://api.fireworks.ai/inference/v1",
    console_url="https://app.fireworks.ai/settings/users/api-keys",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.COMPLETIONS: "/completions",
    },
    models_path="/models",
    probes=(
        Probe("accounts/fireworks/models/gpt-oss-20b", {"max_tokens": 1}),
        Probe("accounts/fireworks/models/gpt-oss-120b", {"max_tokens": 1}),
    ),
    placeholder="fw_…",
    # Uncertain: keys from before the prefix may still be in use.
    key_pattern=r"^fw_[A-Za-z0-9]{20,}$",
    key_prefixes=("fw_",),
    # Keeps a conversation with the machine that has its prompt cached.
    forwards=("x-session-affinity",),
    returns=("x-request-id", "retry-after"),
    returns_to_key_owner=("x-ratelimit-*",),
    # Uncertain: whether usage comes without asking, so it is asked for.
    usage_option=True,
    error_rules=(
        # 403 was measured as well as 401; the code is the same.
        Rule(Outcome.REJECTED, code="UNAUTHORIZED"),
        # Uncertain: the names of the codes that come with 402, 429 and 503.
        Rule(Outcome.NO_CREDIT, 402),
        # Suspended, or its monthly spending limit is reached.
        Rule(Outcome.NO_CREDIT, 412),
        # Also for a model that is listed but not deployed.
        Rule(Outcome.MODEL_MISSING, 404, code="NOT_FOUND"),
        Rule(Outcome.RATE_LIMITED, 429),
        Rule(Outcome.OVERLOADED, 503),
        Rule(Outcome.BAD_REQUEST, 400, contains="maximum context length", context_too_long=True),
    ),
)
