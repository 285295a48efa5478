"""Many callers at a time, in all three dialects, who note how their streams end."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

SECONDS = 60

#: The one event that ends a stream well, and the one that ends it with an error.
WELL = {
    "chat/completions": "[DONE]",
    "responses": "response.completed",
    "messages": "message_stop",
}
BADLY = {"chat/completions": "error", "responses": "response.failed", "messages": "error"}


@dataclass
class Heard:
    """What came back for one call. `whole` once the answer has ended as HTTP says it must."""

    endpoint: str
    status: int = 0
    request_id: str = ""
    retry: str = ""
    events: list[str] = field(default_factory=list)
    body: str = ""
    whole: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> str:
        """ "well" or "badly" if the last event, and no other, ends the stream; else what came."""
        endings = {WELL[self.endpoint]: "well", BADLY[self.endpoint]: "badly"}
        found = [endings[event] for event in self.events if event in endings]
        if self.whole and len(found) == 1 and self.events[-1] in endings:
            return found[0]
        return f"whole: {self.whole}, then {self.events[-3:]}"


def body(endpoint: str, prompt: str, **more: Any) -> dict[str, Any]:  # Any: JSON
    said = [{"role": "user", "content": prompt}]
    match endpoint:
        case "messages":
            needed = {"model": "anthropic/claude-sonnet-5", "max_tokens": 100_000, "messages": said}
        case "responses":
            needed = {"model": "openai/gpt-6-luna", "input": prompt}
        case _:
            needed = {"model": "openai/gpt-6-luna", "messages": said}
    return {**needed, "stream": True, **more}


class Crowd:
    """Callers with one token. Each has a connection of its own."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address

    async def call(self, heard: Heard, prompt: str, *, leave: bool = False, **more: Any) -> Heard:
        """One call. With `leave`, the caller hangs up as soon as the answer has begun."""
        url = f"{self._address}/v1/{heard.endpoint}"
        try:
            async with self._session.post(url, json=body(heard.endpoint, prompt, **more)) as reply:
                heard.status = reply.status
                heard.request_id = reply.headers["x-request-id"]
                heard.retry = reply.headers.get("x-should-retry", "")
                async for line in reply.content:
                    if leave:
                        return heard
                    heard.body += line.decode()
                    if line.startswith(b"data: "):
                        heard.events.append(_name(line.removeprefix(b"data: ").strip()))
                        heard.begun.set()
                heard.whole = True
        except aiohttp.ClientError:
            pass  # As `whole` says.
        return heard


def _name(data: bytes) -> str:
    if data == b"[DONE]":
        return "[DONE]"
    event = json.loads(data)
    return event.get("type") or ("error" if "error" in event else "chunk")


Work = Callable[[Crowd], Awaitable[Sequence[Heard]]]


def gather(address: str, token: str, work: Work) -> Sequence[Heard]:
    """What `work` with a crowd at this address comes to."""

    async def run() -> Sequence[Heard]:
        async with aiohttp.ClientSession(
            headers={"authorization": f"Bearer {token}"},
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=SECONDS),
            read_bufsize=2**20,
        ) as session:
            return await work(Crowd(session, address))

    return asyncio.run(run())
