"""What the key decides: every fault, streamed or not, as a caller sees it."""

import json
import time
from typing import Any

import pytest
import requests

from megabrain.simulator.faults import (
    FLOOD_BYTES,
    FLOOD_EVENT_BYTES,
    FOREIGN_KEY,
    HUGE_BYTES,
    Behaviour,
    Fault,
    ListFault,
    behaviour,
)
from tests.simulator_fixture import RunningSimulator

PROMPT = {"messages": [{"role": "user", "content": "stream: 8 events"}]}
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "anthropic": (
        "/v1/messages",
        "sk-ant-api03-",
        {**PROMPT, "model": "claude-sonnet-5", "max_tokens": 99},
    ),
    "openai": (
        "/responses",
        "sk-proj-",
        {"model": "gpt-4.1", "input": "stream: 8 events"},
    ),
    "deepseek": (
        "/chat/completions",
        "sk-",
        {**PROMPT, "model": "deepseek-flash", "thinking": {"type": "disabled"}},
    ),
    "fireworks": (
        "/chat/completions",
        "fw_",
        {**PROMPT, "model": "accounts/fireworks/models/gpt-oss-20b"},
    ),
    "novita": ("/chat/completions", "sk_", {**PROMPT, "model": "openai/gpt-oss-20b"}),
}
TERMINAL = {"anthropic": "message_stop", "openai": "response.completed", "deepseek": "[DONE]"}
ERROR_FIRST = {
    "anthropic": 'event: error\ndata: {"type":"error"',
    "openai": 'event: error\ndata: {"type":"error","sequence_number":0',
    "deepseek": 'data: {"error":',
}


def call(
    simulator: RunningSimulator, provider: str, fault: str, *, stream: bool = False, wait: float = 9
) -> requests.Response:
    path, prefix, body = CALLS[provider]
    key = f"{prefix}sim-{fault}-x"
    uses_key_header = provider == "anthropic"
    return requests.post(
        simulator.url(provider) + path,
        json={**body, "stream": stream},
        headers={
            "anthropic-version": "2023-06-01",
            **({"x-api-key": key} if uses_key_header else {"authorization": f"Bearer {key}"}),
        },
        timeout=wait,
    )


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("sk-ant-api03-sim-ok-0123456789abcdef", Behaviour(Fault.NONE)),
        ("fw_simok0123456789", Behaviour(Fault.NONE)),
        ("sk-sim-429-1", Behaviour(Fault.RATE_LIMITED)),
        ("sk-sim-overloaded", Behaviour(Fault.OVERLOADED)),
        ("sk-sim-late-error-1", Behaviour(Fault.LATE_ERROR)),
        ("sk-simlateerror1", Behaviour(Fault.LATE_ERROR)),
        ("sk-sim-echo-1", Behaviour(Fault.BAD_REQUEST, echo=True)),
        ("sk-sim-echo-401", Behaviour(Fault.BAD_KEY, echo=True)),
        ("sk-sim-huge", Behaviour(Fault.SERVER_ERROR, huge=True)),
        ("sk-sim-listempty-1", Behaviour(Fault.NONE, ListFault.EMPTY)),
        ("AKIASIMLISTDRIP01234", Behaviour(Fault.NONE, ListFault.DRIP)),
        ("sk-proj-9f8e7d6c5b4a", None),
        ("sk-sim-", None),
    ],
)
def test_a_key_says_what_it_wants(key: str, expected: Behaviour | None):
    assert behaviour(key) == expected


@pytest.mark.parametrize("provider", CALLS)
def test_a_key_never_issued_here_is_refused(simulator: RunningSimulator, provider: str):
    assert call(simulator, provider, "nothing").status_code == 401


@pytest.mark.parametrize("provider", CALLS)
def test_another_provider_s_key_is_refused(simulator: RunningSimulator, provider: str):
    path, _, body = CALLS[provider]
    foreign = "fw_sim-ok" if provider != "fireworks" else "sk_sim-ok"
    headers = {
        "x-api-key": foreign,
        "authorization": f"Bearer {foreign}",
        "anthropic-version": "2023-06-01",
    }
    answer = requests.post(simulator.url(provider) + path, json=body, headers=headers, timeout=9)
    assert answer.status_code == 401


