"""OpenAI Chat Completions, as callers and as providers speak them."""

from megabrain.gateway.dialects.chat.passing import CHAT, openai_error
from megabrain.gateway.dialects.chat.sides import ChatCallers, ChatProviders

__all__ = ["CHAT", "ChatCallers", "ChatProviders", "openai_error"]
