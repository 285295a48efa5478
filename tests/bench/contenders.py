"""Whoever is measured: the gateway as the Procfile serves it, and what it is compared with.

Each listens on a port of its own, in front of the same upstream, and is given the same requests
but for its credential. Those that are not installed are left out.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path

from megabrain.launch import free_port
from tests.bench import wire
from tests.bench.processes import Process

ROOT = Path(__file__).parent.parent.parent
EMAIL = "bench@example.com"
#: In the catalogue of Catalogued.
MODELS = 5_000
PROVIDER_KEY = "sk-proj-sim-fast-" + "0123456789" * 3


class Contender(ABC):
    """One column of the report."""

    name: str
    spoken = wire.CHAT

    def __init__(self, upstream: int, core: int | None, home: Path) -> None:
        self.upstream = upstream
        self.core = core
        self.home = home / self.name
        self.home.mkdir()
        self.port = free_port()
        self.process: Process | None = None

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it listens."""

    @property
    @abstractmethod
    def headers(self) -> dict[str, str]:
        """The credential it wants, and what else."""

    def fetch(self, path: str, headers: dict[str, str]) -> bytes:
        return wire.fetch(f"127.0.0.1:{self.port}", {**self.headers, **headers}, path)

    def request(self, body: bytes) -> bytes:
        host = f"127.0.0.1:{self.port}"
        return wire.request(body, host, self.headers, self.spoken.path)

    def cpu(self) -> float:
        return self.process.cpu() if self.process else 0.0

    def rss(self) -> int:
        return self.process.rss() if self.process else 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()

    def _run(self, *command: str, **environment: str) -> None:
        self.process = Process(
            command,
            self.core,
            log=self.home / f"{self.name}.log",
            environment={**os.environ, **environment},
            folder=ROOT,
        )
        self.process.wait_for(self.port)


class Direct(Contender):
    """Nobody in between."""

    name = "direct"

    def start(self) -> None:
        self.port = self.upstream

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {PROVIDER_KEY}"}


class Nginx(Contender):
    """One worker, passing requests through as they come and answers without buffering them."""

    name = "nginx"

    @staticmethod
    def found() -> str | None:
        return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")

    def start(self) -> None:
        configuration = self.home / "nginx.conf"
        configuration.write_text(_NGINX.format(home=self.home, port=self.port, to=self.upstream))
        command = self.found()
        assert command is not None
        self._run(command, "-p", str(self.home), "-e", "stderr", "-c", str(configuration))

    headers = Direct.headers


_NGINX = """
daemon off;
master_process off;
pid {home}/pid;
error_log stderr crit;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {home};
    proxy_temp_path {home};
    fastcgi_temp_path {home};
    uwsgi_temp_path {home};
    scgi_temp_path {home};
    keepalive_requests 1000000000;
    client_max_body_size 64m;
    client_body_buffer_size 1m;
    upstream provider {{
        server 127.0.0.1:{to};
        keepalive 4096;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_buffer_size 64k;
            proxy_buffers 4 64k;
        }}
    }}
}}
"""


class Gateway(Contender):
    """MegaBrain with everything on: a home of its own, one user, one provider key, one API token.

    Only the limits are raised, so that they are counted but refuse nothing.
    """

    name = "gateway"
    provider = "openai"
    provider_key = PROVIDER_KEY
    #: Whose the provider key is.
    holder = EMAIL
    _token = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"}

    def start(self) -> None:
        self._manage("migrate", "--verbosity", "0")
        self._manage("create_user", "--email", EMAIL, "--password-stdin", said="correct horse 42")
        adding = ("add_key", "--account", self.holder, "--provider", self.provider)
        self._manage(*adding, said=self.provider_key)
        made = self._manage("create_token", "--email", EMAIL, "--name", "Bench")
        self._token = made.strip().splitlines()[-1]
        self._prepare()
        web = next(
            line.removeprefix("web: ")
            for line in (ROOT / "Procfile").read_text().splitlines()
            if line.startswith("web: ")
        )
        command = web.replace("$PORT", str(self.port)).split()
        self._run(str(Path(sys.executable).parent / command[0]), *command[1:], **self._settings())

    def _prepare(self) -> None:
        """What else is there before it begins."""

    def rows(self) -> int:
        """How many usage rows there are. To be asked when it has stopped."""
        with closing(sqlite3.connect(self.home / "megabrain.sqlite3")) as database:
            (rows,) = database.execute("SELECT count(*) FROM billing_usagerecord").fetchone()
            return int(rows)

    def _settings(self) -> dict[str, str]:
        return {
            "MEGABRAIN_HOME": str(self.home),
            "MEGABRAIN_SERVE": "gateway",
            "MEGABRAIN_BASE_URL": f"http://127.0.0.1:{self.port}",
            "MEGABRAIN_REQUESTS_PER_MINUTE": "1000000000",
            "MEGABRAIN_CONCURRENT_CALLS": "1000000",
            f"MEGABRAIN_UPSTREAM_{self.provider.upper()}_URL": f"http://127.0.0.1:{self.upstream}/v1",
            "DATABASE_URL": f"sqlite:///{self.home / 'megabrain.sqlite3'}",
            "REDIS_URL": "",
            "LOG_LEVEL": "WARNING",
        }

    def _manage(self, *arguments: str, said: str = "") -> str:
        done = subprocess.run(  # noqa: S603 -- the benchmark's own arguments.
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **self._settings()},
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed.\n{done.stderr}")
        return done.stdout


