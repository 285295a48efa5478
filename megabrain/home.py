"""Files that a fresh installation makes for itself under MEGABRAIN_HOME."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def generated_secret(path: Path, make: Callable[[], str]) -> str:
    """The secret kept at `path`, made on first use and readable by its owner only.

    Processes that start at the same moment agree on one value: the file is written aside and
    linked into place, and only the first link succeeds.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(make() + "\n")
                file.flush()
                os.fsync(descriptor)
            os.link(aside, path)
        except FileExistsError:
            pass
        finally:
            Path(aside).unlink()
    return path.read_text().strip()
