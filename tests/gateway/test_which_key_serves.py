"""From the name of a model to the key that serves it, and what a caller is told when none can."""

from typing import Any

import openai
import pytest

from byok.actions import set_enabled
from byok.catalogue import version
from byok.models import CatalogModel, Offering
from orgs.origin import Origin

CHAT, RESPONSES, MESSAGES = "chat/completions", "responses", "messages"
OPEN_WEIGHT = "openai/gpt-oss-120b"


def question(model: str, endpoint: str = CHAT) -> dict[str, Any]:
    if endpoint == RESPONSES:
        return {"model": model, "input": "say: pong"}
    limit = {"max_tokens": 50} if endpoint == MESSAGES else {}
    return {"model": model, "messages": [{"role": "user", "content": "say: pong"}], **limit}


@pytest.mark.parametrize("first", ["fireworks", "novita"])
def test_of_two_providers_of_a_model_the_key_added_first_serves_every_call(
    agent, key, owner, simulator, first
):
    second = {"fireworks": "novita", "novita": "fireworks"}[first]
    stored = key(first)
    key(second)
    served = [agent.post(CHAT, question(OPEN_WEIGHT)) for _ in range(4)]
    assert {answer.headers["x-megabrain-provider"] for answer in served} == {first}
    names = {
        "fireworks": "accounts/fireworks/models/gpt-oss-120b",
        "novita": "openai/gpt-oss-120b",
    }
    assert simulator.calls[-1].json["model"] == names[first]

    set_enabled(actor=owner, key=stored, enabled=False, origin=Origin())
    answer = agent.post(CHAT, question(OPEN_WEIGHT))
    assert (answer.status_code, answer.headers["x-megabrain-attempts"]) == (200, "1")
    assert answer.headers["x-megabrain-provider"] == second
    assert simulator.calls[-1].json["model"] == names[second]


def test_a_model_is_served_under_every_spelling_of_its_name(agent, key, simulator):
    key("openai")
    key("anthropic")
    key("novita")
    for spelling, endpoint, upstream in (
        ("openai/gpt-6-luna", CHAT, "gpt-6-luna"),
        (" OpenAI/GPT-6-Luna\n", CHAT, "gpt-6-luna"),
        ("gpt-6-luna", RESPONSES, "gpt-6-luna"),
        ("claude-haiku-4-5", MESSAGES, "claude-haiku-4-5-20251001"),
        ("anthropic/claude-haiku-4.5", MESSAGES, "claude-haiku-4-5-20251001"),
        ("claude-haiku-4-5-20251001", MESSAGES, "claude-haiku-4-5-20251001"),
        ("accounts/fireworks/models/gpt-oss-120b", CHAT, "openai/gpt-oss-120b"),
    ):
        answer = agent.post(endpoint, question(spelling, endpoint))
        assert answer.status_code == 200, (spelling, answer.text)
        assert simulator.calls[-1].json["model"] == upstream


@pytest.mark.parametrize(
    ("provider", "model", "endpoint", "right"),
    [
        ("openai", "openai/text-embedding-3-small", CHAT, "/v1/embeddings"),
        ("openai", "openai/text-embedding-3-small", MESSAGES, "/v1/embeddings"),
        (
            "inception",
            "inception/mercury-edit-2",
            RESPONSES,
            "/v1/completions and /v1/fim/completions",
        ),
    ],
)
def test_at_the_wrong_endpoint_the_caller_is_told_the_right_one(
    agent, key, simulator, provider, model, endpoint, right
):
    key(provider)
    answer = agent.post(endpoint, question(model, endpoint))
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert f"is served at {right}" in error["message"]
    assert f"not at /v1/{endpoint}." in error["message"]
    code = error["details"]["error_code"] if endpoint == MESSAGES else error["code"]
    assert (code, error["type"]) == ("endpoint_not_supported", "invalid_request_error")
    assert answer.headers["x-should-retry"] == "false"
    assert simulator.calls == []


@pytest.mark.parametrize(
    ("endpoint", "model", "status", "names"),
    [
        (CHAT, "openai/gpt-6-luna", 404, "AWS Bedrock or OpenAI"),
        (CHAT, OPEN_WEIGHT, 404, "AWS Bedrock or Fireworks or Novita"),
        # Codex repeats a 404 six times, and a 400 never.
        (RESPONSES, "openai/gpt-6-luna", 400, "AWS Bedrock or OpenAI"),
        (MESSAGES, "anthropic/claude-haiku-5.5", 404, "Anthropic or AWS Bedrock"),
        ("messages/count_tokens", "anthropic/claude-haiku-5.5", 404, "Anthropic or AWS Bedrock"),
    ],
)
def test_without_a_key_the_caller_is_told_which_to_add_and_where(
    agent, key, settings, usage_row, endpoint, model, status, names
):
    # A key of somebody who does not serve the model makes no difference.
    key("deepseek")
    answer = agent.post(endpoint, question(model, endpoint))
    error = answer.json()["error"]
    code = error["details"]["error_code"] if endpoint.startswith(MESSAGES) else error["code"]
    assert (answer.status_code, code) == (status, "byok_key_required")
    page = f"{settings.MEGABRAIN_BASE_URL}/account/byok/"
    assert f"Add one of {names} at {page}" in error["message"]
    assert answer.headers["x-should-retry"] == "false"
    row = usage_row(answer.headers["x-request-id"])
    assert (row.status, row.outcome, row.payer) == (status, "byok_key_required", "none")
    assert (row.usage_source, row.attempts) == ("none", [])


