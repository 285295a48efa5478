"""A call that no enabled key of the account serves goes out with MegaBrain's, and is paid for."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anthropic
import openai
import pytest
from django.utils import timezone

from billing.models import Hold, LedgerEntry, UsageRecord, Wallet
from byok.actions import set_enabled
from byok.catalogue import version
from byok.models import Offering, Price, ProviderKey
from megabrain.simulator.providers import sample_keys
from orgs.changes import announce
from orgs.origin import Origin
from tests.balance_fixture import DOLLAR
from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES, Dialect, Told
from tests.vaults import raw_update, reloaded

MODEL = "openai/gpt-oss-120b"


@pytest.fixture
def own_keys(platform_key):
    """MegaBrain's own, for each dialect."""
    return {provider: platform_key(provider) for provider in ("openai", "anthropic")}


def told(dialect: Dialect, answer) -> Told:
    return dialect.error(answer)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_it_is_served_and_charged_at_the_list_price(
    agent, own_keys, fund, settled_wallet, usage_row, account, dialect, stream
):
    fund()
    answer = agent.post(dialect.path, dialect.body(stream=stream))
    assert answer.status_code == 200, answer.text
    own = own_keys[dialect.provider]
    assert answer.headers["x-megabrain-payer"] == "balance"
    assert answer.headers["x-megabrain-provider"] == dialect.provider
    assert answer.headers["x-megabrain-key"] == str(own.pk)[:8]
    row = usage_row(answer.headers["x-request-id"])
    assert (row.payer, row.provider_key_id, row.usage_source) == ("balance", own.pk, "provider")
    assert row.charged_micros == row.market_micros > 0
    wallet = settled_wallet()
    assert wallet.posted_micros == 20 * DOLLAR - row.charged_micros
    entry = LedgerEntry.objects.get(account_id=account.pk, kind=LedgerEntry.Kind.USAGE)
    assert entry.amount_micros == -row.charged_micros
    assert entry.idempotency_key == f"request:{row.request_id}"
    hold = Hold.objects.get(pk=row.request_id)
    assert (hold.state, hold.charged_micros) == ("settled", row.charged_micros)
    assert hold.amount_micros > row.charged_micros


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_the_official_sdks_are_served(agent, own_keys, fund, settled_wallet, dialect, stream):
    fund()
    assert dialect.ask(agent, "say: pong", stream=stream)
    assert settled_wallet().posted_micros < 20 * DOLLAR


@pytest.mark.parametrize(
    ("provider", "path", "body"),
    [
        ("openai", "embeddings", {"model": "openai/text-embedding-3-small", "input": "pong"}),
        ("openai", "completions", {"model": "openai/gpt-6-luna", "prompt": "say: pong"}),
        (
            "mistral",
            "fim/completions",
            {"model": "mistralai/codestral-2508", "prompt": "def f(", "suffix": "\n"},
        ),
        (
            "anthropic",
            "chat/completions",
            {
                "model": "anthropic/claude-haiku-5.5",
                "messages": [{"role": "user", "content": "hi"}],
            },
        ),
    ],
    ids=["embeddings", "completions", "fim", "translated"],
)
def test_every_endpoint_that_has_a_price_is_served(
    agent, platform_key, fund, usage_row, settled_wallet, provider, path, body
):
    platform_key(provider)
    fund()
    answer = agent.post(path, body)
    assert answer.status_code == 200, answer.text
    row = usage_row(answer.headers["x-request-id"])
    assert (row.payer, row.charged_micros > 0) == ("balance", True)
    assert settled_wallet().posted_micros == 20 * DOLLAR - row.charged_micros


def test_who_asks_at_once_finds_the_charge_in_the_record(agent, own_keys, fund):
    fund()
    for stream in (False, True):
        answer = agent.post(CHAT.path, CHAT.body(stream=stream))
        record = agent.get(f"requests/{answer.headers['x-request-id']}").json()
        assert record["payer"] == "balance"
        assert record["cost"]["charged_micros"] == record["cost"]["market_micros"] > 0


# Which keys serve -------------------------------------------------------------------------------


def test_a_key_of_the_account_goes_before(agent, own_keys, key, fund, usage_row, settled_wallet):
    fund()
    stored = key("openai")
    answer = agent.post(CHAT.path, CHAT.body())
    assert answer.headers["x-megabrain-payer"] == "byok"
    row = usage_row(answer.headers["x-request-id"])
    assert (row.provider_key_id, row.charged_micros) == (stored.pk, 0)
    assert not Hold.objects.exists()
    assert settled_wallet().posted_micros == 20 * DOLLAR


