"""Requests a minute and calls at a time: for each token, and ten times as many for an account."""

import contextlib
import threading
import time

import anthropic
import openai
import pytest
import requests

from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES

AT_A_TIME = "as many as it may at a time"
#: Seconds of a minute in which a test makes its calls, on a busy machine.
ENOUGH = 5
A_MINUTE = " a minute. Try again in "


def refused(dialect, response, why: str, whose: str = "This API token") -> bool:
    """Whether it is our own limit that spoke, in the dialect's shape."""
    if response.status_code != 429:
        return False
    told = dialect.error(response)
    assert told.code == "rate_limit_exceeded"
    assert told.kind == "rate_limit_error"
    assert told.message.startswith(whose)
    assert why in told.message
    assert response.headers["x-should-retry"] == "true"
    assert 1 <= int(response.headers["retry-after"]) <= 120
    assert response.headers["x-megabrain-payer"] == "none"
    assert response.headers["x-megabrain-attempts"] == "0"
    return True


def eventually_served(agent, within: float = 10) -> bool:
    until = time.monotonic() + within
    while agent.post(CHAT.path, CHAT.body()).status_code == 429:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def under_way(simulator, *agents, seconds: float = 3.0):
    """A call of each of these agents, at the provider by now and for so long."""
    before = len(simulator.calls)
    threads = [
        threading.Thread(target=each.post, args=(CHAT.path, CHAT.body(f"wait: {seconds}")))
        for each in agents
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 10
    while len(simulator.calls) < before + len(agents):
        assert time.monotonic() < until
        time.sleep(0.01)
    yield
    for thread in threads:
        thread.join(20)


# At a time --------------------------------------------------------------------------------------


def test_a_token_has_so_many_calls_at_a_time(agent, key, simulator, settings):
    settings.MEGABRAIN_CONCURRENT_CALLS = 2
    key("openai")
    with under_way(simulator, agent, agent):
        for dialect in DIALECTS:
            for stream in (False, True):
                response = agent.post(dialect.path, dialect.body(stream=stream))
                assert refused(dialect, response, AT_A_TIME)
        assert len(simulator.calls) == 2
    assert eventually_served(agent)


def test_another_token_has_its_own(agent, make_agent, key, simulator, settings):
    settings.MEGABRAIN_CONCURRENT_CALLS = 1
    key("openai")
    with under_way(simulator, agent):
        assert make_agent().post(CHAT.path, CHAT.body()).status_code == 200


def test_all_tokens_of_an_account_have_ten_times_as_many(
    make_agent, key, simulator, settings, stranger
):
    settings.MEGABRAIN_CONCURRENT_CALLS = 1
    key("openai")
    with under_way(simulator, *[make_agent() for _ in range(10)], seconds=4):
        response = make_agent().post(CHAT.path, CHAT.body())
        assert refused(CHAT, response, AT_A_TIME, "This account")
        # Another account is not concerned; it has no key.
        assert make_agent(stranger).post(CHAT.path, CHAT.body()).status_code == 404


@pytest.mark.parametrize("word", ["401", "lateerror", "bad"], ids=lambda word: f"after {word}")
def test_a_place_is_free_again_after_an_error(agent, key, settings, word):
    settings.MEGABRAIN_CONCURRENT_CALLS = 1
    key("openai", word)
    for stream in (False, True, False):
        assert agent.post(CHAT.path, CHAT.body(stream=stream)).status_code != 429


def test_a_place_is_free_again_after_a_request_nobody_can_read(agent, settings):
    settings.MEGABRAIN_CONCURRENT_CALLS = 1
    for _ in range(3):
        assert agent.post(CHAT.path, data=b"{").status_code == 400
        assert agent.post(CHAT.path, CHAT.body(model="nobody/nothing")).status_code == 404


def test_a_place_is_free_again_after_a_hang_up(agent, key, simulator, settings):
    settings.MEGABRAIN_CONCURRENT_CALLS = 1
    key("openai")
    with contextlib.suppress(requests.Timeout):
        agent.post(CHAT.path, CHAT.body("wait: 4"), timeout=(5, 1))
    assert simulator.calls
    # Until its provider has answered, the call is still one.
    assert refused(CHAT, agent.post(CHAT.path, CHAT.body()), AT_A_TIME)
    assert eventually_served(agent)


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES], ids=str)
def test_the_sdks_wait_for_a_place(agent, key, simulator, settings, dialect):
    settings.MEGABRAIN_CONCURRENT_CALLS = 1
    key("openai")
    key("anthropic")
    # A client's first call takes longer than its others.
    dialect.ask(agent, "say: pong")
    with under_way(simulator, agent, seconds=1):
        raised = anthropic.RateLimitError if dialect is MESSAGES else openai.RateLimitError
        with pytest.raises(raised, match=AT_A_TIME):
            dialect.ask(agent, "say: pong")
        assert dialect.ask(agent, "say: pong", retries=2)
    assert len(simulator.calls) == 3


# A minute ---------------------------------------------------------------------------------------


def within_a_minute() -> None:
    """What follows falls into one minute, of the clocks by which limits count."""
    while (left := min(60 - clock() % 60 for clock in (time.monotonic, time.time))) < ENOUGH:
        time.sleep(left + 0.01)


def served_before_a_refusal(agent, dialect, most: int, whose: str = "This API token") -> int:
    """How many are served; one more than the limit when a minute ends meanwhile."""
    for served in range(most + 2):
        response = agent.post(dialect.path, dialect.body())
        if refused(dialect, response, A_MINUTE, whose):
            return served
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_token_has_so_many_requests_a_minute(agent, key, simulator, settings, dialect):
    settings.MEGABRAIN_REQUESTS_PER_MINUTE = 3
    key(dialect.provider)
    served = served_before_a_refusal(agent, dialect, 3)
    assert served in {3, 4}
    assert len(simulator.calls) == served


@pytest.mark.parametrize(
    "path", ["models", "models/gpt-6-luna", "requests/00000000-0000-4000-8000-000000000000"]
)
def test_looking_things_up_counts_as_well(agent, settings, path):
    settings.MEGABRAIN_REQUESTS_PER_MINUTE = 3
    settings.MEGABRAIN_CONCURRENT_CALLS = 1
    within_a_minute()
    responses = [agent.get(path) for _ in range(5)]
    assert 429 not in {response.status_code for response in responses[:3]}
    assert refused(CHAT, responses[-1], A_MINUTE)


def test_refused_requests_do_not_put_off_the_next_minute(agent, settings):
    settings.MEGABRAIN_REQUESTS_PER_MINUTE = 1
    within_a_minute()
    served_before_a_refusal(agent, CHAT, 1)
    first = int(agent.post(CHAT.path, CHAT.body()).headers["retry-after"])
    for _ in range(5):
        last = int(agent.post(CHAT.path, CHAT.body()).headers["retry-after"])
    assert last <= first


def test_all_tokens_of_an_account_have_ten_times_as_many_a_minute(make_agent, key, settings):
    settings.MEGABRAIN_REQUESTS_PER_MINUTE = 1
    key("openai")
    within_a_minute()
    for _ in range(10):
        make_agent().post(CHAT.path, CHAT.body())
    responses = [make_agent().post(CHAT.path, CHAT.body()) for _ in range(2)]
    assert refused(CHAT, responses[-1], A_MINUTE, "This account")
