"""In an organization only its keys serve, in the personal account only one's own.

The organization is that of the token, or the one a personal token names in a header.
"""

import http.client
import json
import threading
import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import anthropic
import openai
import pytest
from django.conf import settings

from byok.actions import set_enabled
from megabrain.gateway.snapshot import FRESH_SECONDS
from orgs.actions import (
    accept_invitation,
    change_organization,
    change_role,
    close_user,
    create_organization,
    delete_organization,
    invite,
    leave_organization,
    remove_member,
    reopen_user,
)
from orgs.changes import announce, subscribe
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES, Dialect, Told
from tests.gateway.raw_upstream import Wire, raw_upstream
from tests.gateway.test_without_a_database import unreadable
from tests.gateway_fixture import Agent

HEADER = "x-megabrain-organization"
NOT_FOUND = "organization_not_found"
WAYS = ["its token", "its slug", "its id"]


@pytest.fixture
def join(make_agent, organization):
    """An agent of `user` that works for the organization in one of the ways there are."""

    def make(user, way: str = "its token", **options):
        if way == "its token":
            return make_agent(user, account=organization, **options)
        agent = make_agent(user, **options)
        named = organization.slug if way == "its slug" else str(organization.pk)
        agent.session.headers[HEADER] = named
        return agent

    return make


@pytest.fixture
def keys(key, organization, member):
    """An OpenAI key of the organization, and one of the member's own."""
    return (
        key("openai", "ok-acme", account=organization),
        key("openai", "ok-own", actor=member, account=member.account),
    )


def membership_of(user: User, organization: Account) -> Membership:
    return Membership.objects.get(user=user, account=organization)


def served_with(simulator) -> set[str]:
    """The marks of the keys that providers have seen."""
    found = set()
    for call in simulator.calls:
        credential = call.headers.get("authorization", "") + call.headers.get("x-api-key", "")
        found |= {mark for mark in ("acme", "own") if f"-{mark}" in credential}
    return found


def refusal(agent: Agent, dialect: Dialect = CHAT, **options: Any) -> tuple[int, Told]:
    """What a call that is not served is answered."""
    response = agent.post(dialect.path, dialect.body(), **options)
    return response.status_code, dialect.error(response)


def raw_post(agent: Agent, named: Iterable[str]) -> http.client.HTTPResponse:
    """A call with these headers of that name, as no good client sends them."""
    body = json.dumps(CHAT.body()).encode()
    host = agent.gateway.address.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("authorization", f"Bearer {agent.token}")
    connection.putheader("connection", "close")
    connection.putheader("content-length", str(len(body)))
    for name in named:
        connection.putheader(HEADER, name)
    connection.endheaders(body)
    return connection.getresponse()


# Whose keys serve -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_an_organizations_key_alone_serves_its_members(
    join, keys, organization, member, simulator, usage_row, way
):
    agent = join(member, way)
    for stream in (False, True):
        answer = agent.post(CHAT.path, CHAT.body(stream=stream))
        assert answer.status_code == 200
        assert answer.headers[HEADER] == "acme"
        assert answer.headers["x-megabrain-key"] == str(keys[0].pk)[:8]
        row = usage_row(answer.headers["x-request-id"])
        assert (row.account_id, row.user_id) == (organization.pk, member.pk)
        assert row.token_id == agent.record.pk
    assert served_with(simulator) == {"acme"}
    # The header was for us, and goes no further.
    assert not [call for call in simulator.calls if HEADER in call.headers]


@pytest.mark.parametrize("named", [(), ("",), ("  ",), ("\t",)], ids=repr)
def test_in_the_personal_account_ones_own_key_alone_serves(
    make_agent, keys, member, simulator, usage_row, named
):
    answer = raw_post(make_agent(member), named)
    assert answer.status == 200
    assert answer.headers[HEADER] is None
    assert answer.headers["x-megabrain-key"] == str(keys[1].pk)[:8]
    assert usage_row(answer.headers["x-request-id"]).account_id == member.account.pk
    assert served_with(simulator) == {"own"}


