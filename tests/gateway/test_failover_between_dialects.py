"""Failing over to a key whose provider speaks another dialect, or did not sign what was thought."""

import pytest

from byok.actions import update_key
from byok.models import ProviderKey
from byok.vault import Secret
from megabrain.simulator.providers import sample_keys
from orgs.origin import Origin
from tests.fault_proxy import Wire, fault_proxy
from tests.gateway.dialect import CHAT, MESSAGES
from tests.gateway.matrix.callers import CALLERS, Asked, MessagesCaller

CLAUDE = "anthropic/claude-haiku-5.5"
REFUSED = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 91\r\n"
    b"connection: close\r\n\r\n"
    b'{"error":{"message":"It could not be verified.","code":"invalid_encrypted_content"}}       '
)
OPEN_WEIGHT = "openai/gpt-oss-120b"
CALL = 'call: get_weather {"city": "Paris"}'


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("caller", CALLERS, ids=str)
def test_the_caller_never_notices_which_key_served(agent, key, caller, simulator, stream):
    failing = key("anthropic", "529")
    key("bedrock")
    told = caller.ask(agent, CLAUDE, Asked("say: pong"), stream=stream)
    assert (told.text, told.finish) == ("pong", "end")
    assert [call.provider for call in simulator.calls] == ["anthropic", "anthropic", "bedrock"]
    assert ProviderKey.objects.get(pk=failing.pk).health != ProviderKey.Health.FAILING


@pytest.mark.parametrize("caller", CALLERS, ids=str)
def test_reasoning_that_one_key_signed_does_not_go_out_with_another(
    agent, key, caller, simulator, owner
):
    first = key("anthropic")
    told = caller.ask(agent, CLAUDE, Asked(CALL, tools=True, effort="high"), stream=False)
    assert told.reasoning
    key("bedrock")
    first.delete()
    simulator.clear()
    history = caller.results(told, ["21 degrees"])
    after = caller.ask(
        agent, CLAUDE, Asked(tools=True, effort="high", history=history), stream=False
    )
    assert "21 degrees" in after.text
    served = simulator.calls[-1]
    assert served.provider == "bedrock"
    # The provider would have refused what it did not sign; nobody else's thoughts reach it.
    assert told.reasoning.encode()[:40] not in served.body


