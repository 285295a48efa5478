"""The wire formats that callers speak, by the endpoint they speak them at."""

from collections.abc import Mapping

from byok.providers.base import Endpoint
from megabrain.gateway.dialects.base import Dialect
from megabrain.gateway.dialects.chat import CHAT
from megabrain.gateway.dialects.messages import COUNT_TOKENS, MESSAGES
from megabrain.gateway.dialects.responses import RESPONSES

__all__ = ["CHAT", "COUNT_TOKENS", "DIALECTS", "MESSAGES", "RESPONSES", "Dialect"]

DIALECTS: Mapping[Endpoint, Dialect] = {
    dialect.endpoint: dialect for dialect in (CHAT, RESPONSES, MESSAGES, COUNT_TOKENS)
}
