"""What goes over the wire: the requests of the load and the canned answers of the upstream.

The prompt says how long and how fast a stream is, in the simulator's words.
"""

import json
import re
from dataclasses import dataclass

#: It takes tools at Chat Completions, so that both bodies pass through.
MODEL = "openai/gpt-4.1"


@dataclass(frozen=True)
class Spoken:
    """What the load speaks, and what it counts in whatever frame a proxy puts it."""

    path: str
    model: str
    #: One in each event of a stream, before its content.
    event: bytes
    #: In the terminal event.
    end: bytes


CHAT = Spoken("/v1/chat/completions", MODEL, b'"content":"', b"data: [DONE]")
MESSAGES = Spoken(
    "/v1/messages", "moonshotai/kimi-k3", b'"text_delta","text":"', b'"type":"message_stop"'
)
#: The moment of sending (CLOCK_MONOTONIC, which all processes share), always as long.
TIMESTAMP = b"%017.6f"
TIMESTAMP_LENGTH = 17

_ANSWER = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1_750_000_000,
    "model": "gpt-4.1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "It is as you say. " * 20},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120},
}
_CHUNK = {
    "id": "chatcmpl-bench",
    "object": "chat.completion.chunk",
    "created": 1_750_000_000,
    "model": "gpt-4.1",
}


def call_body(prompt: str) -> bytes:
    return json.dumps(
        {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 200}
    ).encode()


def _conversation(size: int) -> bytes:
    """What an agent sends after a while: tools, and turns full of source code."""
    code = (
        'def say(what: str) -> dict[str, str]:\n    return {"said": what, "end": "\\n"}\n\n\n' * 25
    )
    turns: list[dict[str, str]] = []
    while size > len(json.dumps(turns)) + 16_000:
        turns += [{"role": "user", "content": code}, {"role": "assistant", "content": "Done."}]
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    tools = [
        {
            "type": "function",
            "function": {
                "name": f"tool_{number}",
                "description": "Does it. " * 50,
                "parameters": schema,
            },
        }
        for number in range(24)
    ]
    body = {
        "model": MODEL,
        "tools": tools,
        "messages": [*turns, {"role": "user", "content": "Go on."}],
    }
    return json.dumps(body).encode()


#: The list of models as agents ask for it, by what they get.
LISTS = {
    "whole": {"accept-encoding": "identity"},
    "gzip": {"accept-encoding": "gzip"},
    "unchanged": {"if-none-match": "*"},
}

SMALL = call_body("Say that it is as I say, please, and nothing else.")
LARGE = _conversation(200 * 1024)


def stream_body(events: int, pace: float, spoken: Spoken = CHAT) -> bytes:
    own = {"stream_options": {"include_usage": True}} if spoken is CHAT else {"max_tokens": 4096}
    return json.dumps(
        {
            "model": spoken.model,
            "messages": [{"role": "user", "content": f"stream: {events} events at {pace:g}/s"}],
            "stream": True,
            **own,
        }
    ).encode()


_ASKED = re.compile(rb"stream: (\d+) events at ([\d.]+)/s")


def asked_stream(body: bytes) -> tuple[int, float] | None:
    """Events and events a second, if the body asks for a stream."""
    found = _ASKED.search(body)
    return (int(found[1]), float(found[2])) if found else None


def request(body: bytes, host: str, headers: dict[str, str], path: str = CHAT.path) -> bytes:
    """A whole HTTP request, written once and sent many times."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {host}",
        "content-type: application/json",
        "accept: application/json",
        "user-agent: bench",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def fetch(host: str, headers: dict[str, str], path: str) -> bytes:
    """The same for what is fetched without a body."""
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", "user-agent: bench"]
    lines += (f"{name}: {value}" for name, value in headers.items())
    return "\r\n".join([*lines, "", ""]).encode()


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(chunk: dict[str, object]) -> bytes:
    return b"data: " + json.dumps({**_CHUNK, **chunk}, separators=(",", ":")).encode() + b"\n\n"


def _choice(delta: dict[str, str], reason: str | None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


_BODY = json.dumps(_ANSWER).encode()
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"x-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n"
)
_BEFORE, _AFTER = _event(_choice({"content": "@"}, None)).split(b"@")
_SIZE = len(_BEFORE) + TIMESTAMP_LENGTH + len(_AFTER)
_TEMPLATE = b"%x\r\n" % _SIZE + _BEFORE + TIMESTAMP + _AFTER + b"\r\n"
STREAM_END = (
    _framed(_event(_choice({}, "stop")) + _event({"choices": [], "usage": _ANSWER["usage"]}))
    + _framed(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


def framed_event(now: float) -> bytes:
    """One event of a stream, in the frame of its chunk."""
    return _TEMPLATE % now
