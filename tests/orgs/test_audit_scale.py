"""However long the log, a page of it reads only the events it shows.

Asked of the databases themselves: their plans name what was read, and how much.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orgs.access import account_url
from orgs.audit.selection import BATCH, Selection
from orgs.events import events_named
from orgs.models import Account, AuditEvent
from orgs.views.activity import SHOWN
from tests.conftest import signed_in
from tests.guarantees.audit_log import fill

#: Only PostgreSQL plans by how many rows there are; SQLite says how it looks for any number.
EVENTS = 20_000 if connection.vendor == "postgresql" else 12_000
TABLE = "orgs_auditevent"

FILTERS: list[dict[str, str]] = [
    {**event, **actor, **period}
    for event in ({}, {"event": "token.created"}, {"event": "byok"}, {"event": "org.deleted"})
    for actor in ({}, {"actor": "owner@example.com"}, {"actor": "nobody@example.com"})
    for period in (
        {},
        {"period": "7"},
        {"period": "dates", "since": "2020-01-01", "until": "2020-01-02"},
    )
]
PLACES = [{}, {"before": f"{EVENTS // 2}"}, {"after": f"{EVENTS // 2}"}]

# Any: JSON.
Node = dict[str, Any]


@pytest.fixture
def long_log(organization: Account, owner, member, stranger) -> Account:
    fill(organization, EVENTS, [owner, member, owner])
    fill(stranger.account, EVENTS // 10, [stranger])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return organization


def test_no_page_reads_more_than_it_shows(long_log, owner):
    client, log = signed_in(owner), account_url("orgs:activity", long_log)
    client.get(log)
    for filters in FILTERS:
        for place in PLACES:
            with CaptureQueriesContext(connection) as queries:
                assert client.get(log, filters | place).status_code == 200
            assert len(queries) <= 12
            for sql in of_the_log(queries):
                reads_little(sql, SHOWN + 1)


def test_no_step_of_an_export_reads_more_than_it_exports(long_log):
    for narrowed in ({}, {"actor": "owner@example.com"}, {"events": events_named("byok")}):
        events = Selection(account_id=long_log.pk, up_to=EVENTS, **narrowed).read()
        with CaptureQueriesContext(connection) as queries:
            for _ in range(2 * BATCH):
                next(events)
        steps = of_the_log(queries)
        assert len(steps) >= 2
        for sql in steps:
            reads_little(sql, BATCH)


def test_what_happened_to_one_thing_is_found_by_its_id(long_log):
    newest = AuditEvent.objects.for_account(long_log.pk).newest_first()
    with CaptureQueriesContext(connection) as queries:
        list(newest.filter(target_kind="apitoken", target_id="none")[:20])
    reads_little(queries.captured_queries[0]["sql"], 20)


def of_the_log(queries: CaptureQueriesContext) -> list[str]:
    found = [query["sql"] for query in queries.captured_queries]
    return [sql for sql in found if f'FROM "{TABLE}"' in sql]


def reads_little(sql: str, shown: int) -> None:
    """The statement takes at most so many events, or so many of each event, from an index."""
    if connection.vendor == "postgresql":
        bounded_on_postgresql(sql, shown)
    else:
        bounded_on_sqlite(sql)


def bounded_on_postgresql(sql: str, shown: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        [[plans]] = cursor.fetchall()
    plans = json.loads(plans) if isinstance(plans, str) else plans
    nodes = list(walked(plans[0]["Plan"]))
    reading = [node for node in nodes if node.get("Relation Name") == TABLE]
    assert reading
    for node in reading:
        assert node["Node Type"] in {"Index Scan", "Index Only Scan"}, (sql, node)
        assert node["Actual Rows"] <= shown, (sql, node)
        # For somebody who did most of it, the list of everything is as good, by the statistics.
        assert node.get("Rows Removed by Filter", 0) <= shown, (sql, node)
    for node in nodes:
        if "Sort" in node["Node Type"]:
            assert "UNION ALL" in sql, (sql, node)


def walked(node: Node) -> Iterator[Node]:
    yield node
    for inner in node.get("Plans", ()):
        yield from walked(inner)


def bounded_on_sqlite(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        steps = [(parent, step) for _, parent, _, step in cursor.fetchall()]
    reading = [(parent, step) for parent, step in steps if TABLE in step]
    assert reading
    for parent, step in reading:
        assert step.startswith(f"SEARCH {TABLE} USING "), (sql, steps)
        assert "INDEX" in step, (sql, steps)
        assert "account_id=?" in step, (sql, steps)
        # A list is read from where it begins, and not put in order afterwards; except that one of
        # a thing to which, by the statistics, hardly more than this has happened may be.
        if "target_id=?" not in step:
            assert (parent, "USE TEMP B-TREE FOR ORDER BY") not in steps, (sql, steps)