def test_a_disabled_key_and_one_for_other_models_leave_it_to_the_balance(
    agent, own_keys, key, owner, fund
):
    fund()
    stored = key("openai")
    key("anthropic")
    set_enabled(actor=owner, key=stored, enabled=False, origin=Origin())
    answer = agent.post(CHAT.path, CHAT.body())
    assert (answer.status_code, answer.headers["x-megabrain-payer"]) == (200, "balance")


@pytest.mark.parametrize("choice", ProviderKey.OnFailure)
@pytest.mark.parametrize("known", [True, False], ids=["at sight", "when tried"])
def test_a_key_that_cannot_be_opened_is_one_that_fails(agent, own_keys, key, fund, known, choice):
    fund()
    stored = key("openai")
    ProviderKey.objects.filter(pk=stored.pk).update(on_failure=choice)
    blob = reloaded(stored).secret.blob
    raw_update("secret", b"rubbish" if known else blob[:-1] + bytes([blob[-1] ^ 1]), stored)
    answer = agent.post(CHAT.path, CHAT.body())
    if choice == ProviderKey.OnFailure.BALANCE:
        assert (answer.status_code, answer.headers["x-megabrain-payer"]) == (200, "balance")
    else:
        assert (answer.status_code, told(CHAT, answer).code) == (404, "byok_key_required")
        assert not Hold.objects.exists()


def test_without_a_key_of_megabrains_everything_is_as_it_was(agent, platform_key, fund):
    platform_key("anthropic")
    fund()
    answer = agent.post(CHAT.path, CHAT.body())
    assert (answer.status_code, told(CHAT, answer).code) == (404, "byok_key_required")
    assert answer.headers["x-megabrain-payer"] == "none"


def test_what_has_no_price_in_force_is_not_sold(agent, own_keys, fund, simulator):
    fund()
    offering = Offering.objects.get(model_id=CHAT.model, provider="openai")
    Price.objects.filter(offering=offering).update(starts_at=timezone.now() + timedelta(days=1))
    version.changed()
    answer = agent.post(CHAT.path, CHAT.body())
    assert (answer.status_code, told(CHAT, answer).code) == (404, "byok_key_required")
    assert simulator.calls == []


def test_a_direct_entry_is_never_sold(agent, platform_key, fund, direct_entry, simulator):
    platform_key("novita")
    fund()
    offering = Offering.objects.get(model_id=direct_entry)
    Price.objects.create(
        offering=offering, starts_at=timezone.now() - timedelta(days=1), input=1, output=1
    )
    version.changed()
    answer = agent.post(CHAT.path, CHAT.body(model=direct_entry))
    assert (answer.status_code, told(CHAT, answer).code) == (404, "byok_key_required")
    assert simulator.calls == []


def test_a_key_switched_off_by_staff_serves_nobody(agent, own_keys, staff, fund, simulator):
    fund()
    assert agent.post(CHAT.path, CHAT.body()).status_code == 200
    set_enabled(actor=staff, key=own_keys["openai"], enabled=False, origin=Origin())
    simulator.clear()
    assert agent.post(CHAT.path, CHAT.body()).status_code == 404
    assert simulator.calls == []


def test_tokens_are_counted_here_and_cost_nothing(agent, own_keys, fund, simulator, usage_row):
    body = {"model": MESSAGES.model, "messages": [{"role": "user", "content": "say: pong"}]}
    answer = agent.post("messages/count_tokens", body)
    assert (answer.status_code, answer.json()["input_tokens"] > 0) == (200, True)
    assert (answer.headers["x-megabrain-payer"], simulator.calls) == ("none", [])
    assert usage_row(answer.headers["x-request-id"]).charged_micros == 0
    assert not Hold.objects.exists()


# When it cannot be paid -------------------------------------------------------------------------


