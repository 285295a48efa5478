"""Tokens as Messages tells them: cached ones apart from the input, as we do, thinking as output."""

from megabrain.gateway.dialects.neutral import Json
from megabrain.gateway.metering import Usage, count


def read_usage(said: Json) -> Usage:
    """What an answer or an event of a stream says."""
    parts = [said]
    rounds = said.get("iterations")
    if isinstance(rounds, list):
        kinds = [each.get("type") for each in rounds if isinstance(each, dict)]
        if "fallback_message" not in kinds:
            # The totals leave out what was spent on compacting the conversation.
            found = [
                each
                for each in rounds
                if isinstance(each, dict) and each.get("type") in ("message", "compaction")
            ]
            parts = found or parts
    written = sum(count(part, "cache_creation_input_tokens") for part in parts)
    for_an_hour = sum(count(part, "cache_creation", "ephemeral_1h_input_tokens") for part in parts)
    return Usage(
        input_tokens=sum(count(part, "input_tokens") for part in parts),
        cache_read_tokens=sum(count(part, "cache_read_input_tokens") for part in parts),
        cache_write_tokens=written,
        cache_write_long_tokens=min(for_an_hour, written),
        output_tokens=sum(count(part, "output_tokens") for part in parts),
        reasoning_tokens=count(said, "output_tokens_details", "thinking_tokens"),
    )


class UsageSoFar:
    """The usage of a stream: later figures are totals and replace earlier ones."""

    __slots__ = ("_said", "usage")

    def __init__(self) -> None:
        self._said: Json = {}
        self.usage: Usage | None = None

    def note(self, said: object) -> None:
        if isinstance(said, dict):
            self._said.update({name: value for name, value in said.items() if value is not None})
            self.usage = read_usage(self._said)


def write_usage(usage: Usage | None) -> Json:
    """All of it, which strict readers want; zeros where nothing is known."""
    usage = usage or Usage()
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens - usage.cache_write_long_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_long_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
