"""Where a change came from: kept with every audit event."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """`address` is an IP address or None, the rest bounded plain text, whatever was passed in:
    nothing a client sends can keep an audit event from being written.
    """

    address: str | None = None
    user_agent: str = ""
    request_id: str = ""

    def __post_init__(self) -> None:
        # The class is frozen for its users; this is where it gets its values.
        object.__setattr__(self, "address", _address(self.address))
        object.__setattr__(self, "user_agent", _CONTROL.sub(" ", self.user_agent)[:300])
        object.__setattr__(self, "request_id", _CONTROL.sub(" ", self.request_id)[:64])

    @classmethod
    def of(cls, request: HttpRequest) -> "Origin":
        return cls(
            address=client_address(request),
            user_agent=request.headers.get("user-agent", ""),
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
            return _address(seen[-proxies])
    return _address(request.META.get("REMOTE_ADDR"))


def _address(text: str | None) -> str | None:
    """`text` in the one usual spelling of an IP address; None when it is not one.

    IPv6 loses its zone, and IPv4 in IPv6 clothes becomes IPv4, so that the same client reads
    the same everywhere, on both databases and in the hash of an audit event.
    """
    try:
        address = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)
