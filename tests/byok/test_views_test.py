"""Testing a key from the page: the request, the waiting, and what is told in the end."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.utils import timezone

from byok.actions import update_key
from byok.key_tests import perform
from byok.models import KeyTest, ProviderKey
from byok.vault import Secret
from orgs.origin import Origin
from tests.byok.conftest import address, by_htmx, text_of

PASSED = "Anthropic accepted this key: claude-haiku-4.5 answered in 412 ms."
REJECTED = "Anthropic rejected this key: it is wrong, revoked or expired."


def started(key: ProviderKey, seconds_ago: float = 0) -> KeyTest:
    """A test of the key that nobody has taken up yet."""
    at = timezone.now() - timedelta(seconds=seconds_ago)
    ProviderKey.objects.filter(pk=key.pk).update(secret_changed_at=at - timedelta(hours=1))
    return KeyTest.objects.create(key=key, created_at=at)


def finish(test: KeyTest, state: KeyTest.State, message: str) -> None:
    KeyTest.objects.filter(pk=test.pk).update(
        state=state, message=message, finished_at=timezone.now()
    )


def ask(client, test: KeyTest, target: str = ""):
    """What the page asks every 700 ms while it waits for the test."""
    url = f"{address('row', test.key)}?test={test.pk}"
    return client.get(url, headers=by_htmx(target or f"key-{test.key_id}"))


def told(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_pressing_test_turns_the_button_into_a_ring_and_begins_to_ask(owner_client, anthropic_key):
    row = f"key-{anthropic_key.pk}"
    answer = owner_client.post(address("test", anthropic_key), headers=by_htmx(row))
    content = answer.content.decode()
    test = KeyTest.objects.get()
    assert test.state == KeyTest.State.QUEUED
    assert content.strip().startswith(f'<tr id="{row}"')
    assert 'aria-busy="true"' in content
    assert "Testing…" in text_of(answer)
    assert 'hx-trigger="every 700ms"' in content
    assert f"?test={test.pk}" in content


def test_pressing_it_again_joins_the_test_under_way(owner_client, anthropic_key):
    for _ in range(3):
        assert owner_client.post(address("test", anthropic_key)).status_code == 302
    assert KeyTest.objects.count() == 1


def test_while_a_test_runs_only_the_asking_part_is_replaced(owner_client, anthropic_key):
    test = started(anthropic_key)
    answer = ask(owner_client, test)
    assert answer["HX-Retarget"] == f"#poll-{anthropic_key.pk}"
    assert 'hx-trigger="every 700ms"' in answer.content.decode()
    assert "<tr" not in answer.content.decode()


@pytest.mark.parametrize(
    ("state", "message", "tone"),
    [
        (KeyTest.State.PASSED, PASSED, "success"),
        (KeyTest.State.FAILED, REJECTED, "danger"),
    ],
)
def test_the_result_comes_as_a_toast_with_the_row(
    state, message, tone, owner_client, anthropic_key
):
    test = started(anthropic_key)
    finish(test, state, message)
    answer = ask(owner_client, test)
    content = answer.content.decode()
    assert "HX-Retarget" not in answer
    assert f'<tr id="key-{anthropic_key.pk}"' in content
    assert "hx-trigger" not in content
    assert f'data-tone="{tone}"' in content
    assert message in text_of(answer)


def test_the_result_is_told_once(owner_client, anthropic_key, keys_url):
    test = started(anthropic_key)
    finish(test, KeyTest.State.PASSED, PASSED)
    ask(owner_client, test)
    assert PASSED not in text_of(owner_client.get(keys_url))


def test_a_page_that_was_left_and_opened_again_goes_on_asking(
    owner_client, anthropic_key, keys_url
):
    test = started(anthropic_key)
    page = owner_client.get(keys_url)
    assert f"?test={test.pk}" in page.content.decode()
    assert "Testing…" in text_of(page)


def test_a_page_stops_asking_after_25_seconds_and_says_so(owner_client, anthropic_key, keys_url):
    test = started(anthropic_key, seconds_ago=26)
    KeyTest.objects.update(state=KeyTest.State.RUNNING, started_at=timezone.now())
    answer = ask(owner_client, test)
    assert "hx-trigger" not in answer.content.decode()
    assert "No result yet" in text_of(answer)
    assert "Testing the Anthropic key takes longer than usual." in text_of(answer)
    page = owner_client.get(keys_url)
    assert "hx-trigger" not in page.content.decode()
    assert "No result yet · Refresh" in text_of(page)


def test_a_test_that_no_worker_takes_up_is_ended_by_whoever_asks(owner_client, anthropic_key):
    test = started(anthropic_key, seconds_ago=21)
    answer = ask(owner_client, test)
    assert KeyTest.objects.get().state == KeyTest.State.FAILED
    assert "No worker took this test up within 20 seconds." in text_of(answer)
    assert "Last test: No result in time" in text_of(answer)


def test_without_javascript_one_is_told_to_come_back(owner_client, anthropic_key, keys_url):
    page = owner_client.post(address("test", anthropic_key), follow=True)
    assert page.redirect_chain == [(f"{keys_url}#key-{anthropic_key.pk}", 302)]
    assert "Testing the Anthropic key." in text_of(page)
    assert "Refresh" in text_of(page)


def test_without_javascript_the_address_of_the_row_leads_to_the_list(
    owner_client, anthropic_key, keys_url
):
    test = started(anthropic_key)
    finish(test, KeyTest.State.PASSED, PASSED)
    page = owner_client.get(f"{address('row', anthropic_key)}?test={test.pk}", follow=True)
    assert PASSED in text_of(page)


def test_the_seventh_test_in_a_minute_is_refused_in_words(owner_client, anthropic_key):
    for _ in range(6):
        finish(started(anthropic_key), KeyTest.State.PASSED, PASSED)
    answer = owner_client.post(
        address("test", anthropic_key), headers=by_htmx(f"key-{anthropic_key.pk}")
    )
    assert answer.status_code == 200
    assert "The Anthropic key was tested 6 times within a minute. Test it again in" in text_of(
        answer
    )
    assert KeyTest.objects.count() == 6


def test_on_the_keys_own_page_the_whole_page_follows_the_test(owner_client, anthropic_key):
    answer = owner_client.post(address("test", anthropic_key), headers=by_htmx("about"))
    assert 'id="about"' in answer.content.decode()
    test = KeyTest.objects.get()
    finish(test, KeyTest.State.PASSED, PASSED)
    answer = ask(owner_client, test, target="about")
    assert text_of(answer).count(PASSED) == 2  # In the list of tests, and as a toast.


def test_a_test_of_a_secret_that_was_replaced_meanwhile_leaves_the_new_one_untested(
    owner_client, owner, anthropic_key, keys_url
):
    test = started(anthropic_key)
    update_key(actor=owner, key=anthropic_key, secret=Secret("sk-ant-" + "x" * 30), origin=Origin())
    answer = ask(owner_client, test)
    assert "Never used" in text_of(answer)
    assert told(answer) == []


def test_a_test_that_ends_while_the_page_asks_is_told_with_what_it_says_of_the_key(
    owner_client, anthropic_key, simulator
):
    test = started(anthropic_key)

    running = [test.pk]

    def end_it_first(execute, sql, params, many, context):
        """The worker is done when the key has been read and its tests have not."""
        if running and 'FROM "byok_keytest"' in sql:
            perform(running.pop())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(end_it_first):
        answer = ask(owner_client, test)
    assert KeyTest.objects.get().is_finished
    assert "Works" in text_of(answer)


def test_a_test_that_ends_while_its_button_is_answered_is_told_with_what_it_says_of_the_key(
    owner_client, anthropic_key, simulator
):
    queued: list[str] = []

    def end_it_first(execute, sql, params, many, context):
        """The worker is done before the view looks at what it has just queued."""
        if queued and 'FROM "byok_keytest"' in sql:
            queued.clear()
            perform(KeyTest.objects.get().pk)
        queued.extend(["test"] * sql.startswith('INSERT INTO "byok_keytest"'))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(end_it_first):
        row = f"key-{anthropic_key.pk}"
        answer = owner_client.post(address("test", anthropic_key), headers=by_htmx(row))
    assert KeyTest.objects.get().state == KeyTest.State.PASSED
    assert "Works" in text_of(answer)
    assert "Anthropic accepted this key" in told(answer)[0]


@pytest.mark.parametrize(
    ("secret", "words", "health"),
    [
        ("sk-ant-api03-sim-ok-0123456789abcdefgh", "Anthropic accepted this key", "Works"),
        ("sk-ant-api03-sim-401-0123456789abcdefg", "Anthropic rejected this key", "Failing"),
        ("sk-ant-api03-sim-402-0123456789abcdefg", "out of credit", "Failing"),
        ("sk-ant-api03-sim-403-0123456789abcdefg", "does not let it use", "Failing"),
        ("sk-ant-api03-sim-429-0123456789abcdefg", "limiting its calls", "Cooling down"),
        ("sk-ant-api03-sim-500-0123456789abcdefg", "fault of its own", "Never used"),
    ],
)
def test_each_way_a_test_can_end_is_told_with_what_to_do(
    secret, words, health, owner, owner_client, anthropic_key, keys_url, simulator
):
    update_key(actor=owner, key=anthropic_key, secret=Secret(secret), origin=Origin())
    owner_client.post(address("test", anthropic_key))
    test = KeyTest.objects.get()
    perform(test.pk)
    answer = ask(owner_client, test)
    assert words in text_of(answer)
    assert health in text_of(answer)
    assert health in text_of(owner_client.get(keys_url))
