"""S32, at the gateway: an id of another account is as good as none, and so are its keys."""

import re
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import pytest

from billing.models import UsageRecord
from byok.models import ProviderKey
from orgs.actions import remove_member
from orgs.models import ApiToken, AuditEvent, Membership
from orgs.origin import Origin
from tests.gateway_fixture import AddKey, Agent, MakeAgent

MODEL = {"model": "openai/gpt-6-luna", "messages": [{"role": "user", "content": "say: pong"}]}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.fixture
def served(agent: Agent, key: AddKey, usage_row: Any) -> UsageRecord:
    """A call of the owner."""
    key("openai")
    answer = agent.post("chat/completions", MODEL)
    row: UsageRecord = usage_row(answer.headers["x-request-id"])
    return row


@pytest.fixture
def other(make_agent: MakeAgent, stranger: Any) -> Agent:
    return make_agent(stranger)


def everything() -> list[list[Any]]:
    """All rows that a look-up could change; when a token was last used may change at any time."""
    from megabrain.asgi import gateway as application

    # What earlier calls leave behind, such as that their key works, is not the look-up's doing.
    application.settlement.flush()
    unchanging = ("pk", "name", "digest", "revoked_at", "expires_at")
    rows: tuple[Iterable[Any], ...] = (
        ApiToken.objects.order_by("pk").values_list(*unchanging),
        ProviderKey.objects.order_by("pk").values_list("pk", "enabled", "hint", "health"),
        AuditEvent.objects.order_by("pk").values_list(),
        UsageRecord.objects.order_by("pk").values_list(),
    )
    return [list(each) for each in rows]


def told(agent: Agent, method: str, path: str, own: str) -> tuple[int, list[str], str]:
    answer = agent.request(method, path)
    names = sorted(name.lower() for name in answer.headers)
    return answer.status_code, names, answer.text.replace(own, "ID")


def ids_of(row: UsageRecord, agent: Agent) -> list[str]:
    """Every id of the owner that a stranger may have come by."""
    account, key = row.account_id, row.provider_key_id
    return [str(id_) for id_ in (row.request_id, account, row.user_id, agent.record.pk, key)]


#: A place of the gateway that takes an id joins this list.
PLACES = ["requests/{}", "models/{}", "models/openai/{}", "route?model={}"]
#: What a caller may expect to find there, and what does not exist for anybody.
NOWHERE = ["key/{}", "keys/{}", "accounts/{}", "responses/{}", "usage/{}"]


def test_another_accounts_id_is_told_from_none_by_nothing(agent, other, served):
    before = everything()
    for place in PLACES + NOWHERE:
        for id_ in ids_of(served, agent):
            for method in METHODS:
                nobodys = str(uuid4())
                theirs = told(other, method, place.format(id_), id_)
                assert theirs == told(other, method, place.format(nobodys), nobodys)
                assert theirs[0] in {404, 405}, (method, place)
    assert everything() == before


def test_the_record_of_a_call_is_for_its_own_account(agent, other, served):
    path = f"requests/{served.request_id}"
    assert agent.get(path).json()["id"] == str(served.request_id)
    for spelling in (path, path.upper().replace("REQUESTS", "requests"), path.replace("-", "")):
        assert other.get(spelling).status_code == 404


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("x-megabrain-organization", "organization_not_found"),
        ("x-megabrain-account", "byok_key_required"),
        ("openai-organization", "byok_key_required"),
        ("x-account", "byok_key_required"),
    ],
)
def test_no_header_makes_another_account_pay(
    agent, other, served, organization, key, simulator, name, code
):
    key("openai", account=organization)
    simulator.clear()
    accounts = (str(served.account_id), agent.record.account.slug, "owner@example.com", "*")
    for value in (*accounts, organization.slug, str(organization.pk)):
        headers = {name: value}
        answer = other.post("chat/completions", MODEL, headers=headers)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == code
        found = other.get(f"requests/{served.request_id}", headers=headers)
        assert found.status_code == 404
    assert simulator.calls == []


def test_a_member_does_not_find_another_members_request(
    make_agent, organization, owner, member, served
):
    """In an organization an id is scoped to its account and, for a member, to that person."""
    asked = make_agent(owner, account=organization).post("chat/completions", MODEL)
    ids = asked.headers["x-request-id"], str(served.request_id)
    agents = make_agent(member), make_agent(member, account=organization)
    before = everything()
    for agent in agents:
        for id_ in ids:
            for method in METHODS:
                nobodys = str(uuid4())
                theirs = told(agent, method, f"requests/{id_}", id_)
                assert theirs == told(agent, method, f"requests/{nobodys}", nobodys)
                assert theirs[0] in {404, 405}
    assert everything() == before


def test_a_former_member_is_a_stranger_in_the_organization(
    make_agent, organization, owner, member, key, simulator
):
    key("openai", account=organization)
    named = {"x-megabrain-organization": organization.slug}
    of_it, personal = make_agent(member, account=organization), make_agent(member)
    own = of_it.post("chat/completions", MODEL).headers["x-request-id"]
    assert personal.get(f"requests/{own}", headers=named).status_code == 200
    simulator.clear()
    gone = Membership.objects.get(user=member, account=organization)
    remove_member(actor=owner, membership=gone, origin=Origin())
    for path in (f"requests/{own}", "models", "models/openai/gpt-6-luna"):
        assert of_it.get(path).status_code == 401
        assert personal.get(path, headers=named).status_code == 404
    assert of_it.post("chat/completions", MODEL).status_code == 401
    assert personal.post("chat/completions", MODEL, headers=named).status_code == 404
    assert personal.get(f"requests/{own}").status_code == 404
    assert simulator.calls == []


def test_no_field_of_the_body_makes_another_account_pay(agent, other, served, simulator):
    simulator.clear()
    names = ("user", "account", "account_id", "organization", "token", "key", "key_id", "provider")
    for name in names:
        for id_ in ids_of(served, agent):
            answer = other.post("chat/completions", {**MODEL, name: id_})
            assert answer.status_code == 404, (name, id_)
    assert simulator.calls == []


def test_a_models_page_shows_no_other_tokens_list(agent, make_agent, other, served):
    """The lists are kept in memory and shared between callers who may see the same."""
    only = make_agent(allowed_models=["openai/gpt-6-luna"])
    assert [each["id"] for each in only.get("models").json()["data"]] == ["openai/gpt-6-luna"]
    for unrestricted in (agent, other):
        assert len(unrestricted.get("models").json()["data"]) > 5
    assert only.get("models/anthropic/claude-haiku-4.5").status_code in {403, 404}
    theirs = other.get("models/openai/gpt-6-luna").json()
    assert theirs["byok"] == {"available": False, "providers": [], "keys": []}


def test_the_error_of_a_call_without_keys_names_nobody_elses(agent, other, served):
    answer = other.post("chat/completions", MODEL)
    told_of = answer.text + repr(answer.headers)
    assert not [id_ for id_ in ids_of(served, agent) if id_ in told_of or id_[:8] in told_of]
    assert not re.search("owner", told_of, re.IGNORECASE)