class Translated(Gateway):
    """The same, for callers who speak Messages to a provider that speaks Chat Completions."""

    name = "translated"
    spoken = wire.MESSAGES
    provider = "novita"
    provider_key = "sk_sim-fast-" + "0123456789" * 3


class Catalogued(Gateway):
    """The same with a catalogue as large as it may become, for the list of models."""

    name = f"{MODELS}-models"

    def _prepare(self) -> None:
        self._manage("shell", "-c", f"from tests.many_models import fill; fill({MODELS})")


class Paid(Gateway):
    """The same where the key is MegaBrain's own, and the caller's balance pays."""

    name = "balance"
    holder = "platform"

    def _prepare(self) -> None:
        granting = ("grant_credit", "--account", EMAIL, "--usd", "1000000")
        self._manage(*granting, "--idempotency-key", "bench", "--note", "Benchmark")


class LiteLLM(Contender):
    """LiteLLM's proxy: one worker, a master key, no database."""

    name = "litellm"

    @staticmethod
    def found() -> str | None:
        return os.environ.get("LITELLM") or shutil.which("litellm")

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": "Bearer sk-bench"}

    def start(self) -> None:
        configuration = self.home / "config.yaml"
        upstream = {
            "model": wire.MODEL,
            "api_base": f"http://127.0.0.1:{self.upstream}/v1",
            "api_key": PROVIDER_KEY,
        }
        # JSON is YAML.
        configuration.write_text(
            json.dumps(
                {
                    "model_list": [{"model_name": wire.MODEL, "litellm_params": upstream}],
                    "general_settings": {"master_key": "sk-bench"},
                }
            )
        )
        command = self.found()
        assert command is not None
        self._run(
            *(command, "--config", str(configuration), "--host", "127.0.0.1"),
            *("--port", str(self.port), "--num_workers", "1"),
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            LITELLM_LOG="ERROR",
        )


class Portkey(Contender):
    """Portkey's gateway, told with each request where to send it."""

    name = "portkey"

    @staticmethod
    def found() -> str | None:
        return os.environ.get("PORTKEY") or shutil.which("portkey-gateway")

    @property
    def headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {PROVIDER_KEY}",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{self.upstream}/v1",
        }

    def start(self) -> None:
        command = self.found()
        assert command is not None
        node = ["node", command] if command.endswith(".js") else [command]
        self._run(*node, f"--port={self.port}", "--headless")


def installed() -> tuple[list[type[Contender]], list[str]]:
    """Who can be measured here, and a sentence about each one who cannot."""
    found: list[type[Contender]] = [Direct]
    missing = []
    for kind, where in (
        (Nginx, "apt-get install nginx-light"),
        (LiteLLM, "LITELLM=/path/to/venv/bin/litellm"),
        (Portkey, "PORTKEY=/path/to/@portkey-ai/gateway/build/start-server.js"),
    ):
        if kind.found():
            found.append(kind)
        else:
            missing.append(f"{kind.name} is not installed here, so it is left out ({where}).")
    return [*found, Gateway, Translated, Catalogued, Paid], missing
