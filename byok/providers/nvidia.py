"""NVIDIA NIM: Chat Completions for open-weight models, without a field it does not know."""

from dataclasses import dataclass

from byok.providers import quirks
from byok.providers.base import Endpoint, Fields, Probe
from byok.providers.openai_compatible import OpenAICompatible

KNOWN_FIELDS = frozenset(
    {
        "frequency_penalty",
        "logprobs",
        "max_tokens",
        "messages",
        "model",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
    }
    # Uncertain. Without them the answer would be another one: it may refuse.
    | {"audio", "function_call", "functions", "n"}
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Nvidia(OpenAICompatible):
    """Refuses a request for any field it does not know, so others stay behind."""

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        fields = super().adapt(endpoint, model, fields, max_output)
        if quirks.value(fields, "n") == 1:
            fields = quirks.without(fields, "n")
        return quirks.only(fields, KNOWN_FIELDS)


PROVIDER = Nvidia(
    id="nvidia",
    name="NVIDIA NIM",
    base_url="https://integrate.api.nvidia.com/v1",
    console_url="https://build.nvidia.com/settings/api-keys",
    probes=(Probe("nemotron-3-super-120b", {"max_tokens": 1}),),
    placeholder="nvapi-…",
    key_pattern=r"^nvapi-[A-Za-z0-9_-]{20,}$",
    key_prefixes=("nvapi-",),
)
