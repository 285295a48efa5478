"""S29: of a provider's error the caller sees our words, or its own bounded and masked.

A provider may repeat whatever it was sent, and more. What it says about the key or the account is
told in our words; what it says about the request keeps its wording, which agents go by.
"""

import base64
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from byok.vault import Secret
from megabrain.simulator.faults import FOREIGN_KEY
from tests.gateway_fixture import AddKey, Agent
from tests.guarantees.canary import Canary
from tests.guarantees.watch import Watch
from tests.guarantees.wire import RawUpstream, json_answer, stream_head

MOST = 8 * 1024
CLASSES = "400 401 402 403 404 429 500 529"
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("sk-proj-", "chat/completions", {"model": "openai/gpt-6-luna"}),
    "responses": ("sk-proj-", "responses", {"model": "openai/gpt-6-luna", "input": "hi"}),
    "messages": (
        "sk-ant-api03-",
        "messages",
        {"model": "anthropic/claude-haiku-4.5", "max_tokens": 99},
    ),
}


def ask(agent: Agent, dialect: str, **more: Any) -> Any:
    _, endpoint, body = CALLS[dialect]
    if dialect != "responses":
        body = {**body, "messages": [{"role": "user", "content": "Count to twenty, please."}]}
    return agent.post(endpoint, {**body, **more})


def provider_of(dialect: str) -> str:
    return "anthropic" if dialect == "messages" else "openai"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", CALLS)
def test_no_error_shows_what_the_provider_repeats(
    watch: Watch, agent: Agent, key: AddKey, dialect: str, stream: bool
):
    canary = Canary(prefix="")
    foreign = Canary("sk-proj-")
    foreign.text = FOREIGN_KEY
    for kind in ("echo", "huge"):
        for fault in [*CLASSES.split(), "error", "lateerror"]:
            secret = f"{CALLS[dialect][0]}sim-{kind}-{fault}-{canary.text}"
            stored = key(provider_of(dialect), secret=Secret(secret))
            answer = watch.hear(ask(agent, dialect, stream=stream))
            stored.delete()
            assert answer.status_code >= 400 or stream, (kind, fault)
            assert len(answer.content) < MOST, (kind, fault)
            assert "<script" not in answer.text, (kind, fault)
            assert "Zx9Zx9" not in answer.text, (kind, fault)
            assert "xxxxxxxxxx" not in answer.text or fault == "400", (kind, fault)
    watch.hear(agent.get(f"requests/{answer.headers['x-request-id']}"))
    assert watch.sightings(canary) == []
    assert "Zx9Zx9" not in watch.caplog.text
    assert len(watch.caplog.text) < 200_000


DISGUISES: list[Callable[[str], str]] = [
    lambda key: key,
    lambda key: f"Bearer {key}",
    lambda key: f'{{"authorization": "Bearer {key}"}}',
    lambda key: key[::-1],
    lambda key: key[20:],
    lambda key: key[20:32],
    lambda key: key.upper()[:5] + key[5:],
    lambda key: base64.b64encode(key.encode()).decode(),
    lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    lambda key: base64.urlsafe_b64encode(f"a{key}".encode()).decode().rstrip("="),
    lambda key: key.encode().hex(),
    lambda key: key.encode().hex().upper(),
    lambda key: quote(key, safe=""),
    lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    lambda key: f"<b>{key}</b>",
    lambda key: f"{key[:22]}<b>{key[22:]}</b>",
    lambda key: "<wbr>".join(key[place : place + 6] for place in range(0, len(key), 6)),
    lambda key: f"no prefix {'<i></i>'.join(key[place : place + 6] for place in range(20, 44, 6))}",
    lambda key: f"{'x ' * 2030}{key}",
    lambda key: f"{'x ' * 2040}{key}",
    lambda key: f"{'x ' * 8180}{key}",
    lambda key: f"{key} " * 200,
]


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_is_masked_in_every_disguise(watch, agent, key, settings, stream):
    canary = Canary("sk-proj-")
    key("openai", secret=Secret(canary.text))
    for number, disguise in enumerate(DISGUISES):
        said = f"Invalid value: {disguise(canary.text)}, sorry"
        error = {"message": said, "type": canary.text, "param": canary.text, "code": canary.text}
        refusal = json.dumps({"error": error, "also": said}).encode()
        with RawUpstream.saying(json_answer(refusal, status="400 Bad Request")) as upstream:
            settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
            answer = watch.hear(ask(agent, "chat", stream=stream))
        assert answer.status_code == 400, number
        assert "Invalid value" in answer.text, number
        assert canary.sightings(answer=answer.content) == [], number
        assert len(answer.content) < MOST, number
    assert watch.sightings(canary) == []


