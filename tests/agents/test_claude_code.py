"""Claude Code, as installed from npm, works through the gateway and stops where it should."""

import pytest

from megabrain.simulator.connection import Call
from orgs.actions import revoke_token
from orgs.origin import Origin
from tests.agents.conftest import TASK, installed

pytestmark = pytest.mark.agents


@pytest.fixture
def claude(desk, wire, agent):
    """Gives Claude Code a prompt, with the gateway as its only address and our token."""
    program = installed("claude")

    def run(prompt, model="claude-sonnet-5"):
        return desk.run(
            program,
            *("-p", prompt, "--allowedTools", "Bash", "--model", model),
            ANTHROPIC_BASE_URL=wire.address,
            ANTHROPIC_AUTH_TOKEN=agent.token,
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        )

    return run


def tool_results(call: Call) -> list[str]:
    """What came back of the agent's tools."""
    return [
        block["content"]
        for message in call.json["messages"]
        for block in message["content"]
        if isinstance(block, dict) and block["type"] == "tool_result"
    ]


@pytest.mark.parametrize("model", ["claude-sonnet-5", "anthropic/claude-haiku-4-5"])
def test_claude_code_completes_a_task_with_the_owners_key(
    claude, wire, key, simulator, usage_row, model
):
    stored = key("anthropic")

    run = claude(TASK, model)

    assert run.exit_code == 0, run.output
    assert run.made("hello.txt") == "hello\n"
    assert run.output.strip() == "Done. The tool answered: hello"
    assert "hello" in tool_results(simulator.calls[-1])[0]
    rows = [usage_row(call.id) for call in wire.calls]
    assert len(rows) == len(simulator.calls)
    for row in rows:
        assert (row.payer, row.provider_key_id, row.outcome) == ("byok", stored.pk, "ok")
        assert row.usage_source == "provider"
        assert [attempt["outcome"] for attempt in row.attempts] == ["ok"]


def test_claude_code_shows_a_rejected_key_in_our_words_and_tries_once(claude, wire, key, simulator):
    stored = key("anthropic", "401")

    run = claude(TASK)

    assert run.exit_code == 1
    assert f"Anthropic (key {str(stored.pk)[:8]}) rejected the key" in run.output
    assert [call.status for call in wire.calls] == [403]
    assert len(simulator.calls) == 1


def test_claude_code_does_not_notice_an_overload_that_passes(claude, wire, key, usage_row):
    key("anthropic", "flaky")

    run = claude(TASK)

    assert run.output.strip() == "Done. The tool answered: hello"
    assert [call.status for call in wire.calls] == [200, 200]
    attempts = [usage_row(call.id).attempts for call in wire.calls]
    assert [[each["outcome"] for each in tried] for tried in attempts] == [["overloaded", "ok"]] * 2


def test_claude_code_stops_at_a_revoked_token(claude, wire, key, simulator, agent, owner):
    key("anthropic")
    revoke_token(actor=owner, token=agent.record, origin=Origin())

    run = claude(TASK)

    assert run.exit_code == 1
    assert "No valid MegaBrain API token" in run.output
    assert [call.status for call in wire.calls] == [401]
    assert simulator.calls == []
