"""Perplexity's Agent API: Responses without names of events, and with failures inside a 200; and
its older Chat API, which is stricter than others and names its sources."""

import json

import pytest
import requests

from byok.providers import provider
from byok.providers.base import Endpoint
from byok.vault import Secret
from megabrain.simulator.providers import PROVIDERS
from tests.simulator_fixture import RunningSimulator

ADAPTER = provider("perplexity")


def asked(key: str = PROVIDERS["perplexity"].sample_key, **options: object) -> requests.Response:
    body = {"model": "perplexity/sonar", "input": "say: pong", **options}
    request = ADAPTER.request(Secret(key), Endpoint.RESPONSES, json.dumps(body).encode(), {})
    return requests.post(request.url, headers=request.headers, data=request.body, timeout=9)


def test_its_events_are_data_alone(simulator: RunningSimulator):
    lines = asked(stream=True).text.splitlines()

    assert all(line.startswith("data: {") for line in lines if line)
    last = json.loads(lines[-2].removeprefix("data: "))
    assert last["type"] == "response.completed"
    assert last["response"]["usage"]["cost"]["currency"] == "USD"


def test_a_run_fails_inside_a_200(simulator: RunningSimulator):
    answer = asked("pplx-sim-529-0123456789")

    assert answer.status_code == 200
    assert answer.json()["status"] == "failed"
    assert not ADAPTER.answered(answer.content)


def test_a_field_it_does_not_know_is_refused_wherever_it_is(simulator: RunningSimulator):
    message = {"type": "message", "role": "user", "content": "say: pong"}
    for options in (
        {"store": False},
        {"input": [{**message, "id": "msg_1"}]},
        {"tools": [{"type": "function", "name": "f", "x": 1}]},
        {"reasoning": {"effort": "low", "summary": "auto"}},
    ):
        answer = asked(**options)
        assert answer.status_code == 400
        assert "unknown field" in answer.json()["error"]["message"]
    assert asked(input=[message]).status_code == 200


def chatted(*roles: str, **options: object) -> requests.Response:
    messages = [{"role": role, "content": "say: pong"} for role in roles or ("user",)]
    body = {"model": "sonar-pro", "messages": messages, **options}
    key = Secret(PROVIDERS["perplexity"].sample_key)
    request = ADAPTER.request(key, Endpoint.CHAT, json.dumps(body).encode(), {})
    return requests.post(request.url, headers=request.headers, data=request.body, timeout=9)


def test_a_chat_names_its_sources_and_what_they_cost(simulator: RunningSimulator):
    whole = chatted().json()

    assert whole["choices"][0]["message"]["content"] == "pong"
    assert whole["citations"] == [found["url"] for found in whole["search_results"]]
    assert whole["usage"]["num_search_queries"] == 1
    assert whole["usage"]["cost"]["total_cost"] > whole["usage"]["cost"]["request_cost"] > 0
    *_, last = [
        json.loads(line.removeprefix("data: "))
        for line in chatted(stream=True).text.splitlines()
        if line.startswith("data: {")
    ]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["citations"] == whole["citations"]
    assert last["usage"] == whole["usage"]


def test_a_chat_counts_reasoning_beside_the_answer(simulator: RunningSimulator):
    usage = chatted(model="sonar-reasoning-pro").json()["usage"]

    assert usage["reasoning_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize(
    ("roles", "is_taken"),
    [
        ("system system user", True),
        ("user assistant user", True),
        ("user user", False),
        ("assistant user", False),
        ("user assistant", False),
        ("user system", False),
        ("developer user", False),
        ("system", False),
    ],
)
def test_a_chat_is_of_user_and_assistant_in_turn(simulator: RunningSimulator, roles, is_taken):
    answer = chatted(*roles.split())

    assert answer.status_code == (200 if is_taken else 400)
    assert is_taken or answer.json()["error"]["type"] == "invalid_message"


def test_a_chat_knows_no_tools_and_no_other_fields(simulator: RunningSimulator):
    marked = {"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}
    named = {"role": "user", "content": "a", "name": "Ann"}
    for options in ({"seed": 7}, {"messages": [marked]}, {"messages": [named]}):
        answer = chatted(**options)
        assert answer.status_code == 400
        assert "unknown field" in answer.json()["error"]["message"]
    tools = [{"type": "function", "function": {"name": "look"}}]
    assert "Tool calling is not supported" in chatted(tools=tools).text


def test_each_of_its_interfaces_has_its_own_models(simulator: RunningSimulator):
    for answer in (chatted(model="perplexity/sonar"), asked(model="sonar-pro")):
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_model"
