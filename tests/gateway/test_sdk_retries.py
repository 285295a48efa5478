"""The official SDKs, told to retry twice, do so exactly where it helps, and raise the right class.

They go by the status, and by x-should-retry, which has the last word.
"""

from typing import Any

import anthropic
import openai
import pytest

from tests.gateway.dialect import DIALECTS, MESSAGES, RESPONSES, add_keys
from tests.gateway.raw_upstream import raw_upstream

Raised = type[openai.APIStatusError] | type[anthropic.APIStatusError]

#: By the key's word, what callers of Chat, Responses and Messages have raised.
FINAL: dict[str, tuple[Raised, Raised, Raised]] = {
    "401": (openai.PermissionDeniedError, openai.BadRequestError, anthropic.PermissionDeniedError),
    "402": (openai.PermissionDeniedError, openai.BadRequestError, anthropic.PermissionDeniedError),
    "403": (openai.PermissionDeniedError, openai.BadRequestError, anthropic.PermissionDeniedError),
    "404": (openai.NotFoundError, openai.BadRequestError, anthropic.NotFoundError),
    "400": (openai.BadRequestError, openai.BadRequestError, anthropic.BadRequestError),
}
OVERLOADED = (
    openai.InternalServerError,
    openai.InternalServerError,
    anthropic.InternalServerError,
)


def headers_of(caught: pytest.ExceptionInfo[Any]) -> Any:
    """Of the answer that was raised; the two SDKs have no class in common."""
    return caught.value.response.headers


@pytest.mark.parametrize("word", FINAL)
def test_what_cannot_be_cured_is_raised_at_once(agent, key, simulator, word):
    add_keys(key, word)
    for dialect, raised in zip(DIALECTS, FINAL[word], strict=True):
        for stream in (False, True):
            simulator.clear()
            with pytest.raises(raised) as caught:
                dialect.ask(agent, "hello", stream=stream, retries=2)
            assert headers_of(caught)["x-should-retry"] == "false"
            assert len(simulator.calls) == 1


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_an_overloaded_provider_is_asked_again(agent, key, simulator, dialect):
    key(dialect.provider, "529")
    with pytest.raises(OVERLOADED[DIALECTS.index(dialect)]) as caught:
        dialect.ask(agent, "hello", retries=2)
    if dialect is MESSAGES:
        assert isinstance(caught.value, anthropic.OverloadedError)
    # Three calls, each with a second try of the same key.
    assert len(simulator.calls) == 6


@pytest.mark.parametrize("dialect", [RESPONSES, MESSAGES], ids=str)
def test_a_rate_limit_is_waited_for(agent, key, settings, dialect):
    limited = b'{"error":{"type":"rate_limit_error","code":"rate_limit_exceeded","message":"no"}}'
    raised: Raised = anthropic.RateLimitError if dialect is MESSAGES else openai.RateLimitError
    with raw_upstream(lambda wire: wire.whole(429, limited, "retry-after: 0.4")) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {dialect.provider: upstream.url}
        key(dialect.provider)
        with pytest.raises(raised) as caught:
            dialect.ask(agent, "hello", retries=1)
        # Whole seconds, rounded up.
        assert headers_of(caught)["retry-after"] == "1"
        assert len(upstream.requests) == 2


def test_a_fault_that_passes_is_not_seen_at_all(agent, key, simulator):
    add_keys(key, "flaky")
    for dialect in DIALECTS:
        simulator.clear()
        dialect.ask(agent, "say: pong", stream=dialect is not RESPONSES)
        assert [call.status for call in simulator.calls][1:] == [200]


def test_an_unknown_token_is_refused_for_good(agent, simulator):
    agent.record.delete()
    for dialect in DIALECTS:
        raised: Raised = openai.AuthenticationError
        if dialect is MESSAGES:
            raised = anthropic.AuthenticationError
        with pytest.raises(raised) as caught:
            dialect.ask(agent, "hello", retries=2)
        assert headers_of(caught)["x-should-retry"] == "false"
    assert simulator.calls == []
