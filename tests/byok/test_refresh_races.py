"""Two who refresh at once, and one who is killed while at it."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from byok.catalogue import refresh
from byok.models import CatalogModel, CatalogueSource, ChangeSet, Offering
from orgs.audit.chain import walk
from orgs.models import Account, AuditEvent
from tests.byok.publisher import everything, novita, source
from tests.together import at_once
from tests.vaults import database_url

pytestmark = pytest.mark.django_db(transaction=True)

#: A worker that dies, as by kill -9, as soon as it writes to this table.
WORKER = """
import os, signal, sys
import django
django.setup()
from django.db import connection
from byok.catalogue import refresh

def write(execute, sql, params, many, context):
    if sql.startswith("INSERT INTO") and sys.argv[1] in sql:
        execute(sql, params, many, context)
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(sql, params, many, context)

with connection.execute_wrapper(write):
    refresh.refresh("novita")
"""


@pytest.fixture(autouse=True)
def news(publisher):
    """Novita has a model more than before, and one of another price."""
    listed = novita()
    listed["data"][0]["output_token_price_per_m"] += 100
    listed["data"].append({"id": "zai-org/glm-9", "model_type": "chat"})
    publisher.tells(listed)


def test_two_at_once_are_one(publisher):
    tell = publisher.answer

    def slowly(request):
        time.sleep(0.5)
        tell(request)

    publisher.answer = slowly
    outcomes = at_once(*[lambda: refresh.refresh("novita").busy] * 3)
    assert sorted(outcomes, key=bool) == [False, True, True]
    assert len(publisher.asked) == 1
    assert ChangeSet.objects.count() == 1
    assert AuditEvent.objects.filter(event="catalogue.refreshed").count() == 1


def test_whoever_is_too_slow_and_lost_the_lease_writes_nothing(publisher):
    tell, before = publisher.answer, everything()

    def meanwhile(request):
        # As if it had taken longer than the lease, and another had begun.
        CatalogueSource.objects.update(lease_until=timezone.now() + timedelta(seconds=7))
        tell(request)

    publisher.answer = meanwhile
    assert refresh.refresh("novita").busy
    assert everything() == before


def dies_writing(table: str, address: str) -> int:
    """How a worker of its own ends."""
    return subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", WORKER, table],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "megabrain.settings",
            "DATABASE_URL": database_url(),
            "MEGABRAIN_UPSTREAM_NOVITA_URL": address,
        },
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.parametrize("table", ["byok_offering", "orgs_auditevent"])
def test_one_that_is_killed_leaves_nothing_half_written(publisher, table):
    before, chain = everything(), walk(Account.objects.platform().pk)
    assert dies_writing(table, publisher.address) == -signal.SIGKILL
    assert everything() == before
    assert walk(Account.objects.platform().pk) == chain
    # Nobody asks again while it may be at work, and somebody does once its lease is over.
    assert refresh.refresh("novita").busy
    assert "novita" not in refresh.due()
    CatalogueSource.objects.filter(pk="novita").update(lease_until=timezone.now())
    assert "novita" in refresh.due()
    assert refresh.refresh("novita").change_set is not None
    assert CatalogModel.objects.filter(pk="z-ai/glm-9").exists()
    assert Offering.objects.filter(upstream_id="zai-org/glm-9").count() == 1
    assert source("novita").lease_until is None
