"""S35, at the gateway: a token that no longer holds stops in seconds, and all refusals agree."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from megabrain.gateway.snapshot import FRESH_SECONDS
from orgs.actions import revoke_token
from orgs.models import ApiToken, User
from orgs.origin import Origin
from orgs.tokens import new_token
from tests.gateway_fixture import Agent, MakeAgent
from tests.guarantees.wire import exchange

#: For a machine that is busy with other tests.
SLACK = 2.0


def works(agent: Agent) -> bool:
    status = agent.get("models").status_code
    assert status in {200, 401}
    return status == 200


def test_without_any_announcement_a_token_stops_within_five_seconds(make_agent, stranger, owner):
    """Every way to lose one's right, in one test, as each takes its five seconds."""
    revoked, expired, shortened, moved = (make_agent() for _ in range(4))
    deactivated = make_agent(stranger)
    lost = [revoked, expired, shortened, moved, deactivated]
    assert all(works(agent) for agent in lost)
    # Straight to the database, as when the word of it is lost on its way.
    now, tokens = datetime.now(UTC), ApiToken.objects
    tokens.filter(pk=revoked.record.pk).update(revoked_at=now)
    tokens.filter(pk=expired.record.pk).update(expires_at=now - timedelta(seconds=1))
    tokens.filter(pk=shortened.record.pk).update(expires_at=now + timedelta(seconds=1))
    tokens.filter(pk=moved.record.pk).update(digest="0" * 64)
    User.objects.filter(pk=stranger.pk).update(is_active=False)
    until = time.monotonic() + FRESH_SECONDS + SLACK
    # One that is asked for all the time is no exception.
    while left := [agent for agent in lost if works(agent)]:
        assert time.monotonic() < until, [agent.record for agent in left]
        time.sleep(0.05)


def test_an_announced_one_stops_with_the_next_request(make_agent, owner):
    agents = [make_agent() for _ in range(3)]
    for agent in agents:
        assert works(agent)
        revoke_token(actor=owner, token=agent.record, origin=Origin())
        until = time.monotonic() + FRESH_SECONDS / 2  # The word may go by way of Redis.
        while works(agent):
            assert time.monotonic() < until
    assert not any(works(agent) for agent in agents)


def refusal(agent: Agent, endpoint: str, token: str | None) -> tuple[int, dict[str, str], str]:
    """What is told, without what no two answers have in common."""
    agent.session.headers.pop("authorization", None)
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    method = "GET" if endpoint.startswith(("models", "requests")) else "POST"
    answer = agent.request(method, endpoint, headers=headers, data=b"{}")
    dropped = {"date", "x-request-id", "request-id", "x-megabrain-overhead-ms"}
    kept = {name.lower(): text for name, text in answer.headers.items()}
    kept = {name: text for name, text in kept.items() if name not in dropped}
    return answer.status_code, kept, answer.text.replace(answer.headers["request-id"], "ID")


@pytest.fixture
def not_valid(make_agent: MakeAgent, owner: User, stranger: User) -> dict[str, str | None]:
    revoked, expired, deactivated = make_agent(), make_agent(), make_agent(stranger)
    revoke_token(actor=owner, token=revoked.record, origin=Origin())
    long_ago = datetime.now(UTC) - timedelta(days=1)
    ApiToken.objects.filter(pk=expired.record.pk).update(expires_at=long_ago)
    User.objects.filter(pk=stranger.pk).update(is_active=False)
    good = make_agent().token
    return {
        "none": None,
        "empty": "",
        "unknown": new_token(),
        "revoked": revoked.token,
        "expired": expired.token,
        "of nobody": deactivated.token,
        "mistyped": good[:-1] + ("a" if good[-1] != "a" else "b"),
        "shortened": good[:-1],
        "lengthened": good + "0",
        "in other case": good.swapcase(),
        "only shown": good[:8],
        "a provider's": "sk-ant-api03-" + "a" * 80,
        "quoted": f'"{good}"',
        "twice": f"{good},{good}",
        "an injection": "mb-' OR 1=1 --",
        "escaped": good.replace("m", "%6d", 1),
        "long": "mb-" + "a" * 30_000,
        "in other digits": good[:-6] + "１２３４５６",
        "with a mark": f"\ufeff{good}",
        "from right to left": f"\u202e{good}",
    }


@pytest.mark.parametrize(
    "endpoint", ["chat/completions", "responses", "messages", "models", "requests/x"]
)
def test_all_refusals_read_the_same(make_agent, not_valid, endpoint):
    told: dict[Any, list[str]] = {}
    agent = make_agent()
    for name, token in not_valid.items():
        raw = token if token is None else token.encode().decode("latin-1")
        status, headers, text = refusal(agent, endpoint, raw)
        assert status == 401, name
        told.setdefault((str(headers), text), []).append(name)
    assert len(told) == 1, told.values()


def test_hostile_bytes_are_a_refusal_or_no_request(agent):
    good = agent.token.encode()
    for value in (
        b"Bearer \0" + good,
        b"Bearer " + good + b"\0",
        b"Bearer " + good[:10] + b"\r" + good[10:],
        b"Bearer " + good[:10] + b"\r\n " + good[10:],
        b"Bearer " + bytes(range(128, 256)),
        b"Bearer " + good + b"\xff",
        b"Bearer \xc2\xa0" + good,
        b"Bearer mb-" + b"\xe2\x80\xae" * 49,
        b"Bearer\x0b" + good,
        b"Basic " + good,
        b"Bearer Bearer " + good,
        b"\x7f" * 100,
    ):
        raw = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: %s\r\n\r\n" % value
        [status] = re.findall(rb"HTTP/1\.1 (\d+)", exchange(agent.gateway.address, raw))
        assert status in {b"400", b"401"}, value


def test_tokens_that_begin_alike_have_their_own_accounts(make_agent, stranger, key, simulator):
    stored = key("openai")
    ours, theirs = make_agent(), make_agent(stranger)
    ApiToken.objects.update(prefix=ours.record.prefix)
    body = {"model": "openai/gpt-6-luna", "messages": [{"role": "user", "content": "say: a"}]}
    for _ in range(3):
        served = ours.post("chat/completions", body)
        assert served.headers["x-megabrain-key"] == str(stored.pk)[:8]
        assert theirs.post("chat/completions", body).json()["error"]["code"] == "byok_key_required"
    assert len(simulator.calls) == 3
    revoke_token(actor=stranger, token=theirs.record, origin=Origin())
    assert works(ours)
