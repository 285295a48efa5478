"""Testing a key, over TCP: against a server that misbehaves on purpose."""

import json
import logging
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.db import connection, connections
from django.utils import timezone

from byok import actions, key_tests, sending
from byok.models import KeyTest, ProviderKey
from byok.providers import PROVIDERS
from byok.providers.base import Outcome
from byok.tasks import expire_stuck_key_tests, run_key_test
from byok.vault import Secret
from orgs.models import Account, User
from orgs.origin import Origin
from tests.byok.conftest import added, result_of

SECRET = "sk-ant-api03-canary-0123456789abcdefCANARY"
ORIGIN = Origin()
WORKING: tuple[int, dict[str, str], bytes] = (200, {}, b'{"type":"message","content":[]}')


@dataclass
class Script:
    """What the server answers, in turn; the last answer is repeated."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=lambda: [WORKING])
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    raw: Callable[[socketserver.StreamRequestHandler], None] | None = None
    address: str = ""

    @property
    def models(self) -> list[str]:
        return [json.loads(body)["model"] for _, _, body in self.seen]


@pytest.fixture
def upstream(settings) -> Iterator[Script]:
    """A server in Anthropic's place."""
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.seen.append((self.path, headers, body))
            script.before()
            if script.raw:
                script.raw(self)
                self.close_connection = True
                return
            turn = min(len(script.seen), len(script.answers)) - 1
            status, extra, answer = script.answers[turn]
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *args: None  # type: ignore[method-assign]  # clients do hang up
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    script.address = f"http://127.0.0.1:{server.server_port}"
    settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": script.address}
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def key(owner: User, account: Account) -> ProviderKey:
    return added(owner, account, "anthropic", SECRET)


def meanwhile(change: Callable[[], object]) -> Callable[[], None]:
    """The change as somebody else makes it: over a connection of its own."""

    def make() -> None:
        change()
        connections.close_all()

    return make


#: With data that other connections see.
committed = pytest.mark.django_db(transaction=True)


def error(kind: str, message: str = "no") -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


def test_a_key_that_works_passes_and_says_which_model_answered_how_fast(upstream, key):
    test = result_of(key)

    assert test.state == KeyTest.State.PASSED
    assert test.code == "ok"
    assert test.model == "anthropic/claude-haiku-5.5"
    assert test.latency_ms is not None
    assert test.latency_ms >= 1
    assert test.message == (
        f"Anthropic accepted this key: claude-haiku-5.5 answered in {test.latency_ms} ms."
    )
    assert test.is_finished
    assert key.health == ProviderKey.Health.WORKS
    assert key.health_code == key.health_message == ""
    assert key.health_at is not None


def test_the_call_is_the_one_routing_would_make(upstream, key):
    result_of(key)

    [(path, headers, body)] = upstream.seen
    assert path == "/v1/messages"
    assert headers["x-api-key"] == SECRET
    assert headers["anthropic-version"] == "2023-06-01"
    assert json.loads(body)["max_tokens"] == 1


REFUSALS = [
    (401, error("authentication_error"), "rejected", "failing", "rejected this key"),
    (403, error("permission_error"), "no_access", "failing", "does not let it use"),
    (402, error("billing_error"), "no_credit", "failing", "out of credit"),
    (
        400,
        error("invalid_request_error", "Your credit balance is too low to access"),
        "no_credit",
        "failing",
        "out of credit",
    ),
    (404, error("not_found_error"), "model_missing", "untested", "none of the models"),
    (400, error("invalid_request_error"), "bad_request", "untested", "refused the test call"),
    (529, error("overloaded_error"), "overloaded", "untested", "overloaded"),
    (500, b"<html>oops</html>", "unavailable", "untested", "fault of its own"),
    (302, b"", "unavailable", "untested", "fault of its own"),
    (200, b"<html>hello</html>", "unavailable", "untested", "fault of its own"),
    (200, error("overloaded_error"), "overloaded", "untested", "overloaded"),
]


@pytest.mark.parametrize(("status", "body", "code", "health", "says"), REFUSALS)
def test_a_refusal_is_told_from_the_others(upstream, key, status, body, code, health, says):
    upstream.answers = [(status, {"location": "/elsewhere"}, body)]

    test = result_of(key)

    assert (test.state, test.code) == (KeyTest.State.FAILED, code)
    assert says in test.message
    assert test.message.endswith(".")
    assert key.health == health
    assert key.health_message == (test.message if health == "failing" else "")
    assert {path for path, _, _ in upstream.seen} == {"/v1/messages"}


def test_a_rate_limit_says_how_long_to_wait(upstream, key):
    upstream.answers = [(429, {"retry-after": "12"}, error("rate_limit_error"))]

    test = result_of(key)

    assert test.code == "rate_limited"
    assert "Wait 12 seconds" in test.message
    assert key.health == ProviderKey.Health.COOLING


