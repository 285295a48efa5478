"""Agents work as they are set up on our pages, with a key whose provider speaks another dialect.

Nothing of the set-up is written here: the page of a new token names the model and the address.
"""

import json
from collections.abc import Callable
from functools import partial

import pytest

from byok.models import ProviderKey
from tests.agents.conftest import TASK, Desk, Run, installed
from tests.agents.shown import SetUp, shown_with_a_new_token

pytestmark = pytest.mark.agents

Work = Callable[[Desk, SetUp], Run]

#: The same as TASK, by the tool that Codex offers to models of OpenAI's: a tool of its own kind, in
#: a namespace, which takes a program. Other dialects have neither kind nor namespaces.
_PROGRAM = f"text(await tools.exec_command({json.dumps({'cmd': TASK.removeprefix('run: ')})}))"
CODE_TASK = f"call: functions__exec {json.dumps({'input': _PROGRAM})}"


def claude_code(desk: Desk, set_up: SetUp) -> Run:
    return desk.run(
        installed("claude"),
        *("-p", TASK, "--allowedTools", "Bash"),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        **set_up.environment,
    )


def codex(desk: Desk, set_up: SetUp, task: str = TASK) -> Run:
    folder = desk.home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(
        "check_for_update_on_startup = false\n"
        f"{set_up.blocks['~/.codex/config.toml']}\n"
        "[analytics]\nenabled = false\n"
    )
    return desk.run(
        installed("codex"),
        *("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
        task,
        **set_up.environment,
    )


def opencode(desk: Desk, set_up: SetUp) -> Run:
    (desk.folder / "opencode.json").write_text(set_up.blocks["opencode.json"])
    return desk.run(
        installed("opencode"),
        # A word each: it puts a message with spaces in quotes.
        *("run", *set_up.arguments, *TASK.split()),
        OPENCODE_DISABLE_AUTOUPDATE="1",
        OPENCODE_DISABLE_MODELS_FETCH="1",
        **set_up.environment,
    )


def aider(desk: Desk, set_up: SetUp) -> Run:
    """It offers no tools: it takes a file out of the answer, and writes it."""
    return desk.run(
        installed("aider"),
        *(*set_up.arguments, "--message", "write: hello.txt hello"),
        *("--yes-always", "--no-git", "--no-check-update", "--analytics-disable"),
        "--no-show-release-notes",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        **set_up.environment,
    )


@pytest.fixture
def set_up(owner_client, wire, settings):
    """Makes a token, and gives the set-up of an agent that is shown with it."""
    settings.MEGABRAIN_BASE_URL = wire.address
    return partial(shown_with_a_new_token, owner_client)


@pytest.fixture
def served_by(wire, simulator, usage_row):
    """Checks that all calls were answered with this key, at the first attempt; says how many."""

    def check(stored: ProviderKey) -> int:
        rows = [usage_row(call.id) for call in wire.calls]
        assert len(rows) == len(simulator.calls)
        for row in rows:
            assert (row.payer, row.provider_key_id, row.outcome) == ("byok", stored.pk, "ok")
            assert row.usage_source == "provider"
            assert [attempt["outcome"] for attempt in row.attempts] == ["ok"]
        return len(rows)

    return check


CASES = {
    "Claude Code onto Responses": ("Claude Code", claude_code, "openai", None),
    "Claude Code onto InvokeModel": ("Claude Code", claude_code, "bedrock", None),
    "Claude Code onto Converse": ("Claude Code", claude_code, "bedrock", "amazon/nova-2-lite-v1"),
    "Codex onto Messages": ("Codex", codex, "anthropic", None),
    "Codex onto Converse": (
        "Codex",
        partial(codex, task=CODE_TASK),
        "bedrock",
        "openai/gpt-6-luna",
    ),
    "opencode onto Gemini": ("opencode", opencode, "google", None),
}


@pytest.mark.parametrize(("name", "work", "provider", "only"), CASES.values(), ids=CASES)
def test_an_agent_finishes_a_task_at_a_provider_of_another_dialect(
    desk, key, set_up, served_by, name, work, provider, only
):
    stored = key(provider)

    run = work(desk, set_up(name, **({"allowed_models": [only]} if only else {})))

    assert run.exit_code == 0, run.output
    assert run.made("hello.txt") == "hello\n"
    assert "Done. The tool answered: " in run.output
    assert served_by(stored) >= 2


def test_aider_edits_a_file_at_a_provider_of_another_dialect(desk, key, set_up, served_by):
    stored = key("google")

    run = aider(desk, set_up("aider"))

    assert run.exit_code == 0, run.output
    assert run.made("hello.txt") == "hello\n"
    assert served_by(stored) == 1
