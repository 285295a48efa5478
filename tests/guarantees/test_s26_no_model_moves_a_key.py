"""S26: no id of a model, and no second one in the body, changes where any provider is called."""

import json
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byok.providers import PROVIDERS
from byok.vault import Secret
from megabrain.simulator.providers import sample_keys
from tests.guarantees.test_s26_a_region_is_one_of_aws import PIECES

SAMPLES = sample_keys()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join))
def test_no_id_of_a_model_moves_a_call_of_any_provider(model):
    for name, text in SAMPLES.items():
        provider, secret = PROVIDERS[name], Secret(text)
        for endpoint in provider.endpoints:
            for stream in (False, True):
                there, usual = (
                    urlsplit(
                        provider.request(secret, endpoint, b"{}", {}, model=each, stream=stream).url
                    )
                    for each in (model, "a-model")
                )
                assert (there.scheme, there.netloc) == (usual.scheme, usual.netloc), name
                assert there.path.count("/") == usual.path.count("/"), name
                assert (there.query, there.fragment) == (usual.query, usual.fragment), name


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("google", "google/gemini-3.5-flash"),
        ("bedrock", "amazon/nova-pro-v1"),
        ("openai", "openai/gpt-6-luna"),
    ],
)
def test_of_two_models_in_a_body_only_the_one_that_was_checked_goes_on(
    agent, key, simulator, provider, model
):
    key(provider)
    for first in ("../../elsewhere", "anthropic/claude-haiku-4.5", "custom/../@127.0.0.1:9/x"):
        name, other = json.dumps(model), json.dumps(first)
        said = '"max_tokens":99,"messages":[{"role":"user","content":"hi"}]'
        body = f'{{"model":{other},{said},"model":{other},"\\u006dodel":{name}}}'
        answer = agent.post("messages", data=body.encode())
        assert answer.status_code == 200, answer.text
        call = simulator.calls[-1]
        assert call.provider == provider
        assert first not in call.path + call.body.decode()
