"""Lists of the admin stay quick however long they are, and take any search."""

import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import Hold, LedgerEntry, Plan, Spending, Wallet
from billing.usage import record_usage
from byok.actions import add_key
from byok.models import KeyTest
from byok.vault import Secret
from orgs.actions import create_organization, create_token, invite
from orgs.models import Account, User
from tests.admin.conftest import (
    ADMINS,
    NAMES,
    ORIGIN,
    Found,
    list_url,
    page_url,
    text_of,
    usage_of,
)
from tests.billing.subscribing import fund, stock, subscribed
from tests.billing.wallets import Payer
from tests.conftest import person

pytestmark = pytest.mark.django_db

MOST_QUERIES = 10


def more(number: int) -> None:
    """Another organization with one of everything that is an organization's."""
    owner = person(f"owner{number}")
    account = create_organization(actor=owner, owner=owner, name=f"Other {number}", origin=ORIGIN)
    key = add_key(
        actor=owner,
        account=account,
        provider="openai",
        secret=Secret("sk-proj-sim-ok-0123456789abcdefghijklmnop"),
        origin=ORIGIN,
    )
    KeyTest.objects.create(key=key, requested_by=owner, state="failed", finished_at=timezone.now())
    create_token(actor=owner, account=account, name="ci", origin=ORIGIN)
    invite(
        actor=owner, account=account, email=f"{number}@example.com", role="member", origin=ORIGIN
    )
    usage_of(account, provider_key_id=key.pk).save()
    Plan.objects.create(
        slug=f"other-{number}", name="Other", provider="zai", price_micros=1, period_days=1
    )
    stock(User.objects.get(email="staff@example.com"), 10 + number)
    fund(account, 20)
    subscribed(owner, account)


def queries_of(client: Client, url: str) -> list[str]:
    with CaptureQueriesContext(connection) as asked:
        assert client.get(url).status_code == 200, url
    return [query["sql"] for query in asked]


@pytest.mark.parametrize("name", NAMES)
def test_a_list_asks_the_same_of_the_database_however_many_rows_it_has(acme, staff_client, name):
    url = list_url(name)
    queries_of(staff_client, url)
    few = queries_of(staff_client, url)
    for number in range(4):
        more(number)
    many = queries_of(staff_client, url)
    assert len(many) == len(few) <= MOST_QUERIES
    assert not [query for query in many if "COUNT(" in query.upper()]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_asks_little_of_the_database(acme, staff_client, name):
    row = ADMINS[name].model._default_manager.first()
    url = page_url(row)
    queries_of(staff_client, url)
    assert len(queries_of(staff_client, url)) <= MOST_QUERIES


def test_a_long_list_is_cut_off_and_says_so(acme, staff_client):
    record_usage([usage_of(acme.key.account) for _ in range(1100)])
    page = text_of(staff_client.get(list_url("billing_usagerecord")))
    assert "The first 1,000 usage records. Search for the others." in page
    assert staff_client.get(list_url("billing_usagerecord") + "?p=20").status_code == 200
    beyond = staff_client.get(list_url("billing_usagerecord") + "?p=21")
    assert beyond["Location"] == list_url("billing_usagerecord") + "?e=1"


# Searching -----------------------------------------------------------------------------------


