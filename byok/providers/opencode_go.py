"""OpenCode Go: Chat Completions, Responses and Messages, paid by the plan."""

from byok.providers.base import API_KEY, Endpoint, Probe
from byok.providers.openai_compatible import ALL_THREE, OpenAICompatible

PROVIDER = OpenAICompatible(
    id="opencode-go",
    name="OpenCode Go",
    base_url="https://opencode.ai/zen/go/v1",
    console_url="https://opencode.ai/auth",
    probes=(Probe("qwen3.7-plus", {"max_tokens": 1}),),
    endpoints=ALL_THREE,
    auth_at={Endpoint.MESSAGES: API_KEY},
)
