"""A secret that is looked for in everything that was written while it was in use.

    canary = Canary()
    … use canary.text as a provider key …
    assert canary.sightings(log=caplog.text.encode(), **database_contents()) == []

It is recognised raw, in base64, hexadecimal and URL encoding, and by any eight characters of its
middle. Its prefix and last four may be seen: they are the hint.
"""

import base64
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from django.db import connection

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
SLICE = 8


class Canary:
    """A random provider secret: a known prefix, forty characters nobody has seen before."""

    def __init__(self, prefix: str = "sk-ant-api03-", suffix: str = "") -> None:
        self.prefix = prefix
        self.text = prefix + "".join(secrets.choice(ALPHABET) for _ in range(40)) + suffix

    def forms(self) -> dict[str, bytes]:
        """What gives the secret away, by name."""
        raw = self.text.encode()
        inner = self.text[len(self.prefix) : -4].encode()
        found = {
            "hexadecimal": inner.hex().encode(),
            "HEXADECIMAL": inner.hex().upper().encode(),
            "reversed": inner[::-1],
            "URL-encoded": quote(self.text, safe="").encode(),
            "every byte URL-encoded": "".join(f"%{byte:02X}" for byte in inner).encode(),
        }
        for shift in range(3):
            for name, encode in (("", base64.b64encode), ("URL-safe ", base64.urlsafe_b64encode)):
                found[f"{name}base64 shifted by {shift}"] = middle_of_base64(encode, raw, shift)
        for start in range(len(inner) - SLICE + 1):
            found[f"characters {start} to {start + SLICE}"] = inner[start : start + SLICE]
        return found

    def sightings(self, **places: bytes | str) -> list[str]:
        """Where it is to be seen, and how. Empty when all is well."""
        forms = self.forms()
        found = []
        for place, content in places.items():
            raw = content.encode() if isinstance(content, str) else content
            found += [f"{place}: {name}" for name, form in forms.items() if form in raw]
        return found


def middle_of_base64(encode: Callable[[bytes], bytes], raw: bytes, shift: int) -> bytes:
    """What base64 of a longer text shows of `raw`: the ends depend on what stands beside it."""
    encoded = encode(bytes(shift) + raw)
    start = (0, 2, 3)[shift]
    return encoded[start : (shift + len(raw)) // 3 * 4 - 4]


def database_contents() -> dict[str, bytes]:
    """Every value of every table, as bytes."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        contents = {}
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            contents[f"table {table}"] = b"\n".join(
                as_bytes(value) for row in cursor.fetchall() for value in row
            )
    return contents


def as_bytes(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return str(value).encode()


def files_under(*folders: Path) -> dict[str, bytes]:
    """Every file below these folders, database files and queues included.

    Read by another process: closing a database file that SQLite has open in this one would drop
    its locks (sqlite.org/howtocorrupt.html, 2.2), and then another process may cut the memory they
    share short under it.
    """
    return {
        str(path): subprocess.run(["cat", path], check=True, capture_output=True).stdout  # noqa: S603, S607
        for folder in folders
        for path in regular_files(folder)
    }


def regular_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