@pytest.mark.parametrize("provider", CALLS)
def test_a_key_in_the_wrong_header_is_refused(simulator: RunningSimulator, provider: str):
    path, prefix, body = CALLS[provider]
    key = f"{prefix}sim-ok"
    wrong = {"authorization": f"Bearer {key}"} if provider == "anthropic" else {"x-api-key": key}
    headers = {**wrong, "anthropic-version": "2023-06-01"}
    answer = requests.post(simulator.url(provider) + path, json=body, headers=headers, timeout=9)
    assert answer.status_code == 401


@pytest.mark.parametrize("provider", CALLS)
def test_a_rate_limit_says_when_to_come_back(simulator: RunningSimulator, provider: str):
    answer = call(simulator, provider, "429")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize("stream", [False, True])
def test_a_slow_key_keeps_deepseek_s_caller_company(simulator: RunningSimulator, stream: bool):
    began = time.monotonic()
    answer = call(simulator, "deepseek", "slow", stream=stream)
    assert time.monotonic() - began > 1
    assert answer.text.startswith(": keep-alive\n\n" if stream else "\n")
    if not stream:
        assert answer.json()["choices"]


def test_a_slow_key_leaves_anthropic_s_caller_in_silence(simulator: RunningSimulator):
    answer = call(simulator, "anthropic", "slow", stream=True)
    assert answer.elapsed.total_seconds() > 1
    assert answer.text.startswith("event: message_start")


@pytest.mark.parametrize("provider", TERMINAL)
def test_a_stream_that_works_has_its_terminal_event(simulator: RunningSimulator, provider: str):
    assert TERMINAL[provider] in call(simulator, provider, "ok", stream=True).text


@pytest.mark.parametrize("provider", TERMINAL)
def test_a_cut_stream_drops_the_connection(simulator: RunningSimulator, provider: str):
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        call(simulator, provider, "cut", stream=True)
    assert simulator.call_ended().end == "cut"


def test_a_cut_answer_is_shorter_than_announced(simulator: RunningSimulator):
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        call(simulator, "openai", "cut")


@pytest.mark.parametrize("provider", TERMINAL)
def test_a_stream_may_end_cleanly_and_too_early(simulator: RunningSimulator, provider: str):
    text = call(simulator, provider, "end", stream=True).text
    assert text.endswith("\n\n")
    assert TERMINAL[provider] not in text


@pytest.mark.parametrize("provider", ERROR_FIRST)
def test_an_error_may_come_as_the_first_event(simulator: RunningSimulator, provider: str):
    answer = call(simulator, provider, "error", stream=True)
    assert answer.status_code == 200
    assert answer.text.startswith(ERROR_FIRST[provider])
    assert call(simulator, provider, "error").status_code in {503, 529}


@pytest.mark.parametrize("provider", TERMINAL)
def test_an_error_may_come_in_mid_stream(simulator: RunningSimulator, provider: str):
    text = call(simulator, provider, "lateerror", stream=True).text
    last = text.strip().rpartition("data: ")[2]
    assert "error" in last
    assert not text.startswith(ERROR_FIRST[provider])
    assert TERMINAL[provider] not in text


def test_malformed_json_comes_in_an_answer_and_in_a_stream(simulator: RunningSimulator):
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        call(simulator, "novita", "bad").json()
    last = call(simulator, "novita", "bad", stream=True).text.strip().rpartition("data: ")[2]
    with pytest.raises(json.JSONDecodeError):
        json.loads(last)


def test_a_hanging_key_never_answers_and_notices_a_hang_up(simulator: RunningSimulator):
    with pytest.raises(requests.exceptions.ReadTimeout):
        call(simulator, "fireworks", "hang", wait=0.5)
    assert simulator.call_ended().end == "gone"


def test_a_stalled_stream_falls_silent_after_some_events(simulator: RunningSimulator):
    with pytest.raises(requests.exceptions.ConnectionError):
        call(simulator, "fireworks", "stall", stream=True, wait=0.5)
    ended = simulator.call_ended()
    assert (ended.end, ended.events) == ("gone", 4)


