"""The set-up shown with a new token works as it stands, with the keys that the account has."""

import json
import re
import shlex
import uuid
from html import unescape
from typing import Any

import pytest
import requests
from django.test import Client
from django.urls import reverse

from tests.gateway_fixture import AddKey, RunningGateway

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shown(gateway: RunningGateway, owner_client: Client, settings: Any):
    """Makes a token on its page and gives all the blocks of code shown with it."""
    settings.MEGABRAIN_BASE_URL = gateway.address

    def create(**fields: Any) -> list[str]:
        form = {"id": str(uuid.uuid4()), "name": "Agent", **fields}
        page = owner_client.post(reverse("orgs:token_create"), form).content.decode()
        blocks = re.findall(r"<code data-copy-text>(.*?)</code>", page, re.DOTALL)
        return [unescape(block) for block in blocks]

    return create


def run(curl: str) -> requests.Response:
    """What a shell and curl make of that line."""
    words = shlex.split(curl.replace("\\\n", " "))
    assert words[0] == "curl"
    headers = [words[place + 1] for place, word in enumerate(words) if word == "-H"]
    session = requests.Session()
    session.trust_env = False
    with session:
        return session.post(
            words[1],
            headers=dict(header.split(": ", 1) for header in headers),
            data=words[words.index("-d") + 1],
            timeout=30,
        )


def curl_of(blocks: list[str]) -> str:
    [curl] = [block for block in blocks if block.startswith("curl ")]
    return curl


def body_of(curl: str) -> dict[str, Any]:
    words = shlex.split(curl.replace("\\\n", " "))
    body: dict[str, Any] = json.loads(words[words.index("-d") + 1])
    return body


# One for each dialect that is spoken to a provider.
@pytest.mark.parametrize("provider", ["anthropic", "openai", "deepseek", "google", "bedrock"])
def test_the_first_call_is_answered_whichever_key_there_is(shown, key: AddKey, provider: str):
    key(provider)
    answer = run(curl_of(shown()))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-megabrain-provider"] == provider
    assert answer.text.rstrip().endswith("[DONE]")


def test_it_names_a_model_that_the_token_allows(shown, key: AddKey):
    key("anthropic")
    model = "anthropic/claude-haiku-4.5"
    curl = curl_of(shown(allowed_models=[model]))
    assert body_of(curl)["model"] == model
    assert run(curl).status_code == 200


def test_a_key_that_is_off_is_not_counted_on(shown, key: AddKey):
    openai = key("openai")
    openai.enabled = False
    openai.save()
    key("deepseek")
    assert body_of(curl_of(shown()))["model"].startswith("deepseek/")


@pytest.mark.parametrize(
    ("provider", "vendor"),
    [("anthropic", "anthropic"), ("openai", "openai"), ("google", "google"), ("zai", "z-ai")],
)
def test_one_key_is_enough_for_agents_of_every_dialect(
    shown, key: AddKey, provider: str, vendor: str
):
    key(provider)
    blocks = "\n".join(shown())
    assert f'model = "{vendor}/' in blocks  # Codex, and the SDKs
    assert f"ANTHROPIC_MODEL={vendor}/" in blocks
    assert f"ANTHROPIC_DEFAULT_HAIKU_MODEL={vendor}/" in blocks
    assert f"opencode --model megabrain/{vendor}/" in blocks
    assert f"aider --model openai/{vendor}/" in blocks


def test_a_model_whose_provider_speaks_the_agents_dialect_goes_first(shown, key: AddKey):
    key("google")
    key("moonshotai")
    assert "ANTHROPIC_MODEL=moonshotai/" in "\n".join(shown())


def test_a_key_of_a_host_without_the_model_is_not_counted_on(shown, key: AddKey):
    model = "mistralai/mistral-large-4-0"
    codestral = key("mistral")
    assert body_of(curl_of(shown(allowed_models=[model])))["model"] == model
    codestral.host = "codestral"
    codestral.save()
    assert body_of(curl_of(shown(allowed_models=[model])))["model"] != model


def test_what_no_key_serves_is_said(owner_client: Client):
    form = {"id": str(uuid.uuid4()), "name": "Agent"}
    page = owner_client.post(reverse("orgs:token_create"), form).content.decode()
    assert "openai/gpt-6-luna needs a provider key that serves it" in page
    assert "anthropic/claude-sonnet-5.5 needs a provider key that serves it" in page
