"""The database is away: what is known serves for some seconds, the rest is told to come back."""

import contextlib
import gzip
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.db import connection

from billing.models import UsageRecord
from byok.catalogue.memory import Offer, Rate
from byok.models import ProviderKey
from byok.providers import PROVIDERS
from byok.providers.base import Endpoint
from megabrain.gateway.call import Attempt, Call, Hold
from megabrain.gateway.callers import Caller
from megabrain.gateway.metering import Usage
from megabrain.gateway.routing import Candidate
from megabrain.gateway.settlement import Settlement
from megabrain.gateway.snapshot import load_keys
from orgs.changes import announce
from orgs.models import ApiToken
from tests.gateway.dialect import CHAT, add_keys, post_all


@contextlib.contextmanager
def unreadable(model):
    """Every query of this table fails."""
    table = model._meta.db_table
    rename = "ALTER TABLE {} RENAME TO {}"
    with connection.cursor() as cursor:
        cursor.execute(rename.format(table, "gone"))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(rename.format("gone", table))


def test_an_unknown_caller_is_told_to_try_again(agent, key, simulator):
    add_keys(key)
    announce("catalogue")
    with unreadable(ApiToken):
        answers = post_all(agent)
    for dialect, response in answers.items():
        told = dialect.error(response)
        assert response.status_code == 503
        assert told.code == "service_unavailable"
        assert told.message.startswith("MegaBrain cannot reach its database")
        assert response.headers["x-should-retry"] == "true"
        assert response.headers["retry-after"] == "2"
        assert response.headers["x-megabrain-payer"] == "none"
    assert simulator.calls == []
    # And when it is back, everything is as before.
    assert agent.post(CHAT.path, CHAT.body()).status_code == 200


def test_a_known_caller_is_served_meanwhile(agent, key):
    key("openai")
    assert agent.post(CHAT.path, CHAT.body()).status_code == 200
    with unreadable(ApiToken):
        assert agent.post(CHAT.path, CHAT.body()).status_code == 200


def test_what_nobody_could_look_up_is_recorded_as_no_model(agent, key, usage_row):
    key("openai")
    assert agent.post(CHAT.path, CHAT.body()).status_code == 200
    announce("keys", str(agent.record.account_id))
    with unreadable(ProviderKey):
        answer = agent.post(CHAT.path, CHAT.body(model="made/up"))
        assert answer.status_code == 503
    assert usage_row(answer.headers["x-request-id"]).model == ""


def test_who_waits_for_a_record_keeps_nobody_from_being_served(agent, key):
    """The record may be among what is yet to be written, and that takes as long as it takes."""
    key("openai")
    assert agent.get("models").status_code == 200
    # More than a thread each, and than the threads can have done by the time the call is given up.
    askers = 4 * min(32, (os.cpu_count() or 1) + 4)
    packed = gzip.compress(os.urandom(20_000).hex().encode())
    with unreadable(ProviderKey), ThreadPoolExecutor(askers) as pool:
        # That its key works cannot be written.
        assert agent.post(CHAT.path, CHAT.body()).status_code == 200
        for _ in range(askers):
            pool.submit(agent.get, f"requests/{uuid4()}")
        time.sleep(0.5)
        answer = agent.post(
            CHAT.path, data=packed, headers={"content-encoding": "gzip"}, timeout=2.5
        )
    # It has been unpacked, and is no JSON.
    assert answer.status_code == 400


def test_a_call_that_cannot_be_written_down_costs_no_other_its_row(agent, usage_row):
    token = agent.record
    caller = Caller(token.pk, token.user_id, token.account_id)
    calls = [
        # What nobody foresaw; what no database can hold; and two calls like all others.
        Call(Endpoint.CHAT, {"user-agent": None}, caller=caller),  # type: ignore[dict-item]
        Call(Endpoint.CHAT, {}, caller=caller, usage=Usage(10**30)),
        *(Call(Endpoint.CHAT, {}, caller=caller, status=200) for _ in range(2)),
    ]
    settlement = Settlement()
    for call in calls:
        settlement.record(call)
    settlement.close()
    written = UsageRecord.objects.filter(request_id__in=[call.id for call in calls])
    assert {row.request_id for row in written} == {call.id for call in calls[2:]}


def test_a_call_whose_cost_nobody_can_tell_costs_no_other_its_row(agent, key, account):
    key("openai")
    (held,) = load_keys(account.pk)
    rate: Any = Rate(datetime(2020, 1, 1, tzinfo=UTC), 0, None, None, None, None, None, None)  # type: ignore[arg-type]
    offer = Offer("openai", "gpt", (Endpoint.CHAT,), (rate,))
    candidate = Candidate(held, PROVIDERS["openai"], offer, Endpoint.CHAT, own=False)
    token = agent.record
    caller = Caller(token.pk, token.user_id, token.account_id)
    broken = Call(Endpoint.CHAT, {}, caller=caller, usage=Usage(1), attempts=[Attempt(candidate)])
    broken.hold = Hold(broken.id, account.pk, lambda: None)
    sound = Call(Endpoint.CHAT, {}, caller=caller, status=200)
    settlement = Settlement()
    for call in (broken, sound):
        settlement.record(call)
    settlement.close()
    assert UsageRecord.objects.get(request_id__in=[broken.id, sound.id]).request_id == sound.id


def test_a_process_that_stops_waits_for_a_database_that_is_away_for_a_moment(agent):
    token = agent.record
    call = Call(Endpoint.CHAT, {}, caller=Caller(token.pk, token.user_id, token.account_id))
    settlement = Settlement()
    with unreadable(UsageRecord):
        settlement.record(call)
        closing = threading.Thread(target=settlement.close)
        closing.start()
        time.sleep(1)
    closing.join()
    assert UsageRecord.objects.filter(request_id=call.id).exists()


def test_usage_waits_for_it_and_is_written_once(agent, key, usage_row, account):
    key("openai")
    with unreadable(UsageRecord):
        answers = [agent.post(CHAT.path, CHAT.body()) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        assert usage_row(answer.headers["x-request-id"], within=15).outcome == "ok"
    assert UsageRecord.objects.for_account(account).count() == 3