@pytest.mark.parametrize("way", WAYS)
def test_a_key_of_ones_own_does_not_step_in_for_the_organization(join, key, member, simulator, way):
    key("openai", actor=member, account=member.account)
    key("novita", actor=member, account=member.account)
    agent = join(member, way)
    for dialect in (CHAT, RESPONSES):
        assert refusal(agent, dialect)[1].code == "byok_key_required"
    assert agent.get("models/openai/gpt-6-luna").json()["byok"]["available"] is False
    assert simulator.calls == []


def test_the_organizations_key_does_not_step_in_for_ones_own(make_agent, join, keys, owner):
    assert refusal(make_agent(owner))[1].code == "byok_key_required"
    assert join(owner).get("models/openai/gpt-6-luna").json()["byok"]["available"] is True


def test_a_personal_key_does_not_take_over_from_one_that_failed(
    join, key, organization, member, simulator
):
    key("openai", "401-acme", account=organization)
    key("openai", "ok-own", actor=member, account=member.account)
    assert refusal(join(member, "its slug"))[1].code == "byok_key_rejected"
    assert served_with(simulator) == {"acme"}


@pytest.mark.parametrize("spelling", ["Acme", "acme ", "ACME\t"])
def test_a_slug_is_read_as_people_write_it(make_agent, keys, member, simulator, spelling):
    agent = make_agent(member)
    assert agent.post(CHAT.path, CHAT.body(), headers={HEADER: spelling}).status_code == 200
    assert served_with(simulator) == {"acme"}


def test_the_sdks_name_it_in_their_default_headers(
    make_agent, keys, key, organization, member, simulator
):
    key("anthropic", "ok-acme", account=organization)
    agent = make_agent(member)
    named = {"X-MegaBrain-Organization": "acme"}
    client = agent.openai.with_options(default_headers=named)
    assert client.chat.completions.create(**CHAT.body())
    assert client.responses.create(**RESPONSES.body())
    assert agent.anthropic.with_options(default_headers=named).messages.create(**MESSAGES.body())
    assert served_with(simulator) == {"acme"}
    elsewhere = {"X-MegaBrain-Organization": "elsewhere"}
    with pytest.raises(openai.NotFoundError) as refused:
        agent.openai.with_options(default_headers=elsewhere).models.list()
    assert refused.value.code == NOT_FOUND
    with pytest.raises(anthropic.NotFoundError, match="names no organization that you belong to"):
        agent.anthropic.with_options(default_headers=elsewhere).messages.create(**MESSAGES.body())


# Whose organization -----------------------------------------------------------------------------


def test_a_foreign_organization_is_told_from_none_by_nothing(
    make_agent, keys, organization, stranger, simulator
):
    create_organization(actor=stranger, owner=stranger, name="Other", slug="other", origin=Origin())
    agent = make_agent(stranger)
    for dialect in DIALECTS:
        told = {
            (refusal(agent, dialect, headers={HEADER: named}))
            for named in ("acme", str(organization.pk), "nobody", str(uuid4()))
        }
        ((status, error),) = told
        assert status == (400 if dialect is RESPONSES else 404)
        assert error.code == NOT_FOUND
    for path in ("models", "models/gpt-6-luna", f"requests/{uuid4()}"):
        answers = [agent.get(path, headers={HEADER: named}) for named in ("acme", "nobody")]
        assert {answer.json()["error"]["code"] for answer in answers} == {NOT_FOUND}
        assert answers[0].content == answers[1].content
        assert answers[0].headers["x-should-retry"] == "false"
    assert simulator.calls == []


def test_a_header_that_names_nothing_is_never_taken_for_none(make_agent, keys, member, simulator):
    agents = make_agent(member), make_agent(member, account=keys[0].account)
    for named in (
        *("*", "null", "acme,acme", "acme acme", "acme%00", "acme/../acme", "../acme", '"acme"'),
        *("' OR 1=1 --", "<script>", "%s", "{slug}", "\xa0", "acme\xa0", "acm\xe9", "-", ","),
        *("platform", "personal", "owner@example.com", "a" * 10_000, "acme," * 2_000),
    ):
        for agent in agents:
            answer = agent.get("models", headers={HEADER: named.encode("latin-1")})
            assert (answer.status_code, CHAT.error(answer).code) == (404, NOT_FOUND), named
            # It may be anything, so it is not repeated.
            assert len(answer.content) < 500
    assert refusal(agents[0], headers={HEADER: "\xa0".encode("latin-1")})[1].code == NOT_FOUND
    assert simulator.calls == []


