"""Completions of a plain prompt: the older text completions, and fill-in-the-middle."""

from megabrain.gateway.dialects.completions.passing import COMPLETIONS, FIM
from megabrain.gateway.dialects.completions.translated import CompletionsCallerSide

COMPLETIONS_CALLER_SIDE = CompletionsCallerSide()

__all__ = ["COMPLETIONS", "COMPLETIONS_CALLER_SIDE", "FIM"]
