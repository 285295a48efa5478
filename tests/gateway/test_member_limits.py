"""The requests a minute that an organization allows each member and token, and a token is made for.

With Redis they are counted by all processes together; without it, or while it is away, by each.
"""

import asyncio
import socket
import time
from uuid import uuid4

import pytest
import redis

from megabrain.gateway.allowances import Allowances
from megabrain.gateway.callers import Limit
from megabrain.gateway.errors import Problem
from orgs.actions import change_limits, limit_member
from orgs.models import Membership
from orgs.origin import Origin
from tests.gateway.dialect import CHAT, DIALECTS
from tests.gateway.test_limits import A_MINUTE, refused, within_a_minute
from tests.guarantees.server import running_server

HEADER = "x-megabrain-organization"
TOKENS_OWN = "This API token was made for {} a minute."
OF_TOKEN = "The organization Acme allows each API token {} a minute."
OF_MEMBER = "The organization Acme allows all your API tokens together {} a minute."


@pytest.fixture
def limit(organization, owner):
    """Limits the members and tokens of the organization."""

    def change(*, member: int | None = None, token: int | None = None) -> None:
        change_limits(
            actor=owner,
            account=organization,
            allowed_models=None,
            member_requests_per_minute=member,
            token_requests_per_minute=token,
            origin=Origin(),
        )

    return change


@pytest.fixture
def join(make_agent, organization):
    """Agents for the organization: with a token of it, or with a personal one and the header."""

    def make(user, *, header: bool = False, **options):
        if not header:
            return make_agent(user, account=organization, **options)
        agent = make_agent(user, **options)
        agent.session.headers[HEADER] = "acme"
        return agent

    return make


def exhaust(*agents, most: int) -> str:
    """Have them ask in turn until one is refused, and say with which words.

    One more than the limit is served when a minute ends meanwhile.
    """
    for served in range(most + 2):
        answer = agents[served % len(agents)].get("models")
        if answer.status_code == 429:
            assert refused(CHAT, answer, A_MINUTE, "T")
            assert served in {most, most + 1}
            return CHAT.error(answer).message
    raise AssertionError("nothing was refused")


# Whose limit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [False, True])
def test_each_token_has_the_organizations_limit(join, limit, member, header):
    limit(token=3)
    agent, other = join(member, header=header), join(member, header=header)
    assert exhaust(agent, most=3).startswith(OF_TOKEN.format("3 requests"))
    assert other.get("models").status_code == 200


def test_a_member_has_one_limit_for_all_ways_to_work_there(join, limit, owner, member):
    limit(member=4)
    agents = join(member), join(member), join(member, header=True)
    within_a_minute()
    assert exhaust(*agents, most=4).startswith(OF_MEMBER.format("4 requests"))
    for agent in agents:
        assert agent.get("models").status_code == 429
    assert join(owner).get("models").status_code == 200


def test_a_limit_of_the_member_stands_in_for_each_members(
    join, limit, organization, owner, member, billing_manager
):
    limit(member=5)
    membership = Membership.objects.get(user=member, account=organization)
    limit_member(actor=owner, membership=membership, requests_per_minute=1, origin=Origin())
    assert exhaust(join(member), most=1).startswith(OF_MEMBER.format("1 request"))
    exhaust(join(billing_manager), most=5)


def test_a_token_may_be_made_for_less_and_not_for_more(join, limit, member):
    limit(token=3)
    less = exhaust(join(member, requests_per_minute=1), most=1)
    assert less.startswith(TOKENS_OWN.format("1 request"))
    more = exhaust(join(member, requests_per_minute=100), most=3)
    assert more.startswith(OF_TOKEN.format("3 requests"))


def test_a_personal_tokens_own_limit_holds_wherever_it_is_used(join, limit, member):
    limit(token=5)
    agent = join(member, header=True, requests_per_minute=2)
    within_a_minute()
    assert agent.get("models").status_code == 200
    assert agent.get("models", headers={HEADER: None}).status_code == 200
    for headers in ({}, {HEADER: None}):
        agent.get("models", headers=headers)
        told = CHAT.error(agent.get("models", headers=headers)).message
        assert told.startswith(TOKENS_OWN.format("2 requests"))


def test_the_personal_account_is_not_concerned(join, limit, make_agent, member):
    limit(member=1, token=1)
    agent = join(member, header=True)
    exhaust(agent, most=1)
    for _ in range(5):
        assert agent.get("models", headers={HEADER: None}).status_code == 200


def test_a_refused_call_reaches_no_provider(join, limit, key, organization, member, simulator):
    key("openai", account=organization)
    key("anthropic", account=organization)
    limit(member=1)
    agent = join(member)
    within_a_minute()
    exhaust(agent, most=1)
    for dialect in DIALECTS:
        for stream in (False, True):
            answer = agent.post(dialect.path, dialect.body(stream=stream))
            assert refused(dialect, answer, A_MINUTE, "The organization Acme")
            assert answer.headers[HEADER] == "acme"
    assert simulator.calls == []


