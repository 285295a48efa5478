"""Gemini's generateContent, as Google AI Studio speaks it. It is spoken upstream only.

contents.py   a conversation as contents and parts
requests.py   the body, and that of countTokens
thinking.py   how much each generation of models can be made to think
answers.py    whole answers and streams
"""

from megabrain.gateway.dialects.gemini.answers import GeminiReader, read_answer
from megabrain.gateway.dialects.gemini.requests import count_request, counted, request
from megabrain.gateway.dialects.neutral import Answer, Finish, Json, Prompt
from megabrain.gateway.dialects.translation import ProviderSide, Reader, Target
from megabrain.gateway.metering import Usage

__all__ = ["GEMINI", "GEMINI_COUNTING"]


class Gemini(ProviderSide):
    """Writes requests of generateContent, and reads their answers."""

    def request(self, prompt: Prompt, target: Target) -> Json:
        return request(prompt, target)

    def answer(self, body: bytes, target: Target) -> Answer | None:
        return read_answer(body)

    def reader(self, target: Target) -> Reader:
        return GeminiReader()


class GeminiCounting(Gemini):
    """Asks countTokens, whose answer is an input without an output."""

    def request(self, prompt: Prompt, target: Target) -> Json:
        return count_request(prompt, target)

    def answer(self, body: bytes, target: Target) -> Answer | None:
        tokens = counted(body)
        if tokens is None:
            return None
        return Answer(blocks=[], finish=Finish.END, usage=Usage(input_tokens=tokens))


GEMINI = Gemini()
GEMINI_COUNTING = GeminiCounting()
