"""Embeddings: texts go in, a vector of numbers for each comes out."""

import base64
import struct
from typing import Any

import msgspec

from byok.providers.base import Endpoint
from megabrain.gateway.dialects.base import Ask, Dialect, Events, decoded
from megabrain.gateway.dialects.chat.passing import openai_error
from megabrain.gateway.errors import Problem
from megabrain.gateway.metering import Usage, count

_ENCODER = msgspec.json.Encoder()


class Embeddings(Dialect):
    endpoint = Endpoint.EMBEDDINGS
    answer_fields = ("data",)

    def read(self, body: bytes) -> Ask:
        ask = super().read(body)
        ask.stream = False
        return ask

    def answered(self, ask: Ask, answer: bytes) -> bytes:
        """OpenAI's SDK asks for base64 unless told otherwise; not every provider knows of that."""
        if bytes(ask.fields.get("encoding_format", b"")) != b'"base64"':
            return answer
        said = decoded(answer)
        found = said.get("data") if said else None
        if said is None or not isinstance(found, list) or not any(map(_is_plain, found)):
            return answer
        packed = [
            {**each, "embedding": _packed(each["embedding"])} if _is_plain(each) else each
            for each in found
        ]
        return _ENCODER.encode({**said, "data": packed})

    def error(self, problem: Problem, request_id: str) -> bytes:
        return openai_error(self, problem)

    def usage(self, answer: bytes) -> Usage | None:
        said = decoded(answer)
        if said is None or not isinstance(said.get("usage"), dict):
            return None
        return Usage(input_tokens=count(said, "usage", "prompt_tokens"))

    def events(self, ask: Ask) -> Events:
        # Its answers are never streamed; what a silence needs is the same as elsewhere.
        return _NoEvents()


class _NoEvents(Events):
    __slots__ = ()

    def plain(self, block: bytes) -> bool:
        return False

    def read(self, event: object, raw: bytes) -> bytes:
        return b""

    def ending(self) -> bytes | None:
        return None

    def keep_alive(self) -> bytes:
        return b""

    def failure(self, problem: Problem) -> bytes:
        return b""


# Any: one entry of whatever JSON the provider sent.
def _is_plain(each: Any) -> bool:
    vector = each.get("embedding") if isinstance(each, dict) else None
    return isinstance(vector, list) and all(isinstance(number, int | float) for number in vector)


def _packed(vector: list[float]) -> str:
    """Little-endian 32-bit numbers in base64, as OpenAI packs them."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


EMBEDDINGS = Embeddings()
