"""The operations of all dialects: what callers send, what providers speak, and what leads where."""

from collections.abc import Mapping
from enum import StrEnum


class Endpoint(StrEnum):
    """An operation of a dialect. For those that we serve, the value is the path below /v1/."""

    CHAT = "chat/completions"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COUNT_TOKENS = "messages/count_tokens"
    COMPLETIONS = "completions"
    FIM = "fim/completions"
    EMBEDDINGS = "embeddings"
    # Spoken upstream only.
    GENERATE_CONTENT = "generateContent"
    INVOKE_MODEL = "invoke"
    CONVERSE = "converse"

    @property
    def label(self) -> str:
        """What people call it."""
        return _LABELS[self]


_LABELS = {
    Endpoint.CHAT: "Chat Completions",
    Endpoint.RESPONSES: "Responses",
    Endpoint.MESSAGES: "Messages",
    Endpoint.COUNT_TOKENS: "Token counting",
    Endpoint.COMPLETIONS: "Completions",
    Endpoint.FIM: "Fill-in-the-middle",
    Endpoint.EMBEDDINGS: "Embeddings",
    Endpoint.GENERATE_CONTENT: "Gemini generateContent",
    Endpoint.INVOKE_MODEL: "Messages over InvokeModel",
    Endpoint.CONVERSE: "Converse",
}


#: What a caller can send to us.
SERVED = tuple(
    endpoint
    for endpoint in Endpoint
    if endpoint not in (Endpoint.GENERATE_CONTENT, Endpoint.INVOKE_MODEL, Endpoint.CONVERSE)
)


_CONVERSATIONS = (
    Endpoint.MESSAGES,
    Endpoint.RESPONSES,
    Endpoint.CHAT,
    Endpoint.GENERATE_CONTENT,
    Endpoint.INVOKE_MODEL,
    Endpoint.CONVERSE,
)
#: Where a request can go that is not understood as it is.
TRANSLATED: Mapping[Endpoint, tuple[Endpoint, ...]] = {
    Endpoint.CHAT: _CONVERSATIONS,
    Endpoint.RESPONSES: _CONVERSATIONS,
    Endpoint.MESSAGES: _CONVERSATIONS,
    Endpoint.COMPLETIONS: (*_CONVERSATIONS, Endpoint.FIM),
}
#: Asked for here and spoken there, a body is the same.
ALIKE = {(Endpoint.MESSAGES, Endpoint.INVOKE_MODEL)}
