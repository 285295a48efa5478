import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from byok.models import KeyTest, ProviderKey
from orgs.actions import create_token
from orgs.models import Account, User
from orgs.origin import Origin
from tests.site.conftest import MakeCall, MakeKey

URL = "/dashboard/"
HTMX = {"HX-Request": "true"}


def done(client: Client) -> str:
    """Which of the first steps are ticked, as `1100`."""
    return str(client.get(URL).context["mark"])


def test_a_stranger_signs_in_first(client: Client, db: None):
    assert client.get(URL)["Location"] == f"{reverse('account_login')}?next={URL}"


def test_a_new_account_sees_four_steps_to_take(owner_client: Client):
    page = owner_client.get(URL).content.decode()
    assert "0 of 4 done" in page
    assert f'href="{reverse("byok:add")}"' in page


def test_a_key_ticks_the_first_step(owner_client: Client, make_key: MakeKey):
    make_key()
    assert done(owner_client) == "1000"


def test_a_test_that_passed_ticks_the_second(owner_client: Client, make_key: MakeKey):
    now = timezone.now()
    KeyTest.objects.create(key=make_key(), state=KeyTest.State.PASSED, finished_at=now)
    assert done(owner_client) == "1100"


def test_a_test_that_failed_does_not(owner_client: Client, make_key: MakeKey):
    key = make_key(health=ProviderKey.Health.FAILING)
    KeyTest.objects.create(key=key, state=KeyTest.State.FAILED, finished_at=timezone.now())
    assert done(owner_client) == "1000"


def test_a_token_ticks_the_third(owner_client: Client, owner: User, account: Account):
    create_token(actor=owner, account=account, name="laptop", origin=Origin())
    assert done(owner_client) == "0010"


def test_another_account_ticks_nothing(stranger_client: Client, make_key: MakeKey, make_call):
    make_key(health=ProviderKey.Health.WORKS)
    make_call()
    assert done(stranger_client) == "0000"


def test_a_balance_leads_on_as_a_key_does(
    owner_client: Client, fund, platform_key, make_key: MakeKey
):
    fund()
    # Nothing can be had for it yet.
    assert done(owner_client) == "0000"
    assert "credits" not in owner_client.get(URL).content.decode()
    platform_key("novita")
    page = owner_client.get(URL)
    # A key to test there is none.
    titles = [step.title for step in page.context["steps"]]
    assert titles == ["Add a provider key", "Create an API token", "Make the first call"]
    assert page.context["mark"] == "100"
    assert "Or add credits under Billing" in page.content.decode()
    make_key()
    assert done(owner_client) == "1000"


def test_of_a_call_that_the_balance_paid_it_is_not_said_that_a_key_served_it(
    owner_client: Client, owner: User, account: Account, fund, platform_key, make_call: MakeCall
):
    fund()
    platform_key("novita")
    create_token(actor=owner, account=account, name="laptop", origin=Origin())
    make_call(payer="balance", charged_micros=500_000)
    fragment = owner_client.get(URL, {"done": "110"}, headers=HTMX).content.decode()
    assert "The first answer has come through." in fragment
    page = owner_client.get(URL).content.decode()
    assert "Without a key calls draw on the balance, or fail." in page
    ProviderKey.objects.update(enabled=False)
    assert "Without a key no model can be served." in owner_client.get(URL).content.decode()


def test_a_failed_call_is_not_the_first_answer(owner_client: Client, make_call: MakeCall):
    make_call(outcome="byok_key_rejected", status=403, payer="none")
    assert done(owner_client) == "0000"


def test_the_open_page_is_left_alone_while_nothing_changes(owner_client: Client):
    response = owner_client.get(URL, {"done": "0000"}, headers=HTMX)
    assert response.status_code == 204
    assert not response.content


def test_the_open_page_ticks_a_step_off_when_it_is_taken(owner_client: Client, make_key: MakeKey):
    make_key()
    response = owner_client.get(URL, {"done": "0000"}, headers=HTMX)
    fragment = response.content.decode()
    assert fragment.strip().startswith("<section")
    assert "1 of 4 done" in fragment
    assert "done=1000" in fragment


def test_the_last_step_ends_the_asking(
    owner_client: Client, owner: User, account: Account, make_key: MakeKey, make_call: MakeCall
):
    make_key(health=ProviderKey.Health.WORKS)
    create_token(actor=owner, account=account, name="laptop", origin=Origin())
    make_call()
    fragment = owner_client.get(URL, {"done": "1110"}, headers=HTMX).content.decode()
    assert "4 of 4 done" in fragment
    assert "hx-trigger" not in fragment
    assert "Show the dashboard" in fragment


def test_after_the_first_answer_the_figures_are_shown(owner_client: Client, make_call: MakeCall):
    make_call(input_tokens=1000, cache_read_tokens=200, output_tokens=34, market_micros=3_450_000)
    make_call(input_tokens=100, output_tokens=6, market_micros=150_000)
    make_call(outcome="byok_rate_limited", status=429)
    response = owner_client.get(URL)
    totals = response.context["totals"]
    assert (totals.requests, totals.succeeded) == (3, 2)
    assert (totals.input_tokens, totals.output_tokens) == (1300, 40)
    assert totals.market == 3_600_000
    page = response.content.decode()
    assert "$3.60" in page
    # Not every model that a key serves is sold here, nor always at its provider's price.
    assert "market cost, not charged here" in page
    assert "67% succeeded" in page


