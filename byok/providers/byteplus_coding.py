"""BytePlus's coding plan: Chat Completions for a fixed list of models."""

from byok.providers.base import Probe
from byok.providers.openai_compatible import OpenAICompatible

PROVIDER = OpenAICompatible(
    id="byteplus-coding",
    name="BytePlus Coding Plan",
    base_url="https://ark.ap-southeast.bytepluses.com/api/coding/v3",
    console_url="https://console.byteplus.com",
    probes=(Probe("bytedance-seed-code", {"max_tokens": 1}),),
)
