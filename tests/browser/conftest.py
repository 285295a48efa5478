"""What a browser needs behind the site: a worker."""

import logging
from collections.abc import Iterator

import pytest
from celery.contrib.testing.worker import start_worker
from celery.worker import state

from megabrain.celery import app


@pytest.fixture
def worker(transactional_db: None) -> Iterator[None]:
    """A Celery worker in a thread, on the same database, queue and simulator."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        yield
        # It looks whether it is to end only after a message or two seconds, and then once more.
        state.should_terminate = 0  # type: ignore[assignment]  # Typed as its default, None.
        for _ in range(2):
            app.control.broadcast("ping")
    # Celery makes it its own, and leaves it hearing nothing but errors.
    root.setLevel(level)
    root.handlers[:] = handlers
