"""Where a change came from: kept with every audit event."""

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Origin:
    """`address` is the client's IP address or None; the rest are bounded plain text."""

    address: str | None = None
    user_agent: str = ""
    request_id: str = ""

    @classmethod
    def of(cls, request: HttpRequest) -> "Origin":
        return cls(
            address=client_address(request),
            user_agent=request.headers.get("user-agent", "")[:300],
            request_id=getattr(request, "request_id", ""),
        )

    @classmethod
    def command(cls, name: str) -> "Origin":
        """A change made on the command line."""
        return cls(user_agent=f"manage.py {name}")


def client_address(request: HttpRequest) -> str | None:
    """The client's address, past as many proxies as the operator says there are.

    Each trusted proxy appends the address it saw to X-Forwarded-For, so the one seen by the
    outermost trusted proxy is that many places from the end. Anything further left is the
    client's own claim and is ignored.
    """
    proxies = settings.MEGABRAIN_TRUSTED_PROXIES
    if proxies:
        seen = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")]
        if len(seen) >= proxies and seen[-proxies]:
            return seen[-proxies]
    return request.META.get("REMOTE_ADDR") or None
