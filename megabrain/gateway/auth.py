"""Whose request is this, and for which account: from its headers to a Caller.

Agents send the token in one of three headers, and some send two different ones, of which the
other belongs to somebody else. The first that is a MegaBrain token and verifies counts. Every
refusal reads the same, so that nobody learns whether a token was unknown, revoked or expired.

A token stands for the account it was made for. With a personal one a header may name an
organization of the person's instead, by id or slug. One that they are no member of is answered
like one that does not exist, and never with the personal account in its place.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from megabrain.gateway.callers import Caller, Grant
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.snapshot import Snapshot
from orgs.tokens import digest, looks_like_token

HEADERS = ("authorization", "x-api-key", "api-key")
ORGANIZATION = "x-megabrain-organization"

# Without the names of the headers: an error that says x-api-key is shown by Claude Code as
# "Not logged in · Please run /login", and nothing else of it.
REFUSAL = (
    "No valid MegaBrain API token came with this request. Send one, which begins with mb-, where "
    "your client has its API key. Tokens are made under API tokens."
)


async def authenticate(headers: Mapping[str, str], snapshot: Snapshot) -> Caller:
    """The caller. Raises Problem; SnapshotUnavailable when the database cannot be asked."""
    for candidate in _candidates(headers):
        grant = await snapshot.grants.get(digest(candidate))
        if grant is not None and not _expired(grant.own):
            return _caller(grant, headers.get(ORGANIZATION, ""))
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


def _caller(grant: Grant, named: str) -> Caller:
    """The caller for the named organization, or without a name for the token's own account."""
    named = named.strip(" \t").lower()
    if not named:
        return grant.own
    caller = grant.organizations.get(named)
    if caller is None:
        raise _not_found(grant.own)
    return caller


def _not_found(own: Caller) -> Problem:
    if own.organization is None:
        message = (
            f"The header {ORGANIZATION} names no organization that you belong to. Send the slug "
            "or id of one that you do, or leave the header out for your personal account."
        )
    else:
        message = (
            f"This API token is of the organization {own.organization.name}, and the header "
            f"{ORGANIZATION} names another. Leave the header out, or use another token."
        )
    return Problem(Code.ORGANIZATION_NOT_FOUND, message)


def _expired(caller: Caller) -> bool:
    return caller.expires_at is not None and caller.expires_at <= datetime.now(UTC)
