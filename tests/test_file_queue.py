"""The queue of a machine without Redis, between processes."""

import multiprocessing
from pathlib import Path
from queue import Empty

from kombu import Connection

import megabrain.celery  # noqa: F401 - says what a queue of files is

MESSAGES = 100


def _queue(folder: str) -> Connection:
    return Connection(
        "filesystem://",
        transport_options={
            "data_folder_in": folder,
            "data_folder_out": folder,
            "control_folder": f"{folder}/control",
        },
    )


def _put(folder: str) -> None:
    with (
        _queue(folder) as connection,
        connection.SimpleQueue("busy") as queue,
    ):
        for number in range(MESSAGES):
            # Long enough that it is not written in no time.
            queue.put({"number": number, "text": "x" * 200_000})


def test_a_message_is_read_whole_or_not_at_all(tmp_path: Path):
    writer = multiprocessing.get_context("spawn").Process(target=_put, args=[str(tmp_path)])
    writer.start()
    found: list[int] = []
    with (
        _queue(str(tmp_path)) as connection,
        connection.SimpleQueue("busy") as queue,
    ):
        while len(found) < MESSAGES:
            try:
                message = queue.get(block=False)
            except Empty:
                assert writer.is_alive() or queue.qsize(), "messages are missing"
                continue
            found.append(message.payload["number"])
            message.ack()
    writer.join()
    assert sorted(found) == list(range(MESSAGES))
