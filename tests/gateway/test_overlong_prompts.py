"""A prompt that is too long for the model, in every wording there is, as each caller needs it.

Claude Code compacts the conversation at Anthropic's wording and at no other, Codex and OpenAI's
clients at a code. The bodies are those of tests/byok/provider_cases.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from byok.models import CatalogModel, Offering
from tests.gateway.dialect import DIALECTS, MESSAGES, RESPONSES
from tests.gateway.raw_upstream import raw_upstream

CASES = {
    f"{file.stem}-{number}": (file.stem, case)
    for file in sorted((Path(__file__).parent.parent / "byok" / "provider_cases").glob("*.json"))
    for number, case in enumerate(json.loads(file.read_text()))
    # A rule that many hosts share has no provider of its own; 413 is about bytes.
    if case["too_long"] and case["status"] != 413 and file.stem != "openai-compatible"
}
ANTHROPICS = re.compile(r"prompt is too long: (\d+) tokens > (\d+) maximum")
#: What the bodies give: tokens and maximum, or the maximum alone.
GIVEN: dict[str, tuple[int | None, int]] = {
    "anthropic": (250_000, 200_000),
    "deepseek": (None, 1_048_576),
    "fireworks": (300_000, 262_143),
    "google": (1_200_000, 1_048_576),
    "inception": (None, 128_000),
    "mistral": (300_000, 262_144),
    "moonshotai": (291_351, 262_144),
    "xai": (637_815, 500_000),
}


def conversing(provider: str) -> CatalogModel:
    """One of its models that converses."""
    for offering in Offering.objects.filter(provider=provider, enabled=True).order_by("pk"):
        if offering.endpoints is None or not {"fim", "embeddings"} & set(offering.endpoints):
            return offering.model
    raise AssertionError(provider)


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_in_the_words_that_make_agents_compact(agent, key, settings, name):
    provider, case = CASES[name]
    model = conversing(provider)
    body = json.dumps(case["body"]).encode()
    kind = "content-type: application/json"
    with raw_upstream(lambda wire: wire.whole(case["status"], body, kind)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {provider: upstream.url}
        key(provider)
        for dialect in DIALECTS:
            for stream in (False, True):
                asked = dialect.body("hello", stream=stream, model=model.pk)
                answer = agent.post(dialect.path, asked)
                told = dialect.error(answer)
                assert (answer.status_code, told.code) == (400, "context_length_exceeded"), told
                assert told.kind == "invalid_request_error"
                assert answer.headers["x-should-retry"] == "false"
                if dialect is MESSAGES:
                    _check(told.message, provider, model)


def _check(message: str, provider: str, model: CatalogModel) -> None:
    found = ANTHROPICS.fullmatch(message)
    assert found, message
    tokens, maximum = map(int, found.groups())
    given = GIVEN.get(provider)
    assert maximum == (given[1] if given else model.context)
    assert tokens == given[0] if given and given[0] else tokens > maximum


@pytest.mark.parametrize("provider", ["anthropic", "bedrock"])
def test_a_prompt_that_leaves_no_room_for_the_answer_is_told_in_anthropics_own(
    agent, key, settings, provider
):
    """By which Claude Code asks for a shorter answer; the others can only shorten the prompt."""
    words = "input length and `max_tokens` exceed context limit: 199000 + 32000 > 200000"
    refusal: dict[str, Any] = {"type": "invalid_request_error", "message": words}
    body, name = {"type": "error", "error": refusal}, ""
    if provider == "bedrock":
        body, name = {"message": words}, "x-amzn-errortype: ValidationException"
    headers = [name] if name else []
    with raw_upstream(
        lambda wire: wire.whole(
            400, json.dumps(body).encode(), "content-type: application/json", *headers
        )
    ) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {provider: upstream.url}
        key(provider)
        for dialect in DIALECTS:
            asked = dialect.body("hello", model="anthropic/claude-haiku-4.5")
            told = dialect.error(agent.post(dialect.path, asked))
            assert (told.code, told.message) == ("context_length_exceeded", words)


def test_in_mid_stream_it_is_told_with_the_same_words(agent, key, settings):
    begun = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    error: dict[str, Any] = {"code": "context_length_exceeded", "message": "It is too long."}
    event = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
    with raw_upstream(lambda wire: wire.stream(begun, event)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"novita": upstream.url}
        key("novita")
        for dialect in DIALECTS:
            asked = dialect.body("hello", stream=True, model="moonshotai/kimi-k3")
            told = dialect.stream(agent.post(dialect.path, asked).content).error
            assert told.code == "context_length_exceeded"
            if dialect is MESSAGES:
                assert ANTHROPICS.fullmatch(told.message)
            if dialect is RESPONSES:
                assert told.message == "It is too long."
