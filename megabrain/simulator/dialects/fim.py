"""Fill-in-the-middle: a prompt and a suffix go in, what belongs between them comes out.

Mistral AI answers in the shape of Chat Completions, others in that of the older text completions.
"""

from collections.abc import Iterator, Mapping

from megabrain.simulator.dialects.chat import CREATED, FINISH_REASONS
from megabrain.simulator.dialects.sse import data, encode
from megabrain.simulator.provider import Provider
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Operation, Reply, Turn, Usage


def read(body: Json, headers: Mapping[str, str], provider: Provider, operation: Operation) -> Turn:
    for name in ("model", "prompt"):
        if not isinstance(body.get(name), str):
            raise bad_request(f"{name}: Field required", param=name)
    model = provider.model(body["model"])
    if not model.fim:
        raise bad_request(f"{model.id} does not support fill-in-the-middle.", param="model")
    limit = body.get("max_tokens")
    if isinstance(limit, int) and not 1 <= limit <= model.output:
        raise bad_request(f"max_tokens must be from 1 to {model.output}.", param="max_tokens")
    provider.check(operation, body, model)
    stop = body.get("stop")
    turn = Turn(
        model=model,
        stream=body.get("stream") is True,
        body=body,
        parts=[encode(body["prompt"]), encode(body.get("suffix"))],
        cacheable=0,
        limit=limit,
        stops=[stop] if isinstance(stop, str) else stop or [],
        prompt=body["prompt"],
    )
    if turn.input_tokens > model.context:
        raise Refused(Case.TOO_LONG)
    return turn


def whole(turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider) -> Json:
    text = "".join(reply.text)
    said = (
        {"text": text, "logprobs": None}
        if provider.fim_is_text
        else {"message": {"role": "assistant", "content": text, "tool_calls": None}}
    )
    choice = {"index": 0, **said, "finish_reason": FINISH_REASONS[reply.finish]}
    return {
        **_opening(turn, number, provider, "chat.completion"),
        "choices": [choice],
        "usage": provider.chat_usage(usage),
    }


def stream(
    turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider
) -> Iterator[bytes]:
    """The last event says why it ended and, without being asked, what it used."""
    opening = _opening(turn, number, provider, "chat.completion.chunk")
    pieces = reply.text or ("",)
    for index, piece in enumerate(pieces):
        last = index == len(pieces) - 1
        said: Json = {"text": piece} if provider.fim_is_text else {"delta": {"content": piece}}
        if index == 0 and not provider.fim_is_text:
            said["delta"] = {"role": "assistant", **said["delta"]}
        finish = FINISH_REASONS[reply.finish] if last else None
        choice = {"index": 0, **said, "finish_reason": finish}
        ending = {"usage": provider.chat_usage(usage)} if last else {}
        yield data({**opening, "choices": [choice], **ending})
    yield b"data: [DONE]\n\n"


def error_event(body: Json, sequence: int) -> bytes:
    return data(body)


def _opening(turn: Turn, number: int, provider: Provider, kind: str) -> Json:
    return {
        "id": f"fim-{number:024x}",
        "object": "text_completion" if provider.fim_is_text else kind,
        "created": CREATED + number,
        "model": turn.model.id,
    }