def test_a_hang_up_in_mid_stream_stops_the_answer(simulator: RunningSimulator):
    path, prefix, body = CALLS["fireworks"]
    slow = {**body, "messages": [{"role": "user", "content": "stream: 1000 events at 20/s"}]}
    with requests.post(
        simulator.url("fireworks") + path,
        json={**slow, "stream": True},
        headers={"authorization": f"Bearer {prefix}sim-ok"},
        stream=True,
        timeout=9,
    ) as answer:
        next(answer.iter_lines())
    ended = simulator.call_ended()
    assert ended.end == "gone"
    assert ended.events < 100


def test_an_echo_repeats_the_key_in_any_refusal(simulator: RunningSimulator):
    for fault, status in [("echo", 400), ("echo-401", 401), ("echo-500", 500)]:
        answer = call(simulator, "openai", fault)
        assert answer.status_code == status
        for leaked in (f"sk-proj-sim-{fault}-x", FOREIGN_KEY, "<script>"):
            assert leaked in answer.text


def test_a_huge_error_has_ten_megabytes(simulator: RunningSimulator):
    answer = call(simulator, "openai", "huge-402")
    assert answer.status_code == 429
    assert len(answer.content) > HUGE_BYTES


def test_an_answer_may_be_larger_than_anyone_wants(simulator: RunningSimulator):
    assert len(call(simulator, "openai", "flood").content) > FLOOD_BYTES
    lines = call(simulator, "openai", "flood", stream=True).text.splitlines()
    assert max(map(len, lines)) > FLOOD_EVENT_BYTES


def test_a_proxy_may_answer_in_html(simulator: RunningSimulator):
    answer = call(simulator, "openai", "html")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")


def test_a_flaky_key_fails_every_other_time(simulator: RunningSimulator):
    statuses = [call(simulator, "openai", "flaky").status_code for _ in range(4)]
    assert statuses == [503, 200, 503, 200]


@pytest.mark.parametrize("provider", CALLS)
def test_a_fast_key_is_answered_without_reading_the_request(
    simulator: RunningSimulator, provider: str
):
    whole = call(simulator, provider, "fast")
    streamed = call(simulator, provider, "fast", stream=True)
    assert whole.status_code == streamed.status_code == 200
    assert "8" in streamed.text


def test_every_call_is_kept_as_it_arrived(simulator: RunningSimulator):
    call(simulator, "openai", "ok")
    (kept,) = simulator.calls
    assert (kept.method, kept.path, kept.provider) == ("POST", "/openai/v1/responses", "openai")
    assert kept.headers["authorization"] == "Bearer sk-proj-sim-ok-x"
    assert kept.json["model"] == "gpt-4.1"
    assert (kept.status, kept.end) == (200, "complete")


def test_a_pace_in_the_prompt_is_kept(simulator: RunningSimulator):
    path, prefix, body = CALLS["fireworks"]
    began = time.monotonic()
    answer = requests.post(
        simulator.url("fireworks") + path,
        json={
            **body,
            "stream": True,
            "messages": [{"role": "user", "content": "stream: 10 events at 20/s"}],
        },
        headers={"authorization": f"Bearer {prefix}sim-ok"},
        timeout=9,
    )
    assert 0.5 < time.monotonic() - began < 3
    assert "10 " in answer.text


def test_the_prompt_may_ask_for_a_wait_and_for_a_refusal(simulator: RunningSimulator):
    url, headers = simulator.url("openai"), {"authorization": "Bearer sk-sim-ok"}
    began = time.monotonic()
    waited = {"model": "gpt-4.1", "input": "wait: 0.4\nsay: done"}
    assert "done" in requests.post(f"{url}/responses", json=waited, headers=headers, timeout=9).text
    assert time.monotonic() - began > 0.4
    refused = {"model": "gpt-4.1", "input": "refuse: too_long"}
    answer = requests.post(f"{url}/responses", json=refused, headers=headers, timeout=9)
    assert answer.json()["error"]["code"] == "context_length_exceeded"
