"""An overlong prompt in the words of Anthropic, by which Claude Code compacts a conversation.

It looks for `prompt is too long: N tokens > M maximum` and for nothing else, but where the prompt
is short enough for a shorter answer: then it asks for that. Every provider has a wording of its
own, most of them with one or both of the numbers in it.
"""

import re

from megabrain.gateway.metering import BYTES_PER_TOKEN

_SAID = re.compile(
    r"prompt is too long: \d+ tokens > \d+ maximum"
    r"|input length and `max_tokens` exceed context limit: \d+ \+ \d+ > \d+"
)
#: Neither a part of a model's name nor of a fraction.
_NUMBER = re.compile(r"(?<![\w.,-])\d{1,3}(?:,\d{3})+(?![\w,-])|(?<![\w.,-])\d+(?![\w-])")
#: What is smaller is an error's code, or counts something else: no context is as short.
_SMALLEST = 4096


def in_anthropics_words(message: str, request_bytes: int, context: int | None) -> str:
    """What a Messages caller is told. `context` is the model's, where that is known.

    A number that the provider does not give is ours: the context of the model, and what so many
    bytes usually are in tokens.
    """
    if _SAID.search(message):
        return message
    found = [int(text.replace(",", "")) for text in _NUMBER.findall(message)]
    # Where there are more, the others are the parts that make up the first two.
    numbers = [number for number in found if number >= _SMALLEST][:2]
    if context is not None and len(numbers) < 2 and all(number > context for number in numbers):
        numbers.append(context)
    if not numbers:
        return f"prompt is too long: {message}"
    maximum, tokens = min(numbers), max(numbers)
    if tokens == maximum:
        tokens = max(maximum + 1, request_bytes // BYTES_PER_TOKEN)
    return f"prompt is too long: {tokens} tokens > {maximum} maximum"
