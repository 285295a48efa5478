"""What a key covers: its provider's list for it, once a test of it has passed."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from byok.actions import add_key, set_enabled, update_key
from byok.catalogue import coverage
from byok.models import CatalogModel, Coverage, KeyTest, Offering, ProviderKey
from byok.providers import PROVIDERS
from byok.tasks import list_models_of_key, run_key_test
from byok.vault import Secret
from megabrain.celery import app
from megabrain.simulator.providers import sample_keys
from orgs.models import Account, User
from orgs.origin import Origin
from tests.byok.conftest import ANTHROPIC_SECRET
from tests.byok.publisher import Publisher, everything, publishing

#: As Anthropic knows them: the second is what a test calls first.
OPUS, HAIKU, SONNET = "claude-opus-5", "claude-haiku-5-5", "claude-sonnet-5"

#: With data that other connections see.
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def publisher(settings) -> Iterator[Publisher]:
    """In the place of all providers."""
    with publishing() as publisher:
        settings.MEGABRAIN_UPSTREAM_URLS = dict.fromkeys(PROVIDERS, publisher.address)
        yield publisher


@pytest.fixture
def at_once() -> Iterator[None]:
    """What is queued is done there and then."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


def listing(*ids: str) -> dict[str, Any]:
    return {"data": [{"id": id_} for id_ in ids], "has_more": False}


def listed_for(key: ProviderKey) -> Coverage | None:
    return Coverage.objects.filter(key=key).first()


def passed(key: ProviderKey, model: str = "anthropic/claude-haiku-5.5") -> None:
    KeyTest.objects.create(
        key=key, state=KeyTest.State.PASSED, model=model, finished_at=timezone.now()
    )


def shown(*ids: str, ago: timedelta = timedelta(hours=1)) -> None:
    """Lists have shown these for so long."""
    offerings = Offering.objects.filter(provider="anthropic", upstream_id__in=ids)
    assert offerings.update(first_seen_at=timezone.now() - ago) == len(ids)


def key_of(user: User, secret: str = ANTHROPIC_SECRET, provider: str = "anthropic") -> ProviderKey:
    return add_key(
        actor=user,
        account=user.account,
        provider=provider,
        secret=Secret(secret),
        origin=Origin(),
    )


def test_a_test_that_passed_is_followed_by_the_list(simulator, anthropic_key, at_once):
    test = KeyTest.objects.create(key=anthropic_key)

    run_key_test(str(test.pk))

    test.refresh_from_db()
    assert (test.state, test.code) == (KeyTest.State.PASSED, "ok")
    stored = listed_for(anthropic_key)
    assert stored is not None
    assert {OPUS, HAIKU, SONNET} < set(stored.upstream_ids)
    assert stored.lacking == []
    assert stored.listed_at > test.created_at


@pytest.mark.parametrize("word", ["401", "429", "500"])
def test_nobody_asks_for_the_list_of_a_key_that_failed(
    word, simulator, owner, anthropic_key, at_once
):
    secret = Secret(ANTHROPIC_SECRET.replace("sim-ok", f"sim-{word}"))
    update_key(actor=owner, key=anthropic_key, secret=secret, origin=Origin())

    run_key_test(str(KeyTest.objects.create(key=anthropic_key).pk))

    assert listed_for(anthropic_key) is None
    assert {call.method for call in simulator.calls} == {"POST"}


@pytest.mark.parametrize("word", ["listbad", "listhtml", "listcut", "listredirect", "listrefused"])
def test_a_list_that_cannot_be_read_harms_no_test(word, simulator, owner, anthropic_key, at_once):
    secret = Secret(ANTHROPIC_SECRET.replace("sim-ok", f"sim-{word}"))
    update_key(actor=owner, key=anthropic_key, secret=secret, origin=Origin())
    test = KeyTest.objects.create(key=anthropic_key)

    run_key_test(str(test.pk))

    test.refresh_from_db()
    anthropic_key.refresh_from_db()
    assert (test.state, anthropic_key.health) == (KeyTest.State.PASSED, "works")
    assert listed_for(anthropic_key) is None
    assert any(call.method == "GET" for call in simulator.calls)


def test_a_key_lacks_what_lists_have_shown_and_its_own_does_not(publisher, anthropic_key):
    shown(OPUS, HAIKU)
    # What came after this key's list says nothing of it.
    shown(SONNET, ago=timedelta(hours=-1))
    # Nobody whose key works has no model at all.
    publisher.tells(listing())
    list_models_of_key(str(anthropic_key.pk))
    assert listed_for(anthropic_key) is None
    publisher.tells(listing(HAIKU))

    list_models_of_key(str(anthropic_key.pk))

    stored = listed_for(anthropic_key)
    assert stored is not None
    # The other models, too, are in no list that anybody has seen: they may be names that work.
    assert (stored.upstream_ids, stored.lacking) == ([HAIKU], [OPUS])


def test_what_another_key_is_shown_counts_and_changes_the_catalogue_for_nobody(
    publisher, anthropic_key, stranger
):
    other = key_of(stranger)
    before = everything()
    publisher.tells(listing(OPUS, HAIKU, "claude-nobody-knows"))
    list_models_of_key(str(other.pk))

    publisher.tells(listing(HAIKU))
    list_models_of_key(str(anthropic_key.pk))

    first, second = listed_for(other), listed_for(anthropic_key)
    assert first is not None
    assert second is not None
    assert (first.lacking, second.lacking) == ([], [OPUS])
    assert everything() == before


