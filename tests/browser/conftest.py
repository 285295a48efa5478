"""What a browser needs behind the site: a worker."""

from collections.abc import Iterator

import pytest
from celery.contrib.testing.worker import start_worker

from megabrain.celery import app


@pytest.fixture
def worker(transactional_db: None) -> Iterator[None]:
    """A Celery worker in a thread, on the same database, queue and simulator."""
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        yield
