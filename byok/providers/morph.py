"""Morph: Chat Completions."""

from byok.providers.base import Probe
from byok.providers.openai_compatible import OpenAICompatible

PROVIDER = OpenAICompatible(
    id="morph",
    name="Morph",
    base_url="https://api.morphllm.com/v1",
    console_url="https://morphllm.com",
    probes=(Probe("morph-qwen35-397b", {"max_tokens": 1}),),
)
