"""What callers are told of a failing key whose provider speaks another dialect: clients.md § 6.3.

It is what they are told of one that speaks theirs: the status that stops a useless retry of their
client, in the shape that its SDK reads.
"""

import pytest

from byok.actions import delete_key
from orgs.origin import Origin
from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES
from tests.gateway.matrix.test_every_dialect_onto_every_other import UPSTREAMS
from tests.gateway.matrix.test_translated_streams import asking, streams
from tests.gateway.test_error_shapes import EXPECTED, KINDS


@pytest.mark.parametrize("upstream", UPSTREAMS, ids=str)
def test_a_failing_key_is_told_as_the_caller_needs_it(agent, key, owner, upstream):
    for word in ("401", "402", "403", "404", "429", "500", "529", "error"):
        stored = key(upstream.provider, word)
        expected = EXPECTED["529" if word == "error" else word]
        for dialect, answer in streams(agent, asking(upstream, "say: pong")).items():
            told = dialect.error(answer)
            status = expected.statuses[DIALECTS.index(dialect)]
            if word in {"500", "error"}:
                # Some call it an overload, and some a fault of theirs.
                status = answer.status_code
                assert status in {502, EXPECTED["529"].statuses[DIALECTS.index(dialect)]}, told
            assert answer.status_code == status, (word, dialect, told)
            overloaded = dialect is RESPONSES and status == 503
            assert told.code == ("server_is_overloaded" if overloaded else expected.code), word
            assert told.kind == KINDS[status]
            assert answer.headers["x-should-retry"] == ("true" if expected.retry else "false")
            assert str(stored.pk)[:8] in told.message
            if word == "404" and dialect is MESSAGES:
                # Claude Code then says how to choose another model.
                assert f"model: {upstream.model}" in told.message
        delete_key(actor=owner, key=stored, origin=Origin())


@pytest.mark.parametrize("upstream", UPSTREAMS, ids=str)
def test_what_a_provider_refuses_is_refused_at_once(agent, key, simulator, upstream):
    key(upstream.provider)
    for stream in (False, True):
        bodies = asking(upstream, "refuse: bad_request")
        bodies = {dialect: {**body, "stream": stream} for dialect, body in bodies.items()}
        for dialect, answer in streams(agent, bodies).items():
            assert dialect.error(answer).kind
            # Mistral AI and others say 422, at which Codex would ask five times more.
            assert answer.status_code in ({400} if dialect is RESPONSES else {400, 422})
            assert answer.headers["x-should-retry"] == "false"
    assert len(simulator.calls) == 2 * len(DIALECTS)


@pytest.mark.parametrize(
    ("dialect", "model", "change"),
    [
        (CHAT, MESSAGES.model, {"n": 2}),
        (RESPONSES, MESSAGES.model, {"previous_response_id": "resp_1"}),
        (
            MESSAGES,
            RESPONSES.model,
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        ),
    ],
    ids=str,
)
def test_what_cannot_be_translated_is_refused_by_its_name(
    agent, key, simulator, dialect, model, change
):
    key("anthropic")
    key("openai")
    for stream in (False, True):
        answer = agent.post(dialect.path, dialect.body(stream=stream, model=model) | change)
        told = dialect.error(answer)
        assert (answer.status_code, told.kind) == (400, "invalid_request_error")
        assert told.code == "unsupported_parameter"
        assert answer.headers["x-should-retry"] == "false"
    assert simulator.calls == []
