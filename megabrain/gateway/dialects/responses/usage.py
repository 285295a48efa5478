"""How Responses tells what an answer used, and how it is read."""

from typing import Any

from megabrain.gateway.dialects.neutral import Json
from megabrain.gateway.metering import Usage, count

_WRITTEN_BY_LIFETIME = ("input_tokens_details", "cache_write_tokens_details")


# Any: an answer is whatever JSON the provider sent.
def usage_of(answer: dict[str, Any] | None) -> Usage | None:
    """What a response object says it used."""
    said = answer.get("usage") if answer else None
    if not isinstance(said, dict):
        return None
    read = count(said, "input_tokens_details", "cached_tokens")
    return Usage.inclusive(
        prompt=count(said, "input_tokens"),
        # Perplexity's name for it.
        read=read or count(said, "input_tokens_details", "cache_read_input_tokens"),
        write=count(said, "input_tokens_details", "cache_write_tokens"),
        write_long=count(said, *_WRITTEN_BY_LIFETIME, "ttl_12h_tokens"),
        output=count(said, "output_tokens"),
        reasoning=count(said, "output_tokens_details", "reasoning_tokens"),
    )


def told(usage: Usage | None) -> Json:
    """The usage of a response object, whole even where nothing is known: strict clients refuse an
    answer that lacks one of these numbers."""
    usage = usage or Usage()
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": prompt + usage.output_tokens,
    }
