"""S29: no provider's error shows a key, whichever company it is, passed through or translated; and
reasoning that somebody else made, or that was tampered with, reaches nobody."""

import base64
import json
from itertools import cycle
from typing import Any
from uuid import uuid4

import pytest

from byok.models import Offering
from byok.providers import PROVIDERS
from byok.providers.base import Endpoint
from byok.providers.credentials import secret_parts
from megabrain.gateway import envelope
from megabrain.gateway.dialects.neutral import Origin, Reasoning
from megabrain.gateway.masking import presentable
from megabrain.simulator.faults import FOREIGN_KEY
from megabrain.simulator.providers import sample_keys
from tests.gateway.test_eventstream import event, frame
from tests.gateway_fixture import Agent
from tests.guarantees.test_s29_errors_are_bounded_and_masked import MOST
from tests.guarantees.watch import Watch
from tests.guarantees.wire import RawUpstream, head, json_answer

SAMPLES = sample_keys()
EACH = [name for name in PROVIDERS if name in SAMPLES]
CALLERS = ("chat/completions", "messages", "responses")
FAULTS = ("400", "401", "402", "429", "500", "error", "lateerror")


def body_for(caller: str, model: str, **more: Any) -> dict[str, Any]:
    words = "Count to twenty, please."
    asked = {"input": words} if caller == "responses" else {"messages": [_user(words)]}
    return {"model": model, "max_tokens": 99, **asked, **more}


def _user(words: str) -> dict[str, Any]:
    return {"role": "user", "content": words}


def model_of(provider: str) -> str:
    conversing = {
        Endpoint.CHAT, Endpoint.MESSAGES, Endpoint.RESPONSES, Endpoint.GENERATE_CONTENT,
        Endpoint.CONVERSE, Endpoint.INVOKE_MODEL,
    }  # fmt: skip
    for offering in Offering.objects.filter(provider=provider).order_by("pk"):
        if conversing & set(offering.endpoints or conversing):
            return str(offering.model_id)
    raise AssertionError(f"{provider} offers no model that converses.")


def shown(secret: str, text: str, provider: str = "") -> list[str]:
    """Eight characters in a row of the middle of a secret, wherever the text has some. The name of
    the provider, which is a part of some sample keys, is none."""
    inner = [part[8:-4] for part in secret_parts(secret)]
    slices = [part[at : at + 8] for part in inner for at in range(len(part) - 7)]
    return [each for each in slices if each in text and each not in provider]


@pytest.mark.parametrize("provider", EACH)
def test_no_error_of_any_provider_shows_its_key(watch: Watch, agent: Agent, key, provider):
    model, callers = model_of(provider), cycle(CALLERS)
    for kind, fault in (*(("echo", fault) for fault in FAULTS), ("huge", "400"), ("huge", "500")):
        stored = key(provider, f"{kind}-{fault}")
        secret = stored.secret.unseal().reveal()
        for stream in (False, True):
            caller = next(callers)
            body = body_for(caller, model, stream=stream)
            answer = watch.hear(agent.post(caller, body))
            assert answer.status_code >= 400 or stream, (caller, kind, fault)
            assert "rror" in answer.text, (caller, kind, fault)
            assert len(answer.content) < MOST, (caller, kind, fault)
            assert "<script" not in answer.text, (caller, kind, fault)
            assert FOREIGN_KEY not in answer.text, (caller, kind, fault)
            assert shown(secret, answer.text, provider) == [], (caller, kind, fault)
            record = agent.get(f"requests/{answer.headers['x-request-id']}").text
            seen = shown(secret, record + watch.caplog.text, provider)
            assert seen == [], (caller, kind, fault)
        stored.delete()


BEGUN = event("messageStart", b'{"role":"assistant"}') + event(
    "contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"a"}}'
)


@pytest.mark.parametrize("late", [False, True])
def test_an_exception_in_amazons_frames_is_masked(agent, key, settings, late):
    stored = key("bedrock")
    secret = stored.secret.unseal().reveal()
    parts = json.loads(secret)
    words = f"Input is too long ({parts}) <script>alert(1)</script>\r\ndata: [DONE]\r\n\r\n"
    exception = {":message-type": "exception", ":exception-type": "validationException"}
    said = frame(exception, json.dumps({"message": words}).encode())
    first = head("HTTP/1.1 200 OK", "Content-Type: application/vnd.amazon.eventstream")
    with RawUpstream.saying(first, BEGUN if late else b"", said) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"bedrock": upstream.url}
        for caller in CALLERS:
            answer = agent.post(caller, body_for(caller, "amazon/nova-pro-v1", stream=True))
            assert answer.status_code == (200 if late else 400)
            assert "too long" in answer.text
            assert "<script" not in answer.text
            assert "\ndata: [DONE]\r" not in answer.text
            assert shown(secret, answer.text) == []


