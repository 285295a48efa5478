"""OrcaRouter: Chat Completions, Responses and Messages for models of many vendors."""

from byok.providers.base import Probe
from byok.providers.openai_compatible import ALL_THREE, OpenAICompatible

PROVIDER = OpenAICompatible(
    id="orcarouter",
    name="OrcaRouter",
    base_url="https://api.orcarouter.ai/v1",
    console_url="https://orcarouter.ai",
    probes=(Probe("gemini-3.5-flash", {"max_tokens": 1}),),
    endpoints=ALL_THREE,
)