def test_a_personal_account_is_no_organization(make_agent, keys, member, owner, simulator):
    agent = make_agent(member)
    for account in (member.account, owner.account):
        for named in (str(account.pk), account.slug):
            assert refusal(agent, headers={HEADER: named})[1].code == NOT_FOUND
    assert simulator.calls == []


@pytest.mark.parametrize("named", [("acme", "acme"), ("acme", "other"), ("", "acme")], ids=repr)
def test_a_header_that_came_twice_names_nothing(make_agent, keys, member, simulator, named):
    answer = raw_post(make_agent(member), named)
    assert answer.status == 404
    assert json.loads(answer.read())["error"]["code"] == NOT_FOUND
    assert simulator.calls == []


def test_a_token_of_an_organization_is_of_no_other(
    make_agent, keys, organization, member, simulator
):
    other = create_organization(
        actor=member, owner=member, name="Other", slug="other", origin=Origin()
    )
    agent = make_agent(member, account=organization)
    for same in ("acme", str(organization.pk), "ACME "):
        assert agent.post(CHAT.path, CHAT.body(), headers={HEADER: same}).status_code == 200
    simulator.clear()
    # Not even its own person's other organization, or personal account.
    for another in ("other", str(other.pk), str(member.account.pk), member.account.slug, "nobody"):
        status, error = refusal(agent, headers={HEADER: another})
        assert (status, error.code) == (404, NOT_FOUND)
        assert error.message.startswith("This API token is of the organization Acme, and")
    assert simulator.calls == []


def test_without_a_token_nothing_is_said_of_organizations(make_agent, organization, member):
    agent = make_agent(member)
    for named in ("acme", "nobody"):
        headers = {HEADER: named, "authorization": None}
        assert refusal(agent, headers=headers)[1].code == "invalid_api_key"


# Changes count at once --------------------------------------------------------------------------


def warm_up(agent: Agent) -> None:
    """Have the gateway remember all it needs of a call, with no word of its own to come."""
    from megabrain.asgi import gateway as application

    assert agent.post(CHAT.path, CHAT.body()).status_code == 200
    # The first answer of a key is written down, and that is announced as well.
    assert application.settlement.flush()
    hear_everything()
    assert agent.post(CHAT.path, CHAT.body()).status_code == 200


def hear_everything() -> None:
    """Wait until all that was announced has been heard, also what comes back from Redis."""
    last, heard = str(uuid4()), threading.Semaphore(0)
    unsubscribe = subscribe(lambda _, changed: heard.release() if changed == last else None)
    announce("token", last)
    for _ in range(2 if settings.REDIS_URL else 1):
        assert heard.acquire(timeout=10)
    unsubscribe()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["removed", "left", "organization deleted"])
def test_a_former_members_access_ends_at_once(
    join, keys, organization, owner, member, simulator, way, how
):
    agent = join(member, way)
    warm_up(agent)
    simulator.clear()
    if how == "removed":
        gone = membership_of(member, organization)
        remove_member(actor=owner, membership=gone, origin=Origin())
    elif how == "left":
        leave_organization(actor=member, account=organization, origin=Origin())
    else:
        delete_organization(actor=owner, account=organization, origin=Origin())
    code = "invalid_api_key" if way == "its token" else NOT_FOUND
    for dialect in DIALECTS:
        assert refusal(agent, dialect)[1].code == code
    assert agent.get("models").status_code in {401, 404}
    assert simulator.calls == []
    if way != "its token":
        # The personal account is the person's own as before.
        assert agent.post(CHAT.path, CHAT.body(), headers={HEADER: None}).status_code == 200


