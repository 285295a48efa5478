"""Anthropic Messages, and the counting of their tokens."""

from megabrain.gateway.dialects.messages.passing import COUNT_TOKENS, MESSAGES
from megabrain.gateway.dialects.messages.sides import CALLER, PROVIDER

__all__ = ["CALLER", "COUNT_TOKENS", "MESSAGES", "PROVIDER"]
