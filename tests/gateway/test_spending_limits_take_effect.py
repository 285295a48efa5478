"""A limit of spending that is set on the site counts in the gateway with the next call."""

import pytest

from orgs.actions import limit_member_spending, limit_members_spending, limit_token_spending
from orgs.models import ApiToken, Membership
from orgs.origin import Origin
from tests.gateway.dialect import CHAT


@pytest.fixture
def ask(make_agent, platform_key, fund, organization, member):
    """The status of a call that Acme's balance pays, and the code of its error."""
    platform_key("openai")
    fund(account=organization)
    agent = make_agent(member, account=organization)

    def ask() -> tuple[int, str]:
        answer = agent.post(CHAT.path, CHAT.body())
        if answer.status_code == 200:
            assert answer.headers["x-megabrain-payer"] == "balance"
            return 200, ""
        return answer.status_code, str(CHAT.error(answer).code)

    return ask


REFUSED = (402, "spend_limit_reached")


def test_each_members_limit_and_ones_own_in_its_place(ask, organization, owner, member):
    membership = Membership.objects.get(account=organization, user=member)

    def each(micros: int | None) -> None:
        limit_members_spending(
            actor=owner, account=organization, daily_limit_micros=micros, origin=Origin()
        )

    def own(micros: int | None) -> None:
        limit_member_spending(
            actor=owner, membership=membership, daily_limit_micros=micros, origin=Origin()
        )

    assert ask() == (200, "")
    each(0)
    assert ask() == REFUSED
    own(20_000_000)
    assert ask() == (200, "")
    own(None)
    assert ask() == REFUSED
    each(None)
    assert ask() == (200, "")
    own(1)
    assert ask() == REFUSED, "what was spent before it counts"


def test_a_tokens_limit(ask, member):
    token = ApiToken.objects.get(user=member)

    def limit(micros: int | None) -> None:
        limit_token_spending(actor=member, token=token, monthly_limit=micros, origin=Origin())

    assert ask() == (200, "")
    limit(1)
    assert ask() == REFUSED
    limit(None)
    assert ask() == (200, "")
