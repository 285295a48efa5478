"""What a call used, in one form whatever the dialect, and what that is worth.

Tokens are disjoint: `input_tokens` were neither read from a prompt cache nor written to it. Only
`reasoning_tokens` are part of another count, the output, and so are `cache_write_long_tokens`, to
be kept for an hour or longer, of the cache writes. Which dialect counts what where is decided by
the dialect that was spoken upstream, never by which field happens to be filled.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from billing.prices import cost_micros, price_in_force
from byok.catalogue.memory import Offer

#: For the calls whose provider reported nothing: the usual length of a token of English or code.
BYTES_PER_TOKEN = 4
#: No count of a single call comes near this; a larger one is a broken answer.
LARGEST = 10**10


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `estimated` when the provider did not report them, or not all."""

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_long_tokens: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        """All tokens. No answer takes none, so a report of none is not one."""
        prompt = self.input_tokens + self.cache_read_tokens + self.cache_write_tokens
        return prompt + self.output_tokens

    @classmethod
    def inclusive(
        cls,
        *,
        prompt: int,
        read: int,
        write: int,
        output: int,
        reasoning: int,
        write_long: int = 0,
    ) -> Self:
        """Of an answer whose prompt count includes cached tokens, as OpenAI's dialects do."""
        read = min(read, prompt)
        write = min(write, prompt - read)
        reasoning, write_long = min(reasoning, output), min(write_long, write)
        return cls(prompt - read - write, read, write, output, reasoning, write_long)


def count(holder: Any, *path: str) -> int:
    """The number at this path of a decoded answer, and 0 for whatever is not a sound count."""
    # Any: the holder is whatever JSON the provider sent.
    for name in path:
        if not isinstance(holder, dict):
            return 0
        holder = holder.get(name)
    sound = isinstance(holder, int) and not isinstance(holder, bool)
    return min(max(holder, 0), LARGEST) if sound else 0


def estimate(
    prompt_tokens: int, output_tokens: int, known: Usage | None, context: int | None
) -> Usage:
    """What a call used at a guess, keeping what the provider did report before it broke off.

    The prompt is no longer than the model's context, however many pictures the request held.
    """
    if known:
        output = max(known.output_tokens, output_tokens)
        if known.input_tokens + known.cache_read_tokens + known.cache_write_tokens:
            return replace(known, output_tokens=output, estimated=True)
    prompt = min(prompt_tokens, context or prompt_tokens)
    return Usage(prompt, output_tokens=output_tokens, estimated=True)


def market_micros(offer: Offer | None, usage: Usage, at: datetime) -> int:
    """What the call costs at the provider's list price, in micro-dollars; 0 when it has none."""
    if offer is None:
        return 0
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    price = price_in_force(offer.prices, at, prompt)
    return cost_micros(price, usage) if price else 0