def test_a_model_that_is_gone_moves_the_test_on_to_the_next(upstream, key):
    upstream.answers = [(404, {}, error("not_found_error")), WORKING]

    test = result_of(key)

    assert test.state == KeyTest.State.PASSED
    assert test.model == "anthropic/claude-haiku-4.5"
    assert upstream.models == ["claude-haiku-5-5", "claude-haiku-4-5-20251001"]


def test_a_test_stops_at_the_first_word_about_the_key_itself(upstream, key):
    upstream.answers = [
        (404, {}, error("not_found_error")),
        (401, {}, error("authentication_error")),
        WORKING,
    ]

    assert result_of(key).code == "rejected"
    assert len(upstream.seen) == 2


def test_of_several_refusals_of_models_the_most_telling_is_reported(upstream, key):
    upstream.answers = [
        (404, {}, error("not_found_error")),
        (403, {}, error("permission_error")),
        (404, {}, error("not_found_error")),
    ]

    test = result_of(key)

    assert test.code == "no_access"
    assert "claude-haiku-4.5" in test.message


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
def test_nothing_the_provider_wrote_is_stored_or_logged(upstream, key, status, caplog, capfd):
    echo = f"key {SECRET} and <b>markup</b>"
    upstream.answers = [(status, {"x-echo": SECRET, "retry-after": SECRET}, error("x", echo))]

    with caplog.at_level(logging.DEBUG):
        test = result_of(key)

    stored = f"{test.message} {test.code} {test.model} {key.health_message} {key.health_code}"
    printed = caplog.text + "".join(capfd.readouterr())
    for text in (stored, printed):
        assert "markup" not in text
        assert "canary" not in text.lower()


