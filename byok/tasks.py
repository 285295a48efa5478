"""What workers do for provider keys. Tasks take ids and may be delivered twice."""

from uuid import UUID

from celery import shared_task

from byok import key_tests, letters


@shared_task(soft_time_limit=25, time_limit=30)
def run_key_test(test_id: str) -> None:
    """Run the test with this id; nothing if it is gone, begun or finished."""
    key_tests.perform(UUID(test_id))


@shared_task(time_limit=30)
def expire_stuck_key_tests() -> None:
    """End the tests whose worker never came, or never came back."""
    key_tests.expire_stuck_tests()


@shared_task(time_limit=120)
def tell_of_failing_keys() -> None:
    """Tell those who manage a key that it has started to fail."""
    letters.tell_of_failing_keys()
