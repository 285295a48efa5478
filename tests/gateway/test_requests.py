"""GET /v1/requests/{id}: everything about a call of one's own account, and nothing of others'."""

from datetime import UTC, datetime, timedelta

import pytest


@pytest.fixture
def served(agent, key):
    """A call that has been served a moment ago: the key, and the headers of its answer."""
    stored = key("openai")
    answer = agent.openai.chat.completions.with_raw_response.create(
        model="gpt-6-luna", messages=[{"role": "user", "content": "say: one two three"}]
    )
    return stored, answer


def test_the_record_of_a_call_is_there_as_soon_as_it_has_ended(agent, served):
    stored, answer = served
    request_id = answer.headers["x-request-id"]
    found = agent.get(f"requests/{request_id}").json()
    used = answer.parse().usage
    age = datetime.now(UTC) - datetime.fromisoformat(found.pop("created_at"))
    assert timedelta() <= age < timedelta(minutes=5)
    timing = [found.pop(name) for name in ("latency_ms", "first_byte_ms", "overhead_ms")]
    assert all(value >= 0 for value in timing)
    (attempt,) = found.pop("attempts")
    assert (attempt["provider"], attempt["key"]) == ("openai", str(stored.pk))
    assert (attempt["outcome"], attempt["status"], attempt["ms"] >= 0) == ("ok", 200, True)
    assert found.pop("client").startswith("OpenAI/Python")
    assert found.pop("cost")["charged_micros"] == 0
    assert found == {
        "id": request_id,
        "object": "request",
        "endpoint": "/v1/chat/completions",
        "stream": False,
        "model": "openai/gpt-6-luna",
        "upstream_model": "gpt-6-luna",
        "provider": "openai",
        "key": str(stored.pk),
        "payer": "byok",
        "status": 200,
        "outcome": "ok",
        "usage": {
            "input_tokens": used.prompt_tokens,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "cache_write_long_tokens": 0,
            "output_tokens": used.completion_tokens,
            "reasoning_tokens": used.completion_tokens_details.reasoning_tokens,
            "source": "provider",
        },
    }


def test_another_token_of_the_account_sees_it_too(make_agent, served):
    assert make_agent().get(f"requests/{served[1].headers['x-request-id']}").status_code == 200


def test_another_account_is_told_what_it_is_told_of_no_request_at_all(make_agent, stranger, served):
    agent = make_agent(stranger)
    theirs = agent.get(f"requests/{served[1].headers['x-request-id']}")
    none = agent.get("requests/00000000-0000-4000-8000-000000000000")
    assert theirs.status_code == none.status_code == 404
    assert theirs.json() == none.json()


def test_an_id_that_is_none_is_not_found(agent):
    for request_id in ("", "1", "x" * 3000, "%00", "..%2Fmodels", "0000-", "%F0%9F%9A%80"):
        assert agent.get(f"requests/{request_id}").status_code == 404, request_id


def test_without_a_token_there_is_no_record(agent, served):
    path = f"requests/{served[1].headers['x-request-id']}"
    assert agent.get(path, headers={"authorization": None}).status_code == 401


def test_a_call_that_no_key_could_serve_has_a_record_as_well(agent):
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]}
    refused = agent.post("chat/completions", body)
    found = agent.get(f"requests/{refused.headers['x-request-id']}").json()
    assert (found["payer"], found["key"], found["attempts"]) == ("none", None, [])
    assert (found["status"], found["outcome"]) == (404, "byok_key_required")
    assert found["usage"]["source"] == "none"
