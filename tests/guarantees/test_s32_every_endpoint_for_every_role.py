"""S32, walked at the gateway: each endpoint for each kind of caller, in an organization.

Its members use its keys; nobody else can name it, and whoever is refused costs nobody anything. An
endpoint of a dialect is walked as soon as there is one; a new place to look things up joins
LOOK_UPS.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import requests

from billing.models import UsageRecord
from byok.providers.endpoints import SERVED, Endpoint
from orgs.actions import remove_member
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from tests.conftest import person
from tests.gateway_fixture import AddKey, Agent, MakeAgent, RunningGateway

HEADER = "x-megabrain-organization"
ASKED = [{"role": "user", "content": "say: pong"}]
BODIES: Mapping[Endpoint, dict[str, Any]] = {
    Endpoint.CHAT: {"model": "openai/gpt-6-luna", "messages": ASKED},
    Endpoint.RESPONSES: {"model": "openai/gpt-6-luna", "input": "say: pong"},
    Endpoint.MESSAGES: {
        "model": "anthropic/claude-haiku-4.5",
        "max_tokens": 20,
        "messages": ASKED,
    },
    Endpoint.COUNT_TOKENS: {"model": "anthropic/claude-haiku-4.5", "messages": ASKED},
    Endpoint.COMPLETIONS: {"model": "openai/gpt-6-luna", "prompt": "say: pong"},
    Endpoint.FIM: {"model": "mistralai/codestral-2508", "prompt": "say: pong", "suffix": "\n"},
    Endpoint.EMBEDDINGS: {"model": "openai/text-embedding-3-small", "input": "pong"},
}
#: Where things are looked up; the request is a call of the owner's.
LOOK_UPS = (
    "models",
    "models/openai/gpt-6-luna",
    "requests/{}",
    "route?model=openai/gpt-6-luna",
    "key",
)

#: Each kind of caller, and what it gets: a call, a look-up, the record of the owner's call.
CALLERS: Mapping[str, tuple[int, int, int]] = {
    "owner": (200, 200, 200),
    "owner, by name": (200, 200, 200),
    "billing manager": (200, 200, 200),
    "billing manager, by name": (200, 200, 200),
    "member": (200, 200, 404),
    "member, by name": (200, 200, 404),
    "former member": (401, 401, 401),
    "former member, by name": (404, 404, 404),
    "stranger, by name": (404, 404, 404),
    "staff, by name": (404, 404, 404),
    "nobody": (401, 401, 401),
}


@pytest.fixture
def served(organization: Account, owner: User, key: AddKey) -> None:
    """The organization's keys; nobody has one of their own."""
    for provider in ("openai", "anthropic", "mistral"):
        key(provider, account=organization)


@pytest.fixture
def callers(
    organization: Account,
    owner: User,
    billing_manager: User,
    member: User,
    stranger: User,
    staff: User,
    gateway: RunningGateway,
    make_agent: MakeAgent,
) -> dict[str, Agent]:
    former = person("former")
    membership = Membership.objects.create(
        account=organization, user=former, role=Membership.Role.OWNER
    )
    people = {
        "owner": owner,
        "billing manager": billing_manager,
        "member": member,
        "former member": former,
        "stranger": stranger,
        "staff": staff,
    }
    found = {}
    for name, user in people.items():
        if name not in {"stranger", "staff"}:
            found[name] = make_agent(user, account=organization)
        agent = found[f"{name}, by name"] = make_agent(user)
        agent.session.headers[HEADER] = organization.slug
    found["nobody"] = make_agent(stranger)
    found["nobody"].session.headers["authorization"] = "Bearer mb-nobodys"
    remove_member(actor=owner, membership=membership, origin=Origin())
    return found


def test_every_kind_of_caller_is_listed(callers):
    assert set(callers) == set(CALLERS)
    assert set(BODIES) == set(SERVED)


@pytest.mark.parametrize("endpoint", SERVED)
def test_a_call_is_for_members(endpoint, callers, served, organization, simulator):
    simulator.clear()
    for name, agent in callers.items():
        answer = agent.post(endpoint, BODIES[endpoint])
        assert told(answer, endpoint) == CALLERS[name][0], (name, answer.text)
    members = [name for name, (call, _, _) in CALLERS.items() if call == 200]
    assert len(simulator.calls) == len(members)


@pytest.mark.parametrize("place", LOOK_UPS)
def test_a_look_up_is_for_members_and_a_record_for_who_may_see_it(
    place, callers, served, organization, simulator, usage_row
):
    made = callers["owner"].post("chat/completions", BODIES[Endpoint.CHAT])
    row = usage_row(made.headers["x-request-id"])
    assert row.account_id == organization.pk
    simulator.clear()
    record = place.startswith("requests/")
    for name, agent in callers.items():
        answer = agent.get(place.format(row.request_id))
        assert answer.status_code == CALLERS[name][2 if record else 1], (name, answer.text)
    assert simulator.calls == []


def test_in_the_personal_context_the_organizations_keys_serve_nobody(
    callers, served, organization, simulator
):
    simulator.clear()
    for name, agent in callers.items():
        if name.endswith("by name"):
            del agent.session.headers[HEADER]
            answer = agent.post("chat/completions", BODIES[Endpoint.CHAT])
            assert answer.status_code == 404, name
            assert answer.json()["error"]["code"] == "byok_key_required", name
    assert simulator.calls == []
    charged = UsageRecord.objects.filter(account_id=organization.pk)
    assert not charged.exists()


def told(answer: requests.Response, endpoint: Endpoint) -> int:
    """The status; Responses callers, who would repeat the call, hear 400 for 404."""
    if endpoint is Endpoint.RESPONSES and answer.status_code == 400:
        assert answer.json()["error"]["code"] == "organization_not_found"
        return 404
    return answer.status_code
