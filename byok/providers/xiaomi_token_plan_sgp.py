"""Xiaomi's Token Plan in Singapore, chosen by its name. A key entered for Xiaomi serves both."""

from dataclasses import replace

from byok.providers.base import Probe
from byok.providers.xiaomi import PROVIDER as XIAOMI

_ID = "xiaomi-token-plan-sgp"

PROVIDER = replace(
    XIAOMI,
    id=_ID,
    name="Xiaomi Token Plan (Singapore)",
    base_url=XIAOMI.hosts[_ID],
    hosts={},
    direct=True,
    probes=(
        Probe("mimo-v2.6-flash", {"max_completion_tokens": 1, "thinking": {"type": "disabled"}}),
        Probe("mimo-v2-flash", {"max_completion_tokens": 1}),
    ),
    placeholder="tp-…",
    key_pattern=r"^tp-[A-Za-z0-9]{10,}$",
    key_prefixes=("tp-",),
    key_note="",
)
