"""The simulator of Mistral AI to its official SDK."""

from typing import Any

import pytest
from mistralai.client.errors import SDKError

from megabrain.simulator.providers import PROVIDERS
from tests.mistral_sdk import CHATS, check_chat, check_filling_in, sdk
from tests.simulator_fixture import RunningSimulator


@pytest.fixture
def address(simulator: RunningSimulator) -> str:
    return simulator.url("mistral").removesuffix("/v1")


def test_it_converses_calls_tools_and_fills_in(address):
    with sdk(address, PROVIDERS["mistral"].sample_key) as client:
        check_chat(client)
        check_filling_in(client)


@pytest.mark.parametrize(("word", "status"), [("401", 401), ("402", 402), ("429", 429)])
def test_its_errors_are_raised(address, word, status):
    asked: Any = {"model": CHATS, "messages": [{"role": "user", "content": "hello"}]}
    key = PROVIDERS["mistral"].sample_key.replace("ok", word)
    with sdk(address, key) as client, pytest.raises(SDKError) as caught:
        client.chat.complete(**asked)
    assert caught.value.status_code == status
