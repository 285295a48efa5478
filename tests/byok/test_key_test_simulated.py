"""Testing a key, over TCP, as the simulator plays its provider and the hosts it may belong to."""

import pytest

from byok import actions
from byok.models import ProviderKey
from byok.providers import PROVIDERS
from byok.vault import Secret
from orgs.origin import Origin
from tests.byok.conftest import added, result_of
from tests.simulator_fixture import RunningSimulator

ORIGIN = Origin()

SIMULATED = {
    "anthropic": "sk-ant-api03-sim-{}-0123456789abcdef",
    "openai": "sk-proj-sim-{}-0123456789abcdef",
    "deepseek": "sk-sim-{}-0123456789abcdef0123",
    "fireworks": "fw_sim-{}-0123456789abcdef0123",
    "novita": "sk_sim-{}-0123456789abcdef0123",
    "google": "AIzasim-{}-0123456789abcdefghijklmnop",
    "mistral": "sim{}0123456789abcdefghijABCDEF",
    "xai": "xai-sim-{}-0123456789abcdef0123",
    "minimax": "sk-cp-sim-{}-0123456789abcdef0123",
    "moonshotai": "sk-sim-{}-0123456789abcdef0123",
    "perplexity": "pplx-sim-{}-0123456789abcdef0123",
    "inception": "sk_sim-{}-0123456789abcdef0123",
    "xiaomi": "sk-sim-{}-0123456789abcdef0123",
    "zai": "0123456789abcdef0123456789abcdef.sim-{}-01234567",
}


@pytest.mark.parametrize(
    ("does", "codes"),
    [
        ("ok", {"ok"}),
        ("401", {"rejected"}),
        ("402", {"no_credit"}),
        ("403", {"no_access"}),
        ("429", {"rate_limited"}),
        ("500", {"unavailable", "overloaded"}),
    ],
)
@pytest.mark.parametrize("provider", SIMULATED)
def test_each_provider_as_the_simulator_plays_it(
    simulator: RunningSimulator, settings, owner, account, provider, does, codes
):
    settings.MEGABRAIN_UPSTREAM_URLS = {provider: simulator.url(provider)}
    key = added(owner, account, provider, SIMULATED[provider].format(does))

    test = result_of(key)

    assert test.code in codes
    assert test.message.startswith(PROVIDERS[provider].name)
    assert SIMULATED[provider].format(does) not in test.message


OF_OTHER_HOSTS = {
    "mistral": ("sim{}codestral456789abcdefghijAB", "codestral", "a Codestral key"),
    "moonshotai": ("sk-sim-{}-cn-0123456789abcdef", "moonshotai-cn", "api.moonshot.cn"),
    "xiaomi": ("tp-sim{}-ams-0123456789abcdef", "xiaomi-token-plan-ams", "a Token Plan key"),
}


@pytest.mark.parametrize("provider", OF_OTHER_HOSTS)
@pytest.mark.parametrize(("does", "code"), [("ok", "ok"), ("402", "no_credit")])
def test_the_host_that_a_key_belongs_to_is_found_and_kept(
    simulator: RunningSimulator, owner, account, provider, does, code
):
    secret, host, says = OF_OTHER_HOSTS[provider]
    key = added(owner, account, provider, secret.format(does))

    test = result_of(key)

    assert (test.code, key.host) == (code, host)
    assert says in test.message
    assert [call.status < 300 for call in simulator.calls] == [False, does == "ok"]


def test_a_codestral_key_is_tried_with_the_call_it_is_for(
    simulator: RunningSimulator, owner, account
):
    key = added(owner, account, "mistral", OF_OTHER_HOSTS["mistral"][0].format("ok"))

    assert result_of(key).model.endswith("codestral-2508")
    assert simulator.calls[-1].operation == "fim"
    assert simulator.calls[-1].json["suffix"]


def test_a_key_that_every_host_rejects_belongs_to_none(simulator: RunningSimulator, owner, account):
    key = added(owner, account, "moonshotai", "sk-nobody-0123456789abcdef0123")

    assert result_of(key).code == "rejected"
    assert key.host == ""
    assert len(simulator.calls) == 2


def test_a_new_secret_may_belong_to_another_host(simulator: RunningSimulator, owner, account):
    key = added(owner, account, "moonshotai", OF_OTHER_HOSTS["moonshotai"][0].format("ok"))
    result_of(key)
    assert key.host

    new = Secret(SIMULATED["moonshotai"].format("ok"))
    assert actions.update_key(actor=owner, key=key, secret=new, origin=ORIGIN).host == ""
    assert ProviderKey.objects.get(pk=key.pk).host == ""


def test_a_host_is_kept_until_another_proves_to_be_the_one(
    simulator: RunningSimulator, owner, account
):
    key = added(owner, account, "moonshotai", OF_OTHER_HOSTS["moonshotai"][0].format("401"))
    ProviderKey.objects.filter(pk=key.pk).update(host="moonshotai-cn")
    key.refresh_from_db()

    assert result_of(key).code == "rejected"
    assert key.host == "moonshotai-cn"


def test_a_host_that_is_gone_does_not_hide_what_the_first_one_said(
    simulator: RunningSimulator, settings, owner, account
):
    settings.MEGABRAIN_UPSTREAM_URLS = {
        "mistral": simulator.url("mistral"),
        "codestral": "http://127.0.0.1:9",
    }
    key = added(owner, account, "mistral", SIMULATED["mistral"].format("401"))

    assert result_of(key).code == "rejected"


@pytest.mark.parametrize("gone", ["sgp", "ams"])
def test_no_key_is_rejected_for_a_region_that_cannot_be_reached(
    simulator: RunningSimulator, settings, owner, account, gone
):
    there = {"sgp": "ams", "ams": "sgp"}[gone]
    settings.MEGABRAIN_UPSTREAM_URLS = {
        "xiaomi": simulator.url("xiaomi"),
        f"xiaomi-token-plan-{gone}": "http://127.0.0.1:9",
        f"xiaomi-token-plan-{there}": simulator.url(f"xiaomi-token-plan-{there}"),
    }
    secret = OF_OTHER_HOSTS["xiaomi"][0].format("ok").replace("ams", "{}")
    here = added(owner, account, "xiaomi", secret.format(there))

    assert (result_of(here).code, here.host) == ("ok", f"xiaomi-token-plan-{there}")

    actions.update_key(actor=owner, key=here, secret=Secret(secret.format(gone)), origin=ORIGIN)
    here.refresh_from_db()

    assert result_of(here).code == "unreachable"
    assert here.health == ProviderKey.Health.UNTESTED


@pytest.mark.parametrize(
    ("beginning", "says"),
    [("sk-cp-", "a Token Plan key"), ("sk-api-", "a pay-as-you-go key"), ("eyJ", "pay-as-you-go")],
)
@pytest.mark.parametrize(("does", "code"), [("ok", "ok"), ("402", "no_credit")])
def test_the_two_kinds_of_minimax_keys_are_told_apart(
    simulator: RunningSimulator, owner, account, beginning, says, does, code
):
    key = added(owner, account, "minimax", f"{beginning}sim-{does}-{'a1' * 20}")

    test = result_of(key)

    assert test.code == code
    assert says in test.message