def test_an_error_inside_an_answer_is_masked(agent, key, settings):
    secret = key("minimax").secret.unseal().reveal()
    for number, told in ((1004, False), (2013, True)):
        words = f"Refused because of {secret} <b>now</b>"
        said = {"base_resp": {"status_code": number, "status_msg": words}, "choices": None}
        with RawUpstream.saying(json_answer(json.dumps(said).encode())) as upstream:
            settings.MEGABRAIN_UPSTREAM_URLS = {"minimax": upstream.url}
            for caller in CALLERS:
                answer = agent.post(caller, body_for(caller, "minimax/minimax-m3"))
                assert answer.status_code >= 400
                assert ("Refused because of" in answer.text) is told, answer.text
                assert "<b>" not in answer.text
                assert shown(secret, answer.text) == []


def test_the_details_of_googles_errors_are_masked(agent, key, settings):
    secret = key("google").secret.unseal().reveal()
    for status, reason, told in (("400 Bad", "API_KEY_INVALID", False), ("400 Bad", "X", True)):
        details = [
            {"reason": reason, "metadata": {"key": secret}, "message": secret},
            {"@type": "x", "detail": f"[ORIGINAL ERROR] {secret}"},
        ]
        error = {"code": 400, "message": f"Not so ({secret})", "status": "INVALID_ARGUMENT"}
        said = json.dumps({"error": {**error, "details": details}}).encode()
        with RawUpstream.saying(json_answer(said, status=status)) as upstream:
            settings.MEGABRAIN_UPSTREAM_URLS = {"google": upstream.url}
            for caller in CALLERS:
                answer = agent.post(caller, body_for(caller, "google/gemini-3.5-flash"))
                assert answer.status_code >= 400
                assert ("Not so" in answer.text) is told
                assert "ORIGINAL ERROR" not in answer.text
                assert shown(secret, answer.text) == []


def test_in_a_large_request_only_some_words_are_looked_for():
    """Or an error full of them would have all of it searched, hundreds of times."""
    words = [f"sk-{number:09}" for number in range(300)]
    said = " ".join(words)
    assert presentable(said, None, said) == said
    shown = presentable(said, None, said + " " * 30_000_000)
    assert words[0] in shown
    assert words[-1] not in shown


# Reasoning --------------------------------------------------------------------------------------

SECRET_THOUGHT = "a thought of somebody else"


def envelopes(account_id: Any, origin: Origin) -> dict[str, str]:
    """What may come back in the place of reasoning, none of which is this key's."""
    native = {"type": "thinking", "thinking": SECRET_THOUGHT, "signature": "their-signature"}
    thought = Reasoning(SECRET_THOUGHT, "anthropic", native, origin)
    elsewhere = Reasoning(SECRET_THOUGHT, "anthropic", native, Origin("anthropic", "k", "other"))
    own = envelope.seal(account_id, thought)
    raw = base64.urlsafe_b64decode(own[4:] + "==")
    flipped = raw[:-1] + bytes([raw[-1] ^ 1])
    return {
        "another account's": envelope.seal(uuid4(), thought),
        "of another key": envelope.seal(account_id, elsewhere),
        "tampered": envelope.PREFIX + base64.urlsafe_b64encode(flipped).decode(),
        "cut": own[:-8],
        "empty": envelope.PREFIX,
        "no base64": envelope.PREFIX + "\u00e9 \0\r\n",
        "enormous": envelope.PREFIX + "A" * 5_000_000,
        "twice": envelope.PREFIX + own,
    }


def conversation(caller: str, seal: str) -> dict[str, Any]:
    if caller == "responses":
        thought = {"type": "reasoning", "summary": [], "encrypted_content": seal}
        answer = {"type": "message", "role": "assistant", "content": "yes"}
        return {"input": [_user("hi"), thought, answer, _user("go on")]}
    if caller == "messages":
        blocks: list[dict[str, Any]] = [
            {"type": "thinking", "thinking": "t", "signature": seal},
            {"type": "redacted_thinking", "data": seal},
            {"type": "text", "text": "yes"},
        ]
        said = {"role": "assistant", "content": blocks}
        return {"messages": [_user("hi"), said, _user("go on")]}
    details = [
        {"type": "reasoning.text", "text": "t", "signature": seal, "index": 0},
        {"type": "reasoning.encrypted", "data": seal, "index": 1},
    ]
    said = {"role": "assistant", "content": "yes", "reasoning_details": details}
    return {"messages": [_user("hi"), said, _user("go on")]}


@pytest.mark.parametrize("caller", CALLERS)
def test_reasoning_of_somebody_else_reaches_nobody(agent, account, key, simulator, caller):
    """Neither opened nor in its envelope, to a provider of whatever dialect."""
    stored = key("anthropic")
    key("openai")
    key("google")
    models = ("anthropic/claude-haiku-4.5", "openai/gpt-6-luna", "google/gemini-3.5-flash")
    origin = Origin("anthropic", str(stored.pk), "claude-haiku-4-5-20251001")
    for name, seal in envelopes(account.pk, origin).items():
        for model in models:
            body = {"model": model, **conversation(caller, seal)}
            if caller == "messages":
                body["max_tokens"] = 99
            answer = agent.post(caller, body)
            assert answer.status_code == 200, (name, model, answer.text)
            sent = simulator.calls[-1].body.decode()
            assert envelope.PREFIX not in sent, (name, model)
            assert SECRET_THOUGHT not in sent, (name, model)
            assert "their-signature" not in sent, (name, model)
            assert SECRET_THOUGHT not in answer.text, (name, model)
