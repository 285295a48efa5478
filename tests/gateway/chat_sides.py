"""Both sides of Chat Completions by themselves: what they are given, and what they make of it."""

import json
from typing import Any
from uuid import UUID

from byok.providers import PROVIDERS
from byok.providers.base import Endpoint
from megabrain.gateway.dialects import CALLER_SIDES, CHAT, PROVIDER_SIDES
from megabrain.gateway.dialects.base import Ask
from megabrain.gateway.dialects.neutral import (
    CallDelta,
    CallStarted,
    Ended,
    Event,
    Failed,
    Origin,
    Prompt,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Turn,
)
from megabrain.gateway.dialects.translation import Target, Told
from megabrain.gateway.sse import Event as ServerSentEvent
from megabrain.gateway.sse import Splitter, split

Json = dict[str, Any]
ACCOUNT = UUID(int=7)
STRANGER = UUID(int=8)
PARIS, ROME = '{"city":"Paris"}', '{"city":"Rome"}'
CALLERS, HOSTS = CALLER_SIDES[Endpoint.CHAT], PROVIDER_SIDES[Endpoint.CHAT]


def target(provider: str = "openai", **more: Any) -> Target:
    return Target(
        provider=PROVIDERS[provider],
        upstream_model="m",
        model="some/model",
        origin=Origin(provider, "key", "m"),
        capabilities=("tools", "reasoning"),
        **more,
    )


TOLD = Told(
    account_id=ACCOUNT,
    request_id="0b9e8ac1-1111-2222-3333-444455556666",
    model="some/model",
    created=1_790_000_000,
    origin=Origin("anthropic", "key", "claude"),
)


def ask(body: Json) -> Ask:
    return CHAT.read(json.dumps({"model": "some/model", **body}).encode())


def parsed(body: Json) -> Prompt:
    return CALLERS.parse(ask(body), ACCOUNT)


def turns(*messages: Json, **more: Any) -> list[Turn]:
    return parsed({"messages": list(messages), **more}).turns


def fed(wire: bytes, size: int, provider: str = "openai") -> list[Event]:
    """What the reader makes of a stream that arrives in pieces of so many bytes."""
    reader, splitter = HOSTS.reader(target(provider)), Splitter()
    out: list[Event] = []
    for start in range(0, len(wire), size):
        for raw in split(splitter.feed(wire[start : start + size])):
            event = ServerSentEvent.parse(raw)
            if event and event.data and not (out and isinstance(out[-1], Ended | Failed)):
                out += reader.read(event)
    return out if out and isinstance(out[-1], Ended | Failed) else out + reader.end()


def told(events: list[Event]) -> Json:
    """What events amount to."""
    found: Json = {"text": "", "refusal": "", "reasoning": "", "calls": {}}
    for event in events:
        match event:
            case TextDelta(text):
                found["text"] += text
            case RefusalDelta(text):
                found["refusal"] += text
            case ReasoningDelta(text):
                found["reasoning"] += text
            case CallStarted(index, call_id, name):
                found["calls"][index] = [call_id, name, ""]
            case CallDelta(index, text):
                found["calls"][index][2] += text
            case Ended():
                found |= {"finish": event.finish, "usage": event.usage}
            case Failed():
                found["failed"] = True
    return found


def chunk(delta: Json | None, finish: str | None = None, **more: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "choices": [choice], **more}


def call(index: int | None = None, **function: Any) -> Json:
    """A piece of a tool call; `id` is that of the call."""
    call_id = function.pop("id", None)
    place = {} if index is None else {"index": index}
    named = {} if call_id is None else {"id": call_id}
    return {**place, **named, "type": "function", "function": function}


def choices(wire: bytes) -> list[Json]:
    events = [ServerSentEvent.parse(raw) for raw in split(wire)]
    found = [json.loads(event.data) for event in events if event and event.data != "[DONE]"]
    return [choice for each in found for choice in each["choices"]]
