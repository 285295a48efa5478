"""The two shapes in which hosts answer a plain prompt: that of Chat, and that of text completions.

Mistral AI fills in in Chat's shape, DeepSeek and Inception in the other; each caller gets the shape
of the endpoint that was asked. Source: providers.md §§ 5, 6 and 13.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from megabrain.gateway.dialects.translation import Inexpressible

#: Fields that ask for several answers.
SEVERAL = ("n", "best_of")

Json = dict[str, Any]


class Shape(StrEnum):
    CHAT = "chat"
    TEXT = "text"


def only_one(wanted: Mapping[str, object]) -> None:
    """Raises Inexpressible where a field of SEVERAL says anything else, also as no number."""
    for name in SEVERAL:
        if wanted.get(name) not in (None, 1):
            raise Inexpressible(f"This model gives one answer at a time: leave out {name}.", name)


def shaped(answer: Json, shape: Shape, *, stream: bool) -> Json | None:
    """The answer, or chunk, with its choices in this shape; None if they are so already."""
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return None
    if all(isinstance(each, dict) and _has(each, shape) for each in choices):
        return None
    kind = "text_completion"
    if shape is Shape.CHAT:
        kind = "chat.completion.chunk" if stream else "chat.completion"
    changed = [_choice(each, shape, stream=stream) for each in choices if isinstance(each, dict)]
    return {**answer, "object": kind, "choices": changed}


def _has(choice: Json, shape: Shape) -> bool:
    return ("text" in choice) == (shape is Shape.TEXT)


def _choice(choice: Json, shape: Shape, *, stream: bool) -> Json:
    finish, index = choice.get("finish_reason"), choice.get("index", 0)
    text = _text(choice)
    if shape is Shape.TEXT:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
    if stream:
        return {"index": index, "delta": {"content": text}, "finish_reason": finish}
    message = {"role": "assistant", "content": text}
    return {"index": index, "message": message, "finish_reason": finish}


def _text(choice: Json) -> str:
    for holder in (choice, choice.get("delta"), choice.get("message")):
        if isinstance(holder, dict):
            for name in ("text", "content"):
                if isinstance(holder.get(name), str):
                    return str(holder[name])
    return ""
