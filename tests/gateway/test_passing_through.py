"""What a caller sends is what the provider gets, byte for byte, but for what must differ."""

from typing import Any

import pytest

CHAT, RESPONSES, MESSAGES = "chat/completions", "responses", "messages"
#: Numbers no float holds, escapes and spaces that another writer would write in another way.
ODD = (
    rb'{ "b" :[1.0,12345678901234567890123456789, 1e-400 ,-0.0,1E2],'
    rb'"a":"\u00e9 \ud83d\ude80 \/ ' + "é🚀\u2028".encode() + rb'", "a2":{} }'
)
CLAUDE_CODE = (
    b'{"stream":true,"model":"%s","max_tokens":50,"metadata":{ "user_id":"{\\"device_id\\":1}"},'
    b'"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],'
    b'"messages":[{"content":"say: pong","role":"user"}]}'
)
SECRETS = {
    "openai": "sk-proj-sim-ok-0123456789abcdefghij",
    "anthropic": "sk-ant-api03-sim-ok-0123456789abcdefghij",
    "deepseek": "sk-simok0123456789abcdef0123456789",
    "fireworks": "fw_simok0123456789ABCDEFGHIJ",
    "novita": "sk_sim-ok-0123456789abcdefghij",
}


def test_a_body_arrives_as_it_was_but_for_the_name_of_the_model(agent, key, simulator):
    key("fireworks")
    body = (
        b'{"zeta":' + ODD + b',"model":"%s","messages":[ {"role" : "user","content":"say: pong"} ],'
        b'"temperature":1.10,"alpha":null,"stream":false}'
    )
    answer = agent.post(CHAT, data=body % b"openai/gpt-oss-120b")
    assert answer.status_code == 200, answer.text
    assert simulator.calls[-1].body == body % b"accounts/fireworks/models/gpt-oss-120b"


@pytest.mark.parametrize(
    ("endpoint", "model", "upstream_model", "body"),
    [
        (
            RESPONSES,
            b"openai/gpt-6-luna",
            b"gpt-6-luna",
            b'{"metadata":{"x":"1" , "a":"\\u00e9"},"input":"say: it","stream":true,"model":"%s"}',
        ),
        (
            MESSAGES,
            b"anthropic/claude-sonnet-5.5",
            b"claude-sonnet-5-5",
            CLAUDE_CODE,
        ),
        (
            "messages/count_tokens",
            b"anthropic/claude-sonnet-5.5",
            b"claude-sonnet-5-5",
            b'{"model":"%s","messages":[{"content":"say: \\u00e9","role":"user"}]}',
        ),
    ],
    ids=["responses", "messages", "count_tokens"],
)
def test_nothing_is_added_to_dialects_that_report_usage_anyway(
    agent, key, simulator, endpoint, model, upstream_model, body
):
    key("openai")
    key("anthropic")
    answer = agent.post(endpoint, data=body % model)
    assert answer.status_code == 200, answer.text
    assert simulator.calls[-1].body == body % upstream_model


def test_only_the_usage_option_is_added_to_a_chat_stream(agent, key, simulator):
    key("openai")
    body = (
        b'{"model":"gpt-6-luna","messages":[{"role":"user","content":"say: \\u00e9"}],"stream":true'
    )
    added = b',"stream_options":{"include_usage":true}'
    for sent, arrives in (
        (b"", added),
        (b',"stream_options":null', added),
        (b',"stream_options":{"include_usage":false}', added),
        # Not for us to mend: the provider says what is wrong with it.
        (b',"stream_options":[1]', b',"stream_options":[1]'),
        (
            b',"stream_options":{"include_obfuscation":false},"seed":1',
            b',"stream_options":{"include_obfuscation":false,"include_usage":true},"seed":1',
        ),
    ):
        agent.post(CHAT, data=body + sent + b"}")
        assert simulator.calls[-1].body == body + arrives + b"}"


def test_of_a_repeated_field_only_the_last_goes_on(agent, key, simulator):
    """Or one model would be checked here, and another one used there."""
    key("openai")
    agent.post(
        CHAT,
        data=b'{"model":"openai/gpt-6-sol","messages":[{"role":"user","content":"say: pong"}],'
        b'"model":"openai/gpt-6-luna"}',
    )
    assert simulator.calls[-1].body == (
        b'{"model":"gpt-6-luna","messages":[{"role":"user","content":"say: pong"}]}'
    )


def test_the_token_stays_here_and_the_providers_key_takes_its_place(agent, key, simulator):
    for provider in SECRETS:
        key(provider)
    everywhere = {
        "x-api-key": agent.token,
        "api-key": agent.token,
        "cookie": f"session={agent.token}",
        "proxy-authorization": f"Bearer {agent.token}",
    }
    for provider, endpoint, model, header in (
        ("openai", CHAT, "openai/gpt-6-luna", "authorization"),
        ("openai", RESPONSES, "openai/gpt-6-luna", "authorization"),
        ("anthropic", MESSAGES, "anthropic/claude-haiku-5.5", "x-api-key"),
        ("deepseek", CHAT, "deepseek/deepseek-v4.1-flash", "authorization"),
        ("deepseek", MESSAGES, "deepseek/deepseek-v4.1-flash", "x-api-key"),
        ("fireworks", CHAT, "qwen/qwen3.8-max", "authorization"),
        ("novita", CHAT, "xiaomi/mimo-v2.6-flash", "authorization"),
    ):
        answer = agent.post(endpoint, question(model, endpoint), headers=everywhere)
        assert answer.status_code == 200, answer.text
        headers = simulator.calls[-1].headers
        scheme = "Bearer " if header == "authorization" else ""
        assert headers[header] == scheme + SECRETS[provider]
        credentials = {"authorization", "cookie", "proxy-authorization", "x-api-key", "api-key"}
        assert credentials & headers.keys() == {header}
        assert agent.token not in str(headers)


def test_whatever_else_a_client_says_of_itself_stays_here(agent, key, simulator):
    key("novita")
    agent.post(
        CHAT,
        question("openai/gpt-oss-20b", CHAT),
        headers={
            "anthropic-beta": "x",
            "http-referer": "https://example.com",
            "openai-organization": "org-1",
            "originator": "codex_exec",
            "user-agent": "opencode/1.18",
            "x-forwarded-for": "192.0.2.7",
            "x-stainless-lang": "python",
        },
    )
    headers = dict(simulator.calls[-1].headers)
    for name in ("host", "content-length", "content-type", "authorization"):
        headers.pop(name)
    assert headers == {"accept-encoding": "identity", "user-agent": "MegaBrain"}


def test_limits_of_the_callers_own_key_come_back_and_nothing_private_does(agent, key):
    key("openai")
    headers = agent.post(CHAT, question("openai/gpt-6-luna", CHAT)).headers
    assert headers["x-ratelimit-remaining-requests"] == "9999"
    assert headers["openai-processing-ms"] == "12"
    hidden = {"set-cookie", "cf-ray", "openai-organization", "openai-project", "server"}
    assert hidden.isdisjoint(name.lower() for name in headers)


def question(model: str, endpoint: str) -> dict[str, Any]:
    if endpoint == RESPONSES:
        return {"model": model, "input": "say: pong"}
    limit = {"max_tokens": 50} if endpoint == MESSAGES else {}
    return {"model": model, "messages": [{"role": "user", "content": "say: pong"}], **limit}