def test_other_peoples_credentials_are_masked(agent, key, settings):
    key("openai")
    for theirs in (
        "sk-ant-api03-" + "Ab1-_" * 18,
        "sk-proj-Zx9Zx9Zx9Zx9Zx9Zx9",
        "fw_Zx9Zx9Zx9Zx9Zx9Zx9Zx9Z",
        "mb-" + "Zx9" * 16,
        "AKIAZX9ZX9ZX9ZX9ZX9Z wJalrXUtnFEMI/K7MDENG/bPxRfiCYZx9Zx9Zx9KEY",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.Zx9Zx9Zx9Zx9",
        "Bearer Zx9Zx9Zx9Zx9",
    ):
        refusal = json.dumps({"error": {"message": f"Not valid: {theirs}."}}).encode()
        with RawUpstream.saying(json_answer(refusal, status="400 Bad Request")) as upstream:
            settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
            answer = ask(agent, "chat")
        assert "Not valid: " in answer.text
        assert "***" in answer.text, theirs
        assert not re.search("Zx9Zx9|Ab1-_Ab1|wJalr", answer.text), theirs


WORDINGS = {
    "messages": """
        prompt is too long: 210000 tokens > 200000 maximum
        max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens
        `temperature` and `top_p` cannot both be specified for this model. Please use only one.
        messages.1.content.0: Invalid `signature` in `thinking` block
        messages.3: `tool_use` ids were found without `tool_result`: toolu_01A09q90qw90lq917835lq9
        messages: roles must alternate between "user" and "assistant", but found 'system'
        thinking.display: Extra inputs are not permitted
        input length and `max_tokens` exceed context limit: 199000 + 32000 > 200000
    """,
    "chat": """
        Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.
        This model's maximum context length is 128000 tokens. However, you requested 130000 tokens.
        The following tool_call_ids had no response messages: call_8tVQDzEO0gUnvqBpq7KZ1x2Yq7KZ1x2Y
        Invalid schema for function 'f': {'a': 1} is not of type 'object'; see a < b && c > d
        Invalid 'messages[1].content': string too long. Expected at most 10485760 characters.
    """,
    "responses": """
        No tool output found for function call call_8tVQDzEO0gUnvqBpq7KZ1x2Y.
        Item 'rs_68a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607' of type 'reasoning' was provided
        Previous response with id 'resp_68a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5' not found.
        Your input exceeds the context window of this model. Please adjust your input.
    """,
}


@pytest.mark.parametrize("dialect", WORDINGS)
def test_the_wordings_that_agents_match_on_survive(agent, key, settings, dialect):
    key(provider_of(dialect))
    for words in map(str.strip, WORDINGS[dialect].strip().splitlines()):
        error = {"type": "invalid_request_error", "message": words}
        refusal = json.dumps({"type": "error", "error": error}).encode()
        with RawUpstream.saying(json_answer(refusal, status="400 Bad Request")) as upstream:
            settings.MEGABRAIN_UPSTREAM_URLS = {provider_of(dialect): upstream.url}
            answer = ask(agent, dialect)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == words
        assert answer.headers["x-should-retry"] == "false"


BEGUN = {
    "chat": b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n',
    "responses": b'event: response.created\ndata: {"type":"response.created","sequence_number":0,'
    b'"response":{"id":"resp_1"}}\n\n',
    "messages": b'event: message_start\ndata: {"type":"message_start","message":{"usage":{}}}\n\n',
}


@pytest.mark.parametrize("dialect", CALLS)
@pytest.mark.parametrize("late", [False, True])
def test_an_error_in_a_stream_is_masked_and_keeps_its_wording(agent, key, settings, dialect, late):
    canary = Canary(f"{CALLS[dialect][0]}")
    key(provider_of(dialect), secret=Secret(canary.text))
    words = f"prompt is too long: 9 tokens > 8 maximum ({canary.text}) <script>alert(1)</script>"
    error = {"type": "invalid_request_error", "message": words, "code": "context_length_exceeded"}
    event = {"type": "error", "error": error, "sequence_number": 1}
    said = f"event: error\ndata: {json.dumps(event)}\n\n".encode()
    with RawUpstream.saying(stream_head(), BEGUN[dialect] if late else b"", said) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {provider_of(dialect): upstream.url}
        answer = ask(agent, dialect, stream=True)
    assert answer.status_code == (200 if late else 400)
    assert "prompt is too long: 9 tokens > 8 maximum" in answer.text
    assert "<script" not in answer.text
    assert canary.sightings(answer=answer.content) == []
    assert len(answer.content) < MOST


@pytest.mark.parametrize("status", ["401 No", "402 Pay", "403 No", "404 No", "429 Wait", "500 Oh"])
def test_what_is_wrong_with_the_key_or_the_account_is_said_in_our_words(
    agent, key, settings, status
):
    stored = key("openai")
    refusal = b'{"error": {"message": "Dear Jane Doe of org-1234, your card ending 4242 expired"}}'
    with RawUpstream.saying(json_answer(refusal, status=status)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        answer = ask(agent, "chat")
    assert not [word for word in ("Jane", "org-1234", "4242") if word in answer.text]
    assert f"OpenAI (key {str(stored.pk)[:8]})" in answer.json()["error"]["message"]
