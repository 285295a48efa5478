"""Chutes: Chat Completions for open-weight models."""

from byok.providers.base import Probe
from byok.providers.listing import DOLLARS_A_MILLION
from byok.providers.openai_compatible import OpenAICompatible

PROVIDER = OpenAICompatible(
    id="chutes",
    name="Chutes",
    base_url="https://llm.chutes.ai/v1",
    console_url="https://chutes.ai/app/api",
    list_is_public=True,
    price_unit=DOLLARS_A_MILLION,
    probes=(Probe("Qwen3-30B-A3B", {"max_tokens": 1}),),
)
