"""Inceptron: Chat Completions for open-weight models."""

from byok.providers.base import Probe
from byok.providers.openai_compatible import OpenAICompatible

PROVIDER = OpenAICompatible(
    id="inceptron",
    name="Inceptron",
    base_url="https://api.inceptron.io/v1",
    console_url="https://inceptron.io",
    probes=(Probe("Kimi-K2.6", {"max_tokens": 1}),),
)