def test_cost_is_split_by_who_paid(owner_client: Client, make_call: MakeCall):
    make_call(market_micros=2_000_000)
    make_call(payer="balance", charged_micros=500_000, market_micros=450_000)
    response = owner_client.get(URL, {"show": "cost"})
    totals = response.context["totals"]
    assert (totals.market, totals.charged) == (2_000_000, 500_000)
    chart = response.context["chart"]
    assert chart.series == ["Your provider keys", "MegaBrain balance"]
    assert chart.columns[-1].values == ["$2.0000", "$0.5000"]


def test_the_balance_is_shown_only_where_it_paid(owner_client: Client, make_call: MakeCall):
    make_call()
    assert "On MegaBrain balance" not in owner_client.get(URL).content.decode()
    make_call(payer="balance", charged_micros=500_000)
    assert "On MegaBrain balance" in owner_client.get(URL).content.decode()


def test_a_key_is_said_to_cool_for_a_minute_at_most(
    owner_client: Client, make_key: MakeKey, make_call: MakeCall
):
    make_call()
    key = make_key(health=ProviderKey.Health.COOLING, health_at=timezone.now())
    assert "Cooling down" in owner_client.get(URL).content.decode()
    ProviderKey.objects.filter(pk=key.pk).update(health_at=timezone.now() - timedelta(seconds=61))
    assert "Cooling down" not in owner_client.get(URL).content.decode()


def test_the_period_has_a_column_for_every_day(owner_client: Client, make_call: MakeCall):
    make_call()
    make_call(days_ago=10)
    week = owner_client.get(URL).context
    month = owner_client.get(URL, {"days": "30"}).context
    assert (len(week["chart"].columns), week["totals"].requests) == (7, 1)
    assert (len(month["chart"].columns), month["totals"].requests) == (30, 2)


@pytest.mark.parametrize("query", ["days=9999", "days=x", "show=__class__", "days=-1&show="])
def test_an_odd_query_shows_the_usual_page(owner_client: Client, make_call: MakeCall, query: str):
    make_call()
    assert len(owner_client.get(f"{URL}?{query}").context["chart"].columns) == 7


def test_another_account_sees_none_of_it(
    stranger: User, stranger_client: Client, make_call: MakeCall
):
    make_call(market_micros=7_770_000)
    make_call(account_id=stranger.account.id)
    page = stranger_client.get(URL)
    assert page.context["totals"].requests == 1
    assert "$7.77" not in page.content.decode()


def test_keys_are_listed_with_their_health_and_hint(
    owner_client: Client, make_call: MakeCall, make_key: MakeKey
):
    make_key("openai", health=ProviderKey.Health.FAILING, health_message="OpenAI rejected it.")
    make_key("deepseek", enabled=False)
    make_call()
    page = owner_client.get(URL).content.decode()
    assert "OpenAI rejected it." in page
    assert "sk-…cdef" in page
    rows = owner_client.get(URL).context["keys"]
    assert [(row.provider, row.health) for row in rows] == [
        ("DeepSeek", "Off"),
        ("OpenAI", "Failing"),
    ]


def test_a_failed_call_links_to_what_its_code_means(owner_client: Client, make_call: MakeCall):
    make_call()
    make_call(outcome="byok_no_credit", status=403)
    page = owner_client.get(URL).content.decode()
    assert f'href="{reverse("docs_page", args=["errors"])}#byok_no_credit"' in page


def test_an_outcome_that_is_no_error_code_links_nowhere(owner_client: Client, make_call: MakeCall):
    make_call()
    make_call(outcome="client_left", status=200)
    page = owner_client.get(URL).content.decode()
    assert "client_left" in page
    assert "#client_left" not in page


def test_markup_in_what_others_sent_is_inert(owner_client: Client, make_call: MakeCall):
    make_call(model="<script>alert(1)</script>", provider='"><img src=x>', outcome="ok")
    page = owner_client.get(URL).content.decode()
    assert "<script>alert" not in page
    assert "<img" not in page


def test_a_call_of_a_key_that_is_gone_is_still_listed(owner_client: Client, make_call: MakeCall):
    make_call(provider="gone", provider_key_id=uuid.uuid4())
    assert owner_client.get(URL).context["calls"][0].served_by == "gone"


def test_the_number_of_queries_does_not_grow_with_the_rows(
    owner_client: Client, make_call: MakeCall, make_key: MakeKey, django_assert_max_num_queries
):
    make_call()
    make_key("novita")
    owner_client.get(URL)  # The first visit of a session is written down.
    with django_assert_max_num_queries(12) as few:
        owner_client.get(URL)
    for day in range(30):
        make_call(days_ago=day)
    for provider in ("anthropic", "openai", "deepseek", "fireworks"):
        make_key(provider)
    with django_assert_max_num_queries(12) as many:
        owner_client.get(URL, {"days": "30"})
    assert len(many) == len(few)


def test_the_steps_take_few_queries(owner_client: Client, django_assert_max_num_queries):
    owner_client.get(URL)
    with django_assert_max_num_queries(12):
        owner_client.get(URL)
    with django_assert_max_num_queries(5):
        owner_client.get(URL, {"done": "0000"}, headers=HTMX)
