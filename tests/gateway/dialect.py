"""The three dialects as a caller speaks them: what is sent, and what an answer says."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests

from byok.models import ProviderKey
from tests.gateway_fixture import AddKey, Agent

Json = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """What an error says, wherever it stood in the answer."""

    code: str
    kind: str
    message: str


@dataclass(frozen=True)
class Event:
    """One event with data. Chat's [DONE] has None as its data."""

    name: str
    data: Json | None


@dataclass(frozen=True)
class Dialect:
    """A dialect with a provider and a model that speak it."""

    name: str
    path: str
    provider: str
    model: str

    def __str__(self) -> str:
        return self.name

    def body(self, prompt: str = "say: pong", *, stream: bool = False, model: str = "") -> Json:
        said = [{"role": "user", "content": prompt}]
        content: Json = {"input": prompt} if self.name == "responses" else {"messages": said}
        limit = {"max_tokens": 8000} if self.name == "messages" else {}
        return {"model": model or self.model, **content, **limit, "stream": stream}

    def error(self, response: requests.Response) -> Told:
        """The error of an answer in one piece, which must have the exact shape."""
        assert response.headers["content-type"] == "application/json"
        body = response.json()
        if self.name == "messages":
            assert set(body) == {"type", "error", "request_id"}
            assert body["request_id"] == response.headers["request-id"]
        else:
            assert set(body) == {"error"}
        return self._told(body)

    def text(self, answer: Json) -> str:
        """What the model said, of an answer in one piece."""
        if self.name == "chat":
            return str(answer["choices"][0]["message"]["content"])
        blocks = answer["content"] if self.name == "messages" else _output(answer)
        return "".join(block["text"] for block in blocks)

    def stream(self, body: bytes) -> "Stream":
        return Stream(self, body)

    def ask(self, agent: Agent, prompt: str, *, stream: bool = False, retries: int = 0) -> Any:
        """The same with the official SDK; a stream is read to its end."""
        body = self.body(prompt, stream=stream)
        # Any: the SDKs have an overload for each combination of their fields.
        create: Any
        if self.name == "messages":
            create = agent.anthropic.with_options(max_retries=retries).messages.create
        else:
            client = agent.openai.with_options(max_retries=retries)
            chat = self.name == "chat"
            create = client.chat.completions.create if chat else client.responses.create
        answer = create(**body)
        return list(answer) if stream else answer

    def _told(self, body: Json) -> Told:
        error = body["error"]
        if self.name == "messages":
            assert body["type"] == "error"
            assert set(error) == {"type", "message", "details"}
            return Told(error["details"]["error_code"], error["type"], error["message"])
        assert set(error) == {"message", "type", "param", "code"}
        return Told(error["code"], error["type"], error["message"])

    def event_error(self, data: Json) -> Told:
        """The error of a stream's last event."""
        if self.name == "responses":
            assert data["response"]["status"] == "failed"
            error = data["response"]["error"]
            return Told(error["code"], "", error["message"])
        assert "choices" not in data
        return self._told(data)


class Stream:
    """A stream as it came, checked against the rules of its dialect."""

    def __init__(self, dialect: Dialect, body: bytes) -> None:
        self._dialect = dialect
        blocks = body.decode().split("\n\n")
        assert blocks.pop() == "", "the stream ends within an event"
        self.comments = [block for block in blocks if block.startswith(":")]
        self.events = [_event(block) for block in blocks if not block.startswith(":")]
        if dialect.name == "responses":
            numbers = [event.data["sequence_number"] for event in self.events if event.data]
            assert numbers == list(range(len(numbers)))
        if dialect.name != "chat":
            assert all(event.data and event.name == event.data["type"] for event in self.events)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    @property
    def endings(self) -> list[Event]:
        """Every event that ends a stream; there must be one, and nothing after it."""
        return [event for event in self.events if self._ends(event)]

    @property
    def text(self) -> str:
        return "".join(_deltas(self.events))

    @property
    def error(self) -> Told:
        """The error event that is the one ending."""
        assert self.endings == self.events[-1:]
        (ending,) = self.endings
        assert ending.data is not None
        return self._dialect.event_error(ending.data)

    @property
    def complete(self) -> bool:
        """Whether it ends once, and well."""
        (ending,) = self.endings
        assert ending is self.events[-1]
        return ending.data is None or ending.name in {"message_stop", "response.completed"}

    def _ends(self, event: Event) -> bool:
        if event.data is None or "error" in event.data:
            return True
        return event.name in {
            "message_stop",
            "error",
            "response.completed",
            "response.incomplete",
            "response.failed",
        }


def _event(block: str) -> Event:
    name, data = "", ""
    for line in block.splitlines():
        field, _, value = line.partition(": ")
        name, data = (value, data) if field == "event" else (name, value)
    return Event(name, None if data == "[DONE]" else json.loads(data))


def _deltas(events: Iterable[Event]) -> Iterable[str]:
    for event in events:
        data = event.data or {}
        if event.name == "response.output_text.delta":
            yield data["delta"]
        elif event.name == "content_block_delta":
            yield data["delta"].get("text", "")
        elif data.get("choices"):
            yield data["choices"][0]["delta"].get("content") or ""


def _output(answer: Json) -> list[Json]:
    return [
        part for item in answer["output"] if item["type"] == "message" for part in item["content"]
    ]


CHAT = Dialect("chat", "chat/completions", "openai", "openai/gpt-6-luna")
RESPONSES = Dialect("responses", "responses", "openai", "openai/gpt-6-luna")
MESSAGES = Dialect("messages", "messages", "anthropic", "anthropic/claude-haiku-5.5")
DIALECTS = (CHAT, RESPONSES, MESSAGES)


def add_keys(key: AddKey, word: str = "ok") -> dict[Dialect, ProviderKey]:
    """A key for each dialect; two of them are served by the same one."""
    added = {provider: key(provider, word) for provider in ("openai", "anthropic")}
    return {dialect: added[dialect.provider] for dialect in DIALECTS}


def post_all(
    agent: Agent, prompt: str = "say: pong", *, stream: bool = False
) -> dict[Dialect, requests.Response]:
    """The same in all dialects at once, for most of it is waiting."""

    def post(dialect: Dialect) -> requests.Response:
        return agent.post(dialect.path, dialect.body(prompt, stream=stream))

    with ThreadPoolExecutor(len(DIALECTS)) as pool:
        return dict(zip(DIALECTS, pool.map(post, DIALECTS), strict=True))
