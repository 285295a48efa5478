"""Alibaba's Token Plan in Singapore: Chat Completions, paid by the plan."""

from byok.providers.base import Probe
from byok.providers.openai_compatible import OpenAICompatible

PROVIDER = OpenAICompatible(
    id="alibaba-token-plan",
    name="Alibaba Token Plan (Singapore)",
    base_url="https://token-plan.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1",
    console_url="https://modelstudio.console.alibabacloud.com",
    probes=(Probe("deepseek-v3.2", {"max_tokens": 1}),),
)
