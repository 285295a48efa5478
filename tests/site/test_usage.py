"""The Usage pages: figures are those of the records, and everybody sees only what they may."""

import csv
import html
import io
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import UsageRecord
from billing.pruning import prune_usage
from billing.usage import record_usage
from megabrain.site.usage import export as exporting
from megabrain.site.usage.views import SHOWN
from orgs.actions import create_token
from orgs.exports import AT_ONCE, Slot
from orgs.models import Account, ApiToken, Membership, User
from orgs.origin import Origin
from tests.billing.calls import any_call
from tests.conftest import person, signed_in
from tests.site.conftest import MakeCall, MakeKey

URL = "/account/usage/"
ACME = "/orgs/acme/usage/"
HTMX = {"HX-Request": "true"}

Figures = dict[str, int]
CallOf = Callable[..., UsageRecord]


def token_of(user: User, account: Account, name: str = "laptop") -> ApiToken:
    return create_token(actor=user, account=account, name=name, origin=Origin())[0]


def text(answer: Any) -> str:  # Any: django-stubs' own type of a test answer is private.
    return str(answer.content.decode())


def shown(answer: Any) -> list[uuid.UUID]:
    return [row.record.request_id for row in answer.context["rows"]]


@pytest.fixture
def call_of(organization: Account, make_call: MakeCall) -> CallOf:
    """A call that a person made for Acme."""

    def make(user: User, **fields: Any) -> UsageRecord:
        return make_call(account_id=organization.pk, user_id=user.pk, **fields)

    return make


@pytest.fixture
def busy(account: Account, owner: User, make_key: MakeKey) -> list[UsageRecord]:
    """Two hundred calls of every kind in the last 45 days, of two tokens, one of them gone."""
    chance = random.Random(3)
    tokens = [token_of(owner, account).pk, uuid.uuid4()]
    key = make_key("openai").pk
    calls = [
        any_call(
            chance,
            account_id=account.pk,
            user_id=owner.pk,
            token_id=chance.choice(tokens),
            provider_key_id=chance.choice((key, None)),
            created_at=timezone.now() - timedelta(hours=chance.randint(0, 45 * 24)),
        )
        for _ in range(200)
    ]
    record_usage(calls)
    return calls


def figures(calls: list[UsageRecord]) -> Figures:
    """What the page has to say of these calls, added up one by one."""
    byok = [call for call in calls if call.payer == "byok"]
    return {
        "requests": len(calls),
        "succeeded": sum(call.outcome == "ok" for call in calls),
        "uncached_tokens": sum(call.input_tokens for call in calls),
        "cache_read_tokens": sum(call.cache_read_tokens for call in calls),
        "cache_write_tokens": sum(call.cache_write_tokens for call in calls),
        "output_tokens": sum(call.output_tokens for call in calls),
        "reasoning_tokens": sum(call.reasoning_tokens for call in calls),
        "charged": sum(call.charged_micros for call in calls),
        "market": sum(call.market_micros for call in byok),
        "market_of_all": sum(call.market_micros for call in calls),
        "byok_requests": len(byok),
        "balance_requests": sum(call.payer == "balance" for call in calls),
    }


def in_days(calls: list[UsageRecord], days: int) -> list[UsageRecord]:
    first = timezone.now().date() - timedelta(days=days - 1)
    return [call for call in calls if call.created_at.astimezone(UTC).date() >= first]