def test_what_is_not_believed_leaves_what_was_known(publisher, anthropic_key):
    many = [HAIKU, SONNET, *(f"claude-{number}" for number in range(20))]
    publisher.tells(listing(*many))
    list_models_of_key(str(anthropic_key.pk))
    shown(OPUS, HAIKU, SONNET)
    passed(anthropic_key)
    # What has ended has not answered.
    Offering.objects.create(
        model_id="anthropic/claude-haiku-5.5",
        provider="anthropic",
        upstream_id="claude-haiku-old",
        retired_at=timezone.now(),
    )
    before = Coverage.objects.values().get()

    answers: list[Callable[[], object]] = [
        lambda: publisher.tells(listing()),
        lambda: publisher.tells(listing(HAIKU)),
        # The very model that answered in the test.
        lambda: publisher.tells(listing(*many[1:])),
        lambda: publisher.tells({"data": "none"}),
        lambda: publisher.tells(b"<html>"),
        lambda: publisher.tells(listing(*many), status=500),
        lambda: publisher.tells_pages(
            lambda call: {**listing(f"c{call}"), "has_more": True, "last_id": f"c{call}"}
        ),
        publisher.drips,
        publisher.hangs,
    ]
    for answer in answers:
        answer()
        coverage.learn(anthropic_key.pk, seconds=0.5)
        assert Coverage.objects.values().get() == before

    publisher.tells(listing(HAIKU, SONNET, "claude-2"))
    list_models_of_key(str(anthropic_key.pk))
    assert Coverage.objects.get().lacking == [OPUS]


def test_a_new_secret_makes_the_list_of_the_old_one_void(publisher, owner, anthropic_key):
    publisher.tells(listing(HAIKU))
    list_models_of_key(str(anthropic_key.pk))
    set_enabled(actor=owner, key=anthropic_key, enabled=False, origin=Origin())
    assert listed_for(anthropic_key) is not None

    update_key(actor=owner, key=anthropic_key, secret=Secret("sk-ant-" + "x" * 30), origin=Origin())

    assert listed_for(anthropic_key) is None


def test_a_key_that_is_gone_or_of_nobody_we_know_is_left_alone(publisher, anthropic_key):
    ProviderKey.objects.update(provider="long-gone")
    gone = str(anthropic_key.pk)
    list_models_of_key(gone)
    anthropic_key.delete()
    list_models_of_key(gone)
    assert publisher.asked == []


@committed
def test_a_list_that_comes_after_its_secret_was_replaced_is_dropped(
    publisher, owner, anthropic_key
):
    publisher.tells(listing(HAIKU))
    tells = publisher.answer

    def answer(request: BaseHTTPRequestHandler) -> None:
        update_key(
            actor=owner, key=anthropic_key, secret=Secret("sk-ant-" + "x" * 30), origin=Origin()
        )
        connections.close_all()
        tells(request)

    publisher.answer = answer
    list_models_of_key(str(anthropic_key.pk))

    assert listed_for(anthropic_key) is None


@committed
def test_of_two_lists_at_once_the_one_that_was_asked_for_last_stays(publisher, anthropic_key):
    publisher.tells(listing(OPUS))
    older = publisher.answer
    publisher.tells(listing(HAIKU))
    newer = publisher.answer

    def answer(request: BaseHTTPRequestHandler) -> None:
        publisher.answer = newer
        list_models_of_key(str(anthropic_key.pk))
        connections.close_all()
        older(request)

    publisher.answer = answer
    list_models_of_key(str(anthropic_key.pk))

    stored = listed_for(anthropic_key)
    assert stored is not None
    assert stored.upstream_ids == [HAIKU]


def test_bedrock_lists_what_the_region_of_the_key_has(simulator, owner, stranger):
    american, european = (
        key_of(user, sample_keys()["bedrock"].replace("us-east-1", region), provider="bedrock")
        for user, region in ((owner, "us-east-1"), (stranger, "eu-west-1"))
    )
    for key in (american, european):
        list_models_of_key(str(key.pk))

    first, second = listed_for(american), listed_for(european)
    assert first is not None
    assert second is not None
    assert first.lacking == []
    assert "{geo}.anthropic.claude-fable-5-2" in second.lacking
    # There by the profile of all the world.
    assert "{geo}.openai.gpt-6-astra" not in second.lacking
    assert "{geo}.anthropic.claude-opus-5" not in second.lacking


def test_who_may_only_call_models_of_bedrock_has_no_list(simulator, owner):
    secret = sample_keys()["bedrock"].replace("SIMOK", "SIMLISTREFUSED")
    key = key_of(owner, secret, provider="bedrock")

    list_models_of_key(str(key.pk))

    assert listed_for(key) is None
    assert simulator.calls[-1].status == 403


def test_the_platform_account_is_no_exception(publisher, db):
    key = add_key(
        actor=None,
        account=Account.objects.platform(),
        provider="anthropic",
        secret=Secret(ANTHROPIC_SECRET),
        origin=Origin(),
    )
    models = CatalogModel.objects.count()
    publisher.tells(listing(HAIKU, "claude-of-ours"))
    list_models_of_key(str(key.pk))
    assert listed_for(key) is not None
    assert CatalogModel.objects.count() == models