def test_a_refused_signature_costs_one_more_attempt_and_nothing_else(agent, key, usage_row):
    """The turns before were served by somebody of whom nothing is known here any more."""
    key("anthropic")
    caller = MessagesCaller()
    told = caller.ask(agent, CLAUDE, Asked(CALL, tools=True, effort="high"), stream=False)
    history = caller.results(told, ["21 degrees"])
    (thinking,) = [
        block
        for message in history
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "thinking"
    ]
    thinking["signature"] = "c29tZWJvZHkgZWxzZQ=="
    tools = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}]
    body = {
        "model": CLAUDE,
        "max_tokens": 4000,
        "messages": history,
        "tools": tools,
        "thinking": {"type": "adaptive"},
    }
    answer = agent.post(MESSAGES.path, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-megabrain-attempts"] == "2"
    row = usage_row(answer.headers["x-request-id"])
    assert [attempt["outcome"] for attempt in row.attempts] == ["bad_request", "ok"]


def test_a_replaced_secret_that_cannot_read_its_forerunners_thoughts_goes_on_without(
    agent, key, owner, simulator, settings
):
    stored, caller, model = key("openai"), MessagesCaller(), "openai/gpt-6-luna"
    told = caller.ask(agent, model, Asked(CALL, tools=True, effort="high"), stream=False)
    assert told.reasoning
    # The new one is of another organization, whose key opens nothing of the old one's.
    secret = Secret(sample_keys()["openai"] + "0")
    update_key(actor=owner, key=stored, secret=secret, origin=Origin())
    seen = []

    def of_another_organization(wire: Wire) -> None:
        seen.append(b'"encrypted_content":"' in wire.read())
        wire.send(REFUSED if seen[-1] else wire.answer())

    with fault_proxy(simulator.address) as proxy:
        url = proxy.url(simulator.url("openai"))
        settings.MEGABRAIN_UPSTREAM_URLS = {**settings.MEGABRAIN_UPSTREAM_URLS, "openai": url}
        proxy.fault = of_another_organization
        history = caller.results(told, ["21 degrees"])
        asked = Asked(tools=True, effort="high", history=history)
        assert "21 degrees" in caller.ask(agent, model, asked, stream=False).text
    assert seen == [True, False]


def test_what_one_provider_cannot_be_asked_another_one_is(agent, key, simulator):
    """Converse has no word for several answers at once, and Chat has."""
    key("bedrock")
    body = {**CHAT.body(model=OPEN_WEIGHT), "n": 2}
    answer = agent.post(CHAT.path, body)
    assert answer.status_code == 400
    assert CHAT.error(answer).code == "unsupported_parameter"
    assert answer.json()["error"]["param"] == "n"
    assert "n" in answer.json()["error"]["message"]
    assert simulator.calls == []
    key("fireworks")
    answer = agent.post(CHAT.path, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-megabrain-provider"] == "fireworks"


@pytest.mark.parametrize("first", ["bedrock", "fireworks"])
def test_a_failure_that_passes_is_told_rather_than_what_the_other_cannot_be_asked(
    agent, key, first
):
    for provider in sorted(("bedrock", "fireworks"), key=lambda each: each != first):
        key(provider, "429" if provider == "fireworks" else "ok")
    answer = agent.post(CHAT.path, {**CHAT.body(model=OPEN_WEIGHT), "n": 2})
    assert answer.status_code == 429
    assert CHAT.error(answer).code == "byok_rate_limited"
    assert answer.headers["x-should-retry"] == "true"


def test_a_key_that_takes_over_again_gets_back_what_it_has_thought_itself(agent, key, simulator):
    key("anthropic", "529"), key("bedrock")
    caller = CALLERS[0]
    told = caller.ask(agent, CLAUDE, Asked(CALL, tools=True, effort="high"), stream=False)
    assert simulator.calls[-1].provider == "bedrock"
    history = caller.results(told, ["21 degrees"])
    caller.ask(agent, CLAUDE, Asked(tools=True, effort="high", history=history), stream=False)
    assert simulator.calls[-1].provider == "bedrock"
    assert b'"thinking"' in simulator.calls[-1].body
    assert told.reasoning.encode()[:40] in simulator.calls[-1].body


def test_what_only_tunes_is_named_when_it_has_to_be_left_out(agent, key):
    key("anthropic")
    tools = [{"type": "web_search"}]
    body = {**CHAT.body(model=CLAUDE), "seed": 7, "logit_bias": {}, "tools": tools}
    answer = agent.post(CHAT.path, body)
    assert answer.status_code == 200
    dropped = answer.headers["x-megabrain-dropped"].split(", ")
    assert {"seed", "tools.web_search"} <= set(dropped)
    key("novita")
    answer = agent.post(MESSAGES.path, {**MESSAGES.body(model=OPEN_WEIGHT), "top_k": 40})
    assert answer.headers["x-megabrain-dropped"] == "top_k"


def test_a_provider_that_fails_everybody_is_asked_once_and_after_the_others(
    agent, make_agent, key, stranger, simulator
):
    model = "openai/gpt-oss-120b"
    key("fireworks", "500")
    for _ in range(5):
        answer = agent.post(CHAT.path, CHAT.body(model=model))
        assert answer.headers["x-megabrain-attempts"] == "2"
    # From now on nobody is made to wait for a second try of it.
    assert agent.post(CHAT.path, CHAT.body(model=model)).headers["x-megabrain-attempts"] == "1"
    # And whoever has another key for the model is served by that at once.
    for provider, word in (("fireworks", "ok"), ("novita", "ok")):
        key(provider, word, actor=stranger, account=stranger.account)
    answer = make_agent(stranger).post(CHAT.path, CHAT.body(model=model))
    assert answer.headers["x-megabrain-provider"] == "novita"
    assert answer.headers["x-megabrain-attempts"] == "1"


def test_a_tool_of_anthropics_own_is_named_when_it_is_left_out(agent, key):
    key("openai")
    own = [{"type": "web_search_20250305", "name": "web_search"}]
    tools = [*own, {"name": "look", "input_schema": {"type": "object"}}]
    answer = agent.post(MESSAGES.path, {**MESSAGES.body(model="openai/gpt-6-luna"), "tools": tools})
    assert answer.headers["x-megabrain-dropped"] == "tools.web_search_20250305"
