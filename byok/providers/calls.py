"""What is sent upstream: a request with its credential, and the smallest one that proves a key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from byok.providers.endpoints import Endpoint

USER_AGENT = "MegaBrain"


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request ready to be sent. It holds the credential, so its repr shows no header."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    #: A customer chose the address, so it may be a public one only (byok/addresses.py).
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Auth:
    """How a credential is put into a header: `{}` in the template stands for it."""

    header: str
    template: str = "{}"


BEARER = Auth("authorization", "Bearer {}")
API_KEY = Auth("x-api-key")


@dataclass(frozen=True, slots=True)
class Probe:
    """The smallest call that proves a key: it shows credit and access, which a list does not."""

    model: str
    # Any: a request body is whatever JSON that provider wants.
    options: Mapping[str, Any]
    endpoint: Endpoint = Endpoint.CHAT


#: What is asked of a model in the test of a key, in those dialects that have no messages.
_PINGS: Mapping[Endpoint, Mapping[str, str]] = {
    Endpoint.RESPONSES: {"input": "ping"},
    Endpoint.COMPLETIONS: {"prompt": "ping"},
    Endpoint.FIM: {"prompt": "def f(", "suffix": "return x"},
    Endpoint.EMBEDDINGS: {"input": "ping"},
}


def asking(probe: Probe) -> Mapping[str, Any]:
    """The part of a test call that asks for something, in the dialect of its endpoint."""
    return _PINGS.get(probe.endpoint, {"messages": [{"role": "user", "content": "ping"}]})
