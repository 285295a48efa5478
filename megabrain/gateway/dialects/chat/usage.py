"""What Chat answers say that they used, read and written.

The prompt counts what was read from and written to a cache. Hosts agree on the main names and each
has its own for the rest: DeepSeek's `prompt_cache_hit_tokens`, Moonshot's `cached_tokens`,
Inception's `cached_input_tokens` and `reasoning_tokens`, Mistral's `num_cached_tokens`; Moonshot
also puts all of it inside the first choice. (providers.md § 0.3 and those companies' sections.)
"""

from megabrain.gateway.dialects.neutral import Json
from megabrain.gateway.metering import Usage, count

#: Where the tokens read from a cache are, the usual place first.
_READ = (
    ("prompt_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),
    ("cached_tokens",),
    ("cached_input_tokens",),
    ("num_cached_tokens",),
)
_REASONING = (("completion_tokens_details", "reasoning_tokens"), ("reasoning_tokens",))


def read_usage(answer: Json | None, *, reasoning_apart: bool = False) -> Usage | None:
    """The usage in an answer or a chunk, or None where it has none.

    `reasoning_apart` says that the host's count of the output leaves reasoning out.
    """
    if answer is None:
        return None
    said = answer.get("usage")
    if not isinstance(said, dict):
        choices = answer.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        said = first.get("usage") if isinstance(first, dict) else None
    if not isinstance(said, dict):
        return None
    output, reasoning = count(said, "completion_tokens"), _first(said, _REASONING)
    return Usage.inclusive(
        prompt=count(said, "prompt_tokens"),
        read=_first(said, _READ),
        write=count(said, "prompt_tokens_details", "cache_write_tokens"),
        output=output + reasoning if reasoning_apart else output,
        reasoning=reasoning,
    )


def write_usage(usage: Usage) -> Json:
    """OpenAI's names and, for Roo Code, Anthropic's for the cache (clients.md § 7.4)."""
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    prompt = usage.input_tokens + read + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
    }


def _first(said: Json, places: tuple[tuple[str, ...], ...]) -> int:
    return next((found for place in places if (found := count(said, *place))), 0)
