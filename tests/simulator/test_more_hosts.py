"""What is particular to the stand-ins of Mistral AI, xAI, MiniMax and Moonshot AI."""

import json
from typing import Any

import pytest
import requests

from megabrain.simulator.providers import PROVIDERS
from tests.simulator_fixture import RunningSimulator

ASKING = [{"role": "user", "content": "say: pong"}]
CODESTRAL = "simokcodestral0123456789abcdefgh"
CHINA = "sk-sim-ok-cn-0123456789abcdef"


def ask(
    simulator: RunningSimulator, name: str, path: str, body: dict[str, Any], key: str = ""
) -> requests.Response:
    key = key or PROVIDERS[name].sample_key
    return requests.post(
        simulator.url(name) + path,
        json=body,
        headers={"authorization": f"Bearer {key}"},
        timeout=9,
    )


def chat(simulator: RunningSimulator, name: str, model: str, **more: Any) -> requests.Response:
    key = more.pop("key", "")
    body = {"model": model, "messages": ASKING, **more}
    return ask(simulator, name, "/chat/completions", body, key)


def events(answer: requests.Response) -> list[dict[str, Any]]:
    """The events of a stream, which `[DONE]` ends."""
    *found, done = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert done == "[DONE]"
    return [json.loads(event) for event in found]


def test_fill_in_the_middle_is_answered_in_the_shape_of_chat(simulator: RunningSimulator):
    body = {"model": "codestral-2508", "prompt": "say: a + b", "suffix": "return x"}

    whole = ask(simulator, "mistral", "/fim/completions", body).json()
    streamed = events(ask(simulator, "mistral", "/fim/completions", {**body, "stream": True}))

    assert whole["choices"][0]["message"]["content"] == "a + b"
    assert whole["usage"]["completion_tokens"] == 3
    deltas = [event["choices"][0]["delta"]["content"] for event in streamed]
    assert "".join(deltas) == "a + b"
    assert [event["choices"][0]["finish_reason"] for event in streamed] == [None, None, "stop"]
    assert ["usage" in event for event in streamed] == [False, False, True]


def test_fill_in_the_middle_is_for_the_models_that_can(simulator: RunningSimulator):
    body = {"model": "mistral-large-4", "prompt": "a"}

    assert ask(simulator, "mistral", "/fim/completions", body).status_code == 422
    unknown = {"model": "codestral-2508", "prompt": "a", "seed": 1}
    assert ask(simulator, "mistral", "/fim/completions", unknown).status_code == 422


@pytest.mark.parametrize(
    ("name", "host", "model", "of_the_host"),
    [
        ("mistral", "codestral", "codestral-2508", CODESTRAL),
        ("moonshotai", "moonshotai-cn", "kimi-k2.6", CHINA),
    ],
)
def test_each_host_takes_its_own_keys(simulator, name, host, model, of_the_host):
    own = PROVIDERS[name].sample_key

    def status(at: str, key: str) -> int:
        url = f"{simulator.address}{PROVIDERS[name].hosts.get(at) or PROVIDERS[name].path}"
        return requests.post(
            f"{url}/chat/completions",
            json={"model": model, "messages": ASKING},
            headers={"authorization": f"Bearer {key}"},
            timeout=9,
        ).status_code

    assert [status("", own), status(host, of_the_host)] == [200, 200]
    assert [status("", of_the_host), status(host, own)] == [401, 401]


def test_the_codestral_host_serves_codestral_models_only(simulator: RunningSimulator):
    url = f"{simulator.address}{PROVIDERS['mistral'].hosts['codestral']}/chat/completions"
    answer = requests.post(
        url,
        json={"model": "mistral-large-4", "messages": ASKING},
        headers={"authorization": f"Bearer {CODESTRAL}"},
        timeout=9,
    )
    assert (answer.status_code, answer.json()["type"]) == (400, "invalid_model")