@pytest.mark.parametrize("way", WAYS)
def test_a_closed_persons_access_ends_at_once_until_it_is_opened_again(
    join, keys, staff, member, simulator, way
):
    agent = join(member, way)
    warm_up(agent)
    simulator.clear()
    close_user(actor=staff, user=member, origin=Origin())
    assert refusal(agent)[1].code == "invalid_api_key"
    assert refusal(agent, headers={HEADER: None})[1].code == "invalid_api_key"
    assert simulator.calls == []
    reopen_user(actor=staff, user=member, origin=Origin())
    assert agent.post(CHAT.path, CHAT.body()).status_code == 200


def test_without_word_of_it_a_former_members_access_ends_within_the_fresh_seconds(
    join, keys, organization, member, simulator
):
    agents = [join(member, way) for way in WAYS]
    for agent in agents:
        warm_up(agent)
    Membership.objects.filter(user=member, account=organization).delete()
    time.sleep(FRESH_SECONDS)
    simulator.clear()
    assert [refusal(agent)[1].code for agent in agents] == [
        "invalid_api_key",
        NOT_FOUND,
        NOT_FOUND,
    ]
    assert simulator.calls == []


def test_a_former_members_call_goes_on_with_no_other_key(
    join, key, organization, owner, member, settings, simulator
):
    arrived, removed = threading.Event(), threading.Event()

    def fail_late(wire: Wire) -> None:
        arrived.set()
        removed.wait(10)
        wire.whole(429, b"{}")

    agent = join(member, "its slug")
    with raw_upstream(fail_late) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {
            **settings.MEGABRAIN_UPSTREAM_URLS,
            "fireworks": upstream.url,
        }
        for provider in ("fireworks", "novita"):
            key(provider, account=organization)
        answers = []
        body = CHAT.body(model="openai/gpt-oss-120b")
        thread = threading.Thread(target=lambda: answers.append(agent.post(CHAT.path, body)))
        thread.start()
        assert arrived.wait(10)
        gone = membership_of(member, organization)
        remove_member(actor=owner, membership=gone, origin=Origin())
        removed.set()
        thread.join(20)
    assert answers[0].status_code == 429
    assert simulator.calls == []


def test_a_new_slug_counts_at_once_and_the_old_one_no_more(join, keys, organization, owner, member):
    by_token, by_slug, by_id = (join(member, way) for way in WAYS)
    for agent in (by_token, by_slug, by_id):
        warm_up(agent)
    change_organization(
        actor=owner, account=organization, name="Apex", slug="apex", origin=Origin()
    )
    assert refusal(by_slug)[1].code == NOT_FOUND
    by_slug.session.headers[HEADER] = "apex"
    for agent in (by_token, by_slug, by_id):
        answer = agent.post(CHAT.path, CHAT.body())
        assert (answer.status_code, answer.headers[HEADER]) == (200, "apex")


def test_an_organization_is_there_for_those_who_have_just_come_to_it(
    join, keys, organization, owner, stranger, mailoutbox
):
    agent = join(stranger, "its slug")
    assert refusal(agent)[1].code == NOT_FOUND
    invite(
        actor=owner,
        account=organization,
        email=stranger.email,
        role=Membership.Role.MEMBER,
        origin=Origin(),
    )
    token = mailoutbox[-1].body.partition("/invitations/")[2].partition("/")[0]
    accept_invitation(actor=stranger, token=token, origin=Origin())
    assert agent.post(CHAT.path, CHAT.body()).status_code == 200
    create_organization(actor=stranger, owner=stranger, name="New", slug="new1", origin=Origin())
    assert refusal(agent, headers={HEADER: "new1"})[1].code == "byok_key_required"


def test_a_known_member_is_served_without_a_question_to_the_database(join, keys, member):
    agents = [join(member, way) for way in WAYS]
    for agent in agents:
        warm_up(agent)
    with unreadable(Membership):
        for agent in agents:
            assert agent.post(CHAT.path, CHAT.body()).status_code == 200
            # Nor is there one for each name that somebody thinks of.
            for number in range(20):
                named = {HEADER: f"nobody-{number}"}
                assert refusal(agent, headers=named)[1].code == NOT_FOUND


# What people are told ---------------------------------------------------------------------------


