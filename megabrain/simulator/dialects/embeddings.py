"""Embeddings: texts go in, vectors come out. The same text always has the same one."""

import base64
import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from megabrain.simulator.dialects.sse import data, encode
from megabrain.simulator.provider import Provider
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Operation, Reply, Turn, Usage

_DIMENSIONS = 8


def read(body: Json, headers: Mapping[str, str], provider: Provider, operation: Operation) -> Turn:
    if "model" not in body:
        raise bad_request("you must provide a model parameter", param="model")
    model = provider.model(body["model"])
    if model.only is not operation:
        raise bad_request(f"{model.id} makes no embeddings.", param="model")
    texts = _texts(body.get("input"))
    if not texts:
        raise bad_request("'input' is a required property", param="input")
    provider.check(operation, body, model)
    turn = Turn(model=model, stream=False, parts=[*map(encode, texts)], cacheable=0, body=body)
    if turn.input_tokens > model.context:
        raise Refused(Case.TOO_LONG)
    return turn


def whole(turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider) -> Json:
    wanted = turn.body.get("dimensions") or turn.body.get("output_dimension") or _DIMENSIONS
    packed = turn.body.get("encoding_format") == "base64"
    vectors = [_vector(text, wanted) for text in _texts(turn.body["input"])]
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(each) if packed else each}
            for index, each in enumerate(vectors)
        ],
        "model": turn.model.id,
        "usage": {"prompt_tokens": usage.input, "total_tokens": usage.input},
    }


def stream(
    turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider
) -> Iterator[bytes]:
    raise bad_request("Embeddings are not streamed.")


def error_event(body: Json, sequence: int) -> bytes:
    return data(body)


def _texts(given: Any) -> list[Any]:
    """The texts, or the lists of tokens, that are to be embedded."""
    if isinstance(given, list) and given and not isinstance(given[0], int):
        return given
    return [given] if given else []


def _vector(text: Any, dimensions: int) -> list[float]:
    digest = hashlib.sha256(encode(text)).digest()
    return [digest[index % len(digest)] / 255 for index in range(dimensions)]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
