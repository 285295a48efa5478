"""What workers do for provider keys. Tasks take ids and may be delivered twice."""

from uuid import UUID

from celery import shared_task

from byok import key_tests, letters, reminders
from byok.catalogue import coverage, refresh

#: A connection to the queue that has gone stale is renewed; nobody waits longer than that.
ONE_MORE_TRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1}
#: Seconds between two looks for sources that are due; what waited so long is asked for again.
ROUND = 300


@shared_task(soft_time_limit=25, time_limit=30)
def run_key_test(test_id: str) -> None:
    """Run the test with this id; nothing if it is gone, begun or finished."""
    passed = key_tests.perform(UUID(test_id))
    if passed is not None:
        # The result is there; whoever waits for it does not wait for a list.
        list_models_of_key.apply_async((str(passed),), retry_policy=ONE_MORE_TRY)


@shared_task(time_limit=40)
def list_models_of_key(key_id: str) -> None:
    """Ask the key's provider which models it may use; nothing if it is gone or was replaced."""
    coverage.learn(UUID(key_id))


@shared_task(time_limit=30)
def expire_stuck_key_tests() -> None:
    """End the tests whose worker never came, or never came back."""
    key_tests.expire_stuck_tests()


@shared_task(time_limit=120)
def tell_of_failing_keys() -> None:
    """Tell those who manage a key that it has started to fail."""
    letters.tell_of_failing_keys()


@shared_task(time_limit=120)
def tell_of_keys_that_need_attention() -> None:
    """Tell those who manage a key that it is old, unused, due, or serves a model that ends."""
    reminders.tell_of_keys_that_need_attention()


@shared_task(time_limit=180)
def refresh_catalogue(source: str) -> None:
    """Ask a source of the catalogue; nothing if somebody else does so just now."""
    refresh.refresh(source)


@shared_task(time_limit=30)
def refresh_due_catalogue() -> None:
    """Have each source asked whose time has come, every one by a task of its own."""
    for source in refresh.due():
        refresh_catalogue.apply_async((source,), expires=ROUND)


@shared_task(time_limit=120)
def tell_of_catalogue() -> None:
    """Tell staff of a source whose answer was not believed, or waits for them."""
    letters.tell_of_catalogue()
