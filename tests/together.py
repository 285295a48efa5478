"""Changes that several people make at the same moment."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from django.db import connection, models, transaction

Change = Callable[[], object]


def at_once(*changes: Change, refusals: tuple[type[Exception], ...] = ()) -> list[object]:
    """Run the changes in threads that start together: what each returned, or how it was refused."""
    results: list[object] = [None] * len(changes)
    start = threading.Barrier(len(changes))

    def run(number: int) -> None:
        start.wait(10)
        results[number] = _outcome(changes[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(changes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    unexpected = [
        result
        for result in results
        if isinstance(result, Exception) and not isinstance(result, refusals)
    ]
    assert not unexpected, unexpected
    return results


def meanwhile(change: Change, attempt: Change) -> object:
    """What `attempt` came to that began when `change` was made, but not yet committed."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(_outcome(attempt)))
    with transaction.atomic():
        change()
        thread.start()
        thread.join(0.3)  # By then it waits, or has read what is about to change.
    thread.join(60)
    [result] = results
    return result


def held(row: models.Model) -> Change:
    """Somebody else who holds the row for a moment, so that all others meet in front of it."""

    def hold() -> None:
        with transaction.atomic():
            list(type(row)._default_manager.select_for_update(no_key=True).filter(pk=row.pk))
            time.sleep(0.05)

    return hold


def _outcome(change: Change) -> object:
    try:
        return change()
    except Exception as error:  # noqa: BLE001 -- handed to the test.
        return error
    finally:
        with suppress(Exception):
            connection.close()