def test_one_members_refused_calls_are_not_at_the_others_expense(
    join, limit, settings, member, owner
):
    settings.MEGABRAIN_REQUESTS_PER_MINUTE = 2
    settings.MEGABRAIN_CONCURRENT_CALLS = 1
    limit(member=1)
    agent = join(member)
    within_a_minute()
    # Ten times what one token may is what the account may.
    for _ in range(40):
        agent.get("models")
    assert join(owner).get("models").status_code == 200
    assert refused(CHAT, agent.get("models"), A_MINUTE, "The organization Acme")


def test_a_changed_limit_counts_at_once_and_what_was_counted_stays(join, limit, member):
    limit(member=2)
    agent = join(member)
    within_a_minute()
    exhaust(agent, most=2)
    limit(member=6)
    assert agent.get("models").status_code == 200
    limit(member=1)
    assert agent.get("models").status_code == 429
    limit()
    assert agent.get("models").status_code == 200


def test_the_installations_limits_stay(join, limit, settings, member):
    settings.MEGABRAIN_REQUESTS_PER_MINUTE = 2
    limit(member=100, token=100)
    assert exhaust(join(member), most=2).startswith("This API token may make 2 requests a minute.")


# Over several processes -------------------------------------------------------------------------


def of_member(requests: int) -> tuple[Limit, ...]:
    return (Limit(f"member:{uuid4()}", requests, "Somebody allows"),)


async def served(allowances: list[Allowances], limits: tuple[Limit, ...], asked: int) -> int:
    """How many of so many requests at once, spread over these processes, are let through."""

    async def ask(number: int) -> bool:
        try:
            await allowances[number % len(allowances)].take(limits)
        except Problem:
            return False
        return True

    try:
        return sum(await asyncio.gather(*[ask(number) for number in range(asked)]))
    finally:
        for each in allowances:
            await each.close()


def test_processes_count_together(settings):
    if not settings.REDIS_URL:
        pytest.skip("They share nothing without Redis.")
    allowances = [Allowances(settings.REDIS_URL) for _ in range(3)]
    both = (*of_member(20), *of_member(1000))
    within_a_minute()
    assert asyncio.run(served(allowances, both, 100)) == 20


def test_what_one_limit_refuses_the_others_do_not_count(settings):
    async def spend() -> int:
        allowances = [Allowances(settings.REDIS_URL)]
        full, wide = of_member(1), of_member(10)
        await served(allowances, full + wide, 10)
        return await served(allowances, wide, 20)

    within_a_minute()
    assert asyncio.run(spend()) == 9


def test_what_another_process_has_used_up_is_not_counted_here(settings):
    if not settings.REDIS_URL:
        pytest.skip("They share nothing without Redis.")

    async def wait_and_spend() -> tuple[int, int]:
        limits = of_member(5)
        counter = f"megabrain:allowance:{limits[0].counter}"
        allowances = [Allowances(settings.REDIS_URL)]
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            # Full, also if a minute ends meanwhile.
            client.hset(counter, mapping={"number": int(time.time() // 60), "count": 1000})
            refused = await served(allowances, limits, 10)
            client.delete(counter)
        return refused, await served(allowances, limits, 10)

    assert asyncio.run(wait_and_spend()) == (0, 5)


def test_two_servers_count_together(
    join, limit, member, settings, gateway, simulator, tmp_path, transactional_db
):
    if not settings.REDIS_URL:
        pytest.skip("They share nothing without Redis.")
    limit(member=6)
    agent = join(member)
    with running_server(tmp_path, simulator.address) as server:
        statuses = []
        within_a_minute()
        for _ in range(8):
            statuses.append(agent.get("models").status_code)
            elsewhere = agent.session.get(f"{server.address}/v1/models", timeout=10)
            statuses.append(elsewhere.status_code)
    # One or two more when a minute ends meanwhile; each by itself would have served six.
    assert statuses.count(200) in {6, 7, 8}
    assert statuses[-2:] == [429, 429]


def test_without_redis_each_process_counts_and_no_call_fails():
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
    assert asyncio.run(served([Allowances(url)], of_member(5), 20)) == 5


def test_a_redis_that_does_not_answer_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        asked = served([Allowances(url)], of_member(50), 200)
        # It never will.
        assert asyncio.run(asyncio.wait_for(asked, 10)) == 50


def test_what_was_counted_with_redis_still_counts_without(settings):
    if not settings.REDIS_URL:
        pytest.skip("There is none to go away.")

    async def outage() -> int:
        limits = of_member(5)
        allowances = Allowances(settings.REDIS_URL)
        for _ in range(3):
            await allowances.take(limits)
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            # From now on all it has to say of this counter is that something is wrong.
            client.set(f"megabrain:allowance:{limits[0].counter}", "not a count", ex=60)
        return await served([allowances], limits, 10)

    assert asyncio.run(outage()) == 2
