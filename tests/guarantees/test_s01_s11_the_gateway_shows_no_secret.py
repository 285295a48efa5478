"""S1 and S11, at the gateway: a call leaves no provider key, no prompt and no answer behind.

The search and its own proof are in test_s01_the_vault_shows_no_secret.py.
"""

import json
import logging
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from byok.actions import delete_key
from byok.vault import Secret
from orgs.origin import Origin
from tests.gateway_fixture import AddKey, Agent
from tests.guarantees.canary import Canary
from tests.guarantees.watch import Watch

#: One of each way in which an answer can go wrong, as the simulator's words for it.
WHOLE = "ok 400 401 402 403 404 429 500 529 echo echo-401 huge-500 html error cut bad hang"
STREAMED = "ok 401 500 echo-error lateerror echo-lateerror huge-lateerror cut end bad stall hang"

pytestmark = pytest.mark.django_db(transaction=True)

PROVIDERS = {
    "openai": ("sk-proj-", "chat/completions", "openai/gpt-6-luna"),
    "anthropic": ("sk-ant-api03-", "messages", "anthropic/claude-haiku-4.5"),
}


def ask(agent: Agent, provider: str, prompt: str, **more: Any) -> Any:
    _, endpoint, model = PROVIDERS[provider]
    body = {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": prompt}]}
    if provider == "openai":
        del body["max_tokens"]
    return agent.post(endpoint, {**body, **more})


class Conversation:
    """A prompt and its answer, neither of which anybody has seen before."""

    def __init__(self) -> None:
        self.prompt, self.answer = Canary("I want to know "), Canary("It is like this: ")

    @property
    def text(self) -> str:
        return f"{self.prompt.text}\nsay: {self.answer.text}"

    def sightings(self, watch: Watch) -> list[str]:
        return watch.sightings(self.prompt, self.answer, in_answers=False)


@pytest.mark.parametrize("name", ["megabrain.gateway.relay", "aiohttp.client", "asyncio", "new"])
def test_whatever_is_logged_is_searched(watch: Watch, name: str):
    canary = Canary()
    logging.getLogger(name).debug("sent %s", {"authorization": canary.text})
    assert watch.sightings(canary)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("streamed", [False, True])
def test_calls_however_they_end(
    watch: Watch,
    agent: Agent,
    owner_client: Client,
    key: AddKey,
    usage_row: Any,
    settings: Any,
    provider: str,
    streamed: bool,
):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = settings.MEGABRAIN_IDLE_SECONDS = 0.5
    canary, talk = Canary(prefix=""), Conversation()
    for word in (STREAMED if streamed else WHOLE).split():
        secret = f"{PROVIDERS[provider][0]}sim-{word}-{canary.text}"
        stored = key(provider, secret=Secret(secret))
        answer = watch.hear(ask(agent, provider, talk.text, stream=streamed))
        assert "x-megabrain-key" in answer.headers, word
        usage_row(answer.headers["x-request-id"])
        watch.see(owner_client.get(reverse("byok:keys")))
        watch.hear(agent.get(f"requests/{answer.headers['x-request-id']}"))
        delete_key(actor=stored.account.user, key=stored, origin=Origin())
    assert watch.sightings(canary) == []
    assert talk.sightings(watch) == []


def test_a_call_that_breaks_something(
    watch: Watch, agent: Agent, owner_client: Client, key: AddKey, settings: Any
):
    canary, talk = Canary("sk-proj-sim-ok-"), Conversation()
    stored = key("openai", secret=Secret(canary.text))
    settings.MEGABRAIN_UPSTREAM_URLS = {"openai": None}
    answer = watch.hear(ask(agent, "openai", talk.text))
    assert answer.status_code == 500
    assert "Traceback" in watch.caplog.text
    watch.see(owner_client.get(reverse("byok:details", kwargs={"key_id": stored.pk})))
    watch.see(owner_client.get(reverse("orgs:activity")))
    watch.see(owner_client.get(reverse("dashboard")))
    assert watch.sightings(canary) == []
    assert talk.sightings(watch) == []


NOWHERE = [
    "http://127.0.0.1:1",
    "https://127.0.0.1:1",
    "http://no.such.name.invalid",
    "http://[broken",
    "http://127.0.0.1:99999",
    "gopher://127.0.0.1",
    "",
]


def test_a_provider_that_cannot_be_reached(watch: Watch, agent: Agent, key: AddKey, settings: Any):
    canary, talk = Canary("sk-proj-sim-ok-"), Conversation()
    key("openai", secret=Secret(canary.text))
    for url in NOWHERE:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": url}
        answer = watch.hear(ask(agent, "openai", talk.text))
        assert answer.status_code == 503, url
    assert watch.sightings(canary) == []
    assert talk.sightings(watch) == []


def test_requests_that_are_refused(watch: Watch, agent: Agent, key: AddKey):
    """Neither a log nor a row repeats what could not be understood."""
    talk = Conversation()
    key("openai")
    text = json.dumps(talk.text)[1:-1]
    for broken in (
        f'{{"messages": "{text}"',
        f'"{text}"',
        f'{{"{text}": 1}}',
        f'{{"model": ["{text}"]}}',
        f'{{"model": "openai/gpt-6-luna", "stream": "{text}"}}',
        f'{{"model": "openai/gpt-6-luna", "{text}": 1, "messages": []}}',
        "[" * 5000 + text,
    ):
        assert watch.hear(agent.post("chat/completions", data=broken)).status_code == 400
    watch.hear(agent.post("chat/completions", data=text, headers={"content-encoding": "gzip"}))
    watch.hear(agent.post("nothing", {"prompt": text}))
    assert talk.sightings(watch) == []