def found_by(client: Client, name: str, term: object) -> list[str]:
    """The pages of what a search found."""
    answer = client.get(list_url(name), {"q": str(term)})
    assert answer.status_code == 200
    return re.findall(r'<th class="field-[^"]*"><a href="([^"?]+)', text_of(answer))


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("orgs_user", ["owner@example.com", "Owner@Example.com ", "{owner.pk}"]),
        ("orgs_account", ["acme", "ACME", "{account.pk}"]),
        ("orgs_membership", ["acme", "{account.pk}", "owner@example.com"]),
        ("orgs_invitation", ["acme", "{account.pk}", "{found.invitation.pk}"]),
        ("orgs_apitoken", ["acme", "{account.pk}", "owner@example.com", "{found.token.pk}"]),
        ("orgs_auditevent", ["acme", "{account.pk}"]),
        ("orgs_audithead", ["acme", "{account.pk}"]),
        ("byok_providerkey", ["acme", "{account.pk}", "{found.key.pk}"]),
        ("byok_keytest", ["acme", "{account.pk}", "{found.key.pk}", "{found.test.pk}"]),
        (
            "billing_usagerecord",
            ["acme", "{account.pk}", "{found.key.pk}", "{found.usage.request_id}"],
        ),
        ("billing_plan", ["token-plan-plus"]),
        ("billing_plankey", ["{found.plan_key.pk}"]),
        (
            "billing_subscription",
            [
                "subscriber@example.com",
                "{found.subscription.pk}",
                "{found.subscription.account_id}",
            ],
        ),
        ("billing_wallet", ["acme", "{account.pk}"]),
        ("billing_ledgerentry", ["acme", "{account.pk}"]),
        ("billing_hold", ["acme", "{account.pk}", "{found.request_id}"]),
        ("billing_spending", ["acme", "{account.pk}", "{spending.subject_id}"]),
        ("byok_catalogmodel", ["anthropic/claude-haiku-4.5", "anthropic/"]),
        ("byok_offering", ["anthropic/claude-haiku-4.5", "anthropic/"]),
        ("byok_price", ["anthropic/claude-haiku-4.5", "anthropic/"]),
    ],
)
def test_a_search_finds_by_whole_values(acme: Found, owner, staff_client, name, terms):
    more(1)
    everything = set(found_by(staff_client, name, ""))
    for term in terms:
        account = acme.key.account
        spending = Spending.objects.filter(of="token").earliest("pk")
        given = {"owner": owner, "account": account, "found": acme, "spending": spending}
        found = found_by(staff_client, name, term.format(**given))
        assert found, term
        assert set(found) < everything or name.startswith("byok_"), term


def test_a_person_s_address_finds_what_is_of_their_account(acme, owner, staff_client):
    add_key(
        actor=owner,
        account=owner.account,
        provider="openai",
        secret=Secret("sk-proj-sim-ok-0123456789abcdefghijklmnop"),
        origin=ORIGIN,
    )
    [found] = found_by(staff_client, "byok_providerkey", "owner@example.com")
    assert found == page_url(owner.account.provider_keys.get())