RAISED: dict[Dialect, tuple[type[Exception], str, str]] = {
    CHAT: (openai.APIStatusError, "insufficient_balance", "billing_error"),
    RESPONSES: (openai.RateLimitError, "insufficient_quota", "insufficient_quota"),
    MESSAGES: (anthropic.APIStatusError, "insufficient_balance", "billing_error"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_an_empty_balance_is_told_at_once_and_with_the_way_out(
    agent, own_keys, simulator, usage_row, settings, dialect, stream
):
    settings.MEGABRAIN_BASE_URL = "https://gateway.example"
    answer = agent.post(dialect.path, dialect.body(stream=stream))
    assert answer.status_code == (429 if dialect is RESPONSES else 402)
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    _, code, kind = RAISED[dialect]
    error = told(dialect, answer)
    assert (error.code, error.kind) == (code, kind)
    assert "balance of $0.00 does not cover this call" in error.message
    assert "https://gateway.example/account/" in error.message
    assert (answer.headers["x-megabrain-payer"], simulator.calls) == ("none", [])
    row = usage_row(answer.headers["x-request-id"])
    assert (row.payer, row.outcome, row.charged_micros) == ("none", "insufficient_balance", 0)


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_the_official_sdks_do_not_try_again_on_an_empty_balance(
    agent, own_keys, usage_row, account, dialect
):
    raised, _, _ = RAISED[dialect]
    with pytest.raises(raised) as caught:
        dialect.ask(agent, "hello", retries=2)
    assert caught.value.response.headers["x-should-retry"] == "false"  # type: ignore[attr-defined]
    usage_row(caught.value.response.headers["x-request-id"])  # type: ignore[attr-defined]
    assert UsageRecord.objects.for_account(account).count() == 1


def test_what_is_set_aside_is_the_most_that_the_call_can_cost(agent, own_keys, fund, usage_row):
    fund()
    for limit in (100, 1000):
        answer = agent.post(CHAT.path, {**CHAT.body(), "max_completion_tokens": limit})
        hold = Hold.objects.get(pk=answer.headers["x-request-id"])
        row = usage_row(answer.headers["x-request-id"])
        assert hold.amount_micros >= row.market_micros
    held = list(Hold.objects.order_by("created_at").values_list("amount_micros", flat=True))
    price = Price.objects.filter(
        offering__model_id=CHAT.model, offering__provider="openai", above_tokens=0
    ).latest("starts_at")
    assert held[1] - held[0] == pytest.approx(900 * price.output / 10**6, abs=1)


def test_of_several_keys_the_dearest_decides(agent, platform_key, fund):
    platform_key("novita")
    fund()
    body = {**CHAT.body(model=MODEL), "max_tokens": 1000}
    agent.post(CHAT.path, body)
    platform_key("fireworks")
    agent.post(CHAT.path, body)
    first, second = Hold.objects.order_by("created_at").values_list("amount_micros", flat=True)
    assert second > 2 * first


def test_a_long_prompt_is_set_aside_and_charged_at_the_price_of_long_prompts(
    agent, own_keys, fund, usage_row
):
    fund()
    long = f"say: pong\n{'herons ' * 65_000}"
    for prompt, per_token in (("say: pong", 100_000), (long, 500_000)):
        answer = agent.post(MESSAGES.path, {**MESSAGES.body(prompt), "max_tokens": 500})
        row = usage_row(answer.headers["x-request-id"])
        hold = Hold.objects.get(pk=row.request_id)
        assert row.charged_micros == row.market_micros
        assert row.charged_micros <= hold.amount_micros
        assert row.charged_micros * 10**6 >= row.input_tokens * per_token


@pytest.fixture
def price() -> Price:
    """What the model of MESSAGES costs with a short prompt."""
    return Price.objects.filter(
        offering__model_id=MESSAGES.model, offering__provider="anthropic", above_tokens=0
    ).latest("starts_at")


def test_a_price_that_begins_while_a_call_runs_is_not_that_calls(
    agent, own_keys, fund, usage_row, gateway, price
):
    fund()
    body = MESSAGES.body("stream: 20 events at 20/s", stream=True)
    before = agent.post(MESSAGES.path, body, stream=True)
    Price.objects.create(
        offering=price.offering,
        starts_at=timezone.now(),
        input=100 * price.input,
        output=100 * price.output,
    )
    version.changed()
    assert before.content
    announce("catalogue")
    after = agent.post(MESSAGES.path, body)
    cheap, dear = (usage_row(each.headers["x-request-id"]) for each in (before, after))
    assert (cheap.input_tokens, cheap.output_tokens) == (dear.input_tokens, dear.output_tokens)
    assert dear.charged_micros > 50 * cheap.charged_micros > 0


@pytest.mark.parametrize("kind", ["image", "document"])
def test_for_what_its_bytes_do_not_tell_more_is_set_aside(agent, own_keys, fund, price, kind):
    fund()
    body = {**MESSAGES.body(), "max_tokens": 100}
    plain = agent.post(MESSAGES.path, body)
    content = {"type": kind, "source": {"type": "url", "url": "https://pictures.example/a"}}
    body["messages"] = [{"role": "user", "content": [{"type": "text", "text": "hi"}, content]}]
    more = agent.post(MESSAGES.path, body)
    held = [
        Hold.objects.get(pk=each.headers["x-request-id"]).amount_micros for each in (plain, more)
    ]
    context = price.offering.context or price.offering.model.context
    assert context is not None
    tokens = 16_000 if kind == "image" else context - 10_000
    assert held[1] - held[0] >= tokens * price.input / 10**6


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_balance_that_has_not_quite_enough_pays_nothing(
    agent, own_keys, fund, balance, settled_wallet, simulator, dialect
):
    fund()
    answer = agent.post(dialect.path, dialect.body())
    hold = Hold.objects.get(pk=answer.headers["x-request-id"])
    settled_wallet()
    simulator.clear()
    balance(hold.amount_micros - 1)
    assert agent.post(dialect.path, dialect.body()).status_code in {402, 429}
    assert simulator.calls == []
    balance(hold.amount_micros)
    assert agent.post(dialect.path, dialect.body()).status_code == 200


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_frozen_balance_pays_nothing_and_says_whom_to_ask(
    agent, own_keys, key, fund, simulator, dialect
):
    fund()
    Wallet.objects.update(frozen_at=timezone.now(), frozen_why="It has drifted by 3.")
    answer = agent.post(dialect.path, dialect.body())
    assert answer.status_code == (400 if dialect is RESPONSES else 403)
    error = told(dialect, answer)
    assert error.code == "balance_frozen"
    assert "drifted" not in error.message
    assert simulator.calls == []
    # What provider keys serve goes on.
    key(dialect.provider)
    assert agent.post(dialect.path, dialect.body()).status_code == 200


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_token_beyond_its_limit_is_told_what_is_left_and_when_it_begins_anew(
    make_agent, own_keys, key, fund, simulator, dialect
):
    fund()
    agent = make_agent()
    type(agent.record).objects.filter(pk=agent.record.pk).update(monthly_limit=1000)
    answer = agent.post(dialect.path, {**dialect.body(), "max_tokens": 100_000})
    assert answer.status_code == (400 if dialect is RESPONSES else 402)
    assert answer.headers["x-should-retry"] == "false"
    error = told(dialect, answer)
    assert error.code == "spend_limit_reached"
    assert "This API token may spend $0.001 a month" in error.message
    assert "$0.001 of it are left" in error.message
    next_month = (timezone.now().replace(day=1) + timedelta(days=32)).replace(day=1)
    assert f"on {next_month:%-d %B %Y}" in error.message
    assert (simulator.calls, Hold.objects.count()) == ([], 0)
    key(dialect.provider)
    assert agent.post(dialect.path, dialect.body()).status_code == 200


def test_an_organization_pays_for_its_members_and_limits_each(
    make_agent, organization, own_keys, fund, member, billing_manager, usage_row, settled_wallet
):
    agents = {user: make_agent(user, account=organization) for user in (member, billing_manager)}
    for user, way_out, balance in (
        # What there is is for those to know who may add to it.
        (
            member,
            "Ask an owner or billing manager of Acme to add credit",
            "The balance of Acme does not cover this call, which may cost up to $",
        ),
        (
            billing_manager,
            "Add credit at http",
            "The balance of Acme of $0.00 does not cover this call, which may cost up to $",
        ),
    ):
        answer = agents[user].post(CHAT.path, CHAT.body())
        assert answer.status_code == 402
        assert way_out in told(CHAT, answer).message
        assert balance in told(CHAT, answer).message
    fund(account=organization)
    answer = agents[member].post(CHAT.path, CHAT.body())
    row = usage_row(answer.headers["x-request-id"])
    assert (row.account_id, row.payer) == (organization.pk, "balance")
    assert settled_wallet(organization.pk).posted_micros == 20 * DOLLAR - row.charged_micros
    type(organization).objects.filter(pk=organization.pk).update(member_daily_limit_micros=1000)
    announce("catalogue")
    answer = agents[member].post(CHAT.path, CHAT.body())
    assert (answer.status_code, told(CHAT, answer).code) == (402, "spend_limit_reached")
    assert "Acme lets you spend $0.001 a day from its balance" in told(CHAT, answer).message


# What goes out ----------------------------------------------------------------------------------


def test_nothing_about_megabrains_own_key_comes_back(agent, own_keys, key, fund):
    fund()
    body = CHAT.body()
    of_ours = agent.post(CHAT.path, body).headers
    key("openai")
    of_theirs = agent.post(CHAT.path, body).headers
    assert any(name.startswith("x-ratelimit") for name in of_theirs)
    assert not any(name.startswith("x-ratelimit") for name in of_ours)


@pytest.mark.parametrize("field", ["previous_response_id", "background", "conversation"])
def test_what_would_be_kept_at_the_provider_is_refused(
    agent, own_keys, key, fund, simulator, field
):
    fund()
    value = True if field == "background" else "resp_123"
    answer = agent.post(RESPONSES.path, {**RESPONSES.body(), field: value})
    assert (answer.status_code, told(RESPONSES, answer).code) == (400, "unsupported_parameter")
    assert field in told(RESPONSES, answer).message
    assert (simulator.calls, Hold.objects.count()) == ([], 0)


def test_what_is_billed_apart_is_left_out(agent, own_keys, key, fund, simulator):
    fund()
    function = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    body = {
        **RESPONSES.body(),
        "tools": [{"type": "web_search"}, function],
        "service_tier": "priority",
        "store": True,
    }
    answer = agent.post(RESPONSES.path, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-megabrain-dropped"] == "service_tier, tools.web_search"
    sent = json.loads(simulator.calls[-1].body)
    assert sent["tools"] == [function]
    assert ("service_tier" in sent, sent["store"]) == (False, False)
    # With a key of one's own it is one's own affair.
    key("openai")
    agent.post(RESPONSES.path, body)
    sent = json.loads(simulator.calls[-1].body)
    assert (len(sent["tools"]), sent["service_tier"]) == (2, "priority")


def test_a_request_about_nothing_else_is_refused(agent, own_keys, fund, simulator):
    fund()
    search = {"type": "web_search_20250305", "name": "web_search"}
    answer = agent.post(MESSAGES.path, {**MESSAGES.body(), "tools": [search]})
    assert (answer.status_code, told(MESSAGES, answer).code) == (400, "unsupported_parameter")
    assert "web_search_20250305" in told(MESSAGES, answer).message
    assert simulator.calls == []


# The route, explained ---------------------------------------------------------------------------


def test_the_route_says_that_the_balance_pays(agent, platform_key, fund, simulator):
    own = platform_key("novita")
    explained = agent.get(f"route?model={MODEL}").json()
    assert (explained["payer"], explained["keys"], explained["error"]) == ("balance", [], None)
    balance = explained["balance"]
    assert (balance["holder"], balance["when"]) == ("MegaBrain", "first")
    assert [each["provider"] for each in balance["route"]] == ["novita"]
    assert str(own.pk)[:8] not in str(balance)
    assert sample_keys()["novita"] not in str(explained)
    assert simulator.calls == []
    fund()
    answer = agent.post(CHAT.path, CHAT.body(model=MODEL))
    assert answer.headers["x-megabrain-payer"] == explained["payer"]


@pytest.mark.parametrize(
    ("choice", "when"), [("error", "never"), ("balance", "after")], ids=["error", "balance"]
)
def test_the_route_says_whether_the_balance_comes_after_the_keys(
    agent, platform_key, key, choice, when
):
    platform_key("novita")
    stored = key("fireworks")
    ProviderKey.objects.filter(pk=stored.pk).update(on_failure=choice)
    explained = agent.get(f"route?model={MODEL}").json()
    assert (explained["payer"], explained["balance"]["when"]) == ("byok", when)
    assert [each["on_failure"] for each in explained["keys"]] == [choice]
    assert bool(explained["balance"]["route"]) == (when == "after")


def test_the_route_is_silent_about_it_where_nobody_sells(agent, platform_key):
    platform_key("anthropic")
    explained = agent.get(f"route?model={MODEL}").json()
    assert (explained["payer"], explained["balance"]["when"]) == ("none", "never")
    assert explained["balance"]["route"] == []
    assert explained["error"]["code"] == "byok_key_required"


# At the same moment -----------------------------------------------------------------------------


def at_once(number: int, work: Callable[[], Any]) -> list[Any]:
    """What each of so many threads got that began together."""
    barrier, found = threading.Barrier(number), []

    def run() -> None:
        barrier.wait(20)
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_calls_at_the_same_moment_never_spend_more_than_a_limit(
    make_agent, own_keys, fund, settled_wallet
):
    fund()
    agent = make_agent()
    body = {**CHAT.body(), "max_completion_tokens": 1000}
    agent.post(CHAT.path, body)
    settled_wallet()
    hold = Hold.objects.get()
    spent = hold.charged_micros
    assert spent is not None
    # Room for three such holds beside what was spent.
    limit = spent + 3 * hold.amount_micros + 1
    type(agent.record).objects.filter(pk=agent.record.pk).update(monthly_limit=limit)
    other = make_agent()
    type(agent.record).objects.filter(pk=other.record.pk).update(monthly_limit=limit)
    answers = at_once(
        12, lambda: other.post(CHAT.path, {**body, "messages": slow(CHAT.body())}).status_code
    )
    assert sorted(answers) == [200] * 3 + [402] * 9


def slow(body: Any) -> Any:
    return [{**body["messages"][0], "content": "wait: 1.5\nsay: pong"}]
