"""Responses as a caller's dialect and as a provider's, translated to and from any other."""

from uuid import UUID

from megabrain.gateway.dialects.base import Ask
from megabrain.gateway.dialects.neutral import Answer, Json, Prompt
from megabrain.gateway.dialects.responses import answers, asking, reading, requests
from megabrain.gateway.dialects.responses.reader import ResponsesReader
from megabrain.gateway.dialects.responses.streams import ResponsesWriter
from megabrain.gateway.dialects.translation import (
    CallerSide,
    ProviderSide,
    Reader,
    Target,
    Told,
    Writer,
)


class ResponsesCaller(CallerSide):
    """Reads what callers of Responses send, and answers them."""

    def parse(self, ask: Ask, account_id: UUID) -> Prompt:
        return requests.parse(ask, account_id)

    def answer(self, prompt: Prompt, answer: Answer, told: Told) -> bytes:
        return answers.answer(prompt, answer, told)

    def writer(self, prompt: Prompt, told: Told) -> Writer:
        return ResponsesWriter(prompt, told)


class ResponsesProvider(ProviderSide):
    """Asks a provider that speaks Responses, and reads its answers."""

    def request(self, prompt: Prompt, target: Target) -> Json:
        return asking.request(prompt, target)

    def answer(self, body: bytes, target: Target) -> Answer | None:
        return reading.answer(body)

    def reader(self, target: Target) -> Reader:
        return ResponsesReader()


CALLER = ResponsesCaller()
PROVIDER = ResponsesProvider()