def test_what_happened_in_an_account_that_is_gone_is_still_found(acme, owner, staff_client):
    account_id = acme.key.account_id
    Account.objects.filter(pk=account_id).delete()
    assert len(found_by(staff_client, "orgs_auditevent", account_id)) == 4
    assert len(found_by(staff_client, "billing_usagerecord", account_id)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_part_of_a_word_finds_nothing(acme, staff_client, name):
    for term in ("acm", "example", "own", "%", "_"):
        assert found_by(staff_client, name, term) == [], term


HOSTILE = [
    "'",
    '"',
    "\\",
    "%",
    "' OR 1=1 --",
    "\x00",
    "a\x00b",
    "🦄",
    "\u202e",
    "x" * 10_000,
    "@",
    "a@b@c",
    "platform",
    "00000000-0000-0000-0000-00000000000g",
    "{00000000-0000-0000-0000-000000000000}",
    str(10**40),
    "-1",
    "1e999",
    "null",
    "<script>alert(1)</script>",
    "{{ 7|add:7 }}",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_search_for_anything_is_answered(acme, staff_client, name):
    for term in HOSTILE:
        answer = staff_client.get(list_url(name), {"q": term})
        assert answer.status_code == 200, term
        assert "<script>alert" not in text_of(answer)


@pytest.mark.parametrize("name", NAMES)
def test_no_address_makes_a_list_slow_or_break(acme, staff_client, name):
    plain = found_by(staff_client, name, "")
    for query in ("o=1", "o=-2.1", "o=99.x.-", "all=1", "e=1", "_popup=1", "p=abc", "_facets=1"):
        answer = staff_client.get(f"{list_url(name)}?{query}")
        assert answer.status_code == 200, query
        shown = re.findall(r'<th class="field-[^"]*"><a href="([^"?]+)', text_of(answer))
        assert shown == plain or "popup" in query, query
    for query in ("p=-1", "p=0", "p=999999", f"p={10**30}"):
        assert staff_client.get(f"{list_url(name)}?{query}").status_code in (200, 302), query
    for query in ("id__contains=1", "account__name=x", "user__password__startswith=a", "x=1"):
        assert staff_client.get(f"{list_url(name)}?{query}").status_code == 400, query
    for field in ("digest", "secret", "password", "fingerprint"):
        assert staff_client.get(f"{list_url(name)}?_to_field={field}").status_code == 400, field


FILTERED = [name for name in NAMES if ADMINS[name].list_filter]
ODD = ["__regex", "__iregex", "__in", "__isnull", "__gt", "__contains", "__range"]
ZERO = ["%00", "a%00b"]
VALUES = ["(", "[", "a", "a,b", "", "1", "True", "%F0%9F%A6%84"]


@pytest.mark.parametrize("name", FILTERED)
def test_no_value_of_a_filter_breaks_a_list(acme, staff_client, name):
    for field in ADMINS[name].list_filter:
        for kind in ("", "__exact"):
            for value in VALUES:
                query = f"{field}{kind}={value}"
                answer = staff_client.get(f"{list_url(name)}?{query}")
                assert answer.status_code in (200, 302, 400), query
        refused = [f"{kind}={value}" for kind in ("", "__exact") for value in ZERO]
        # Of these kinds none is known, so that values are not looked at.
        refused += [f"{kind}={value}" for kind in ODD for value in ("1", "(")]
        for query in refused:
            answer = staff_client.get(f"{list_url(name)}?{field}{query}")
            assert answer.status_code == 400, query


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("byok_offering", "provider=novita"),
        ("byok_offering", "enabled__exact=1"),
        ("byok_catalogmodel", "source__exact=bundled"),
    ],
)
def test_the_filters_of_a_list_filter_it(acme, staff_client, name, query):
    answer = staff_client.get(f"{list_url(name)}?{query}")
    assert answer.status_code == 200
    assert re.search(r'<th class="field-', text_of(answer))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("id_", ["x", "%00", "1", str(10**30), "00000000-0000", "a/b/c"])
def test_a_page_of_nothing_leads_to_the_start(db, staff_client, name, id_):
    answer = staff_client.get(f"{list_url(name)}{id_}/change/")
    assert answer.status_code in (200, 302)
    assert answer.get("Location", "/admin/") == "/admin/"


# Plans ---------------------------------------------------------------------------------------


def plan_of(query: str) -> str:
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {query.replace('%', '%%')}")
        return "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())


def reads_it_all(query: str, table: str) -> bool:
    """Whether the query reads or sorts the whole table, to show a page of it."""
    plan = plan_of(query)
    if connection.vendor == "postgresql":
        return f"Seq Scan on {table}" in plan
    return "USE TEMP B-TREE FOR ORDER BY" in plan


MONEY = ["billing_wallet", "billing_ledgerentry", "billing_hold", "billing_spending"]