def test_who_manages_keys_gets_the_page_and_members_whom_to_ask(
    join, organization, owner, billing_manager, member, settings
):
    page = f"{settings.MEGABRAIN_BASE_URL}/orgs/acme/byok/"
    for way in WAYS:
        for user in (owner, billing_manager):
            told = refusal(join(user, way))[1].message
            assert told.startswith("Acme has no enabled provider key that serves openai/gpt-6-luna")
            assert told.endswith(f"Add one of AWS Bedrock or OpenAI at {page}.")
        told = refusal(join(member, way))[1].message
        assert told.endswith("billing manager of Acme to add one of AWS Bedrock or OpenAI.")
        assert settings.MEGABRAIN_BASE_URL not in told


def test_another_role_is_told_what_it_may_do_at_once(join, organization, owner, member):
    agent = join(member)
    assert "Ask an owner" in refusal(agent)[1].message
    promoted = membership_of(member, organization)
    change_role(
        actor=owner, membership=promoted, role=Membership.Role.BILLING_MANAGER, origin=Origin()
    )
    assert "/orgs/acme/byok/" in refusal(agent)[1].message


def test_a_disabled_key_is_the_organizations(join, key, organization, owner, member):
    stored = key("openai", account=organization)
    set_enabled(actor=owner, key=stored, enabled=False, origin=Origin())
    told = refusal(join(member))[1].message
    assert f"Acme's OpenAI key {str(stored.pk)[:8]} is disabled" in told
    assert told.endswith(
        "Ask an owner or billing manager of Acme to enable it, or add a key of AWS Bedrock or "
        "OpenAI."
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_rejected_key_is_for_those_who_manage_keys(
    join, key, organization, owner, member, settings, way
):
    key("openai", "401", account=organization)
    told = refusal(join(member, way))[1].message
    assert told.endswith("Ask an owner or billing manager of Acme to check the keys.")
    told = refusal(join(owner, way))[1].message
    assert told.endswith(f"Check the keys at {settings.MEGABRAIN_BASE_URL}/orgs/acme/byok/.")


def test_at_the_wrong_endpoint_the_organizations_keys_are_meant(join, key, organization, member):
    key("novita", account=organization)
    model = "deepseek/deepseek-v4-pro-0813"
    body = {"model": model, "prompt": "def f(", "suffix": "return x"}
    told = CHAT.error(join(member).post("fim/completions", body)).message
    assert told.startswith(f"With Acme's provider keys {model} is served at")


# Records ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_members_see_their_own_calls_and_those_who_see_all_usage_everybodys(
    join, make_agent, keys, owner, billing_manager, member, way
):
    agents = {user: join(user, way) for user in (owner, billing_manager, member)}
    ids = {
        user: agent.post(CHAT.path, CHAT.body()).headers["x-request-id"]
        for user, agent in agents.items()
    }
    for user, agent in agents.items():
        for whose, id_ in ids.items():
            sees = user != member or whose == member
            assert agent.get(f"requests/{id_}").status_code == (200 if sees else 404)
    others = agents[member].get(f"requests/{ids[owner]}").json()
    assert others == agents[member].get(f"requests/{uuid4()}").json()
    # In the personal account there is nothing of it, and the other way round.
    personal = make_agent(member)
    assert personal.get(f"requests/{ids[member]}").status_code == 404
    own = personal.post(CHAT.path, CHAT.body()).headers["x-request-id"]
    assert agents[member].get(f"requests/{own}").status_code == 404
    assert personal.get(f"requests/{own}").status_code == 200


def test_a_member_who_becomes_one_of_those_sees_everybodys_at_once(
    join, keys, organization, owner, member
):
    id_ = join(owner).post(CHAT.path, CHAT.body()).headers["x-request-id"]
    agent = join(member)
    assert agent.get(f"requests/{id_}").status_code == 404
    promoted = membership_of(member, organization)
    for role, status in ((Membership.Role.BILLING_MANAGER, 200), (Membership.Role.MEMBER, 404)):
        change_role(actor=owner, membership=promoted, role=role, origin=Origin())
        assert agent.get(f"requests/{id_}").status_code == status
