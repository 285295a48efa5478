"""S30: whatever a provider sends, a translated answer is read without a fault and has one end."""

import json
from itertools import cycle
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byok.providers import PROVIDERS
from byok.providers.base import Endpoint
from megabrain.gateway.dialects import CALLER_SIDES, DIALECTS, PROVIDER_SIDES
from megabrain.gateway.dialects.base import Ask, Unreadable
from megabrain.gateway.dialects.neutral import Origin, Prompt
from megabrain.gateway.dialects.translation import (
    Inexpressible,
    Target,
    Told,
    TranslatedEvents,
)
from megabrain.gateway.eventstream import BadFrame, FrameSplitter
from megabrain.gateway.sse import Event, EventTooLong, Splitter, split
from tests.gateway.test_eventstream import event, frame, sealed
from tests.guarantees.provider_answers import (
    ODD,
    STREAMS,
    WHOLES,
    places,
    spoiled,
    spoiled_each,
    wire,
)
from tests.guarantees.wire import RawUpstream, stream_head

CALLERS = (Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.MESSAGES, Endpoint.COMPLETIONS)
#: A provider of each dialect, and what it calls a model.
PROVIDER = {
    Endpoint.CHAT: ("openai", "gpt-6-luna"),
    Endpoint.RESPONSES: ("openai", "gpt-6-luna"),
    Endpoint.MESSAGES: ("anthropic", "claude-haiku-4-5"),
    Endpoint.GENERATE_CONTENT: ("google", "gemini-3.5-flash"),
    Endpoint.CONVERSE: ("bedrock", "amazon.nova-pro-v1:0"),
}
TERMINAL = {
    Endpoint.CHAT: (b"data: [DONE]",),
    Endpoint.COMPLETIONS: (b"data: [DONE]",),
    Endpoint.RESPONSES: tuple(
        b"event: response." + end for end in (b"completed", b"incomplete", b"failed")
    ),
    Endpoint.MESSAGES: (b"event: message_stop",),
}
DEEP = "[" * 100_000 + "]" * 100_000
BAD_JSON = ("null", "[]", "1", '"x"', "\ufffd", "{", "", f'{{"a":{DEEP}}}', '{"type":"' + "x" * 9)

few = settings(max_examples=150, deadline=None, derandomize=True)


def origin(spoken: Endpoint) -> Origin:
    provider, model = PROVIDER[spoken]
    return Origin(provider, "key", model)


def target(spoken: Endpoint) -> Target:
    provider, model = PROVIDER[spoken]
    return Target(
        provider=PROVIDERS[provider],
        upstream_model=model,
        model=f"some/{model}",
        origin=origin(spoken),
        max_output=64_000,
        capabilities=("tools", "reasoning"),
    )


def told(spoken: Endpoint) -> Told:
    return Told(
        account_id=UUID(int=7),
        request_id="0b9e8ac1-1111-2222-3333-444455556666",
        model="some/model",
        created=1_790_000_000,
        origin=origin(spoken),
    )


def ask(caller: Endpoint, **more: Any) -> Ask:
    words = {"prompt": "a", "input": "a", "messages": [{"role": "user", "content": "a"}]}
    name = {Endpoint.RESPONSES: "input", Endpoint.COMPLETIONS: "prompt"}.get(caller, "messages")
    body = {"model": "m", "max_tokens": 99, "stream": True, name: words[name], **more}
    return DIALECTS[caller].read(json.dumps(body).encode())


PROMPTS: dict[Endpoint, Prompt] = {
    caller: CALLER_SIDES[caller].parse(ask(caller), UUID(int=7)) for caller in CALLERS
}


def translated(spoken: Endpoint, caller: Endpoint, stream: bytes, size: int = 0) -> bytes:
    """What the caller gets of a stream that comes in pieces of so many bytes. It has one terminal
    event if the answer came to its end, and else none yet: then the relay says what is wrong."""
    reader = PROVIDER_SIDES[spoken].reader(target(spoken))
    events = TranslatedEvents(reader, CALLER_SIDES[caller].writer(PROMPTS[caller], told(spoken)))
    splitter, size = Splitter(), size or len(stream) or 1
    out = b""
    for at in range(0, len(stream), size):
        out += events.forward(splitter.feed(stream[at : at + size]))
    if events.error is None and not events.finished:
        end = events.ending()
        events.finished = end is not None
        out += end or b""
    ends = sum(out.count(end) for end in TERMINAL[caller])
    assert ends == int(events.finished), (spoken, caller)
    assert not events.finished or out.rstrip(b"\n").rpartition(b"\n\n")[2].startswith(
        TERMINAL[caller]
    )
    return out


