"""GET /v1/key: what an API token may do, and how much of that is used."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from billing.models import Hold, Wallet
from orgs.changes import announce
from orgs.models import Account, ApiToken
from tests.balance_fixture import DOLLAR
from tests.gateway.dialect import CHAT

MICROS = {"limit_micros", "spent_micros", "held_micros", "left_micros", "resets_at"}


def first_of_next_month() -> datetime:
    first = (timezone.now().replace(day=1) + timedelta(days=32)).replace(day=1)
    return datetime(first.year, first.month, 1, tzinfo=UTC)


def test_a_token_without_limits_says_so(agent, settings, simulator):
    told = agent.get("key").json()
    token = agent.record
    assert told["object"] == "api_token"
    assert (told["id"], told["name"], told["prefix"]) == (str(token.pk), "Agent", token.prefix)
    assert told["account"]["kind"] == "personal"
    assert (told["expires_at"], told["allowed_models"]) == (None, None)
    assert told["requests_per_minute"] == settings.MEGABRAIN_REQUESTS_PER_MINUTE
    for period in told["spending"].values():
        assert set(period) == MICROS
        assert (period["limit_micros"], period["left_micros"]) == (None, None)
        assert (period["spent_micros"], period["held_micros"]) == (0, 0)
    assert told["balance"] == {
        "posted_micros": 0,
        "held_micros": 0,
        "available_micros": 0,
        "frozen": False,
    }
    assert simulator.calls == []
    # Nothing of the token itself is in it.
    assert agent.token not in str(told)


def test_its_limits_and_what_is_used_of_them(make_agent, platform_key, fund, settled_wallet):
    platform_key("openai")
    fund()
    expires = timezone.now() + timedelta(days=3)
    agent = make_agent(expires_at=expires, allowed_models=[CHAT.model])
    ApiToken.objects.filter(pk=agent.record.pk).update(monthly_limit=DOLLAR, requests_per_minute=7)
    announce("catalogue")
    assert agent.post(CHAT.path, CHAT.body()).status_code == 200
    wallet = settled_wallet()
    spent = Hold.objects.get().charged_micros
    assert spent
    told = agent.get("key").json()
    assert (told["allowed_models"], told["requests_per_minute"]) == ([CHAT.model], 7)
    assert datetime.fromisoformat(told["expires_at"]) == expires
    month, day = told["spending"]["month"], told["spending"]["day"]
    assert (month["limit_micros"], month["spent_micros"]) == (DOLLAR, spent)
    assert (month["held_micros"], month["left_micros"]) == (0, DOLLAR - spent)
    assert datetime.fromisoformat(month["resets_at"]) == first_of_next_month()
    assert (day["limit_micros"], day["spent_micros"]) == (None, spent)
    assert told["balance"]["available_micros"] == wallet.posted_micros


def test_it_is_read_afresh(agent, fund, account):
    fund()
    assert agent.get("key").json()["balance"]["posted_micros"] == 20 * DOLLAR
    Wallet.objects.update(frozen_at=timezone.now(), frozen_why="It has drifted by 3.")
    fund()
    told = agent.get("key").json()
    assert (told["balance"]["posted_micros"], told["balance"]["frozen"]) == (40 * DOLLAR, True)
    assert "drifted" not in str(told)


@pytest.mark.parametrize("by_name", [False, True], ids=["its token", "by name"])
def test_in_an_organization_the_balance_is_for_who_may_manage_billing(
    make_agent, organization, member, billing_manager, platform_key, fund, settled_wallet, by_name
):
    platform_key("openai")
    fund(account=organization)
    Account.objects.filter(pk=organization.pk).update(
        member_daily_limit_micros=DOLLAR, member_requests_per_minute=50
    )
    announce("catalogue")
    told = {}
    for user in (member, billing_manager):
        agent = make_agent(user) if by_name else make_agent(user, account=organization)
        if by_name:
            agent.session.headers["x-megabrain-organization"] = organization.slug
        assert agent.post(CHAT.path, CHAT.body()).status_code == 200
        settled_wallet(organization.pk)
        told[user] = agent.get("key").json()
        day = told[user]["spending"]["day"]
        # His own, and nobody else's.
        spent = Hold.objects.get(user_id=user.pk).charged_micros
        assert (day["limit_micros"], day["spent_micros"]) == (DOLLAR, spent)
        tomorrow = timezone.now().date() + timedelta(days=1)
        assert datetime.fromisoformat(day["resets_at"]).date() == tomorrow
        assert told[user]["account"]["slug"] == organization.slug
        assert told[user]["requests_per_minute"] == 50
    assert "balance" not in told[member]
    assert told[billing_manager]["balance"]["posted_micros"] < 20 * DOLLAR


def test_it_is_looked_up_and_nothing_else(agent):
    answer = agent.post("key", {})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert agent.get("key/1").status_code == 404


def test_without_a_token_nothing_is_told(agent):
    agent.session.headers["authorization"] = "Bearer mb-nobodys"
    answer = agent.get("key")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
