"""The troubles of MegaBrain's own keys never look like the caller's, and cost nobody anything."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from billing.models import Hold, LedgerEntry, Wallet
from byok.models import ProviderKey
from tests.balance_fixture import DOLLAR
from tests.gateway.dialect import CHAT, DIALECTS, MESSAGES, RESPONSES, Dialect
from tests.gateway.raw_upstream import Wire, raw_upstream
from tests.vaults import raw_update, reloaded

WORDS = ("401", "402", "403", "404", "429", "500", "529", "hang", "bad", "error")
#: What the caller would take for a fault of their own.
SUSPICIOUS = ("credit", "reject", "revoked", "limit", "access", "(key")
SHARED = "openai/gpt-oss-120b"


def raised_as(dialect: Dialect) -> tuple[int, str]:
    return {
        CHAT: (503, "upstream_unavailable"),
        RESPONSES: (503, "server_is_overloaded"),
        MESSAGES: (529, "upstream_unavailable"),
    }[dialect]


@pytest.fixture(autouse=True)
def impatient(settings):
    settings.MEGABRAIN_FIRST_BYTE_SECONDS = 1
    settings.MEGABRAIN_IDLE_SECONDS = 1


@pytest.mark.parametrize(
    ("word", "stream"),
    # Malformed JSON comes in mid-stream, as below.
    [
        (word, stream)
        for word in WORDS
        for stream in (False, True)
        if (word, stream) != ("bad", True)
    ],
)
def test_whatever_befalls_them_is_a_503_and_the_balance_is_unchanged(
    agent, platform_key, fund, settled_wallet, usage_row, word, stream
):
    own = {provider: platform_key(provider, word) for provider in ("openai", "anthropic")}
    fund()
    for dialect in DIALECTS:
        answer = agent.post(dialect.path, dialect.body(stream=stream))
        status, code = raised_as(dialect)
        assert answer.status_code == status, answer.text
        assert answer.headers["x-should-retry"] == "true"
        assert answer.headers["x-megabrain-payer"] == "balance"
        error = dialect.error(answer)
        assert error.code == code
        assert "MegaBrain's own" in error.message
        assert not any(each in error.message for each in SUSPICIOUS), error.message
        row = usage_row(answer.headers["x-request-id"])
        assert (row.payer, row.charged_micros, row.usage_source) == ("balance", 0, "none")
        assert row.provider_key_id == own[dialect.provider].pk
        assert Hold.objects.get(pk=row.request_id).state == Hold.State.RELEASED
    assert settled_wallet().posted_micros == 20 * DOLLAR
    assert not LedgerEntry.objects.filter(kind=LedgerEntry.Kind.USAGE).exists()


@pytest.mark.parametrize("word", WORDS)
def test_another_of_them_takes_over(agent, platform_key, fund, usage_row, settled_wallet, word):
    platform_key("novita", word)
    working = platform_key("fireworks")
    fund()
    answer = agent.post(CHAT.path, CHAT.body(model=SHARED))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-megabrain-key"] == str(working.pk)[:8]
    row = usage_row(answer.headers["x-request-id"])
    # At the price of whoever served.
    assert (row.provider, row.charged_micros) == ("fireworks", row.market_micros)
    assert Hold.objects.count() == 1
    assert settled_wallet().posted_micros == 20 * DOLLAR - row.charged_micros


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_what_is_wrong_with_the_request_keeps_the_providers_words(
    agent, platform_key, key, fund, settled_wallet, dialect
):
    platform_key(dialect.provider, "400")
    fund()
    answer = agent.post(dialect.path, dialect.body())
    assert answer.status_code == 400
    of_ours = dialect.error(answer)
    key(dialect.provider, "400")
    of_theirs = dialect.error(agent.post(dialect.path, dialect.body()))
    assert (of_ours.code, of_ours.message) == (of_theirs.code, of_theirs.message)
    assert settled_wallet().posted_micros == 20 * DOLLAR


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_an_error_in_mid_stream_is_megabrains_too_and_what_came_is_paid(
    agent, platform_key, fund, usage_row, settled_wallet, dialect
):
    platform_key(dialect.provider, "lateerror")
    fund()
    answer = agent.post(dialect.path, dialect.body("say: one two three", stream=True))
    error = dialect.stream(answer.content).error
    assert "MegaBrain's own" in error.message
    row = usage_row(answer.headers["x-request-id"])
    assert row.charged_micros == row.market_micros > 0
    assert settled_wallet().posted_micros == 20 * DOLLAR - row.charged_micros


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
@pytest.mark.parametrize("word", ["cut", "end", "stall", "bad"])
def test_an_answer_that_breaks_off_is_charged_at_a_guess_that_says_so(
    agent, platform_key, fund, usage_row, settled_wallet, dialect, word
):
    platform_key(dialect.provider, word)
    fund()
    answer = agent.post(dialect.path, dialect.body("say: one two three four", stream=True))
    assert "MegaBrain's own" in dialect.stream(answer.content).error.message
    row = usage_row(answer.headers["x-request-id"])
    assert (row.usage_source, row.payer) == ("estimate", "balance")
    assert row.charged_micros == row.market_micros > 0
    record = agent.get(f"requests/{answer.headers['x-request-id']}").json()
    assert record["usage"]["source"] == "estimate"
    assert settled_wallet().posted_micros == 20 * DOLLAR - row.charged_micros


def test_what_is_wrong_with_them_is_told_nowhere(agent, platform_key, fund, usage_row, owner):
    own = [platform_key("novita", "402"), platform_key("fireworks")]
    fund()
    answer = agent.post(CHAT.path, CHAT.body(model=SHARED))
    assert answer.headers["x-megabrain-tried"] == "novita=unavailable, fireworks=ok"
    row = usage_row(answer.headers["x-request-id"])
    record = agent.get(f"requests/{row.request_id}").json()
    told = [(each["outcome"], each["status"], each["key"]) for each in record["attempts"]]
    assert told == [("unavailable", None, None), ("ok", None, None)]
    assert (record["provider"], record["key"]) == ("fireworks", None)
    # Staff find it in the record itself.
    stored = [(each["outcome"], each["status"], each["key"]) for each in row.attempts]
    assert stored == [("no_credit", 403, str(own[0].pk)), ("ok", 200, str(own[1].pk))]


NAMED = (
    "Rate limit of organization org-AbC123xyz987 in project proj_Qw12Er34Ty56 on account "
    "arn:aws:bedrock:us-east-1:904815162342:model/x, 904815162342, projects/778402916355, "
    "org-AbCdEfGh (org: 1b0d7c2a-1f3e)"
)


def test_a_refusal_does_not_say_whose_account_it_was(agent, platform_key, key, fund, settings):
    platform_key("openai")
    fund()
    body = json.dumps({"error": {"message": NAMED, "type": "invalid_request_error"}}).encode()

    def refuse(wire: Wire) -> None:
        wire.whole(400, body, "content-type: application/json")

    with raw_upstream(refuse) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        message = CHAT.error(agent.post(CHAT.path, CHAT.body())).message
        assert message == "Rate limit of *** in project *** on account ***, ***, ***, *** (***)"
        # Of one's own account one may read.
        key("openai")
        assert CHAT.error(agent.post(CHAT.path, CHAT.body())).message == NAMED


OURS = (
    "Your organization must be verified to stream this model.",
    "Your current plan does not include requests with tools.",
    "This organization has been disabled.",
    "The request exceeds what your account's billing allows.",
)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("said", OURS)
def test_what_is_wrong_with_megabrains_account_is_no_fault_of_the_request(
    agent, platform_key, fund, settled_wallet, usage_row, settings, said, stream
):
    own = platform_key("openai")
    fund()
    error = {"message": said, "type": "invalid_request_error", "code": "unsupported_value"}

    def refuse(wire: Wire) -> None:
        wire.whole(400, json.dumps({"error": error}).encode(), "content-type: application/json")

    with raw_upstream(refuse) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        answer = agent.post(CHAT.path, CHAT.body(stream=stream))
    assert (answer.status_code, CHAT.error(answer).code) == (503, "upstream_unavailable")
    assert said not in answer.text
    assert settled_wallet().posted_micros == 20 * DOLLAR
    # Staff find it in the record.
    (attempt,) = usage_row(answer.headers["x-request-id"]).attempts
    assert (attempt["key"], attempt["outcome"]) == (str(own.pk), "no_access")


def test_an_organization_of_ones_own_that_is_not_verified_has_no_access(agent, key, settings):
    key("openai")
    error = {"message": OURS[0], "type": "invalid_request_error", "code": "unsupported_value"}

    def refuse(wire: Wire) -> None:
        wire.whole(400, json.dumps({"error": error}).encode(), "content-type: application/json")

    with raw_upstream(refuse) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        answer = agent.post(CHAT.path, CHAT.body(stream=True))
    assert (answer.status_code, CHAT.error(answer).code) == (403, "byok_no_access")


@pytest.mark.parametrize("known", [True, False], ids=["at sight", "when tried"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_one_that_cannot_be_opened_is_out_of_order(
    agent, platform_key, fund, settled_wallet, dialect, known
):
    stored = platform_key(dialect.provider)
    fund()
    blob = reloaded(stored).secret.blob
    raw_update("secret", b"rubbish" if known else blob[:-1] + bytes([blob[-1] ^ 1]), stored)
    explained = agent.get(f"route?model={dialect.model}&endpoint={dialect.path}").json()
    answer = agent.post(dialect.path, dialect.body())
    assert (answer.status_code, dialect.error(answer).code) == raised_as(dialect)
    assert "MegaBrain's own" in dialect.error(answer).message
    if known:
        assert explained["payer"] == "none"
        assert explained["error"]["code"] == raised_as(dialect)[1]
        assert explained["error"]["message"] == dialect.error(answer).message
    assert settled_wallet().posted_micros == 20 * DOLLAR


def test_staff_see_that_one_of_them_fails(agent, platform_key, fund, staff, mailoutbox):
    own = platform_key("openai", "402")
    fund()
    agent.post(CHAT.path, CHAT.body())
    until = time.monotonic() + 5
    while own.health != ProviderKey.Health.FAILING and time.monotonic() < until:
        time.sleep(0.05)
        own.refresh_from_db()
    assert (own.health, own.health_code) == ("failing", "no_credit")


def test_a_failure_of_both_tells_of_each_and_keeps_the_receipt(
    agent, platform_key, key, fund, settled_wallet
):
    platform_key("openai", "402")
    stored = key("openai", "401")
    ProviderKey.objects.filter(pk=stored.pk).update(on_failure="balance")
    fund()
    answer = agent.post(CHAT.path, CHAT.body())
    assert answer.status_code == 503
    message = json.loads(answer.text)["error"]["message"]
    assert f"OpenAI (key {str(stored.pk)[:8]}) rejected the key" in message
    assert "MegaBrain's own OpenAI key could not serve this call" in message
    assert answer.headers["x-megabrain-payer"] == "balance"
    assert settled_wallet().posted_micros == 20 * DOLLAR


def test_an_account_whose_wallet_has_drifted_keeps_no_other_from_being_settled(
    make_agent, platform_key, fund, stranger, account, usage_row
):
    platform_key("openai")
    fund(1)
    fund(account=stranger.account)
    # Past the ledger, which cannot pay for the call.
    Wallet.objects.filter(pk=account.pk).update(posted_micros=20 * DOLLAR)
    agents = [make_agent(), make_agent(stranger)]
    with ThreadPoolExecutor(2) as pool:
        drifted, sound = pool.map(lambda agent: agent.post(CHAT.path, CHAT.body()), agents)
    row = usage_row(sound.headers["x-request-id"])
    assert row.charged_micros == row.market_micros > 0
    assert Wallet.objects.get(pk=stranger.account.pk).posted_micros == (
        20 * DOLLAR - row.charged_micros
    )
    # Its row is there all the same, and what was set aside is left to the sweeper.
    row = usage_row(drifted.headers["x-request-id"])
    assert (row.payer, row.charged_micros) == ("balance", 0)
    assert Hold.objects.get(pk=row.request_id).state == Hold.State.OPEN


def test_an_answer_that_is_too_long_to_pass_on_is_paid_and_no_fault_of_the_key(
    agent, platform_key, fund, settled_wallet, usage_row, settings
):
    """Its caller asked for it, and would get no shorter one with another key."""
    platform_key("novita")
    platform_key("fireworks")
    fund()
    piece = b"x" * 1024 * 1024

    def flood(wire: Wire) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        for _ in range(100):
            wire.send(piece)

    charged = 0
    with raw_upstream(flood) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = dict.fromkeys(("novita", "fireworks"), upstream.url)
        for calls in (1, 2):
            answer = agent.post(CHAT.path, {**CHAT.body(model=SHARED), "max_tokens": 1000})
            assert answer.status_code == 400, answer.text
            assert "sent an answer that is too long" in CHAT.error(answer).message
            assert answer.headers["x-should-retry"] == "false"
            # It is neither cooling the second time, nor was there another attempt.
            assert answer.headers["x-megabrain-provider"] == "novita"
            assert len(upstream.requests) == calls
            row = usage_row(answer.headers["x-request-id"])
            assert (row.usage_source, row.payer) == ("estimate", "balance")
            assert 0 < row.charged_micros <= row.market_micros
            charged += row.charged_micros
    assert settled_wallet().posted_micros == 20 * DOLLAR - charged


#: What a caller can have a provider quote, and how its request may spell it.
QUOTED = {
    "plain": ("your account", "your account"),
    "too long to be searched": ("your account", "word " * 250_000),
    "two lines": ("your\naccount", "your\naccount"),
    "in JSON": ("this \u00e9 project", json.dumps({"x": "this \u00e9 project"})),
    "no credit": ("Insufficient Balance", "Insufficient Balance"),
}


@pytest.mark.parametrize("escaped", [False, True], ids=["as it is", "escaped"])
@pytest.mark.parametrize(("said", "sent"), QUOTED.values(), ids=QUOTED)
def test_a_provider_that_quotes_the_request_says_nothing_of_its_key(
    agent, platform_key, fund, usage_row, settings, said, sent, escaped
):
    own = platform_key("openai")
    fund()
    error = {"message": f"Invalid value: '{said}'.", "type": "invalid_request_error"}

    def refuse(wire: Wire) -> None:
        wire.whole(400, json.dumps({"error": error}).encode(), "content-type: application/json")

    content = json.dumps(sent)
    if escaped:
        content = '"' + "".join(f"\\u{ord(each):04X}" for each in sent) + '"'
    body = f'{{"model": "{CHAT.model}", "messages": [{{"role": "user", "content": {content}}}]}}'
    with raw_upstream(refuse) as upstream:
        settings.MEGABRAIN_UPSTREAM_URLS = {"openai": upstream.url}
        answer = agent.post(CHAT.path, data=body.encode())
    assert (answer.status_code, CHAT.error(answer).code) == (400, "invalid_request"), answer.text
    # For it may be about MegaBrain's account all the same.
    assert said not in answer.text
    (attempt,) = usage_row(answer.headers["x-request-id"]).attempts
    assert attempt["outcome"] == "bad_request"
    own.refresh_from_db()
    assert own.health != ProviderKey.Health.FAILING


def test_a_token_that_cannot_be_stamped_makes_no_call_free_and_freezes_nobody(
    agent, platform_key, fund, account, usage_row, settled_wallet
):
    own = platform_key("openai")
    # So that nothing else is written with the first call.
    ProviderKey.objects.filter(pk=own.pk).update(health=ProviderKey.Health.WORKS)
    fund()
    refuse, allow = {
        "sqlite": (
            """CREATE TRIGGER refuse_stamps BEFORE UPDATE OF last_used_at ON orgs_apitoken
            BEGIN SELECT RAISE(ABORT, 'no room'); END""",
            "DROP TRIGGER refuse_stamps",
        ),
        "postgresql": (
            """ALTER TABLE orgs_apitoken ADD CONSTRAINT refuse_stamps
            CHECK (last_used_at IS NULL) NOT VALID""",
            "ALTER TABLE orgs_apitoken DROP CONSTRAINT refuse_stamps",
        ),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(refuse)
    try:
        # What follows from one call is there once the next is written.
        rows = [
            usage_row(agent.post(CHAT.path, CHAT.body()).headers["x-request-id"]) for _ in range(2)
        ]
        wallet = settled_wallet()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(allow)
    assert all(row.charged_micros == row.market_micros > 0 for row in rows)
    assert wallet.frozen_at is None
    assert wallet.posted_micros == 20 * DOLLAR - sum(row.charged_micros for row in rows)
