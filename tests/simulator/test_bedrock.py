"""AWS's own SDK against the simulator: what it sends is understood, what it gets is well formed."""

import json
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from megabrain.simulator.providers.bedrock import SECRET
from tests.simulator_fixture import RunningSimulator

CLAUDE = "us.anthropic.claude-sonnet-5"
NOVA = "us.amazon.nova-pro-v1:0"
OSS = "openai.gpt-oss-20b-1:0"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": WEATHER}}}]}


@pytest.fixture
def client(simulator: RunningSimulator):
    def make(word: str = "OK", secret: str = SECRET, region: str = "us-east-1"):
        made = boto3.client(
            "bedrock-runtime",
            region_name=region,
            endpoint_url=simulator.url("bedrock"),
            aws_access_key_id=f"AKIASIM{word}01234567890",
            aws_secret_access_key=secret,
            config=Config(signature_version="v4", retries={"total_max_attempts": 1}),
        )
        opened.append(made)
        return made

    opened: list[Any] = []
    yield make
    for made in opened:
        made.close()


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


@pytest.mark.parametrize("model", [CLAUDE, NOVA, OSS])
def test_converse(client, model):
    answer = client().converse(modelId=model, messages=user("say: pong"))
    assert answer["output"]["message"]["content"][-1] == {"text": "pong"}
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"]["totalTokens"] > 0


def test_converse_stream_with_tools(client):
    asked = user('call: get_weather {"city": "Paris"}')
    stream = client().converse_stream(modelId=OSS, messages=asked, toolConfig=TOOLS)["stream"]
    events = [(name, body) for event in stream for name, body in event.items()]
    assert events[0][0] == "messageStart"
    assert [name for name, _ in events][-2:] == ["messageStop", "metadata"]
    started = [body["start"]["toolUse"] for name, body in events if name == "contentBlockStart"]
    assert [each["name"] for each in started] == ["get_weather"]
    deltas = [body["delta"] for name, body in events if name == "contentBlockDelta"]
    arguments = "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta)
    assert json.loads(arguments) == {"city": "Paris"}
    assert any("reasoningContent" in delta for delta in deltas)


def test_invoke_model_whole_and_streamed(client):
    body = json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 99,
            "messages": [{"role": "user", "content": "say: pong"}],
        }
    )
    whole = client().invoke_model(modelId=CLAUDE, body=body)["body"].read()
    assert json.loads(whole)["content"] == [{"type": "text", "text": "pong"}]
    stream = client().invoke_model_with_response_stream(modelId=CLAUDE, body=body)["body"]
    kinds = [json.loads(event["chunk"]["bytes"])["type"] for event in stream]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")


def test_tokens_are_counted(client):
    counted = client().count_tokens(modelId=OSS, input={"converse": {"messages": user("a" * 400)}})
    assert counted["inputTokens"] > 100


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("401", "UnrecognizedClientException"),
        ("403", "AccessDeniedException"),
        ("404", "ValidationException"),
        ("429", "ThrottlingException"),
        ("529", "ServiceUnavailableException"),
    ],
)
def test_faults_have_awss_names(client, word, name):
    with pytest.raises(ClientError) as refused:
        client(word).converse(modelId=NOVA, messages=user("hi"))
    assert refused.value.response["Error"]["Code"].startswith(name)


def test_a_wrong_secret_does_not_match(client):
    with pytest.raises(ClientError, match="signature we calculated does not match"):
        client(secret="x" * 40).converse(modelId=NOVA, messages=user("hi"))


def test_a_late_error_is_an_exception_in_the_stream(client):
    stream = client("LATEERROR").converse_stream(modelId=NOVA, messages=user("hi there"))["stream"]
    with closing(stream), pytest.raises(EventStreamError, match="serviceUnavailableException"):
        list(stream)


CALLED = {"toolUse": {"toolUseId": "a", "name": "get_weather", "input": {}}}
ANSWERED = {"toolResult": {"toolUseId": "a", "content": [{"text": "mild"}]}}
LOOP = [*user("hi"), {"role": "assistant", "content": [CALLED]}]


@pytest.mark.parametrize(
    ("model", "request_", "says"),
    [
        ("anthropic.claude-sonnet-5", {"messages": user("hi")}, "on-demand throughput isn’t"),
        ("eu.anthropic.claude-sonnet-5", {"messages": user("hi")}, "identifier is invalid"),
        ("nobody.model", {"messages": user("hi")}, "identifier is invalid"),
        (NOVA, {"messages": []}, "must not be empty"),
        (NOVA, {"messages": user("hi") * 2}, "alternate"),
        (NOVA, {"messages": user(" ")}, "is blank"),
        (NOVA, {"messages": [{"role": "assistant", "content": [{"text": "a"}]}]}, "start with"),
        (NOVA, {"messages": [*LOOP, {"role": "user", "content": [ANSWERED]}]}, "toolConfig"),
        (NOVA, {"messages": [*LOOP, *user("hi")], "toolConfig": TOOLS}, "Expected toolResult"),
        (NOVA, {"messages": [{"role": "user", "content": [ANSWERED]}]}, "exceeds the number"),
        (OSS, {"messages": user("hi"), "inferenceConfig": {"stopSequences": ["x"]}}, "stopSeq"),
        (OSS, {"messages": user("hi"), "system": [{"cachePoint": {"type": "default"}}]}, "caching"),
        (NOVA, {"messages": user("hi"), "inferenceConfig": {"maxTokens": 99_999}}, "model limit"),
        (
            NOVA,
            {"messages": user("hi"), "additionalModelRequestFields": {"seed": 7}},
            "extraneous key",
        ),
    ],
)
def test_what_the_real_one_refuses_is_refused(client, model, request_, says):
    with pytest.raises(ClientError, match=says) as refused:
        client().converse(modelId=model, **request_)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"anthropic_version": "2023-06-01"}, "anthropic_version"),
        ({"anthropic_beta": ["claude-code-20250219"]}, "invalid beta flag"),
        ({"model": "x"}, "model: Extra inputs"),
        ({"stream": True}, "stream: Extra inputs"),
        ({"context_management": {}}, "context_management: Extra inputs"),
        ({"tools": [{"name": "a", "input_schema": WEATHER, "strict": True}]}, "strict: Extra"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
    ],
)
def test_what_invoke_model_refuses_is_refused(client, changes, says):
    messages = [{"role": "user", "content": "hi"}]
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": messages}
    with pytest.raises(ClientError, match=says):
        client().invoke_model(modelId=CLAUDE, body=json.dumps({**body, **changes}))
