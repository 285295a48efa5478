"""Ollama Cloud: Chat Completions for open-weight models."""

from byok.providers.base import Probe
from byok.providers.openai_compatible import OpenAICompatible

PROVIDER = OpenAICompatible(
    id="ollama-cloud",
    name="Ollama Cloud",
    base_url="https://ollama.com/v1",
    console_url="https://ollama.com/settings/keys",
    probes=(Probe("kimi-k2.6:cloud", {"max_tokens": 1}),),
)
