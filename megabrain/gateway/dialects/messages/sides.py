"""Both sides of a translation from and to Messages."""

from uuid import UUID

from megabrain.gateway.dialects.base import Ask
from megabrain.gateway.dialects.messages.answers import read_answer, write_answer
from megabrain.gateway.dialects.messages.bodies import body
from megabrain.gateway.dialects.messages.reader import MessagesReader
from megabrain.gateway.dialects.messages.requests import parse
from megabrain.gateway.dialects.messages.writer import MessagesWriter
from megabrain.gateway.dialects.neutral import Answer, Json, Prompt
from megabrain.gateway.dialects.translation import (
    CallerSide,
    ProviderSide,
    Reader,
    Target,
    Told,
    Writer,
)


class MessagesCaller(CallerSide):
    def parse(self, ask: Ask, account_id: UUID) -> Prompt:
        return parse(ask, account_id)

    def answer(self, prompt: Prompt, answer: Answer, told: Told) -> bytes:
        return write_answer(prompt, answer, told)

    def writer(self, prompt: Prompt, told: Told) -> Writer:
        return MessagesWriter(prompt, told)


class MessagesProvider(ProviderSide):
    """At companies that speak Messages; Amazon's InvokeModel takes the same."""

    def request(self, prompt: Prompt, target: Target) -> Json:
        return body(prompt, target)

    def answer(self, body: bytes, target: Target) -> Answer | None:
        return read_answer(body, target.origin)

    def reader(self, target: Target) -> Reader:
        return MessagesReader()


CALLER = MessagesCaller()
PROVIDER = MessagesProvider()
