"""Coding agents as people install them, each in a home and a folder of its own.

An agent gets the environment written here and nothing of the developer's. Every host but this
machine is out of its reach, so that a test passes only if the gateway is all it needs.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.agents.wire import Wire
from tests.gateway_fixture import Agent

FOLDER = Path(__file__).parent.parent.parent / "var/agents"
#: Where each agent is in there, and what installs it. `.ci/run` names the versions.
PROGRAMS = {
    "claude": (
        "node_modules/.bin/claude",
        "npm install --prefix var/agents @anthropic-ai/claude-code",
    ),
    "codex": ("node_modules/.bin/codex", "npm install --prefix var/agents @openai/codex"),
    "opencode": ("node_modules/.bin/opencode", "npm install --prefix var/agents opencode-ai"),
    "aider": (
        "aider/bin/aider",
        "python3 -m venv var/agents/aider && var/agents/aider/bin/pip install aider-chat",
    ),
}
SECONDS = 60

#: What the simulator has every agent do, through whatever tool the agent offers for it.
TASK = "run: echo hello > hello.txt && cat hello.txt"

#: Nobody listens there, so whatever an agent sends elsewhere fails at once.
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Run:
    """An agent's run from its start to its end."""

    exit_code: int
    output: str
    folder: Path

    def made(self, name: str) -> str:
        """What is in a file that the agent made."""
        path = self.folder / name
        assert path.exists(), self.output
        return path.read_text()


@dataclass(frozen=True)
class Desk:
    """Where an agent works."""

    home: Path
    folder: Path

    def run(self, program: str, *arguments: str, **environment: str) -> Run:
        done = subprocess.run(  # noqa: S603 -- the agent that the developer installed
            [program, *arguments],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "TMPDIR": str(self.home),
                "LANG": "C.UTF-8",
                "HTTP_PROXY": NOWHERE,
                "HTTPS_PROXY": NOWHERE,
                "NO_PROXY": "127.0.0.1",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Run(done.returncode, done.stdout, self.folder)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    found = Desk(tmp_path / "home", tmp_path / "work")
    found.home.mkdir()
    found.folder.mkdir()
    return found


def installed(program: str) -> str:
    place, how = PROGRAMS[program]
    path = FOLDER / place
    if not path.exists():
        missing = f"{program} is not installed: {how}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return str(path)


@pytest.fixture
def wire(agent: Agent) -> Iterator[Wire]:
    """Stands between the agent and the gateway."""
    found = Wire(agent.gateway.address)
    yield found
    found.close()
