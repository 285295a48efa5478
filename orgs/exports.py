"""Downloads of any length, made while they are sent, and safe to open in a spreadsheet.

A piece is made only when the one before it has left. Under ASGI that happens in the thread of the
request, never on the event loop, and between two pieces the request holds no database connection:
somebody with a slow line keeps nobody waiting.
"""

import csv
import io
import re
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.cache import patch_vary_headers

PIECE = 64 * 1024
#: How many downloads one person may have under way, and how long one may stand still and count.
AT_ONCE = 2
SLOT_SECONDS = 60

Pieces = Generator[bytes, None, None]

# What a spreadsheet takes for the beginning of a formula, also where only blanks, quotes or marks
# that nobody sees come before it; and where a cell would begin if it split cells at semicolons,
# tabs or lines, as it does in countries that write 0,5.
_FORMULA = re.compile(
    r"(?:^|(?<=[;\t\r\n]))"
    r"(?=[\s\"'‘’“”`\u00ad\u200b-\u200f\u2060\ufeff]*[=+\-@\u2212＝＋－＠]|[\t\r\n])"
)


class TooManyDownloads(Exception):
    """The person has as many downloads under way as one may."""


class Stalled(Exception):
    """A download stood still for so long that its slot was given up, and ends there."""


class Slot:
    """One of the few downloads a person may have under way. Raises `TooManyDownloads`.

    Who takes none of it for `seconds` loses the slot, and the download ends with `Stalled` when
    its next piece is asked for.
    """

    def __init__(self, user_id: UUID, seconds: int = SLOT_SECONDS) -> None:
        self._seconds = seconds
        self._mark = secrets.token_hex(8)  # Another's slot may have the same name later.
        names = (f"download:{user_id}:{number}" for number in range(AT_ONCE))
        found = next((name for name in names if cache.add(name, self._mark, seconds)), None)
        if found is None:
            raise TooManyDownloads
        self._name = found

    @contextmanager
    def unless_refused(self) -> Iterator[None]:
        """Free the slot again if what is to be downloaded is refused."""
        try:
            yield
        except BaseException:
            self._free()
            raise

    def keep(self, pieces: Iterator[bytes]) -> Pieces:
        """The pieces; the slot is kept while they are taken, and free afterwards."""
        try:
            for piece in pieces:
                self._renew()
                left_at = time.monotonic()
                yield piece
                if time.monotonic() - left_at >= self._seconds:
                    raise Stalled
        finally:
            self._free()

    def _renew(self) -> None:
        # A cache may forget what it was given, and then nobody else has the slot.
        if cache.get_or_set(self._name, self._mark, self._seconds) != self._mark:
            raise Stalled
        cache.touch(self._name, self._seconds)

    def _free(self) -> None:
        if cache.get(self._name) == self._mark:
            cache.delete(self._name)


def cell(value: object) -> str:
    """`value` as the text of a cell that no spreadsheet takes for a formula."""
    return _FORMULA.sub("'", value) if isinstance(value, str) else str(value)


def csv_lines(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Lines for a spreadsheet. The mark in front tells Excel that they are UTF-8."""
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(names)
    yield "\ufeff" + line.getvalue()
    for row in rows:
        line.seek(0)
        line.truncate()
        writer.writerow([cell(value) for value in row])
        yield line.getvalue()


def in_pieces(lines: Iterable[str]) -> Pieces:
    """The lines as bytes, many at a time."""
    piece, size = [], 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= PIECE:
            yield "".join(piece).encode()
            piece, size = [], 0
    yield "".join(piece).encode()


def download(
    request: HttpRequest, pieces: Pieces, *, name: str, content_type: str
) -> StreamingHttpResponse:
    """The answer that saves these pieces as a file of that name."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if re.search(r"\bgzip\b", request.headers.get("accept-encoding", "")):
        # Django's middleware would compress each piece of its own, which browsers take for the
        # end of the file after the first.
        headers["Content-Encoding"] = "gzip"
        pieces = _compressed(pieces)
    asynchronous = isinstance(request, ASGIRequest)
    response = StreamingHttpResponse(
        _stepwise(pieces) if asynchronous else pieces, content_type=content_type, headers=headers
    )
    patch_vary_headers(response, ["Accept-Encoding"])
    return response


def _compressed(pieces: Pieces) -> Pieces:
    """As one gzip file; every piece is sent on at once."""
    compressor = zlib.compressobj(level=3, wbits=31)
    try:
        for piece in pieces:
            yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
        yield compressor.flush()
    finally:
        pieces.close()


async def _stepwise(pieces: Pieces) -> AsyncIterator[bytes]:
    """Django would take a plain iterator whole before it sends anything."""
    try:
        while (piece := await sync_to_async(_next)(pieces)) is not None:
            yield piece
    finally:
        await sync_to_async(pieces.close)()


def _next(pieces: Pieces) -> bytes | None:
    try:
        return next(pieces, None)
    finally:
        close_old_connections()
