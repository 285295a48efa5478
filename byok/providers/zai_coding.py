"""Z.ai's coding plan: the host at which the plan pays for calls with the same key."""

from dataclasses import replace

from byok.providers.base import Probe
from byok.providers.zai import PROVIDER as ZAI

PROVIDER = replace(
    ZAI,
    id="zai-coding",
    name="Z.ai Coding Plan",
    base_url="https://api.z.ai/api/coding/paas/v4",
    direct=True,
    probes=(Probe("glm-4.7", {"max_tokens": 1, "thinking": {"type": "disabled"}}),),
    key_note="The plan is for the coding tools that its terms list.",
)
