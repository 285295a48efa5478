"""The whole application over TCP, in a thread of the test process: gateway, site, simulator."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import pytest
import requests
import uvicorn

from billing.models import UsageRecord
from byok.actions import add_key
from byok.catalogue import version
from byok.models import CatalogModel, Offering, ProviderKey, Source
from byok.vault import Secret
from megabrain.simulator.providers import sample_keys
from orgs.actions import create_token
from orgs.changes import announce
from orgs.models import Account, ApiToken, User
from orgs.origin import Origin
from tests.simulator_fixture import RunningSimulator

if TYPE_CHECKING:
    # To load them takes seconds, also in the processes that run no test.
    from anthropic import Anthropic
    from openai import OpenAI

START_SECONDS = 20


@dataclass(frozen=True)
class RunningGateway:
    address: str

    @property
    def base_url(self) -> str:
        """What OpenAI's clients are given; Anthropic's get the address."""
        return f"{self.address}/v1"


@dataclass(frozen=True)
class Agent:
    """An API token and the ways to use it, as an agent does.

    `openai` and `anthropic` are the official SDKs, which try once; the methods are plain HTTP.
    """

    gateway: RunningGateway
    record: ApiToken
    token: str
    session: requests.Session

    @cached_property
    def openai(self) -> "OpenAI":
        from openai import DefaultHttpxClient, OpenAI

        return OpenAI(
            base_url=self.gateway.base_url,
            api_key=self.token,
            max_retries=0,
            timeout=30,
            # Over plain HTTP nobody's certificate counts, and to read those of all takes long.
            http_client=DefaultHttpxClient(verify=False),
        )

    @cached_property
    def anthropic(self) -> "Anthropic":
        from anthropic import Anthropic, DefaultHttpxClient

        return Anthropic(
            base_url=self.gateway.address,
            api_key=self.token,
            max_retries=0,
            timeout=30,
            http_client=DefaultHttpxClient(verify=False),
        )

    def close(self) -> None:
        self.session.close()
        # Only the SDKs that were used: to make one takes longer than most calls.
        for name in {"openai", "anthropic"} & self.__dict__.keys():
            getattr(self, name).close()

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET below /v1."""
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        """POST below /v1: `body` as JSON, or `data` as it is."""
        return self.request("POST", path, json=body, **options)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        url = f"{self.gateway.base_url}/{path}"
        return self.session.request(method, url, **{"timeout": 30, **options})


class AddKey(Protocol):
    def __call__(self, provider: str, word: str = "ok", **options: Any) -> ProviderKey: ...


class MakeAgent(Protocol):
    def __call__(self, user: User | None = None, **options: Any) -> Agent: ...


@pytest.fixture(scope="session")
def running_gateway(
    running_simulator: RunningSimulator, django_db_setup: None, django_db_blocker: Any
) -> Iterator[RunningGateway]:
    """One for the session, on the database of the tests."""
    with django_db_blocker.unblock():
        # Importing it checks the vault keys against the database.
        from megabrain.asgi import application

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="on",
            http="megabrain.server:Http",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            # Longer than any test waits between two calls of one client.
            timeout_keep_alive=75,
        )
    )
    with django_db_blocker.unblock():
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        until = time.monotonic() + START_SECONDS
        while not server.started:
            assert thread.is_alive(), "the gateway did not start"
            assert time.monotonic() < until, "the gateway did not start in time"
            time.sleep(0.01)
    yield RunningGateway(f"http://127.0.0.1:{listener.getsockname()[1]}")
    with django_db_blocker.unblock():
        server.should_exit = True
        thread.join(20)
    listener.close()


@pytest.fixture
def gateway(
    transactional_db: None, running_gateway: RunningGateway, simulator: RunningSimulator
) -> Iterator[RunningGateway]:
    """The session's gateway, with nothing remembered from earlier tests."""
    from megabrain.asgi import gateway as application

    announce("catalogue")
    application.cooling.clear()
    yield running_gateway
    # What this test's calls leave behind belongs into its own database, not the next one's.
    application.settlement.flush()


@pytest.fixture
def key(owner: User, account: Account) -> AddKey:
    """Adds a provider key to the owner's account: `key("anthropic", "429")` is rate limited."""

    def add(provider: str, word: str = "ok", **options: Any) -> ProviderKey:
        secret = (
            sample_keys()[provider].replace("sim-ok", f"sim-{word}").replace("simok", f"sim{word}")
        )
        # In the id of an access key of AWS.
        secret = secret.replace("SIMOK", f"SIM{word}".replace("-", "").upper())
        return add_key(
            **{
                "actor": owner,
                "account": account,
                "provider": provider,
                "secret": Secret(secret),
                "origin": Origin(),
                **options,
            }
        )

    return add


@pytest.fixture
def direct_entry(gateway: RunningGateway) -> str:
    """A model that Novita offers directly, beside one of the same name that it offers to all."""
    model = CatalogModel.objects.create(
        id="novita-plan/gpt-oss-20b", name="gpt-oss-20b (Plan)", source=Source.STAFF
    )
    Offering.objects.create(
        model=model,
        provider="novita",
        upstream_id="openai/gpt-oss-20b",
        direct=True,
        source=Source.STAFF,
    )
    version.changed()
    return model.pk


@pytest.fixture
def make_agent(gateway: RunningGateway, owner: User) -> Iterator[MakeAgent]:
    """Makes an agent with a token of its own, for a user's personal account if for no other."""
    made: list[Agent] = []

    def make(user: User | None = None, **options: Any) -> Agent:
        user = user or owner
        record, token = create_token(
            **{
                "actor": user,
                "account": user.account,
                "name": "Agent",
                "origin": Origin(),
                **options,
            }
        )
        agent = Agent(gateway=gateway, record=record, token=token, session=requests.Session())
        agent.session.headers["authorization"] = f"Bearer {token}"
        agent.session.trust_env = False
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.close()


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    """The owner's agent."""
    return make_agent()


@pytest.fixture
def usage_row(transactional_db: None) -> Callable[..., UsageRecord]:
    """Waits for the row of a call: `usage_row(response.headers["x-request-id"])`; or for the last
    of so many: `usage_row(calls=2)`."""

    def find(request_id: str | None = None, within: float = 5, calls: int = 1) -> UsageRecord:
        rows = UsageRecord.objects.order_by("-created_at")
        if request_id is not None:
            rows = rows.filter(request_id=UUID(request_id))
        until = time.monotonic() + within
        while len(found := rows[:calls]) < calls:
            assert time.monotonic() < until, f"no usage row of {request_id or f'{calls} calls'}"
            time.sleep(0.02)
        return found[0]

    return find
