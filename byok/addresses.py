"""Which addresses a customer may send us to: public ones, and those that the operator names.

An address that somebody typed in may lead anywhere: into our own network, to this machine, to the
service that hands a cloud's credentials to whoever asks. What counts is not what was typed, nor
what its name meant a moment ago, but where a connection is about to go. So both senders, the
gateway and the key test, open their sockets here, and each is judged before it connects.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings

#: What getaddrinfo tells of an address: family, kind, protocol, name, and where to connect to.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]  # Any: each family has its own parts.

#: The part of IPv6 that is given out for use on the internet.
GLOBAL_UNICAST = ip_network("2000::/3")
#: Addresses of version 6 that stand for one of version 4 in their last 32 bits.
TRANSLATED = ip_network("64:ff9b::/96")
#: Not of the internet either, though Python, or an older one, counts them in.
REFUSED = (
    # Here Azure tells a machine its secrets, and in the next Oracle does.
    ip_network("168.63.129.16/32"),
    ip_network("192.0.0.0/24"),
    # Relays of former times, and examples in documents.
    ip_network("192.88.99.0/24"),
    ip_network("3fff::/20"),
)


class NotPublic(OSError):
    """A connection was about to go to an address that is nobody's business but ours."""

    def __init__(self) -> None:
        super().__init__("This is not a public address.")


def is_public(text: str) -> bool:
    """Whether a customer may send us to this address. It is in the usual form, or it is not."""
    try:
        address = _plain(ip_address(text))
    except ValueError:
        return False
    if any(address in network for network in settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS):
        return True
    if address.is_multicast or address.is_reserved or any(address in each for each in REFUSED):
        return False
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return address.is_global


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address of version 4 that one of version 6 stands for and leads to."""
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        raise ValueError("An address with a zone is one of this machine's own links.")
    if address in TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def open_socket(info: AddressInfo) -> socket.socket:
    """A socket for this address, not yet connected. Raises NotPublic."""
    family, kind, protocol, _, place = info
    if family not in (socket.AF_INET, socket.AF_INET6) or not is_public(str(place[0])):
        raise NotPublic
    return socket.socket(family, kind, protocol)


def connect(host: str, port: int, seconds: float | None) -> socket.socket:
    """A connection to the first public address of the host that takes one. Raises OSError."""
    failed: OSError = NotPublic()
    for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            opened = open_socket(info)
        except OSError as error:
            failed = error
            continue
        try:
            opened.settimeout(seconds)
            opened.connect(info[4])
        except OSError as error:
            opened.close()
            failed = error
        else:
            return opened
    raise failed
