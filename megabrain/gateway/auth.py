"""Whose request is this: from the token in its headers to a Caller.

Agents send the token in one of three headers, and some send two different ones, of which the
other belongs to somebody else. The first that is a MegaBrain token and verifies counts. Every
refusal reads the same, so that nobody learns whether a token was unknown, revoked or expired.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.snapshot import Caller, Snapshot
from orgs.tokens import digest, looks_like_token

HEADERS = ("authorization", "x-api-key", "api-key")

# Without the names of the headers: an error that says x-api-key is shown by Claude Code as
# "Not logged in · Please run /login", and nothing else of it.
REFUSAL = (
    "No valid MegaBrain API token came with this request. Send one, which begins with mb-, where "
    "your client has its API key. Tokens are made under Account → API tokens."
)


async def authenticate(headers: Mapping[str, str], snapshot: Snapshot) -> Caller:
    """The caller. Raises Problem; SnapshotUnavailable when the database cannot be asked."""
    for candidate in _candidates(headers):
        caller = await snapshot.caller(digest(candidate))
        if caller is not None and not _expired(caller):
            return caller
    raise Problem(Code.INVALID_API_KEY, REFUSAL)


def _candidates(headers: Mapping[str, str]) -> Iterator[str]:
    for name in HEADERS:
        value = headers.get(name)
        if value is None:
            continue
        text = value.strip()
        if name == "authorization":
            scheme, _, rest = text.partition(" ")
            text = rest.strip() if scheme.lower() == "bearer" else text
        # The checksum spares the database whoever tries out random texts.
        if looks_like_token(text):
            yield text


def _expired(caller: Caller) -> bool:
    return caller.expires_at is not None and caller.expires_at <= datetime.now(UTC)