@pytest.mark.parametrize("spoken", STREAMS)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_stream_may_be_cut_anywhere(spoken, caller):
    stream = wire(STREAMS[spoken])
    whole = translated(spoken, caller, stream)
    assert TERMINAL[caller][0] in whole
    for size in (1, 2, 3, 7, 100):
        cut = translated(spoken, caller, stream, size)
        # Envelopes are never the same twice.
        assert len(cut) == len(whole)
    for end in range(0, len(stream), 11):
        translated(spoken, caller, stream[:end])
        translated(spoken, caller, stream[:end] + b"\n\n")


@pytest.mark.parametrize("spoken", STREAMS)
def test_anything_may_stand_anywhere_in_a_stream(spoken):
    events, callers = STREAMS[spoken], cycle(CALLERS)
    for at, (name, data) in enumerate(events):
        for odd in spoiled_each(data):
            stream = wire([*events[:at], (name, odd), *events[at + 1 :]])
            translated(spoken, next(callers), stream)


@pytest.mark.parametrize("spoken", STREAMS)
def test_what_is_no_json_object_is_no_fault(spoken):
    events = STREAMS[spoken]
    for name in {name for name, _ in events} | {"error", "unknown"}:
        for bad in BAD_JSON:
            for caller in CALLERS:
                translated(spoken, caller, wire([*events[:3], (name, bad), *events[3:]]))
    raw = wire(events)
    for odd in (b"\0", b"\xff\xfe", b"\r", b"data: \xc3\n\n", b"event\n\n", b"data\n\n", b"\n\n\n"):
        for caller in CALLERS:
            translated(spoken, caller, raw[: len(raw) // 2] + b"\n\n" + odd + b"\n\n" + raw)


@few
@given(st.data())
def test_events_in_any_order_any_number_of_times_have_one_end(data):
    spoken, caller = data.draw(st.sampled_from(list(STREAMS))), data.draw(st.sampled_from(CALLERS))
    events = data.draw(st.lists(st.sampled_from(STREAMS[spoken]), max_size=30))
    translated(spoken, caller, wire(events))
    # And all of them after the end.
    translated(spoken, caller, wire([*STREAMS[spoken], *events]))


@pytest.mark.parametrize("spoken", WHOLES)
def test_anything_may_stand_anywhere_in_an_answer(spoken):
    side, callers, read = PROVIDER_SIDES[spoken], cycle(CALLERS), 0
    bodies = [json.dumps(odd).encode() for odd in spoiled_each(WHOLES[spoken])]
    bodies += [bad.encode() for bad in BAD_JSON] + [b"\xff", b'{"choices":"\xff"}']
    for body in bodies:
        answer = side.answer(body, target(spoken))
        if answer is not None:
            caller = next(callers)
            json.loads(CALLER_SIDES[caller].answer(PROMPTS[caller], answer, told(spoken)))
            read += 1
    assert read > len(bodies) // 2


# Passed through ---------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.MESSAGES])
def test_whoever_only_follows_a_stream_is_no_less_tolerant(caller):
    dialect, events = DIALECTS[caller], STREAMS[caller]
    streams = [
        wire([*events[:at], (name, odd), *events[at + 1 :]])
        for at, (name, data) in enumerate(events)
        for odd in spoiled_each(data)
    ]
    names = {name for name, _ in events} | {"error"}
    streams += [wire([*events[:2], (name, bad), *events[2:]]) for name in names for bad in BAD_JSON]
    for stream in streams:
        follower = dialect.events(ask(caller))
        follower.forward(stream)
        follower.ending()
    for odd in spoiled_each(WHOLES[caller]):
        body = json.dumps(odd).encode()
        if dialect.sound(body):
            dialect.usage(body)


def test_text_that_is_no_utf8_passes_through_as_it_came(agent, key, settings):
    key("openai")
    odd = b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe\xc3"}}]}\n\n'
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    with RawUpstream.saying(stream_head(), odd, end) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        body = {"model": "openai/gpt-6-luna", "messages": [], "stream": True}
        assert agent.post("chat/completions", body).content == odd + end
        # And is read as far as it can be where it is translated.
        asked = {"model": "openai/gpt-4.1", "max_tokens": 99, "stream": True}
        asked["messages"] = [{"role": "user", "content": "hi"}]
        answer = agent.post("messages", asked)
    assert answer.status_code == 200
    assert "\ufffd" in answer.content.decode()
    assert answer.text.count("event: message_stop\n") == 1


# Amazon's frames --------------------------------------------------------------------------------


@few
@given(st.binary(max_size=60), st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_no_bytes_are_a_fault_of_the_frames_reader(noise, length, at):
    good = event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"a"}}')
    for stream in (
        noise,
        good + noise,
        good[:at] + noise + good[at:],
        length.to_bytes(4, "big") + good[4:],
        good[:4] + length.to_bytes(4, "big") + good[8:],
        sealed(noise, noise, total=length or None),
    ):
        for size in (1, len(stream) or 1):
            splitter = FrameSplitter()
            try:
                for place in range(0, len(stream), size):
                    splitter.feed(stream[place : place + size])
            except EventTooLong:
                pass  # BadFrame is one, too.


def test_frames_of_a_hostile_name_or_payload_are_one_event_each():
    deep = f'{{"x":{DEEP}}}'.encode()
    for name in ("a\r\ndata: x", "chunk", "messageStart", "\0", "é" * 60, ""):
        for payload in (deep, b'{"bytes":5}', b'{"bytes":"\xff"}', b"\r\n\r\ndata: x\n\n", b"\0"):
            for kind in ("event", "exception", "error"):
                headers = {":message-type": kind, ":event-type": name, ":exception-type": name}
                try:
                    block = FrameSplitter().feed(frame(headers, payload))
                except BadFrame:
                    continue
                found = [Event.parse(raw) for raw in split(block)]
                assert len(found) <= 1
                assert all(each and each.name in (name, "error", "") for each in found)


# Requests ---------------------------------------------------------------------------------------

REQUESTS: dict[Endpoint, list[Any]] = {
    Endpoint.CHAT: [
        {
            "role": "user",
            "content": [{"type": "text", "text": "a", "cache_control": {"ttl": "1h"}}],
        },
        {
            "role": "assistant",
            "content": "a",
            "reasoning_details": [{"type": "reasoning.text", "text": "a", "signature": "mb1.a"}],
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "r"}]},
    ],
    Endpoint.RESPONSES: [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "reasoning", "summary": [{"text": "a"}], "encrypted_content": "mb1.a"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "x", "text": "r"}]},
        {"type": "additional_tools", "tools": [{"type": "function", "name": "f"}]},
    ],
    Endpoint.MESSAGES: [
        {
            "role": "user",
            "content": [{"type": "text", "text": "a", "cache_control": {"ttl": "1h"}}],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "a", "signature": "mb1.a"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": []}]},
    ],
}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "enum": ["x"]}},
    "required": ["a"],
    "anyOf": [{"properties": {"b": {}}, "required": ["b"]}],
    "additionalProperties": False,
}
TOOLS: dict[Endpoint, Any] = {
    Endpoint.CHAT: {"type": "function", "function": {"name": "f", "parameters": SCHEMA}},
    Endpoint.RESPONSES: {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True},
    Endpoint.MESSAGES: {"name": "f", "input_schema": SCHEMA, "strict": True},
}