REFUSED = [
    ("mistral", "codestral-2508", {"stream": True, "stream_options": {"include_usage": True}}),
    ("mistral", "codestral-2508", {"seed": 1}),
    ("mistral", "codestral-2508", {"temperature": 1.6}),
    ("mistral", "codestral-2508", {"tool_choice": "required"}),
    ("mistral", "codestral-2508", {"messages": [{"role": "developer", "content": "x"}, *ASKING]}),
    ("mistral", "codestral-2508", {"messages": [{**ASKING[0], "name": "Ann"}]}),
    (
        "mistral",
        "codestral-2508",
        {"messages": [*ASKING, {"role": "assistant", "content": "po"}]},
    ),
    ("mistral", "mistral-large-4", {"reasoning_effort": "low"}),
    ("xai", "grok-4.7", {"presence_penalty": 0}),
    ("xai", "grok-4.7", {"stop": ["x"]}),
    ("xai", "grok-4.20-0309-reasoning", {"reasoning_effort": "low"}),
    ("minimax", "MiniMax-M3", {"temperature": 0}),
    ("minimax", "MiniMax-M3", {"temperature": 1.5}),
    ("minimax", "MiniMax-M3", {"n": 2}),
    ("moonshotai", "kimi-k3", {"temperature": 0.2}),
    ("moonshotai", "kimi-k3", {"seed": 1}),
    ("moonshotai", "kimi-k2.6", {"tool_choice": "required"}),
    ("moonshotai", "kimi-k3", {"reasoning_effort": "xhigh"}),
]


@pytest.mark.parametrize(("name", "model", "more"), REFUSED)
def test_what_the_company_refuses_is_refused(simulator, name, model, more):
    assert chat(simulator, name, model, **more).status_code in {400, 422}


def test_minimax_fails_inside_a_200_too(simulator: RunningSimulator):
    broke = chat(simulator, "minimax", "MiniMax-M3", key="sk-api-sim-402-0123456789abcdef")
    wrong = chat(simulator, "minimax", "MiniMax-M3", key="sk-api-sim-401-0123456789abcdef")

    assert broke.status_code == 200
    assert broke.json()["base_resp"] == {
        "status_code": 1008,
        "status_msg": "insufficient balance",
    }
    assert wrong.status_code == 401
    assert "(2049)" in wrong.json()["error"]["message"]


def test_one_model_of_minimax_is_for_plans(simulator: RunningSimulator):
    model, plan = "MiniMax-M3.1-Flash-Preview", "sk-cp-sim-ok-0123456789abcdef"

    assert chat(simulator, "minimax", model, key=plan).ok
    assert chat(simulator, "minimax", model).status_code == 400


def test_thoughts_are_where_each_company_puts_them(simulator: RunningSimulator):
    def message(name: str, model: str, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = chat(simulator, name, model, **more).json()["choices"][0]["message"]
        return found

    assert message("minimax", "MiniMax-M3")["content"].startswith("<think>")
    assert message("minimax", "MiniMax-M3", reasoning_split=True)["content"] == "pong"
    assert message("moonshotai", "kimi-k3")["reasoning_content"]
    parts = message("mistral", "mistral-large-4", reasoning_effort="high")["content"]
    assert [part["type"] for part in parts] == ["thinking", "text"]
    assert message("mistral", "mistral-large-4")["content"] == "pong"


def test_usage_is_told_as_each_company_tells_it(simulator: RunningSimulator):
    asked = {"stream": True, "stream_options": {"include_usage": True}}

    xai = events(chat(simulator, "xai", "grok-4.7", **asked))[-1]
    mistral = events(chat(simulator, "mistral", "codestral-2508", stream=True))[-1]
    moonshot = events(chat(simulator, "moonshotai", "kimi-k3", **asked))[-1]

    apart = xai["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert apart > xai["usage"]["completion_tokens"] > 0
    assert (mistral["choices"][0]["finish_reason"], "usage" in mistral) == ("stop", True)
    assert moonshot["choices"][0]["usage"]["cached_tokens"] == 0


def test_a_bad_key_is_a_bad_request_at_xai(simulator: RunningSimulator):
    answer = chat(simulator, "xai", "grok-4.7", key="xai-sim-401-0123456789abcdef")

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Incorrect API key")
