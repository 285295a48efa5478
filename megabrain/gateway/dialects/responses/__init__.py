"""OpenAI Responses."""

from megabrain.gateway.dialects.responses.passing import RESPONSES
from megabrain.gateway.dialects.responses.sides import CALLER, PROVIDER

__all__ = ["CALLER", "PROVIDER", "RESPONSES"]
