"""The database is away: what is known serves for some seconds, the rest is told to come back."""

import contextlib

from django.db import connection

from billing.models import UsageRecord
from byok.models import ProviderKey
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
    # A change of its health would make the gateway ask anew whose the token is.
    ProviderKey.objects.update(health=ProviderKey.Health.WORKS)
    assert agent.post(CHAT.path, CHAT.body()).status_code == 200
    with unreadable(ApiToken):
        assert agent.post(CHAT.path, CHAT.body()).status_code == 200


def test_usage_waits_for_it_and_is_written_once(agent, key, usage_row, account):
    key("openai")
    with unreadable(UsageRecord):
        answers = [agent.post(CHAT.path, CHAT.body()) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        assert usage_row(answer.headers["x-request-id"], within=15).outcome == "ok"
    assert UsageRecord.objects.for_account(account).count() == 3