@pytest.mark.parametrize("name", MONEY)
@pytest.mark.parametrize("searched", [False, True], ids=["all", "of one account"])
def test_a_page_of_a_long_list_of_money_is_read_from_an_index(acme, staff_client, name, searched):
    others = [Payer() for _ in range(2_000)]
    days = [timezone.now() - timedelta(hours=number) for number in range(len(others))]
    Wallet.objects.bulk_create([Wallet(account_id=each.account_id) for each in others])
    LedgerEntry.objects.bulk_create(
        [
            LedgerEntry(
                account_id=each.account_id,
                number=1,
                kind="grant",
                amount_micros=1,
                balance_micros=1,
                idempotency_key=str(each.user_id),
            )
            for each in others
        ]
    )
    Hold.objects.bulk_create(
        [
            Hold(
                account_id=each.account_id,
                user_id=each.user_id,
                token_id=each.token_id,
                amount_micros=1,
                state="released",
                lease_until=day,
                created_at=day,
                resolved_at=day,
            )
            for each, day in zip(others, days, strict=True)
        ]
    )
    Spending.objects.bulk_create(
        [
            Spending(
                of="member", account_id=each.account_id, subject_id=each.user_id, period=day.date()
            )
            for each, day in zip(others, days, strict=True)
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {name}")
    term = acme.key.account.slug if searched else ""
    with CaptureQueriesContext(connection) as asked:
        staff_client.get(list_url(name), {"q": term})
    ours = [query["sql"] for query in asked if f'FROM "{name}"' in query["sql"]]
    assert ours
    for query in ours:
        # Of what one account has set aside and spent there is little: SQLite may sort it when it
        # has been found.
        few = name in ("billing_hold", "billing_spending") and searched
        if few and connection.vendor == "sqlite":
            assert f"SCAN {name}" not in plan_of(query), query
        elif "ORDER BY" in query or "WHERE" in query:
            assert not reads_it_all(query, name), query


@pytest.mark.parametrize("searched", [False, True], ids=["all", "of one account"])
def test_a_page_of_a_long_list_is_read_from_an_index(acme, staff_client, searched):
    others = [Account(id=uuid.uuid4()) for _ in range(50)]
    record_usage([usage_of(others[number % 50]) for number in range(20_000)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE billing_usagerecord")
    term = acme.key.account.slug if searched else ""
    with CaptureQueriesContext(connection) as asked:
        staff_client.get(list_url("billing_usagerecord"), {"q": term})
    ours = [query["sql"] for query in asked if 'FROM "billing_usagerecord"' in query["sql"]]
    assert ours
    for query in ours:
        # The first rows in any order, to see how many there are, need no index.
        if "ORDER BY" in query or "WHERE" in query:
            assert not reads_it_all(query, "billing_usagerecord"), query


@pytest.mark.parametrize("name", ["orgs_auditevent", "billing_usagerecord", "byok_keytest"])
def test_rows_name_the_account_as_one_looks_it_up(acme, owner, staff_client, name):
    usage_of(owner.account).save()
    shown = text_of(staff_client.get(list_url(name)))
    link = '<a href="{}">{}</a>'
    account = acme.key.account
    assert link.format(page_url(account), "acme") in shown
    if name != "byok_keytest":
        assert link.format(page_url(owner.account), "owner@example.com") in shown
    row = ADMINS[name].model._default_manager.filter(**{ADMINS[name].account_field: account.pk})
    assert link.format(page_url(account), "acme") in text_of(
        staff_client.get(page_url(row.first()))
    )


def test_rows_of_an_account_that_is_gone_have_its_id(acme, staff_client):
    account_id = acme.key.account_id
    Account.objects.filter(pk=account_id).delete()
    assert f">{account_id}</a>" in text_of(staff_client.get(list_url("billing_usagerecord")))


def test_times_are_exact_and_say_that_they_are_utc(acme, staff_client):
    at = f"{acme.usage.created_at:%Y-%m-%d %H:%M:%S} UTC"
    assert at in text_of(staff_client.get(list_url("billing_usagerecord")))
    assert at in text_of(staff_client.get(page_url(acme.usage)))


def test_things_are_called_as_everywhere(acme, staff_client):
    index = text_of(staff_client.get("/admin/"))
    assert "API tokens" in index
    assert "Models" in index
    assert "Catalog model" not in index
