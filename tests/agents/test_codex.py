"""Codex, as installed from npm, works through the gateway and stops where it should."""

import json

import pytest

from orgs.actions import revoke_token
from orgs.origin import Origin
from tests.agents.conftest import TASK, installed

pytestmark = pytest.mark.agents

CONFIGURATION = """
model = "{model}"
model_provider = "megabrain"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.megabrain]
name = "MegaBrain"
base_url = "{base_url}"
env_key = "MEGABRAIN_TOKEN"
wire_api = "responses"
supports_websockets = {websockets}
"""


@pytest.fixture
def codex(desk, wire, agent):
    """Gives Codex a prompt, with the gateway as a provider of its own and our token."""
    program = installed("codex")

    def run(prompt, model="gpt-6-luna", *, websockets=False):
        folder = desk.home / ".codex"
        folder.mkdir()
        (folder / "config.toml").write_text(
            CONFIGURATION.format(
                model=model, base_url=f"{wire.address}/v1", websockets=json.dumps(websockets)
            )
        )
        return desk.run(
            program,
            *("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
            prompt,
            MEGABRAIN_TOKEN=agent.token,
        )

    return run


# One for each way in which Codex offers its tools: as one that runs code, as plain functions with
# one for patches, and as plain functions.
@pytest.mark.parametrize("model", ["gpt-6-luna", "openai/gpt-5.5", "gpt-4.1"])
def test_codex_completes_a_task_with_the_owners_key(codex, wire, key, simulator, usage_row, model):
    stored = key("openai")

    run = codex(TASK, model)

    assert run.exit_code == 0, run.output
    assert run.made("hello.txt") == "hello\n"
    assert "Done. The tool answered: " in run.output
    result = simulator.calls[-1].json["input"][-1]
    assert result["type"] in {"function_call_output", "custom_tool_call_output"}
    assert "hello" in json.dumps(result["output"])
    rows = [usage_row(call.id) for call in wire.calls]
    assert len(rows) == len(simulator.calls) == 2
    for row in rows:
        assert (row.payer, row.provider_key_id, row.outcome) == ("byok", stored.pk, "ok")
        assert row.usage_source == "provider"
        assert [attempt["outcome"] for attempt in row.attempts] == ["ok"]


def test_codex_goes_on_over_http_when_its_websocket_is_refused(codex, wire, key):
    key("openai")

    run = codex(TASK, websockets=True)

    assert run.exit_code == 0, run.output
    assert run.made("hello.txt") == "hello\n"
    assert [(each.request, each.status) for each in wire.exchanges] == [
        ("GET /v1/responses", 426),
        ("POST /v1/responses", 200),
        ("POST /v1/responses", 200),
    ]


def test_codex_shows_a_rejected_key_in_our_words_and_tries_once(codex, wire, key, simulator):
    stored = key("openai", "401")

    run = codex(TASK)

    assert run.exit_code == 1
    assert f"OpenAI (key {str(stored.pk)[:8]}) rejected the key" in run.output
    assert [call.status for call in wire.calls] == [400]
    assert len(simulator.calls) == 1


def test_codex_does_not_notice_an_overload_that_passes(codex, wire, key, usage_row):
    key("openai", "flaky")

    run = codex(TASK)

    assert run.made("hello.txt") == "hello\n", run.output
    assert [call.status for call in wire.calls] == [200, 200]
    attempts = [usage_row(call.id).attempts for call in wire.calls]
    assert [[each["outcome"] for each in tried] for tried in attempts] == [["overloaded", "ok"]] * 2


def test_codex_shows_that_a_token_is_revoked(codex, wire, key, simulator, agent, owner):
    key("openai")
    revoke_token(actor=owner, token=agent.record, origin=Origin())

    run = codex(TASK)

    assert run.exit_code == 1
    assert "No valid MegaBrain API token" in run.output
    # It repeats everything but a 400. So be it: this is refused before any work is done.
    assert [call.status for call in wire.calls] == [401] * 6
    assert simulator.calls == []
