"""Inception: Chat Completions and fill-in-the-middle of the Mercury models.

Source: the API reference and OpenAPI description at docs.inceptionlabs.ai.
"""

from dataclasses import replace

from byok.providers import quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Provider, Rule
from byok.providers.chat_fields import (
    EXTRAS,
    OPENAI_ONLY,
    effort_as,
    limit_as,
    only_chosen_tool,
)
from byok.providers.listing import DOLLARS_A_TOKEN, Entry, Listed, openai_like

_UNKNOWN = (EXTRAS | OPENAI_ONLY) - {"reasoning", "thinking"}
_FIM = frozenset(
    """frequency_penalty max_tokens model presence_penalty prompt repetition_penalty stop stream
    stream_options suffix top_k top_p""".split()  # noqa: SIM905 (one name a line would fill the page)
)
_LONGEST_FIM = 8192
_LOWEST_TEMPERATURE, _HIGHEST_TEMPERATURE = 0.5, 1.0
#: The least of its four efforts has a name of its own.
_LEAST = {"none": "instant", "minimal": "instant"}
_EFFORTS = ("none", "low", "medium", "high")


class Inception(Provider):
    def read_entry(self, entry: Entry) -> Listed:
        found = openai_like(entry, DOLLARS_A_TOKEN)
        # No entry says whether it fills in the middle.
        return replace(found, capabilities=None) if "-edit" in found.id else found

    def speaks(self, model: str, endpoint: Endpoint, *, with_tools: bool) -> bool:
        return ("-edit" in model) == (endpoint is Endpoint.FIM)

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        return _fim(fields) if endpoint is Endpoint.FIM else _chat(fields, max_output)


def _chat(fields: Fields, max_output: int | None) -> Fields:
    fields = quirks.without(fields, *_UNKNOWN)
    fields = limit_as(fields, "max_tokens", max_output)
    fields = quirks.within(fields, "temperature", _LOWEST_TEMPERATURE, _HIGHEST_TEMPERATURE)
    if quirks.value(fields, "reasoning_effort") != "instant":
        fields = quirks.said(effort_as(fields, _EFFORTS), "reasoning_effort", _LEAST)
    # It knows auto, required and none.
    fields = only_chosen_tool(fields, "required")
    return quirks.no_developer(quirks.without(fields, "reasoning", "thinking"))


def _fim(fields: Fields) -> Fields:
    fields = limit_as(fields, "max_tokens", _LONGEST_FIM)
    stop = quirks.value(fields, "stop")
    if isinstance(stop, str):
        fields = quirks.put(fields, "stop", [stop])
    return quirks.only(fields, _FIM)


PROVIDER = Inception(
    id="inception",
    name="Inception",
    base_url="https://api.inceptionlabs.ai/v1",
    console_url="https://platform.inceptionlabs.ai/dashboard/api-keys",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.FIM: "/fim/completions",
    },
    models_path="/models",
    vendor="inception",
    probes=(
        Probe("mercury-2.5", {"max_tokens": 1, "reasoning_effort": "instant"}),
        Probe("mercury-2", {"max_tokens": 1, "reasoning_effort": "instant"}),
        Probe("mercury-3", {"max_tokens": 1, "reasoning_effort": "instant"}),
    ),
    placeholder="sk_…",
    key_pattern=r"^sk_[A-Za-z0-9_-]{20,}$",
    key_prefixes=("sk_",),
    returns=("x-request-id", "retry-after"),
    returns_to_key_owner=("x-ratelimit-*",),
    usage_option=True,
    error_rules=(
        Rule(Outcome.REJECTED, 401, code="invalid_api_key"),
        Rule(Outcome.NO_CREDIT, 402),
        Rule(Outcome.BAD_REQUEST, 400, code="context_length_exceeded", context_too_long=True),
        # Its message may be a list of complaints.
        Rule(Outcome.MODEL_MISSING, code="model_not_found"),
        Rule(Outcome.MODEL_MISSING, 400, contains="not found"),
        Rule(Outcome.RATE_LIMITED, 429),
        Rule(Outcome.OVERLOADED, 503),
    ),
)
