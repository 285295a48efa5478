"""`make demo` as a stranger meets it: processes, printed login and curl line, Ctrl-C."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from megabrain.launch import free_port
from tests import production

ROOT = Path(__file__).parent.parent.parent
STARTED = re.compile(r"Ctrl-C stops it\.")


def environment(home: Path, port: int, **more: str) -> dict[str, str]:
    """A bare machine: nothing configured but the two things that `make demo` honours."""
    ours = ("DJANGO_", "MEGABRAIN_", "PYTEST_")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DEBUG"):
        bare.pop(name, None)
    return {**bare, **more, "MEGABRAIN_HOME": str(home), "PORT": str(port)}


def found(pattern: str, text: str) -> list[str]:
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, f"{pattern} is not in {text}"
    return list(match.groups())


@dataclass
class Demo:
    process: "subprocess.Popen[bytes]"
    address: str
    output: str

    @property
    def login(self) -> list[str]:
        return found(r"Sign in +(\S+) +password +(\S+)", self.output)

    @property
    def curls(self) -> list[list[str]]:
        """The printed lines: one for the account's key, one for its balance."""
        lines = re.findall(r"^curl .*$", self.output, re.MULTILINE)
        assert len(lines) == 2, self.output
        return [shlex.split(line) for line in lines]

    def stop(self) -> int:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@contextmanager
def running(home: Path) -> Iterator[Demo]:
    port = free_port()
    log = home / "demo.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo"],
            cwd=ROOT,
            env=environment(home, port),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + 120
        while not STARTED.search(log.read_text()):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield Demo(process, f"http://127.0.0.1:{port}", log.read_text())
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def answer(curl: list[str], payer: str) -> str:
    """The text that a printed curl line streams."""
    _, _, url, *options = curl
    pairs = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in pairs if option == "-H")
    body = next(value for option, value in pairs if option == "-d")
    pieces = []
    with requests.post(url, data=body, headers=headers, stream=True, timeout=20) as response:
        assert response.status_code == 200, response.text
        assert response.headers["x-megabrain-payer"] == payer
        for line in response.iter_lines():
            if line.startswith(b"data: "):
                event = json.loads(line.removeprefix(b"data: "))
                pieces.append(event.get("delta", {}).get("text", ""))
    return "".join(pieces)


def look_around(demo: Demo) -> None:
    """Sign in with what is printed, and find what it says is there."""
    assert "Demo team" in demo.output
    assert "Letters, such as invitations and sign-up codes, are printed here." in demo.output
    email, password = demo.login
    with signed_in(demo, email, password) as browser:
        for address, words in {
            "/dashboard/": "Simulator mode",
            "/orgs/demo-team/byok/": "Use the OpenAI key",
            "/account/billing/": "To try the balance with.",
            "/account/subscriptions/": "Subscribe",
        }.items():
            page = browser.get(demo.address + address, timeout=20)
            assert page.url.endswith(address)
            assert words in page.text
    with signed_in(demo, "staff@example.com", password) as browser:
        assert "Administration" in browser.get(demo.address + "/admin/", timeout=20).text


@contextmanager
def signed_in(demo: Demo, email: str, password: str) -> Iterator[requests.Session]:
    with requests.Session() as browser:
        page = browser.get(demo.address + "/accounts/login/", timeout=20)
        token = found(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[0]
        browser.post(
            page.url,
            data={"csrfmiddlewaretoken": token, "login": email, "password": password},
            headers={"referer": page.url},
            timeout=20,
        )
        yield browser


def test_the_demo_prints_what_works_and_starts_again_where_it_stopped(tmp_path: Path):
    with running(tmp_path) as first:
        own, paid = first.curls
        assert "Say hello" in answer(own, "byok")
        assert "Say hello" in answer(paid, "balance")
        look_around(first)
        assert first.stop() == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(first.address, timeout=5)
    with running(tmp_path) as second:
        assert second.login == first.login
        assert [curl[3:] for curl in second.curls] == [curl[3:] for curl in first.curls]
        assert "Say hello" in answer(second.curls[1], "balance")
        assert second.stop() == 0
    assert (tmp_path / "demo.json").stat().st_mode & 0o777 == 0o600


def refused(home: Path, port: int, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "demo"],
        cwd=ROOT,
        env=environment(home, port, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_taken_port_is_named_and_nothing_is_started(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert f"Port {port} is taken" in refused(tmp_path, port)


def test_a_production_installation_refuses_the_demo(tmp_path: Path):
    assert "production installation" in refused(
        tmp_path, free_port(), **production.environment(str(tmp_path))
    )
