"""Mistral AI's official SDK, and what is asked with it, of the simulator and of the gateway."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mistralai.client import Mistral

CHATS, FILLS_IN = "mistral-medium-latest", "codestral-2508"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
CITIES = [{"city": "Paris"}, {"city": "Zürich"}]


@contextmanager
def sdk(address: str, key: str) -> Iterator[Any]:
    """A client that adds /v1 to the address itself.

    Any: tests read what came back as it is, without the unions of the SDK's types in between.
    """
    with Mistral(api_key=key, server_url=address, timeout_ms=20_000) as client:
        yield client


def check_chat(client: Any, model: str = CHATS) -> None:
    """An answer in one piece and streamed, and a turn with tools and their results."""
    asked = {"model": model, "messages": [{"role": "user", "content": "say: Grüße 🌍"}]}
    whole = client.chat.complete(**asked)
    assert whole.choices[0].message.content == "Grüße 🌍"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens > 0

    chunks = [event.data for event in client.chat.stream(**asked)]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "Grüße 🌍"
    check_tools(client, model)


def check_tools(client: Any, model: str) -> None:
    prompt = "\n".join(f"call: get_weather {json.dumps(city)}" for city in CITIES)
    messages: list[Any] = [{"role": "user", "content": prompt}]
    choice = client.chat.complete(model=model, messages=messages, tools=TOOLS).choices[0]
    calls = choice.message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == CITIES
    assert choice.finish_reason == "tool_calls"

    results = [
        {"role": "tool", "tool_call_id": call.id, "name": "get_weather", "content": f"{degrees} °C"}
        for call, degrees in zip(calls, (21, 4), strict=True)
    ]
    messages += [choice.message, *results]
    after = client.chat.complete(model=model, messages=messages, tools=TOOLS)
    assert "21 °C; 4 °C" in after.choices[0].message.content


def check_filling_in(client: Any, model: str = FILLS_IN) -> None:
    asked = {"model": model, "prompt": "say: pong", "suffix": "\n", "max_tokens": 64}
    assert client.fim.complete(**asked).choices[0].message.content == "pong"
    chunks = [event.data for event in client.fim.stream(**asked)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "pong"
