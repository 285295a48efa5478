"""Word of a change reaches the other parts of this process, and other processes, on commit."""

import json
import queue

import pytest
import redis
from django.conf import settings
from django.db import transaction

from orgs.actions import create_token, revoke_token
from orgs.changes import announce, channel_of, subscribe
from orgs.origin import Origin


@pytest.fixture
def heard():
    """What is announced during the test."""
    said: queue.Queue[tuple[str, ...]] = queue.Queue()
    unsubscribe = subscribe(lambda *word: said.put(word))
    yield said
    unsubscribe()


def until(said: queue.Queue[tuple[str, ...]], wanted) -> bool:
    """Whether `wanted` is heard within two seconds."""
    try:
        while said.get(timeout=2) != wanted:
            pass
    except queue.Empty:
        return False
    return True


def drained(said: queue.Queue[tuple[str, ...]]) -> list[tuple[str, ...]]:
    found = []
    while not said.empty():
        found.append(said.get())
    return found


@pytest.mark.django_db(transaction=True)
def test_a_change_is_announced_when_it_is_committed(heard):
    with transaction.atomic():
        announce("account", "a")
        assert ("account", "a") not in drained(heard)
    assert until(heard, ("account", "a"))


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_is_not_announced(heard):
    with transaction.atomic():
        announce("account", "never")
        transaction.set_rollback(True)
    announce("account", "later")
    said: list[tuple[str, ...]] = []
    while not said or said[-1] != ("account", "later"):
        said.append(heard.get(timeout=2))
    assert ("account", "never") not in said


@pytest.mark.django_db(transaction=True)
def test_a_new_and_a_revoked_token_are_announced(owner, heard):
    token, _ = create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
    assert until(heard, ("token", str(token.pk)))
    drained(heard)
    revoke_token(actor=owner, token=token, origin=Origin())
    assert until(heard, ("token", str(token.pk)))


@pytest.mark.django_db(transaction=True)
def test_who_unsubscribed_hears_no_more():
    said: queue.Queue[tuple[str, ...]] = queue.Queue()
    unsubscribe = subscribe(lambda *word: said.put(word))
    unsubscribe()
    unsubscribe()
    announce("account", "a")
    assert said.empty()


@pytest.mark.django_db(transaction=True)
def test_other_processes_are_heard_over_redis(heard):
    if not settings.REDIS_URL:
        return
    with redis.Redis.from_url(settings.REDIS_URL) as other:
        # The listener may still be on its way to the channel.
        heard_it = False
        for _ in range(5):
            other.publish(channel_of(other), json.dumps(["account", "elsewhere"]))
            heard_it = heard_it or until(heard, ("account", "elsewhere"))
        assert heard_it
        # Whatever it cannot read makes it connect anew, and take everything for changed.
        other.publish(channel_of(other), "not json")
        assert until(heard, ("catalogue", ""))
