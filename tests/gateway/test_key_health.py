"""What calls show of a key's health is written to its row, and its owner reads it on the page."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.urls import reverse

from byok.actions import update_key
from byok.models import ProviderKey
from byok.vault import Secret
from megabrain.simulator.providers import sample_keys
from orgs.origin import Origin
from tests.byok.conftest import text_of
from tests.gateway.dialect import CHAT, MESSAGES
from tests.gateway.raw_upstream import Wire, raw_upstream

Health = ProviderKey.Health


def health_of(key: ProviderKey) -> tuple[str, str]:
    key.refresh_from_db()
    return key.health, key.health_code


def becomes(key: ProviderKey, *health: str) -> bool:
    """Whether the row says so within some seconds."""
    until = time.monotonic() + 5
    while health_of(key) != health:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    ("word", "health", "code", "shown"),
    [
        ("ok", Health.WORKS, "", "Works"),
        ("401", Health.FAILING, "rejected", "Failing Rejected by the provider"),
        ("402", Health.FAILING, "no_credit", "Failing Out of credit"),
        ("403", Health.FAILING, "no_access", "Failing No access"),
        ("429", Health.COOLING, "rate_limited", "Cooling down Rate limited"),
    ],
)
def test_a_call_shows_on_the_page_how_the_key_is_doing(
    agent, key, owner_client, word, health, code, shown
):
    stored = key("anthropic", word)
    agent.post(MESSAGES.path, MESSAGES.body())
    assert becomes(stored, health, code)
    assert shown in text_of(owner_client.get(reverse("byok:keys")))
    if word != "ok":
        assert "Anthropic" in stored.health_message
    details = reverse("byok:details", kwargs={"key_id": stored.pk})
    assert stored.health_message in text_of(owner_client.get(details))


@pytest.mark.parametrize(("health", "stream"), [(Health.FAILING, False), (Health.COOLING, True)])
def test_a_success_clears_it(agent, key, health, stream):
    stored = key("openai")
    ProviderKey.objects.update(health=health, health_code="rejected", health_message="No.")
    assert agent.post(CHAT.path, CHAT.body(stream=stream)).status_code == 200
    assert becomes(stored, Health.WORKS, "")
    assert stored.health_message == ""


@pytest.mark.parametrize("word", ["400", "529", "404"])
def test_what_is_no_fault_of_the_key_is_not_held_against_it(agent, key, usage_row, word):
    stored = key("openai", word)
    response = agent.post(CHAT.path, CHAT.body())
    # Health is stored after the usage of the same batch, and with it before the next call's.
    usage_row(response.headers["x-request-id"])
    usage_row(agent.post(CHAT.path, CHAT.body()).headers["x-request-id"])
    assert health_of(stored) == (Health.UNTESTED, "")


def test_no_access_to_one_model_does_not_fail_a_key_that_works(agent, key, usage_row):
    stored = key("openai", "403")
    ProviderKey.objects.update(health=Health.WORKS)
    usage_row(agent.post(CHAT.path, CHAT.body()).headers["x-request-id"])
    usage_row(agent.post(CHAT.path, CHAT.body()).headers["x-request-id"])
    assert health_of(stored) == (Health.WORKS, "")


def test_an_error_event_in_mid_stream_counts_too(agent, key, settings):
    event = b'data: {"error":{"message":"Bad key","type":"x","code":"invalid_api_key"}}\n\n'
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    with raw_upstream(lambda wire: wire.stream(chunk, event)) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        stored = key("openai")
        ProviderKey.objects.update(health=Health.WORKS)
        response = agent.post(CHAT.path, CHAT.body(stream=True))
        assert CHAT.stream(response.content).error.code == "byok_key_rejected"
    assert becomes(stored, Health.FAILING, "rejected")


def test_the_failure_of_a_replaced_secret_is_not_that_of_the_new_one(
    agent, key, owner, usage_row, settings
):
    asked, replaced = threading.Event(), threading.Event()

    def refuse_late(wire):
        asked.set()
        assert replaced.wait(10)
        wire.whole(401, b'{"error":{"code":"invalid_api_key","message":"no"}}')

    with raw_upstream(refuse_late) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        stored = key("openai", "401")
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(agent.post, CHAT.path, CHAT.body())
            assert asked.wait(10)
            update_key(
                actor=owner, key=stored, secret=Secret(sample_keys()["openai"]), origin=Origin()
            )
            replaced.set()
        assert CHAT.error(call.result()).code == "byok_key_rejected"
    usage_row(call.result().headers["x-request-id"])
    # Whatever follows is written after it.
    later = agent.post(CHAT.path, CHAT.body(model="nobody/nothing"))
    usage_row(later.headers["x-request-id"])
    assert health_of(stored) == (Health.UNTESTED, "")


def test_a_key_that_keeps_failing_is_written_down_once(agent, key, usage_row):
    stored = key("openai", "401")
    agent.post(CHAT.path, CHAT.body())
    assert becomes(stored, Health.FAILING, "rejected")
    first = stored.health_at
    for _ in range(2):
        usage_row(agent.post(CHAT.path, CHAT.body()).headers["x-request-id"])
    stored.refresh_from_db()
    assert stored.health_at == first


def test_the_last_of_several_changes_is_the_one_that_stays(agent, key, settings):
    """Not each is written down, but no call may hide what a later one showed."""
    stored = key("openai")
    works = b'{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]}'
    revoked = b'{"error":{"code":"invalid_api_key","message":"No."}}'
    statuses = [200, 401, 200, 401]

    def change(wire: Wire) -> None:
        status = statuses[wire.number - 1]
        wire.whole(status, works if status == 200 else revoked, "content-type: application/json")

    with raw_upstream(change) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        answers = [agent.post(CHAT.path, CHAT.body()).status_code for _ in statuses]
    assert answers == [200, 403, 200, 403]
    assert becomes(stored, Health.FAILING, "rejected")