Matches = Callable[[UsageRecord], bool]
FILTERS: dict[str, tuple[dict[str, str], Matches]] = {
    "all": ({}, lambda call: True),
    "model": (
        {"model": "a/one"},
        # One that the provider says it does not have is a model all the same.
        lambda call: (
            call.model == "a/one" and (call.outcome != "model_not_found" or bool(call.provider))
        ),
    ),
    "provider": ({"provider": "openai"}, lambda call: call.provider == "openai"),
    "payer": ({"payer": "balance"}, lambda call: call.payer == "balance"),
    "ok": ({"status": "ok"}, lambda call: call.outcome == "ok"),
    "closed": ({"status": "closed"}, lambda call: call.outcome == "client_closed"),
    "refused": (
        {"status": "refused"},
        lambda call: 400 <= call.status < 500 and call.outcome != "client_closed",
    ),
    "failed": ({"status": "failed"}, lambda call: call.outcome == "upstream_unavailable"),
    "several": (
        {"provider": "anthropic", "payer": "byok", "status": "ok"},
        lambda call: (call.provider, call.payer, call.outcome) == ("anthropic", "byok", "ok"),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_figures_chart_list_and_file_are_those_of_the_records(owner_client, busy, name):
    query, matches = FILTERS[name]
    for days in (7, 90):
        agrees(owner_client, [call for call in in_days(busy, days) if matches(call)], days, query)


def agrees(client: Client, calls: list[UsageRecord], days: int, query: dict[str, str]) -> None:
    asked = {"period": str(days), **query}
    answer = client.get(URL, asked)
    totals = answer.context["totals"]
    assert {name: getattr(totals, name) for name in figures([])} == figures(calls)
    chart = answer.context["chart"]
    columns = [[int(value.replace(",", "")) for value in each.values] for each in chart.columns]
    assert len(columns) == days
    assert sum(map(sum, columns)) == len(calls)
    assert sum(columns[-1]) == len(in_days(calls, 1))
    newest_first = sorted(
        calls, key=lambda call: (call.created_at, call.request_id.hex), reverse=True
    )
    everything = list(walked(client, answer))
    assert everything == [call.request_id for call in newest_first]
    lines = exported(client, URL, **asked)
    assert [line["request_id"] for line in lines] == [str(id_) for id_ in reversed(everything)]


def walked(client: Client, answer: Any) -> list[uuid.UUID]:
    """The whole list, page after page, and back again to the same first one."""
    first, seen = shown(answer), shown(answer)
    while older := answer.context["older"]:
        answer = client.get(older)
        assert len(shown(answer)) <= SHOWN
        seen += shown(answer)
    while newer := answer.context["newer"]:
        answer = client.get(newer)
    assert shown(answer) == first
    return seen


def exported(client: Client, url: str, **fields: str) -> list[dict[str, str]]:
    answer = client.post(f"{url}export/", fields)
    assert answer.status_code == 200
    file = answer.getvalue().decode().removeprefix("\ufeff")
    return list(csv.DictReader(io.StringIO(file, newline="")))


def test_the_dashboard_says_the_same(owner_client, account, busy, make_call):
    make_call()
    calls = list(UsageRecord.objects.filter(account_id=account.pk))
    for days in (7, 30):
        totals = owner_client.get("/dashboard/", {"days": str(days)}).context["totals"]
        expected = figures(in_days(calls, days))
        assert {name: getattr(totals, name) for name in expected} == expected


def test_a_file_tells_a_request_in_full(owner_client, owner, account, make_call):
    call = make_call(
        user_id=owner.pk,
        token_id=token_of(owner, account, "ci").pk,
        upstream_model="claude-x",
        input_tokens=12,
        output_tokens=3,
        payer="balance",
        charged_micros=1_234_567_891,
        market_micros=1,
        attempts=[{}, {}],
        client="agent/1.0",
    )
    [line] = exported(owner_client, URL)
    assert line == {
        "time_utc": f"{call.created_at:%Y-%m-%d %H:%M:%S}",
        "request_id": str(call.request_id),
        "model": call.model,
        "upstream_model": "claude-x",
        "provider": "anthropic",
        "provider_key": "",
        "paid_by": "balance",
        "status": "200",
        "outcome": "ok",
        "member": "owner@example.com",
        "api_token": "ci",
        "endpoint": "messages",
        "streamed": "no",
        "attempts": "2",
        "input_tokens": "12",
        "cache_read_tokens": "0",
        "cache_write_tokens": "0",
        "cache_write_long_tokens": "0",
        "output_tokens": "3",
        "reasoning_tokens": "0",
        "tokens_from": "none",
        "charged_usd": "1234.567891",
        "market_usd": "0.000001",
        "latency_ms": "1234",
        "first_byte_ms": "",
        "client": "agent/1.0",
    }


def test_a_file_names_who_called_when_the_token_is_gone(owner_client, owner, make_call):
    make_call(user_id=owner.pk, token_id=uuid.uuid4())
    [line] = exported(owner_client, URL)
    assert (line["member"], line["api_token"]) == ("owner@example.com", "")


@pytest.mark.parametrize("cell", ["=1+1", "@x", "+1", "-1", "\t=1", "a;=1+1", "＝1", '"=1'])
def test_no_cell_of_a_file_is_a_formula(owner_client, owner, account, make_call, cell):
    ApiToken.objects.filter(pk=(token := token_of(owner, account)).pk).update(name=cell)
    make_call(token_id=token.pk, model=cell, client=cell, outcome=cell, provider=cell)
    [line] = exported(owner_client, URL)
    for name in ("model", "client", "outcome", "provider", "api_token"):
        assert line[name] != cell
        assert "'" in line[name]


def test_a_file_ends_when_the_right_to_read_does(organization, member, call_of):
    record_usage(
        [
            any_call(
                random.Random(n),
                account_id=organization.pk,
                user_id=member.pk,
                created_at=timezone.now(),
            )
            for n in range(exporting.ASKED_AGAIN + 20)
        ]
    )
    answer = signed_in(member).post(f"{ACME}export/")
    Membership.objects.filter(user=member, account=organization).delete()
    with pytest.raises(Exception, match="may not use_account"):
        answer.getvalue()


def test_a_manager_who_becomes_a_member_gets_no_more_of_everybodys(
    organization, billing_manager, owner
):
    record_usage(
        [
            any_call(
                random.Random(n),
                account_id=organization.pk,
                user_id=owner.pk,
                created_at=timezone.now(),
            )
            for n in range(exporting.ASKED_AGAIN + 20)
        ]
    )
    answer = signed_in(billing_manager).post(f"{ACME}export/")
    Membership.objects.filter(user=billing_manager).filter(account=organization).update(
        role=Membership.Role.MEMBER
    )
    with pytest.raises(Exception, match="may not see_all_usage"):
        answer.getvalue()


def test_a_third_file_at_a_time_is_refused_with_the_way_back(owner_client, owner, make_call):
    make_call()
    slots = [Slot(owner.pk) for _ in range(AT_ONCE)]
    try:
        answer = owner_client.post(f"{URL}export/", {"model": "a/one"})
        assert answer["Location"] == f"{URL}?model=a%2Fone"
        assert "Nothing was exported" in text(owner_client.get(answer["Location"]))
    finally:
        cache.clear()
        assert slots


def test_a_file_with_a_filter_that_there_is_not_is_refused(owner_client, make_call):
    make_call()
    for wrong in ({"payer": "somebody"}, {"token": "no id"}, {"period": "forever"}):
        assert owner_client.post(f"{URL}export/", wrong).status_code == 400


# Who sees what ---------------------------------------------------------------------------------


def test_a_member_sees_their_own_alone(organization, owner, member, member_client, call_of):
    others = call_of(owner, model="openai/secret-project", market_micros=7_770_000)
    own = call_of(member)
    for query in ({}, {"member": owner.email}, {"status": "ok"}):
        answer = member_client.get(ACME, query)
        assert shown(answer) == [own.request_id]
        assert answer.context["totals"].requests == 1
        page = text(answer)
        for hidden in ("secret-project", owner.email, "$7.77"):
            assert hidden not in page
    assert [line["request_id"] for line in exported(member_client, ACME)] == [str(own.request_id)]
    assert member_client.get(f"{ACME}{others.request_id}/").status_code == 404
    assert member_client.get(f"{ACME}{own.request_id}/").status_code == 200


@pytest.mark.parametrize("who", ["owner", "billing_manager"])
def test_who_may_see_everyones_sees_it_and_filters_by_member(
    organization, owner, member, call_of, request, who
):
    calls = {
        user: call_of(user, token_id=token_of(user, organization).pk) for user in (owner, member)
    }
    client = signed_in(request.getfixturevalue(who))
    answer = client.get(ACME)
    assert set(shown(answer)) == {call.request_id for call in calls.values()}
    assert owner.email in text(answer)
    for asked in (member.email, f" {member.email.upper()} "):
        answer = client.get(ACME, {"member": asked})
        assert shown(answer) == [calls[member].request_id]
        assert answer.context["totals"].requests == 1
    answer = client.get(ACME, {"member": "nobody@example.com"})
    assert not shown(answer)
    assert "Nothing matches" in text(answer)
    page = text(client.get(f"{ACME}{calls[member].request_id}/"))
    assert member.email in page


def test_accounts_are_apart(organization, owner, owner_client, make_call, call_of):
    personal, of_acme = make_call(user_id=owner.pk), call_of(owner)
    assert shown(owner_client.get(URL)) == [personal.request_id]
    assert shown(owner_client.get(ACME)) == [of_acme.request_id]
    assert owner_client.get(f"{URL}{of_acme.request_id}/").status_code == 404
    assert owner_client.get(f"{ACME}{personal.request_id}/").status_code == 404


@pytest.mark.parametrize("who", ["stranger", "staff"])
def test_strangers_find_nothing(organization, owner, call_of, request, who):
    call = call_of(owner)
    client = signed_in(request.getfixturevalue(who))
    for url in (ACME, f"{ACME}{call.request_id}/"):
        assert client.get(url).status_code == 404
        assert client.get(url, headers=HTMX).status_code == 404
    assert client.post(f"{ACME}export/").status_code == 404


def test_keys_are_told_of_to_those_who_manage_them(organization, owner, member, call_of, make_key):
    key = make_key("openai")
    type(key).objects.filter(pk=key.pk).update(account=organization)
    tried = [{"provider": "openai", "key": str(key.pk), "outcome": "ok", "status": 200, "ms": 5}]
    for user in (owner, member):
        call = call_of(user, provider="openai", provider_key_id=key.pk, attempts=tried)
        client, knows = signed_in(user), user == owner
        for url in (ACME, f"{ACME}{call.request_id}/"):
            page = text(client.get(url))
            assert "OpenAI" in page
            assert (key.hint in page) == knows
        link = reverse("byok:details", args=["acme", key.pk])
        assert (link in text(client.get(f"{ACME}{call.request_id}/"))) == knows
        found = shown(client.get(ACME, {"key": str(uuid.uuid4())}))
        assert (not found) == knows  # To others there is no such filter.


def test_the_key_of_another_is_no_link(owner_client, make_call, make_key, stranger):
    key = make_key("openai")
    type(key).objects.filter(pk=key.pk).update(account=stranger.account)
    tried = [{"provider": "openai", "key": str(key.pk), "outcome": "ok", "status": 200, "ms": 5}]
    call = make_call(
        provider="openai", provider_key_id=key.pk, attempts=tried, payer="balance", charged_micros=7
    )
    page = text(owner_client.get(f"{URL}{call.request_id}/"))
    assert "The balance" in page
    assert key.hint not in page
    assert f"{key.pk}/details" not in page
    [line] = exported(owner_client, URL)
    assert line["provider_key"] == ""


# The page --------------------------------------------------------------------------------------


def test_the_page_of_a_request_tells_all_of_it(owner_client, owner, account, make_call, make_key):
    key = make_key("openai")
    call = make_call(
        user_id=owner.pk,
        token_id=token_of(owner, account, "ci").pk,
        provider="openai",
        provider_key_id=key.pk,
        attempts=[
            {
                "provider": "anthropic",
                "key": str(uuid.uuid4()),
                "outcome": "rate_limited",
                "status": 429,
                "ms": 31,
            },
            {"provider": "openai", "key": str(key.pk), "outcome": "ok", "status": 200, "ms": 702},
        ],
        input_tokens=1111,
        cache_read_tokens=2222,
        cache_write_tokens=3333,
        cache_write_long_tokens=44,
        output_tokens=5555,
        reasoning_tokens=666,
        usage_source="estimate",
        market_micros=12_345_678,
        first_byte_ms=321,
        overhead_us=1500,
        latency_ms=733,
        client="<b>agent</b>/1.0",
    )
    page = text(owner_client.get(f"{URL}{call.request_id}/"))
    for told in (
        str(call.request_id), "$12.345678", "$0.0000", "1,111", "2,222", "3,333", "44", "5,555",
        "666", "Estimated", "321 ms", "1,500 µs", "733 ms", "702 ms", "31 ms", "Rate limited",
        "429", "ci", "&lt;b&gt;agent&lt;/b&gt;/1.0", key.hint,
        reverse("byok:details", args=[key.pk]), "x-megabrain-attempts: 2",
        f"x-megabrain-key: {str(key.pk)[:8]}", "x-megabrain-overhead-ms: 1.5",
    ):  # fmt: skip
        assert told in page, told
    tried = f"anthropic/{call.attempts[0]['key'][:8]}=rate_limited, openai/{str(key.pk)[:8]}=ok"
    assert f"x-megabrain-tried: {tried}\n" in f"{_receipt(page)}\n"
    assert "x-megabrain-organization" not in page


def _receipt(page: str) -> str:
    """The lines of the receipt on a request's page."""
    start = page.index("x-request-id: ")
    return html.unescape(page[start : page.index("<", start)]).strip()


def test_an_error_leads_to_what_it_means(owner_client, make_call):
    call = make_call(outcome="byok_no_credit", status=403, attempts=[], provider="")
    link = f"{reverse('docs_page', args=['errors'])}#byok_no_credit"
    for url in (URL, f"{URL}{call.request_id}/"):
        assert f'href="{link}"' in text(owner_client.get(url))
    assert "No provider was asked" in text(owner_client.get(f"{URL}{call.request_id}/"))


def test_a_filter_is_in_every_address_and_htmx_gets_only_what_changes(owner_client, busy):
    query = {"payer": "byok", "period": "90"}
    answer = owner_client.get(URL, query, headers=HTMX)
    fragment = text(answer).strip()
    assert fragment.startswith('<div id="usage"')
    assert '<form class="row filters' not in fragment
    page = owner_client.get(URL, query)
    for url in (page.context["older"], *(each["url"] for each in page.context["metrics"])):
        assert parse_qs(urlsplit(url).query).items() >= {k: [v] for k, v in query.items()}.items()
        assert owner_client.get(url).status_code == 200
    for chosen in ("byok", "90"):
        assert f'<option value="{chosen}" selected>' in text(page)


@pytest.mark.parametrize(
    "query",
    [
        {"period": "7000"},
        {"payer": "somebody", "status": "great", "token": "x", "key": "'", "show": "nothing"},
        {"before": "20260101T000000000000_zz", "after": "x"},
        {"before": "\x00"},
        {"model": "\x00"},
        {"period": "dates", "since": "2026-13-01", "until": "x"},
        {"period": "dates", "since": "0001-01-01", "until": "9999-12-31"},
        {"period": "dates", "since": "0001-01-01", "until": "0001-01-01"},
        {"period": "dates", "since": "9999-12-31"},
    ],
)
def test_whatever_an_address_says_there_is_a_page(owner_client, make_call, query):
    make_call()
    assert owner_client.get(URL, query).status_code == 200
    assert owner_client.get(URL, query, headers=HTMX).status_code == 200


def test_a_period_that_would_begin_before_there_were_days_begins_with_the_first(
    owner_client, make_call
):
    make_call()
    dates = {"period": "dates", "until": "0001-01-05"}
    assert "0001-01-01 to 0001-01-05" in text(owner_client.get(URL, dates))
    assert exported(owner_client, URL, **dates) == []


def test_days_from_and_to_are_both_in_the_period(owner_client, make_call):
    noon = datetime(2026, 5, 10, 12, tzinfo=UTC)
    calls = [make_call(created_at=noon + timedelta(days=day)) for day in range(5)]
    dates = {"period": "dates", "since": "2026-05-11", "until": "2026-05-13"}
    answer = owner_client.get(URL, dates)
    assert shown(answer) == [call.request_id for call in calls[3:0:-1]]
    assert len(answer.context["chart"].columns) == 3


def test_a_long_period_is_told_by_weeks(owner_client, make_call):
    make_call(days_ago=3)
    make_call(days_ago=300)
    chart = owner_client.get(URL, {"period": "365"}).context["chart"]
    assert chart.title == "Requests a week"
    assert len(chart.columns) == 53
    assert sum(int(value) for each in chart.columns for value in each.values) == 2


def test_without_a_request_the_page_says_what_it_is_for(owner_client):
    page = text(owner_client.get(URL))
    assert "No request in this time" in page
    assert reverse("orgs:tokens") in page
    assert "Export CSV" not in page


@pytest.mark.parametrize("query", [{}, {"period": "forever"}])
def test_what_the_page_goes_by_is_shown_as_chosen(owner_client, make_call, query):
    make_call()
    assert '<option value="30" selected>30 days</option>' in text(owner_client.get(URL, query))


def test_what_is_chosen_stays_chosen_when_it_is_not_offered(owner_client, make_call):
    make_call()
    page = text(owner_client.get(URL, {"model": "old/model"}))
    assert '<option value="old/model" selected>old/model</option>' in page


def test_the_list_offers_what_was_called(owner_client, busy):
    fields = owner_client.get(URL).context["form"].fields
    models = ["a/one", "b/two", "no such model"]
    assert [value for value, _ in fields["model"].widget.choices] == ["", *models]
    offered = [label for _, label in fields["provider"].widget.choices]
    assert offered == ["Any provider", "Anthropic", "OpenAI"]
    assert [label for _, label in fields["token"].widget.choices][1:] == ["laptop"]


def test_requests_that_are_no_longer_kept_stay_in_chart_and_totals(owner_client, make_call):
    old = make_call(days_ago=settings.MEGABRAIN_USAGE_DAYS + 5, market_micros=5)
    new = make_call(market_micros=7)
    prune_usage(seconds=5)
    since = {"period": "dates", "since": f"{old.created_at:%Y-%m-%d}"}
    answer = owner_client.get(URL, since)
    assert shown(answer) == [new.request_id]
    assert answer.context["totals"].market == 12
    assert "no longer kept" in text(answer)
    until = {**since, "until": since["since"]}
    assert "Only the sums are kept" in text(owner_client.get(URL, until))


@pytest.mark.parametrize("who", ["owner", "billing_manager", "member"])
def test_the_number_of_queries_does_not_grow(
    organization, owner, member, call_of, request, who, django_assert_max_num_queries
):
    user = request.getfixturevalue(who)
    client = signed_in(user)
    client.get(ACME)  # The first visit of a session is written down.
    call_of(user, token_id=token_of(user, organization).pk)
    with django_assert_max_num_queries(12) as few:
        client.get(ACME)
    for number in range(8):
        colleague = person(f"colleague{number}")
        Membership.objects.create(account=organization, user=colleague, role="member")
        call_of(colleague, token_id=token_of(colleague, organization).pk, model=f"a/{number}")
        call_of(user, days_ago=number * 3)
    with django_assert_max_num_queries(12) as many:
        client.get(ACME)
    assert len(many) == len(few)
    with django_assert_max_num_queries(12):
        client.get(ACME, {"member": user.email, "status": "ok", "model": "a/1"})
    with django_assert_max_num_queries(12):
        client.get(ACME, {"member": "nobody@example.com"})
    call = call_of(user)
    with django_assert_max_num_queries(12):
        client.get(f"{ACME}{call.request_id}/")


# Elsewhere -------------------------------------------------------------------------------------


def test_the_page_of_a_key_leads_to_what_it_was_used_for(owner_client, make_call, make_key):
    key = make_key("openai")
    for days_ago in (0, 29, 30):
        make_call(days_ago=days_ago, provider_key_id=key.pk, market_micros=1_000_000)
    make_call(provider_key_id=uuid.uuid4(), market_micros=5_000_000)
    page = text(owner_client.get(reverse("byok:details", args=[key.pk])))
    link = f"{URL}?key={key.pk}"
    assert f'<a href="{link}">Day by day</a>' in page
    assert owner_client.get(link).context["totals"].market == 2_000_000


def test_the_page_of_a_member_tells_what_they_used_here_and_leads_there(
    organization, owner, owner_client, member, call_of, make_call
):
    call_of(member, payer="balance", charged_micros=2_500_000, market_micros=2_500_000)
    call_of(member, market_micros=1_250_000)
    call_of(member, days_ago=30, market_micros=9_000_000)
    call_of(owner, market_micros=9_000_000)
    make_call(user_id=member.pk, market_micros=9_000_000)
    membership = Membership.objects.get(user=member, account=organization)
    page = text(owner_client.get(reverse("orgs:member", args=["acme", membership.pk])))
    assert "2 requests · $2.5000 of the balance · $1.2500 market cost" in page
    link = f"{ACME}?member=member%40example.com"
    assert f'href="{link}"' in page
    assert owner_client.get(link).context["totals"].requests == 2
