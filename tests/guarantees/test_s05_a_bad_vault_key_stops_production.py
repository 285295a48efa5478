"""S5: a bad vault key stops production at once, and says which and why."""

import base64
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from byok.vault.keyring import SAMPLE_KEY
from tests.production import environment
from tests.vaults import entry

ROOT = Path(__file__).parent.parent.parent
SECONDS = 5

GOOD = entry("2026a")


def listed(key_id: str, material: bytes) -> str:
    return f"{key_id}:{base64.b64encode(material).decode()}"


# What is configured, and what the sentence must say of it.
BAD = {
    "missing": ("", ["is missing"]),
    "blank": (" , ", ["is missing"]),
    "without an id": ("c2VjcmV0" * 5 + "c2U=", ["entry 1", "no key id"]),
    "an empty id": (":" + GOOD, ["entry 1", "bad key id"]),
    "an id too long": (entry("a" * 17), ["entry 1", "bad key id", "1 to 16"]),
    "an id with odd characters": (entry("2026/a"), ["entry 1", "bad key id"]),
    "an id twice": (f"{GOOD},{entry('2026a')}", ["2026a", "twice"]),
    "ids that blobs cannot tell apart": (
        f"{entry('key36656')},{entry('key63798')}",
        ["key63798", "key36656", "rename"],
    ),
    "the same key under two ids": (
        f"{GOOD},2026b:{GOOD.partition(':')[2]}",
        ["2026b", "same value as 2026a"],
    ),
    "no value": ("2026a:", ["2026a", "not valid base64"]),
    "not base64": ("2026a:!" + "x" * 43, ["2026a", "not valid base64"]),
    "base64 cut short": (GOOD[:-3], ["2026a", "not valid base64"]),
    "too short": (listed("2026a", os.urandom(16)), ["2026a", "16 bytes", "must be 32"]),
    "hexadecimal": ("2026a:" + os.urandom(32).hex(), ["2026a", "48 bytes", "must be 32"]),
    "the sample of the documentation": (listed("2026a", SAMPLE_KEY), ["2026a", "sample"]),
    "all zero": (listed("2026a", bytes(32)), ["2026a", "weak"]),
    "a repeated pattern": (listed("2026a", os.urandom(8) * 4), ["2026a", "weak"]),
    "counting": (listed("2026a", bytes(range(32))), ["2026a", "weak"]),
    "typed": (listed("2026a", b"correct horse battery staple 2026"[:32]), ["2026a", "weak"]),
    "a bad second key": (f"{GOOD},2025a:Zm9v", ["2025a", "3 bytes"]),
    "not an ARN": ("2026a:kms:alias/megabrain", ["2026a", "ARN of a KMS key"]),
}


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    """The home of an installation whose database knows the key GOOD."""
    with tempfile.TemporaryDirectory() as home:
        run(home, GOOD, "manage.py", "migrate", "--verbosity=0", seconds=60)
        assert start(home, GOOD).returncode == 0
        yield home


def start(home: str, keys: str) -> subprocess.CompletedProcess[str]:
    """What a server does first."""
    return run(home, keys, "-c", "import megabrain.asgi")


def run(
    home: str, keys: str, *arguments: str, seconds: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run(  # noqa: S603 -- our own programs
        [sys.executable, *arguments],
        env=environment(home)
        | {"MEGABRAIN_VAULT_KEYS": keys, "DATABASE_URL": f"sqlite:///{home}/production.sqlite3"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time, because the machine that runs the tests may be busy with others.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < seconds
    return finished


def assert_refused(finished: subprocess.CompletedProcess[str], keys: str, words: list[str]) -> None:
    said = finished.stdout + finished.stderr
    assert finished.returncode == 1
    for word in ["MEGABRAIN_VAULT_KEYS", *words]:
        assert word in said
    for value in (part.partition(":")[2] for part in keys.split(",")):
        assert not value or value not in said


@pytest.mark.parametrize("case", BAD)
def test_a_server_in_production_refuses_a_keyring_that_is(case, tmp_path):
    keys, words = BAD[case]
    finished = start(str(tmp_path), keys)
    assert_refused(finished, keys, words)
    assert "Traceback" not in finished.stderr


def test_a_server_in_production_refuses_another_key_under_a_known_id(home):
    keys = entry("2026a")
    finished = start(home, keys)
    assert_refused(finished, keys, ["2026a", "is wrong", "Restore that key"])
    assert "Traceback" not in finished.stderr


def test_a_server_in_production_refuses_a_wrong_key_behind_a_good_one(home):
    keys = f"{entry('2026b')},{entry('2026a')}"
    assert_refused(start(home, keys), keys, ["2026a", "is wrong"])


def test_a_refused_start_leaves_the_good_key_working(home):
    start(home, entry("2026a"))
    start(home, "2026a:Zm9v")
    assert start(home, GOOD).returncode == 0


@pytest.mark.parametrize(
    "program",
    [
        ["manage.py", "check"],
        ["manage.py", "migrate"],
        ["-m", "uvicorn", "megabrain.asgi:application", "--port", "0"],
        ["-m", "celery", "-A", "megabrain", "worker", "--pool", "solo"],
    ],
    ids=" ".join,
)
def test_every_program_refuses_in_production(program, tmp_path):
    keys = listed("2026a", SAMPLE_KEY)
    assert_refused(run(str(tmp_path), keys, *program), keys, ["2026a", "sample"])


@pytest.mark.parametrize(
    "program",
    [
        ["manage.py", "vault", "verify"],
        ["-m", "uvicorn", "megabrain.asgi:application", "--port", "0"],
        ["-m", "celery", "-A", "megabrain", "worker", "--pool", "solo"],
    ],
    ids=" ".join,
)
def test_a_wrong_key_stops_every_program_that_serves(program, home):
    keys = entry("2026a")
    assert_refused(run(home, keys, *program), keys, ["2026a", "is wrong"])
