"""Neuralwatt: Chat Completions for open-weight models."""

from byok.providers.base import Probe
from byok.providers.openai_compatible import OpenAICompatible

PROVIDER = OpenAICompatible(
    id="neuralwatt",
    name="Neuralwatt",
    base_url="https://api.neuralwatt.com/v1",
    console_url="https://neuralwatt.com",
    probes=(Probe("Qwen3.5-35B-A3B", {"max_tokens": 1}),),
)
