"""Text completions, the oldest dialect of OpenAI: a prompt goes in, what follows it comes out.

Answers have the shape that fill-in-the-middle has at the companies that answer it as text.
"""

from collections.abc import Mapping

from megabrain.simulator.dialects.fim import error_event, stream, whole
from megabrain.simulator.dialects.sse import encode
from megabrain.simulator.provider import Provider
from megabrain.simulator.refusals import Case, Refused, bad_request
from megabrain.simulator.turn import Json, Operation, Turn

__all__ = ["error_event", "read", "stream", "whole"]


def read(body: Json, headers: Mapping[str, str], provider: Provider, operation: Operation) -> Turn:
    if "model" not in body:
        raise bad_request("model: Field required", param="model")
    model = provider.model(body["model"])
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise bad_request("prompt: one string is required", param="prompt")
    if refused := [name for name in body if name in provider.refused_fields]:
        raise bad_request(f"Unsupported parameter: '{refused[0]}'", param=refused[0])
    limit = body.get("max_tokens")
    if isinstance(limit, int) and not 1 <= limit <= model.output:
        raise bad_request(f"max_tokens must be from 1 to {model.output}.", param="max_tokens")
    provider.check(operation, body, model)
    stop = body.get("stop")
    turn = Turn(
        model=model,
        stream=body.get("stream") is True,
        body=body,
        parts=[encode(prompt)],
        cacheable=0,
        limit=limit,
        stops=[stop] if isinstance(stop, str) else stop or [],
        prompt=prompt,
    )
    if turn.input_tokens > model.context:
        raise Refused(Case.TOO_LONG)
    return turn
