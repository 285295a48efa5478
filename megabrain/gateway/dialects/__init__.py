"""The wire formats that callers and providers speak, by the endpoint they speak them at."""

from collections.abc import Mapping
from uuid import UUID

from byok.providers.base import Endpoint
from megabrain.gateway.dialects.base import (
    MAX_VALUES,
    Ask,
    Dialect,
    Unreadable,
    too_many_parts,
)
from megabrain.gateway.dialects.chat import CHAT, ChatCallers, ChatProviders
from megabrain.gateway.dialects.completions import COMPLETIONS, COMPLETIONS_CALLER_SIDE, FIM
from megabrain.gateway.dialects.converse import CONVERSE
from megabrain.gateway.dialects.counting import CountingCaller
from megabrain.gateway.dialects.embeddings import EMBEDDINGS
from megabrain.gateway.dialects.gemini import GEMINI, GEMINI_COUNTING
from megabrain.gateway.dialects.messages import CALLER as MESSAGES_CALLER
from megabrain.gateway.dialects.messages import COUNT_TOKENS, MESSAGES
from megabrain.gateway.dialects.messages import PROVIDER as MESSAGES_PROVIDER
from megabrain.gateway.dialects.neutral import Prompt
from megabrain.gateway.dialects.responses import CALLER as RESPONSES_CALLER
from megabrain.gateway.dialects.responses import PROVIDER as RESPONSES_PROVIDER
from megabrain.gateway.dialects.responses import RESPONSES
from megabrain.gateway.dialects.translation import CallerSide, ProviderSide

__all__ = [
    "CALLER_SIDES",
    "CHAT",
    "COUNT_TOKENS",
    "DIALECTS",
    "MESSAGES",
    "PROVIDER_SIDES",
    "RESPONSES",
    "Dialect",
    "parsed",
]

DIALECTS: Mapping[Endpoint, Dialect] = {
    dialect.endpoint: dialect
    for dialect in (CHAT, RESPONSES, MESSAGES, COUNT_TOKENS, COMPLETIONS, FIM, EMBEDDINGS)
}

#: Who reads the requests that cannot pass through, and writes the answers to them.
CALLER_SIDES: Mapping[Endpoint, CallerSide] = {
    Endpoint.CHAT: ChatCallers(RESPONSES_CALLER),
    Endpoint.RESPONSES: RESPONSES_CALLER,
    Endpoint.MESSAGES: MESSAGES_CALLER,
    Endpoint.COUNT_TOKENS: CountingCaller(),
    Endpoint.COMPLETIONS: COMPLETIONS_CALLER_SIDE,
}
_TOO_MANY_PARTS = (
    f"The body has too many values to be translated for another provider: {MAX_VALUES:,} at most."
)
#: Who writes such requests for a provider, and reads its answers.
PROVIDER_SIDES: Mapping[Endpoint, ProviderSide] = {
    Endpoint.CHAT: ChatProviders(),
    Endpoint.RESPONSES: RESPONSES_PROVIDER,
    Endpoint.MESSAGES: MESSAGES_PROVIDER,
    Endpoint.INVOKE_MODEL: MESSAGES_PROVIDER,
    Endpoint.GENERATE_CONTENT: GEMINI,
    Endpoint.COUNT_TOKENS: GEMINI_COUNTING,
    Endpoint.CONVERSE: CONVERSE,
}


def parsed(endpoint: Endpoint, ask: Ask, account_id: UUID) -> Prompt:
    """A request at this endpoint in neutral terms. Raises Unreadable and Inexpressible."""
    if too_many_parts(ask.body):
        raise Unreadable(_TOO_MANY_PARTS)
    return CALLER_SIDES[endpoint].parse(ask, account_id)
