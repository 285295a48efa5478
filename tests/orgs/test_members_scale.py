"""However many people the installation has, the list of members reads those of the organization.

Asked of the databases themselves: their plans name what was read, and how much.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orgs.models import Account, Membership, User
from tests.conftest import signed_in

MEMBERS = "/orgs/acme/members/"
STRANGERS = 20_000
HERE = 120
TABLES = {"orgs_membership", "orgs_user"}
QUERIES = [
    {},
    {"after": "person00060@example.com"},
    {"before": "person00100@example.com"},
    {"role": "owner"},
    {"role": "owner", "after": "a"},
    {"q": "person"},
    {"q": "person0011"},
    {"q": "stranger00001"},
    {"q": "nobody", "role": "member"},
]

# Any: JSON.
Node = dict[str, Any]


@pytest.fixture
def crowd(organization: Account) -> Account:
    """Acme with some members, among very many people who are in organizations of their own."""
    people = User.objects.bulk_create(
        User(email=f"{kind}{number:05}@example.com", name=f"{kind} {number}")
        for kind, count in (("person", HERE), ("stranger", STRANGERS))
        for number in range(count)
    )
    elsewhere = Account.objects.create(kind=Account.Kind.ORGANIZATION, name="Other", slug="other")
    Membership.objects.bulk_create(
        Membership(
            account=organization if number < HERE else elsewhere,
            user=person,
            role=Membership.Role.MEMBER,
        )
        for number, person in enumerate(people)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return organization


def test_no_page_or_search_reads_more_people_than_the_organization_has(crowd, owner):
    client, members = signed_in(owner), Membership.objects.for_account(crowd).count()
    client.get(MEMBERS)
    for query in QUERIES:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(MEMBERS, query).status_code == 200
        read = of_people(queries)
        # The page, and how many there are.
        assert sum('FROM "orgs_membership" WHERE' in sql for sql in read) >= 2
        for sql in read:
            reads_little(sql, members)


def of_people(queries: CaptureQueriesContext) -> list[str]:
    found = [query["sql"] for query in queries.captured_queries]
    return [sql for sql in found if any(f'FROM "{table}"' in sql for table in TABLES)]


def reads_little(sql: str, members: int) -> None:
    """The statement reads at most so many memberships and people."""
    if connection.vendor == "postgresql":
        bounded_on_postgresql(sql, members)
    else:
        bounded_on_sqlite(sql)


def bounded_on_postgresql(sql: str, members: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        [[plans]] = cursor.fetchall()
    plans = json.loads(plans) if isinstance(plans, str) else plans
    reading = [node for node in walked(plans[0]["Plan"]) if node.get("Relation Name") in TABLES]
    assert reading
    for node in reading:
        each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        assert each * node["Actual Loops"] <= members, (sql, node)


def walked(node: Node) -> Iterator[Node]:
    yield node
    for inner in node.get("Plans", ()):
        yield from walked(inner)


def bounded_on_sqlite(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        steps = [step for *_, step in cursor.fetchall()]
    reading = [step for step in steps if any(table in step for table in TABLES)]
    assert reading
    for step in reading:
        assert step.startswith("SEARCH"), (sql, steps)
        # The memberships of an account, or of one person; the person with that id.
        assert any(f"({field}=?" in step for field in ("account_id", "user_id", "id")), (sql, steps)