@pytest.mark.parametrize("caller", REQUESTS)
def test_anything_may_stand_anywhere_in_a_request(caller):
    """It is sent as far as it makes sense, or refused with what is wrong."""
    field, spoken = "input" if caller is Endpoint.RESPONSES else "messages", cycle(PROVIDER)
    items, tool = REQUESTS[caller], TOOLS[caller]
    bodies: list[dict[str, Any]] = [
        {field: [*items[:at], odd, *items[at + 1 :]], "tools": [tool]}
        for at, item in enumerate(items)
        for odd in spoiled_each(item)
    ]
    bodies += [{"tools": [odd], field: items} for odd in spoiled_each(tool)]
    bodies += [
        {field: items, name: odd}
        for name in ("tools", "tool_choice", "metadata", "thinking", "reasoning", "text", "stop")
        for odd in (*ODD, "[" * 100_000)
    ]
    bodies.append({field: items, "metadata": {"user_id": "[" * 100_000}})
    for body in bodies:
        side = PROVIDER_SIDES[(at := next(spoken))]
        try:
            side.request(CALLER_SIDES[caller].parse(ask(caller, **body), UUID(int=7)), target(at))
        except (Unreadable, Inexpressible):
            continue


def test_anything_may_stand_in_what_a_company_adapts():
    for provider in PROVIDERS.values():
        for caller in provider.endpoints.keys() & REQUESTS.keys():
            field = "input" if caller is Endpoint.RESPONSES else "messages"
            items = REQUESTS[caller]
            for at, item in enumerate(items):
                for number, path in enumerate(places(item)):
                    odd = spoiled(item, path, ODD[(number * 7 + at) % len(ODD)])
                    fields = ask(caller, **{field: [*items[:at], odd, *items[at + 1 :]]}).fields
                    provider.adapt(caller, "a-model", fields, 100)