def test_a_provider_that_cannot_be_reached_is_no_fault_of_the_key(key, settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": "http://127.0.0.1:9"}

    test = result_of(key)

    assert test.code == "unreachable"
    assert "could not be reached" in test.message
    assert key.health == ProviderKey.Health.UNTESTED


@pytest.mark.parametrize(
    "base", ["https://127.0.0.1:9", "http://nowhere.invalid", "http://[", "nonsense"]
)
def test_no_address_makes_a_test_crash(key, settings, base):
    settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": base}

    assert result_of(key).code == "unreachable"


def test_a_server_that_hangs_up_is_unreachable(upstream, key):
    upstream.raw = lambda handler: None

    assert result_of(key).code == "unreachable"


def test_an_answer_cut_short_is_unreachable(upstream, key):
    upstream.raw = lambda handler: handler.wfile.write(
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"
    )

    assert result_of(key).code == "unreachable"


def dripping(*, header: bool) -> Callable[[socketserver.StreamRequestHandler], None]:
    def drip(handler: socketserver.StreamRequestHandler) -> None:
        start = b"HTTP/1.1 200 OK\r\nx-slow: " if header else b"HTTP/1.1 200 OK\r\n\r\n"
        handler.wfile.write(start)
        for _ in range(20):
            time.sleep(0.1)
            handler.wfile.write(b"x")
            handler.wfile.flush()

    return drip


@pytest.mark.parametrize("header", [True, False])
def test_the_limit_is_for_the_whole_call_however_slowly_it_drips(upstream, header):
    upstream.raw = dripping(header=header)
    began = time.monotonic()

    verdict = key_tests.judge(PROVIDERS["anthropic"], Secret(SECRET), seconds=0.5)

    assert verdict.code == sending.TIMED_OUT
    assert time.monotonic() - began < 1.5


def test_the_limit_is_for_all_the_calls_together(upstream):
    upstream.answers = [(404, {}, error("not_found_error"))]
    upstream.before = lambda: time.sleep(0.4)
    began = time.monotonic()

    verdict = key_tests.judge(PROVIDERS["anthropic"], Secret(SECRET), seconds=0.6)

    assert verdict.code == sending.TIMED_OUT
    assert time.monotonic() - began < 1.2


@pytest.mark.django_db
def test_a_test_that_timed_out_says_so():
    words = key_tests.sentence("anthropic", key_tests.Verdict(sending.TIMED_OUT))

    assert words.startswith("Anthropic did not answer within 20 seconds")


def test_an_endless_answer_is_read_up_to_a_bound(upstream, key):
    def pour(handler: socketserver.StreamRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 401 No\r\n\r\n")
        for _ in range(4096):
            handler.wfile.write(b"x" * 65536)

    upstream.raw = pour

    assert result_of(key).code == "rejected"


def test_the_environment_cannot_redirect_a_key(upstream, key, monkeypatch):
    elsewhere = "http://127.0.0.1:9"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, elsewhere)

    assert result_of(key).code == "ok"


def test_a_test_is_run_once_however_often_it_is_delivered(upstream, key):
    test = KeyTest.objects.create(key=key)

    for _ in range(3):
        run_key_test(str(test.pk))

    assert len(upstream.seen) == 1
    test.refresh_from_db()
    assert test.state == KeyTest.State.PASSED


def test_a_test_that_is_gone_or_finished_is_left_alone(upstream, key):
    finished = KeyTest.objects.create(
        key=key, state=KeyTest.State.FAILED, code="rejected", finished_at=timezone.now()
    )

    run_key_test(str(finished.pk))
    run_key_test("00000000-0000-4000-8000-000000000000")

    finished.refresh_from_db()
    assert finished.code == "rejected"
    assert upstream.seen == []


@committed
def test_a_key_replaced_during_its_test_keeps_its_own_health(upstream, key, owner):
    def replace() -> None:
        with_new = Secret(SECRET.replace("canary", "newkey"))
        actions.update_key(actor=owner, key=key, secret=with_new, origin=ORIGIN)

    upstream.before = meanwhile(replace)
    upstream.answers = [(401, {}, error("authentication_error"))]

    test = result_of(key)

    assert (test.state, test.code) == (KeyTest.State.FAILED, "replaced")
    assert key.health == ProviderKey.Health.UNTESTED


@committed
def test_a_key_deleted_during_its_test_takes_the_test_with_it(upstream, key, owner):
    upstream.before = meanwhile(lambda: actions.delete_key(actor=owner, key=key, origin=ORIGIN))
    test = KeyTest.objects.create(key=key)

    key_tests.perform(test.pk)

    assert not KeyTest.objects.filter(pk=test.pk).exists()


@committed
def test_a_key_disabled_during_its_test_is_still_judged(upstream, key, owner):
    upstream.before = meanwhile(
        lambda: actions.set_enabled(actor=owner, key=key, enabled=False, origin=ORIGIN)
    )

    assert result_of(key).code == "ok"
    assert key.health == ProviderKey.Health.WORKS


@committed
def test_a_test_ended_by_the_sweep_stays_ended(upstream, key):
    upstream.before = meanwhile(
        lambda: KeyTest.objects.update(
            state=KeyTest.State.FAILED, code="expired", finished_at=timezone.now()
        )
    )

    assert result_of(key).code == "expired"
    assert key.health == ProviderKey.Health.UNTESTED


def test_a_secret_that_does_not_open_asks_to_be_entered_again(upstream, key):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE byok_providerkey SET secret = %s", [b"\x01\x01broken"])
    key = ProviderKey.objects.get(pk=key.pk)

    test = result_of(key)

    assert (test.state, test.code) == (KeyTest.State.FAILED, "unreadable")
    assert "Enter it again" in test.message
    assert key.health == ProviderKey.Health.FAILING
    assert upstream.seen == []


def test_a_secret_no_header_can_carry_asks_to_be_entered_again(upstream, owner, account):
    key = added(owner, account, "anthropic", "sk-ant-api03-\r\nx-evil: 1 0123456789abcdef")

    assert result_of(key).code == "unreadable"
    assert upstream.seen == []


def test_a_key_of_a_provider_that_left_is_told_apart(key):
    ProviderKey.objects.update(provider="departed")
    key = ProviderKey.objects.get(pk=key.pk)

    assert result_of(key).code in {"unsupported", "unreadable"}


def aged(key: ProviderKey, seconds: float, **state: object) -> KeyTest:
    then = timezone.now() - timedelta(seconds=seconds)
    return KeyTest.objects.create(key=key, created_at=then, **state)


def test_a_test_no_worker_took_up_ends_as_failed_with_the_reason(key):
    test = aged(key, 21)

    assert key_tests.expire_stuck_tests() == 1

    test.refresh_from_db()
    assert (test.state, test.code) == (KeyTest.State.FAILED, "expired")
    assert "No worker" in test.message
    assert test.is_finished


def test_a_test_whose_worker_died_ends_as_failed_with_the_reason(key):
    then = timezone.now() - timedelta(seconds=26)
    test = aged(key, 30, state=KeyTest.State.RUNNING, started_at=then)

    expire_stuck_key_tests()

    test.refresh_from_db()
    assert test.code == "expired"
    assert "stopped" in test.message


def test_a_test_in_time_is_left_running(key):
    then = timezone.now() - timedelta(seconds=15)
    test = aged(key, 30, state=KeyTest.State.RUNNING, started_at=then)

    assert key_tests.expire_stuck_tests() == 0

    test.refresh_from_db()
    assert test.state == KeyTest.State.RUNNING


def test_a_test_delivered_too_late_is_not_run(upstream, key):
    test = aged(key, 60)

    run_key_test(str(test.pk))

    test.refresh_from_db()
    assert test.code == "expired"
    assert upstream.seen == []


def test_a_new_test_can_follow_one_that_got_stuck(upstream, key):
    aged(key, 60)
    key_tests.expire_stuck_tests()

    assert result_of(key).code == "ok"


@pytest.mark.django_db
def test_every_outcome_has_its_words_and_they_fit_where_they_are_kept():
    codes = {*Outcome, *key_tests.SENTENCES}
    for provider in PROVIDERS.values():
        for code in codes:
            verdict = key_tests.Verdict(code, "accounts/fireworks/models/" + "m" * 40, 412, 30)
            words = key_tests.sentence(provider.id, verdict)
            assert "{" not in words
            assert len(words) <= 300
            assert words.endswith(".")
