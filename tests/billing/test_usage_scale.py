"""However many requests an account made, a page reads sums, and only the records that it shows.

Asked of the databases themselves: their plans name what was read, and how much.
"""

import json
import random
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import AccountDay, UsageDay, UsageRecord
from billing.rollup import SUMS, count_all_waiting
from orgs.actions import create_token
from orgs.models import Account, User
from orgs.origin import Origin
from tests.billing.calls import record
from tests.conftest import signed_in

ACME = "/orgs/acme/usage/"
#: Only PostgreSQL plans by how many rows there are; SQLite says how it looks for any number.
CALLS = 20_000 if connection.vendor == "postgresql" else 6_000
DAYS = 100
#: Who hardly ever calls; what of it is seen does not cost the days between.
RARE = ("rare/model", 3)

# Any: JSON.
Node = dict[str, Any]

FILTERS: list[dict[str, str]] = [
    {"period": "365", **filters}
    for filters in (
        {},
        {"model": "a/1"},
        {"model": RARE[0]},
        {"provider": "openai"},
        {"payer": "balance"},
        {"status": "refused"},
        {"member": "member@example.com"},
        {"member": "member@example.com", "model": "a/1", "status": "ok"},
        {"model": "none/such"},
    )
]


@pytest.fixture
def busy(organization: Account, owner: User, member: User) -> Account:
    """Acme in a hundred days of many calls, among as many of others."""
    tokens = {
        user.pk: create_token(actor=user, account=organization, name="ci", origin=Origin())[0].pk
        for user in (owner, member)
    }
    chance, now = random.Random(4), timezone.now()
    users = [*[owner.pk] * 30, member.pk]

    def call(number: int) -> UsageRecord:
        user = chance.choice(users)
        return record(
            account_id=organization.pk if number % 2 else uuid.UUID(int=number % 50),
            user_id=user,
            token_id=tokens[user],
            model=f"a/{chance.randint(1, 5)}",
            provider=chance.choice(("anthropic", "openai")),
            payer=chance.choice(("byok", "balance")),
            status=chance.choice((*[200] * 20, 429)),
            created_at=now - timedelta(days=number % DAYS, seconds=chance.randint(0, 80_000)),
            market_micros=5,
        )

    calls = [call(number) for number in range(CALLS)]
    for each in calls:
        each.outcome = "ok" if each.status == 200 else "byok_rate_limited"
    for place in range(RARE[1]):
        calls[101 + CALLS // 4 * place].model = RARE[0]
    UsageRecord.objects.bulk_create(calls, batch_size=1000)
    count_all_waiting(seconds=600)
    AccountDay.objects.bulk_create(AccountDay(**elsewhere(number)) for number in range(CALLS))
    UsageDay.objects.bulk_create(
        UsageDay(**elsewhere(number), user_id=uuid.UUID(int=number % 77)) for number in range(CALLS)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return organization


def elsewhere(number: int) -> dict[str, Any]:  # Any: the values of columns.
    """A sum of one of the other accounts, which have most of them."""
    return dict(
        id=uuid.uuid4(),
        day=timezone.now().date() - timedelta(days=number % DAYS),
        account_id=uuid.UUID(int=number % 50),
        model=f"a/{number % 5}",
        provider="anthropic",
        payer="byok",
        result="ok",
        requests=1,
        **dict.fromkeys(SUMS, 1),
    )


def test_no_page_reads_many_more_records_than_it_shows(busy, owner):
    client = signed_in(owner)
    client.get(ACME)
    for filters in FILTERS:
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(ACME, filters)
            assert len(queries) <= 12
            assert len(answer.context["rows"]) == min(25, answer.context["totals"].requests)
            if answer.context["older"]:
                client.get(answer.context["older"])
        # Those of as many days as it takes to fill a page, and of the one where it began.
        days = 2 + 26 * DAYS // max(1, answer.context["totals"].requests)
        read = of_the_table(queries.captured_queries, "billing_usagerecord")
        assert bool(read) == bool(answer.context["rows"])
        for sql in read:
            reads_little(sql, "billing_usagerecord", CALLS // DAYS * min(days, 30))


@pytest.mark.parametrize("who", ["owner", "member"])
def test_sums_of_a_year_are_read_from_an_index(busy, owner, member, who):
    """And not one for each person and API token, where they are of everybody."""
    client = signed_in(owner if who == "owner" else member)
    client.get(ACME)
    if who == "owner":
        read, most = "billing_accountday", AccountDay.objects.for_account(busy).count()
    else:
        own = UsageDay.objects.for_account(busy).filter(user_id=member.pk)
        read, most = "billing_usageday", own.count()
    for url, query in ((ACME, {"period": "365"}), ("/orgs/acme/", {"days": "30"})):
        with CaptureQueriesContext(connection) as queries:
            client.get(url, query)
        found = [
            sql
            for table in ("billing_accountday", "billing_usageday")
            for sql in of_the_table(queries.captured_queries, table)
            if "RECURSIVE" not in sql
        ]
        assert found
        for sql in found:
            reads_little(sql, read, most)


def test_what_there_is_to_choose_from_is_found_step_by_step(busy, owner):
    client = signed_in(owner)
    client.get(ACME)
    with CaptureQueriesContext(connection) as queries:
        client.get(ACME)
    [sql] = [q["sql"] for q in queries.captured_queries if "RECURSIVE" in q["sql"]]
    reads_little(sql, "billing_usageday", 30)


def test_a_member_chooses_from_their_own_and_reads_nobody_elses(busy, member):
    client = signed_in(member)
    client.get(ACME)
    with CaptureQueriesContext(connection) as queries:
        page = client.get(ACME)
    assert set(dict(page.context["form"].fields["model"].widget.choices)) >= {"a/1", "a/5"}
    read = of_the_table(queries.captured_queries, "billing_usageday")
    assert any("DISTINCT" in sql for sql in read)
    for sql in read:
        reads_little(sql, "billing_usageday", UsageDay.objects.filter(user_id=member.pk).count())


def of_the_table(queries: list[dict[str, str]], table: str) -> list[str]:
    return [query["sql"] for query in queries if f'FROM "{table}"' in query["sql"]]


def reads_little(sql: str, table: str, most: int) -> None:
    if connection.vendor == "postgresql":
        bounded_on_postgresql(sql, table, most)
    else:
        searched_on_sqlite(sql, table)


def bounded_on_postgresql(sql: str, table: str, most: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        [[plans]] = cursor.fetchall()
    plans = json.loads(plans) if isinstance(plans, str) else plans
    nodes = list(walked(plans[0]["Plan"]))
    reading = [node for node in nodes if node.get("Relation Name") == table]
    assert reading
    read = 0
    for node in reading:
        each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        read += each * node["Actual Loops"]
    assert read <= most, (sql, read, most)


def walked(node: Node) -> Iterator[Node]:
    yield node
    for inner in node.get("Plans", ()):
        yield from walked(inner)


def searched_on_sqlite(sql: str, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        steps = [step for *_, step in cursor.fetchall()]
    reading = [step for step in steps if table in step]
    assert reading
    for step in reading:
        assert step.startswith(f"SEARCH {table} USING "), (sql, steps)
        assert "INDEX" in step, (sql, steps)
        assert "account_id=?" in step, (sql, steps)
