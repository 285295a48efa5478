"""Xiaomi: Chat Completions and Messages of the MiMo models, paid by use or by a Token Plan.

A Token Plan key works at one of three regional hosts and does not say at which; a test finds out.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from byok.providers import quirks
from byok.providers.base import (
    BESIDE,
    Auth,
    Endpoint,
    Fields,
    Outcome,
    Probe,
    Provider,
    Rule,
    UpstreamRequest,
)
from byok.providers.chat_fields import (
    EXTRAS,
    OPENAI_ONLY,
    json_object_for_schema,
    limit_as,
    reasoning_is_lost,
    thinking_as_switch,
    thinking_off,
)
from byok.vault import Secret

_PLAN = "tp-"
_UNKNOWN = (EXTRAS | OPENAI_ONLY) - {"reasoning", "thinking"}


class Xiaomi(Provider):
    def serves(self, model: str, host: str) -> bool:
        # Plans serve fewer models; which others they lack is not said.
        return not (host and model.endswith("-ultraspeed"))

    def test_hosts(self, secret: Secret) -> tuple[str, ...]:
        hosts, plan = super().test_hosts(secret), secret.reveal().startswith(_PLAN)
        return tuple(host for host in hosts if bool(host) == plan) or hosts

    def request(
        self,
        secret: Secret,
        endpoint: Endpoint,
        body: bytes,
        headers: Mapping[str, str],
        *,
        model: str = "",
        stream: bool = False,
        host: str = "",
    ) -> UpstreamRequest:
        # Until a test has found its region, a plan's key is taken to the first.
        host = host or self.test_hosts(secret)[0]
        return super().request(
            secret, endpoint, body, headers, model=model, stream=stream, host=host
        )

    def list_models(
        self, secret: Secret, host: str = "", after: str | None = None
    ) -> UpstreamRequest:
        return super().list_models(secret, host or self.test_hosts(secret)[0], after)

    def warnings(self, text: str) -> list[str]:
        # A plan's key is one of Xiaomi's, whatever else its beginning is known for.
        return [] if re.search(self.key_pattern, text) else super().warnings(text)

    def remark(self, secret: Secret, host: str) -> str:
        if not secret.reveal().startswith(_PLAN):
            return ""
        return "It is a Token Plan key: calls draw on the plan's quota."

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        if endpoint is not Endpoint.CHAT:
            return quirks.within(fields, "max_tokens", None, max_output)
        fields = quirks.without(fields, *_UNKNOWN)
        fields = limit_as(fields, "max_completion_tokens", max_output)
        fields = thinking_as_switch(fields, say_on=True)
        # Without it a thinking model refuses the conversation.
        if reasoning_is_lost(fields):
            fields = thinking_off(fields)
        return quirks.no_developer(json_object_for_schema(fields))


PROVIDER = Xiaomi(
    id="xiaomi",
    name="Xiaomi",
    base_url="https://api.xiaomimimo.com/v1",
    hosts={
        "xiaomi-token-plan-sgp": "https://token-plan-sgp.xiaomimimo.com/v1",
        "xiaomi-token-plan-ams": "https://token-plan-ams.xiaomimimo.com/v1",
        "xiaomi-token-plan-cn": "https://token-plan-cn.xiaomimimo.com/v1",
    },
    console_url="https://platform.xiaomimimo.com",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.MESSAGES: f"{BESIDE}/anthropic/v1/messages",
    },
    models_path="/models",
    vendor="xiaomi",
    probes=(
        Probe("mimo-v2.6-flash", {"max_completion_tokens": 1, "thinking": {"type": "disabled"}}),
        Probe("mimo-v2.6-pro", {"max_completion_tokens": 1, "thinking": {"type": "disabled"}}),
    ),
    placeholder="sk-… or tp-…",
    key_pattern=r"^(?:sk|tp)-[A-Za-z0-9]{10,}$",
    key_prefixes=("sk-", _PLAN),
    key_note=(
        "Pay-as-you-go keys (sk-…) draw on your balance, Token Plan keys (tp-…) on the quota of "
        "your plan. Either works here; the test of a plan's key finds out its region."
    ),
    # Either header will do at both of its endpoints.
    auth=Auth("api-key"),
    returns=("retry-after",),
    usage_option=True,
    wants_reasoning=True,
    error_rules=(
        # Also for a key of another plan or region.
        Rule(Outcome.REJECTED, 401, code="invalid_key"),
        # Bursts of a Token Plan are told "funds", an empty account "balance".
        Rule(Outcome.NO_CREDIT, 402, contains="insufficient account"),
        Rule(Outcome.MODEL_MISSING, 400, contains="not supported model"),
        # A model that takes no images, rather than one that is missing. Uncertain: the type.
        Rule(Outcome.BAD_REQUEST, 404, code="not_found"),
        # What may not be talked about.
        Rule(Outcome.BAD_REQUEST, 421),
        # A rate, or the quota of a plan: both alike.
        Rule(Outcome.RATE_LIMITED, 429),
        Rule(Outcome.OVERLOADED, 503),
    ),
)


def token_plan(region: str, place: str) -> Provider:
    """The plan's host of one region, as a provider that is chosen by its name."""
    id_ = f"xiaomi-token-plan-{region}"
    return replace(
        PROVIDER,
        id=id_,
        name=f"Xiaomi Token Plan ({place})",
        base_url=PROVIDER.hosts[id_],
        hosts={},
        direct=True,
        probes=(PROVIDER.probes[0], Probe("mimo-v2-flash", {"max_completion_tokens": 1})),
        placeholder="tp-…",
        key_pattern=r"^tp-[A-Za-z0-9]{10,}$",
        key_prefixes=(_PLAN,),
        key_note="",
    )
