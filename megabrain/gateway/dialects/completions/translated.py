"""Text completions by models that only converse: the prompt is a message, the answer its text."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec

from megabrain.gateway import sse
from megabrain.gateway.dialects.base import Ask, Unreadable
from megabrain.gateway.dialects.chat.passing import DONE, KEEP_ALIVE, failure_event
from megabrain.gateway.dialects.chat.usage import write_usage
from megabrain.gateway.dialects.completions.shapes import only_one
from megabrain.gateway.dialects.neutral import (
    Answer,
    Ended,
    Event,
    Finish,
    Json,
    Prompt,
    Refusal,
    Started,
    Text,
    TextDelta,
    Turn,
)
from megabrain.gateway.dialects.translation import CallerSide, Inexpressible, Told, Writer
from megabrain.gateway.errors import Problem

_ENCODER = msgspec.json.Encoder()
_FINISH = {
    Finish.LENGTH: "length",
    Finish.CONTEXT_FULL: "length",
    Finish.FILTERED: "content_filter",
}


class _Request(msgspec.Struct):
    """What of a request can be asked of a model that converses. Any: checked below."""

    prompt: Any = None
    suffix: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    user: str | None = None


class CompletionsCallerSide(CallerSide):
    def parse(self, ask: Ask, account_id: UUID) -> Prompt:
        try:
            asked = msgspec.json.decode(ask.body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"The request cannot be read: {error}.") from None
        only_one({"n": asked.n, "best_of": asked.best_of})
        if asked.echo:
            raise Inexpressible("echo is not supported by this model.", "echo")
        if asked.suffix:
            raise Inexpressible("This model cannot fill in before a suffix.", "suffix")
        stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
        return Prompt(
            turns=[Turn("user", [Text(_prompt(asked.prompt))])],
            max_output=asked.max_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p,
            stop=stop,
            user=asked.user,
            stream=ask.stream,
            wants_usage=ask.wants_usage,
        )

    def answer(self, prompt: Prompt, answer: Answer, told: Told) -> bytes:
        text = "".join(block.text for block in answer.blocks if isinstance(block, Text | Refusal))
        choice = _choice(text, _FINISH.get(answer.finish, "stop"))
        usage = {"usage": write_usage(answer.usage)} if answer.usage else {}
        return _ENCODER.encode({**_opening(told), "choices": [choice], **usage})

    def writer(self, prompt: Prompt, told: Told) -> Writer:
        return CompletionsWriter(prompt.wants_usage, told)


class CompletionsWriter(Writer):
    """Chunks of text; a finish reason, perhaps usage, and then [DONE]."""

    def __init__(self, wants_usage: bool, told: Told) -> None:
        self._wants_usage = wants_usage
        self._opening = _opening(told)

    def write(self, events: Iterable[Event]) -> bytes:
        return b"".join(map(self._written, events))

    def _written(self, event: Event) -> bytes:
        match event:
            case Started():
                return self._chunk([_choice("", None)])
            case TextDelta(text):
                return self._chunk([_choice(text, None)])
            case Ended(finish, _, usage):
                out = self._chunk([_choice("", _FINISH.get(finish, "stop"))])
                if usage is not None and self._wants_usage:
                    out += self._chunk([], usage=write_usage(usage))
                return out + DONE
        return b""

    def _chunk(self, choices: list[Json], **more: Json) -> bytes:
        data = _ENCODER.encode({**self._opening, "choices": choices, **more})
        return sse.Event(data.decode()).emit()

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def failure(self, problem: Problem) -> bytes:
        return failure_event(problem)


def _prompt(prompt: object) -> str:
    if isinstance(prompt, str) and prompt.strip():
        return prompt
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        return _prompt(prompt[0])
    if isinstance(prompt, list) and prompt:
        raise Inexpressible("This model takes one prompt of text in a call.", "prompt")
    raise Unreadable("The field prompt must be a string that is not empty.", "prompt")


def _choice(text: str, finish: str | None) -> Json:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}


def _opening(told: Told) -> Json:
    return {
        "id": "cmpl-" + told.request_id.replace("-", ""),
        "object": "text_completion",
        "created": told.created,
        "model": told.model,
    }
