"""Converse, Bedrock's dialect for the models of all companies. It is spoken upstream only.

contents.py   a conversation as messages and content blocks
families.py   what the families of models take differently
requests.py   the body
answers.py    whole answers and streams
"""

from megabrain.gateway.dialects.converse.answers import ConverseReader, read_answer
from megabrain.gateway.dialects.converse.requests import request
from megabrain.gateway.dialects.neutral import Answer, Json, Prompt
from megabrain.gateway.dialects.translation import ProviderSide, Reader, Target


class ConverseUpstream(ProviderSide):
    """Converse and ConverseStream, as Bedrock speaks them."""

    def request(self, prompt: Prompt, target: Target) -> Json:
        return request(prompt, target)

    def answer(self, body: bytes, target: Target) -> Answer | None:
        return read_answer(body)

    def reader(self, target: Target) -> Reader:
        return ConverseReader()


CONVERSE = ConverseUpstream()
