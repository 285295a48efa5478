"""How many tokens a Messages request has, for callers who ask ahead of a call.

Anthropic counts its own, Gemini those of a translated request; for everybody else it is a guess,
rounded up, for agents decide by it when to shorten a conversation. (Bedrock counts, too, but by a
permission that keys made for calls do not have.)
"""

import math
from uuid import UUID

import msgspec

from megabrain.gateway.dialects.base import Ask
from megabrain.gateway.dialects.messages import CALLER
from megabrain.gateway.dialects.neutral import (
    Answer,
    Block,
    Document,
    Image,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from megabrain.gateway.dialects.translation import CallerSide, Told, Writer

BYTES_PER_TOKEN = 3.5
FOR_A_MESSAGE = 4
#: What a picture of ordinary size costs at most providers, whatever its bytes.
FOR_AN_IMAGE = 1600
_ENCODER = msgspec.json.Encoder()


class CountingCaller(CallerSide):
    """Callers of count_tokens. Their answers are never streamed."""

    def parse(self, ask: Ask, account_id: UUID) -> Prompt:
        return CALLER.parse(ask, account_id)

    def answer(self, prompt: Prompt, answer: Answer, told: Told) -> bytes:
        counted = answer.usage.input_tokens if answer.usage else count_tokens(prompt)
        return _ENCODER.encode({"input_tokens": counted})

    def writer(self, prompt: Prompt, told: Told) -> Writer:
        return CALLER.writer(prompt, told)


def count_tokens(prompt: Prompt) -> int:
    """The tokens of everything the model would read."""
    counted = sum(len(block.text.encode()) for block in prompt.system)
    images = 0
    for turn in prompt.turns:
        for block in turn.blocks:
            length, pictures = _size(block)
            counted += length
            images += pictures
    for tool in prompt.tools:
        counted += len(_ENCODER.encode((tool.name, tool.description, tool.parameters)))
    messages = len(prompt.turns) + bool(prompt.system)
    return math.ceil(counted / BYTES_PER_TOKEN) + FOR_A_MESSAGE * messages + FOR_AN_IMAGE * images


def _size(block: Block) -> tuple[int, int]:
    """Bytes of text, and pictures."""
    match block:
        case Text(text) | Refusal(text) | Reasoning(text):
            return len(text.encode()), 0
        case Image():
            return 0, 1
        case Document():
            # Of base64 three quarters are the file's bytes, of which the text is about a quarter.
            return len(block.text.encode()) + len(block.data) * 3 // 16, 0
        case ToolCall():
            return len(block.name.encode()) + len(block.arguments.encode()), 0
        case ToolResult():
            sizes = [_size(inner) for inner in block.blocks]
            return sum(size for size, _ in sizes), sum(pictures for _, pictures in sizes)