def test_a_direct_entry_is_served_by_its_prefixed_name(agent, key, direct_entry, simulator):
    novita = key("novita")
    for spelling in (direct_entry, f" {direct_entry.upper()}\n"):
        answer = agent.post(CHAT, question(spelling))
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-megabrain-provider"] == "novita"
        assert answer.headers["x-megabrain-payer"] == "byok"
        assert simulator.calls[-1].json["model"] == "openai/gpt-oss-20b"
    entry = next(each for each in agent.get("models").json()["data"] if each["id"] == direct_entry)
    assert entry["byok"] == {"available": True, "providers": ["novita"]}
    alone = agent.get(f"models/{direct_entry}").json()
    assert alone["byok"] == {**entry["byok"], "keys": [str(novita.pk)]}
    assert alone.items() >= {**entry, "byok": alone["byok"]}.items()


def test_a_direct_entry_without_its_key_says_which_to_add_and_where(
    agent, key, settings, direct_entry, simulator
):
    key("fireworks")
    answer = agent.post(CHAT, question(direct_entry))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "byok_key_required")
    page = f"{settings.MEGABRAIN_BASE_URL}/account/byok/"
    assert f"{direct_entry} needs a provider key" in error["message"]
    assert f"Add one of Novita at {page}" in error["message"]
    assert agent.get(f"models/{direct_entry}").json()["error"] == error
    assert simulator.calls == []


def test_a_direct_entry_takes_no_other_name_from_the_model_of_all(agent, key, direct_entry):
    key("novita")
    CatalogModel.objects.filter(pk=direct_entry).update(aliases=["gpt-6-luna", "plan-only"])
    version.changed()
    for spelling, model in (
        ("gpt-oss-20b", "openai/gpt-oss-20b"),
        ("openai/gpt-oss-20b", "openai/gpt-oss-20b"),
        ("gpt-6-luna", "openai/gpt-6-luna"),
        (direct_entry, direct_entry),
    ):
        assert agent.get(f"models/{spelling}").json()["id"] == model
    assert agent.get("models/plan-only").status_code == 404


@pytest.mark.parametrize("others", [True, False], ids=["offered", "switched off"])
def test_what_a_provider_offers_directly_serves_no_model_of_all(agent, key, simulator, others):
    model = "openai/gpt-6-luna"
    Offering.objects.filter(model=model).update(enabled=others)
    Offering.objects.create(
        model_id=model, provider="novita", upstream_id="openai/gpt-oss-20b", direct=True
    )
    version.changed()
    key("novita")
    answer = agent.post(CHAT, question(model))
    assert answer.status_code == 404
    assert "Novita" not in answer.json()["error"]["message"]
    assert simulator.calls == []


def test_a_disabled_key_is_named_and_not_used(agent, key, owner, simulator):
    stored = key("openai")
    set_enabled(actor=owner, key=stored, enabled=False, origin=Origin())
    error = agent.post(CHAT, question("openai/gpt-6-luna")).json()["error"]
    assert error["code"] == "byok_key_required"
    assert f"your OpenAI key {str(stored.pk)[:8]} is disabled" in error["message"]
    assert simulator.calls == []


def test_a_key_of_another_account_serves_nobody_else(make_agent, stranger, key, simulator):
    key("openai")
    with pytest.raises(openai.NotFoundError) as refused:
        make_agent(stranger).openai.chat.completions.create(**question("openai/gpt-6-luna"))
    assert refused.value.code == "byok_key_required"
    assert simulator.calls == []


@pytest.mark.parametrize(
    ("endpoint", "status"),
    [(CHAT, 404), (RESPONSES, 400), (MESSAGES, 404), ("messages/count_tokens", 404)],
)
def test_a_model_nobody_knows_is_met_with_those_that_may_be_meant(
    agent, key, simulator, endpoint, status
):
    key("openai")
    answer = agent.post(endpoint, question("gpt-6-lunna", endpoint))
    error = answer.json()["error"]
    assert answer.status_code == status
    # Claude Code looks for "model:" before it tells people how to choose another.
    assert error["message"].startswith("model: gpt-6-lunna is not in the catalogue.")
    assert "openai/gpt-6-luna" in error["message"]
    assert answer.headers["x-should-retry"] == "false"
    if endpoint.startswith(MESSAGES):
        assert error["type"] == "not_found_error"
    else:
        assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert simulator.calls == []


@pytest.mark.parametrize(("endpoint", "status"), [(CHAT, 403), (RESPONSES, 400), (MESSAGES, 403)])
def test_a_token_for_certain_models_is_served_no_other(
    make_agent, key, simulator, endpoint, status
):
    agent = make_agent(allowed_models=[OPEN_WEIGHT])
    key("openai")
    key("novita")
    refused = agent.post(endpoint, question("openai/gpt-6-luna", endpoint))
    error = refused.json()["error"]
    code = error["details"]["error_code"] if endpoint == MESSAGES else error["code"]
    assert (refused.status_code, code) == (status, "model_not_allowed")
    assert "openai/gpt-6-luna" in error["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert simulator.calls == []
    # Whatever the spelling, the model itself is what counts.
    alias = "accounts/fireworks/models/GPT-OSS-120b"
    assert agent.post(CHAT, question(alias)).status_code == 200
