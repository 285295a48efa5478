"""Kimi Code, Moonshot AI's plan for coding agents: Chat Completions, paid by the plan."""

from byok.providers import quirks
from byok.providers.base import Endpoint, Fields, Outcome, Probe, Rule
from byok.providers.moonshotai import FIXED, UNKNOWN, with_reasoning
from byok.providers.openai_compatible import ERROR_RULES, OpenAICompatible


class KimiCode(OpenAICompatible):
    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        # Uncertain: that its models are as particular as Moonshot AI's own.
        fields = super().adapt(endpoint, model, fields, max_output)
        return with_reasoning(quirks.without(fields, *FIXED, *UNKNOWN))


PROVIDER = KimiCode(
    id="kimi-coding",
    name="Kimi Code",
    base_url="https://api.kimi.com/coding/v1",
    console_url="https://www.kimi.com/code/console",
    probes=(Probe("kimi-for-coding", {"max_tokens": 1}),),
    # Clients that are not coding agents are refused, by what they call themselves. So the agent
    # says itself what it is; a test has no agent, says that it is MegaBrain, and may be refused.
    forwards=("user-agent",),
    error_rules=(
        # Uncertain: the wording. A refusal of the client says nothing of the key.
        Rule(Outcome.BAD_REQUEST, 403, contains="coding agent"),
        *ERROR_RULES,
    ),
    placeholder="sk-kimi-…",
    # Uncertain: whether all keys have this beginning.
    key_pattern=r"^sk-kimi-",
    key_prefixes=("sk-kimi-", "sk-"),
    wants_reasoning=True,
)
