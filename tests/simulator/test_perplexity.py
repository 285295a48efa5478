"""Perplexity's Agent API: Responses without names of events, and with failures inside a 200."""

import json

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
