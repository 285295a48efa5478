"""The two sides of Chat Completions in a translation."""

from uuid import UUID

from megabrain.gateway.dialects.base import Ask
from megabrain.gateway.dialects.chat import answers, parsing, reader, shapes, writing
from megabrain.gateway.dialects.chat.reader import ChatReader
from megabrain.gateway.dialects.chat.writer import ChatWriter
from megabrain.gateway.dialects.neutral import Answer, Json, Prompt
from megabrain.gateway.dialects.translation import (
    CallerSide,
    ProviderSide,
    Reader,
    Target,
    Told,
    Writer,
)


class ChatCallers(CallerSide):
    """Callers of Chat, of whom some send what belongs to Responses, which `responses` reads."""

    def __init__(self, responses: CallerSide) -> None:
        self._responses = responses

    def parse(self, ask: Ask, account_id: UUID) -> Prompt:
        if not shapes.is_responses(ask.fields):
            return parsing.parse(ask, account_id)
        prompt = self._responses.parse(ask, account_id)
        parsing.add_chat_fields(ask, prompt)
        return prompt

    def answer(self, prompt: Prompt, answer: Answer, told: Told) -> bytes:
        return answers.whole(prompt, answer, told)

    def writer(self, prompt: Prompt, told: Told) -> Writer:
        return ChatWriter(prompt, told)


class ChatProviders(ProviderSide):
    """Hosts of Chat, of which there are many."""

    def request(self, prompt: Prompt, target: Target) -> Json:
        return writing.request(prompt, target)

    def answer(self, body: bytes, target: Target) -> Answer | None:
        return reader.answer(body, target)

    def reader(self, target: Target) -> Reader:
        return ChatReader(target)
