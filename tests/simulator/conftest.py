"""The official SDKs, pointed straight at the simulator."""

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

from megabrain.simulator.providers import PROVIDERS
from tests.simulator_fixture import RunningSimulator

# Any: tests read what came back as it is, without the unions of the SDKs' types in between.
OpenAIClient = Callable[..., Any]
AnthropicClient = Callable[..., Any]


@pytest.fixture
def openai_client(simulator: RunningSimulator) -> Iterator[OpenAIClient]:
    """Makes a client of a provider that speaks OpenAI's dialects."""
    made: list[openai.OpenAI] = []

    def make(provider: str = "openai", key: str = "") -> openai.OpenAI:
        client = openai.OpenAI(
            base_url=simulator.url(provider),
            api_key=key or PROVIDERS[provider].sample_key,
            max_retries=0,
            timeout=20,
            # Over plain HTTP nobody's certificate counts, and to read those of all takes long.
            http_client=openai.DefaultHttpxClient(verify=False),
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def anthropic_client(simulator: RunningSimulator) -> Iterator[AnthropicClient]:
    """Makes a client of Anthropic."""
    made: list[anthropic.Anthropic] = []

    def make(key: str = PROVIDERS["anthropic"].sample_key) -> anthropic.Anthropic:
        client = anthropic.Anthropic(
            base_url=simulator.url("anthropic"),
            api_key=key,
            max_retries=0,
            timeout=20,
            http_client=anthropic.DefaultHttpxClient(verify=False),
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()
