"""Reading MEGABRAIN_VAULT_KEYS, and the key that a fresh installation makes for itself."""

import base64
import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from hypothesis import given
from hypothesis import strategies as st

from byok.checks import check_vault_keys
from byok.vault import KeyringError
from byok.vault.keyring import SAMPLE_KEY, Keyring, examine, is_weak
from megabrain.home import generated_secret
from tests.vaults import entry

ROOT = Path(__file__).parent.parent.parent


def test_keys_keep_their_order_and_the_first_is_primary():
    keyring = Keyring.parse(f"{entry('2026b')},{entry('2026a')}")
    assert [key.id for key in keyring.keys] == ["2026b", "2026a"]
    assert keyring.primary.id == "2026b"


@pytest.mark.parametrize("separator", [",", ", ", "\n", ",\n", " "])
def test_keys_may_be_separated_by_commas_or_lines(separator):
    assert len(Keyring.parse(separator.join([entry("b"), entry("a")]) + "\n").keys) == 2


def test_the_url_safe_alphabet_is_the_same_key():
    material = b"\xfb\xff" * 8 + os.urandom(16)
    plain = "a:" + base64.b64encode(material).decode()
    url_safe = "b:" + base64.urlsafe_b64encode(material).decode()
    assert plain[2:] != url_safe[2:]
    with pytest.raises(KeyringError, match="same value"):
        Keyring.parse(f"{plain},{url_safe}")


def test_every_fault_is_named_at_once():
    _, faults = examine("2026b:Zm9v,nothing,2026a:" + base64.b64encode(bytes(32)).decode())
    assert len(faults) == 3


def test_a_keyring_shows_its_ids_and_nothing_of_its_keys():
    entries = [entry("2026b"), entry("2026a")]
    keyring = Keyring.parse(",".join(entries))
    assert repr(keyring) == "<Keyring 2026b 2026a>"
    assert repr(keyring.primary) == "<LocalKey 2026b>"


@given(st.binary(min_size=1, max_size=16), st.lists(st.integers(0, 15), min_size=32, max_size=32))
def test_a_key_of_few_different_bytes_is_weak(few, places):
    assert is_weak(bytes(few[place % len(few)] for place in places))


def test_random_keys_are_not_weak():
    assert not any(is_weak(os.urandom(32)) for _ in range(20_000))


@pytest.mark.parametrize("production", [True, False])
def test_a_sample_key_is_an_error_in_production_and_a_warning_elsewhere(production, settings):
    settings.MEGABRAIN_PRODUCTION = production
    settings.MEGABRAIN_VAULT_KEYS = "2026a:" + base64.b64encode(SAMPLE_KEY).decode()
    [message] = check_vault_keys(None)
    assert message.id == ("byok.E001" if production else "byok.W001")
    assert "2026a" in message.msg


def test_manage_commands_refuse_an_unusable_key_everywhere(settings):
    settings.MEGABRAIN_VAULT_KEYS = "2026a:Zm9v"
    with pytest.raises(SystemCheckError, match="3 bytes long"):
        call_command("check")


def test_every_key_in_the_documentation_and_deployment_files_is_the_refused_sample():
    listed = re.compile(r"\b[A-Za-z0-9_-]{1,16}:([A-Za-z0-9+/_-]{43}=)")
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    files += [path for name in ("docs", "deploy") for path in (ROOT / name).rglob("*")]
    files += ROOT.glob(".env*")
    for path in files:
        for value in (
            listed.findall(path.read_text()) if path.is_file() and path.suffix != ".png" else []
        ):
            assert base64.b64decode(value) == SAMPLE_KEY, (
                f"{path} shows a key that would be accepted"
            )


def start_many(home: Path, count: int) -> set[str]:
    """What that many processes, started at once in a fresh home, take for their vault keys."""
    script = "from django.conf import settings; print(settings.MEGABRAIN_VAULT_KEYS)"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"MEGABRAIN_VAULT_KEYS", "DJANGO_SETTINGS_MODULE"}
    }
    processes = [
        subprocess.Popen(  # noqa: S603 -- our own program
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment
            | {"DJANGO_SETTINGS_MODULE": "megabrain.settings", "MEGABRAIN_HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    return {process.communicate(timeout=60)[0] for process in processes}


def test_processes_that_start_at_once_agree_on_one_generated_key(tmp_path):
    [keys] = start_many(tmp_path, 4)
    assert not any(fault for fault in examine(keys)[1])
    assert (tmp_path / "vault.keys").read_text() == keys
    assert not list(tmp_path.glob(".vault.keys*"))


def test_of_several_keys_made_at_the_same_moment_one_counts(tmp_path):
    everybody_found_none = Barrier(4)

    def make() -> str:
        everybody_found_none.wait(timeout=10)
        return entry("home")

    with ThreadPoolExecutor(4) as threads:
        results = [threads.submit(generated_secret, tmp_path / "vault.keys", make) for _ in "1234"]
        assert len({result.result() for result in results}) == 1


def test_the_generated_key_is_readable_by_its_owner_only(tmp_path):
    start_many(tmp_path, 1)
    assert stat.S_IMODE((tmp_path / "vault.keys").stat().st_mode) == 0o600


def test_a_lost_generated_key_is_replaced_under_another_id(tmp_path):
    [before] = start_many(tmp_path, 1)
    (tmp_path / "vault.keys").unlink()
    [after] = start_many(tmp_path, 1)
    assert before.partition(":")[0] != after.partition(":")[0]
