"""Whose request it is: the token, in whichever header a client puts it, and nothing but a token."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anthropic
import openai
import pytest
import requests
from django.utils import timezone

from orgs.actions import revoke_token
from orgs.models import ApiToken
from orgs.origin import Origin
from orgs.tokens import new_token
from tests.gateway_fixture import Agent

ENDPOINTS = ("chat/completions", "responses", "messages", "messages/count_tokens")
SOMEBODY_ELSES = "sk-ant-api03-whatever0123456789abcdefghij"


@pytest.fixture
def ask(agent: Agent) -> Callable[..., requests.Response]:
    """Asks for the list of models with these headers and no others of the agent's."""

    def get(path: str = "models", **headers: Any) -> requests.Response:
        # None takes the session's own header out.
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return agent.get(path, headers={"authorization": None, **named})

    return get


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
def test_a_token_is_taken_from_each_header_that_clients_use(agent, ask, header):
    templates = ["{}", "{}  "]
    if header == "authorization":
        templates += ["Bearer {}", "bearer {}", "BEARER   {} "]
    for template in templates:
        for name in (header, header.title(), header.upper()):
            answer = ask(**{name: template.format(agent.token)})
            assert answer.status_code == 200, (name, template)


@pytest.mark.parametrize("good", ["authorization", "x-api-key", "api-key"])
def test_of_several_values_the_one_that_is_a_token_counts(agent, ask, good):
    for other in (SOMEBODY_ELSES, new_token(), ""):
        headers = {"authorization": f"Bearer {other}", "x-api-key": other, "api-key": other}
        headers[good] = f"Bearer {agent.token}" if good == "authorization" else agent.token
        assert ask(**headers).status_code == 200, other


def test_of_two_tokens_authorization_comes_before_x_api_key(agent, make_agent, stranger, ask, key):
    key("openai")
    theirs = make_agent(stranger)
    one = ask(authorization=f"Bearer {agent.token}", x_api_key=theirs.token)
    two = ask(authorization=f"Bearer {theirs.token}", x_api_key=agent.token)
    assert [has_a_key(one), has_a_key(two)] == [True, False]


def has_a_key(listing: requests.Response) -> bool:
    """Whether the list is that of an account with a provider key."""
    return any(model["byok"]["available"] for model in listing.json()["data"])


def test_a_token_in_the_address_is_no_token(agent, ask):
    for name in ("token", "key", "api_key", "access_token", "authorization"):
        assert ask(f"models?{name}={agent.token}").status_code == 401, name


def test_what_is_not_quite_a_token_is_refused(agent, ask):
    token = agent.token
    wrong = {
        "shortened": token[:-1],
        "longer": token + "0",
        "mistyped": token[:10] + ("a" if token[10] != "a" else "b") + token[11:],
        "in capitals": token.upper(),
        "never made": new_token(),
        "twice": f"{token},{token}",
        "a wildcard": token[:8] + "%",
        "nothing": "",
        "somebody else's": SOMEBODY_ELSES,
        "the prefix": "mb-",
        # A digit of another alphabet, as its bytes would arrive.
        "another script": token[:10] + "٣".encode().decode("latin-1") + token[11:],
    }
    for name, value in wrong.items():
        raw = value.encode("latin-1")
        assert ask(authorization=b"Bearer " + raw).status_code == 401, name
        assert ask(x_api_key=raw).status_code == 401, name


def test_a_scheme_other_than_bearer_is_refused(agent, ask):
    for scheme in ("Basic", "Token", "Digest"):
        assert ask(authorization=f"{scheme} {agent.token}").status_code == 401, scheme


def expired(agent, owner) -> None:
    moment = timezone.now() - timedelta(seconds=1)
    ApiToken.objects.filter(pk=agent.record.pk).update(expires_at=moment)


def revoked(agent, owner) -> None:
    revoke_token(actor=owner, token=agent.record, origin=Origin())


def of_somebody_locked_out(agent, owner) -> None:
    owner.is_active = False
    owner.save()


@pytest.mark.parametrize("spent", [expired, revoked, of_somebody_locked_out])
def test_a_token_that_no_longer_holds_is_refused(agent, owner, spent):
    spent(agent, owner)
    assert agent.get("models").status_code == 401


def test_a_token_expires_to_the_second_although_it_is_remembered(make_agent):
    expires_at = timezone.now() + timedelta(seconds=1)
    agent = make_agent(expires_at=expires_at)
    agent.get("models")
    while timezone.now() <= expires_at:
        time.sleep(0.05)
    assert agent.get("models").status_code == 401


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_refusal_reads_the_same_in_its_dialect(agent, make_agent, owner, endpoint):
    gone = make_agent()
    revoked(agent, owner)
    expired(gone, owner)
    told = [
        refusal(agent.post(endpoint, {"model": "x"}, headers=headers))
        for headers in (
            {},
            {"authorization": None},
            {"authorization": f"Bearer {new_token()}"},
            {"authorization": f"Bearer {gone.token}"},
            {"x-api-key": "nonsense"},
        )
    ]
    assert all(each == told[0] for each in told)
    status, error, headers = told[0]
    assert (status, error["type"]) == (401, "authentication_error")
    code = error["details"]["error_code"] if endpoint.startswith("messages") else error["code"]
    assert code == "invalid_api_key"
    assert headers["x-should-retry"] == "false"
    assert headers["x-megabrain-payer"] == "none"


def refusal(answer: requests.Response) -> tuple[int, Any, dict[str, str]]:
    """All that an answer says, but for its number and the time."""
    its_own = {"x-request-id", "request-id", "x-megabrain-overhead-ms", "date"}
    headers = {name: value for name, value in answer.headers.items() if name not in its_own}
    return answer.status_code, answer.json()["error"], headers


def test_the_sdks_know_a_refusal_for_what_it_is(agent, owner, simulator):
    revoked(agent, owner)
    with pytest.raises(openai.AuthenticationError) as chat:
        agent.openai.chat.completions.create(model="gpt-6-luna", messages=[])
    with pytest.raises(anthropic.AuthenticationError) as messages:
        agent.anthropic.messages.create(model="claude-sonnet-5.5", max_tokens=5, messages=[])
    assert chat.value.code == "invalid_api_key"
    assert messages.value.request_id
    assert simulator.calls == []
