"""The simulator's providers beside the adapters and the catalogue that must fit them."""

import pytest
import requests

from byok.models import Offering
from byok.providers import PROVIDERS as ADAPTERS
from byok.providers.base import Outcome
from byok.vault import Secret
from megabrain.simulator.faults import Behaviour, Fault, behaviour
from megabrain.simulator.provider import Provider
from megabrain.simulator.providers import PROVIDERS
from tests.simulator_fixture import RunningSimulator

OUTCOMES = {
    "401": Outcome.REJECTED,
    "402": Outcome.NO_CREDIT,
    "403": Outcome.NO_ACCESS,
    "404": Outcome.MODEL_MISSING,
    "429": Outcome.RATE_LIMITED,
    "529": Outcome.OVERLOADED,
    "400": Outcome.BAD_REQUEST,
}
both = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=lambda provider: provider.id)


def test_every_provider_is_simulated():
    assert PROVIDERS.keys() == ADAPTERS.keys()


@both
def test_the_sample_key_is_of_the_right_shape_and_works(provider: Provider):
    assert provider.issued(provider.sample_key)
    assert behaviour(provider.sample_key) == Behaviour(Fault.NONE)
    assert not ADAPTERS[provider.id].warnings(provider.sample_key)


@both
@pytest.mark.parametrize("fault", OUTCOMES)
def test_each_refusal_reads_as_what_it_is(
    simulator: RunningSimulator, provider: Provider, fault: str
):
    adapter = ADAPTERS[provider.id]
    secret = Secret(provider.key_that(fault))
    _, request = adapter.test_calls(secret)[0]
    answer = requests.request(
        request.method, request.url, headers=request.headers, data=request.body, timeout=9
    )
    headers = {name.lower(): value for name, value in answer.headers.items()}
    failure = adapter.classify(answer.status_code, headers, answer.content)
    assert failure.outcome is OUTCOMES[fault]


@both
def test_the_adapter_s_own_calls_are_answered(simulator: RunningSimulator, provider: Provider):
    adapter = ADAPTERS[provider.id]
    secret = Secret(provider.sample_key)
    for request in [adapter.list_models(secret), adapter.test_calls(secret)[0][1]]:
        answer = requests.request(
            request.method, request.url, headers=request.headers, data=request.body, timeout=9
        )
        assert answer.status_code == 200, answer.text


@both
def test_the_list_of_models_names_them_all(simulator: RunningSimulator, provider: Provider):
    request = ADAPTERS[provider.id].list_models(Secret(provider.sample_key))
    answer = requests.get(request.url, headers=request.headers, timeout=9).json()
    listed = next(answer[at] for at in ("data", "models", "modelSummaries") if at in answer)
    names = {
        model.get("id") or model.get("modelId") or model["name"].removeprefix("models/")
        for model in listed
    }
    assert names == {model.id for model in provider.models if model.listed}


@pytest.mark.django_db
@both
def test_every_offering_of_the_catalogue_is_served(provider: Provider):
    offered = set(
        Offering.objects.filter(provider=provider.id).values_list("upstream_id", flat=True)
    )
    served = {name for model in provider.models for name in (model.id, *model.aliases)}
    assert offered
    assert offered <= served


def test_balances_are_told_to_key_holders(simulator: RunningSimulator):
    for path, key in [
        ("/deepseek/user/balance", "sk-simok"),
        ("/novita/openapi/v1/billing/balance/detail", "sk_sim-ok"),
    ]:
        url = simulator.address + path
        assert requests.get(url, timeout=9).status_code == 401
        assert requests.get(url, headers={"authorization": f"Bearer {key}"}, timeout=9).ok


def test_anything_else_is_not_found(simulator: RunningSimulator):
    assert requests.get(simulator.address + "/openai/v1/files", timeout=9).status_code == 404
    assert requests.put(simulator.address + "/openai/v1/models", timeout=9).status_code == 404
