"""The queue of a machine without Redis: kombu's, of files, but no message is read half written.

Kombu opens a message under its final name and then writes it. A worker that looks in between takes
an empty file, finds no JSON in it, and ends, and with it everything that `make demo` started.
"""

import os
import tempfile
from pathlib import Path
from time import monotonic_ns
from typing import Any
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps


# Any: kombu has no types, and a payload is whatever its caller put in.
class Channel(filesystem.Channel):
    # Its bases disagree on the name of the second argument.
    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]
        """Write it aside, then give it its name: in one step, and in the order of the clock."""
        folder = Path(self.data_folder_out)
        name = f"{monotonic_ns() // 1_000_000}_{uuid4()}.{queue}.msg"
        try:
            # A name without an extension is a message of no queue.
            number, aside = tempfile.mkstemp(dir=folder)
            with os.fdopen(number, "w") as file:
                file.write(dumps(payload))
            Path(aside).replace(folder / name)
        except OSError as error:
            raise ChannelError(f"Cannot add a message to {folder}") from error


class Transport(filesystem.Transport):
    Channel = Channel
