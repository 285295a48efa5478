"""The seam between MegaBrain and the companies whose API it calls.

A provider is one instance of Provider in its own file: mostly data, with a method
overridden where that company is odd. It does no I/O. It turns a credential and a request
into method, URL, headers and body, and a company's error into an Outcome; the gateway
sends it with aiohttp and the key test with requests, so a test proves what routing uses.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from django.conf import settings

from byok.providers import credentials, errors
from byok.providers.credentials import UnusableSecret
from byok.providers.errors import Failure, Outcome, Rule
from byok.vault import Secret

__all__ = [
    "Auth",
    "Endpoint",
    "Failure",
    "Outcome",
    "Probe",
    "Provider",
    "Rule",
    "UnusableSecret",
    "UpstreamRequest",
]

USER_AGENT = "MegaBrain"


class Endpoint(StrEnum):
    """An operation of a dialect; the value is its path below our own /v1/."""

    CHAT = "chat/completions"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COUNT_TOKENS = "messages/count_tokens"


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request ready to be sent. It holds the credential, so its repr shows no header."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Provider:
    """One company's API. Header names are lower-case here; `*` at an end stands for a family."""

    id: str
    name: str
    base_url: str
    console_url: str
    #: Native dialects and where they are below the base URL.
    endpoints: Mapping[Endpoint, str]
    models_path: str
    probes: tuple[Probe, ...]
    error_rules: tuple[Rule, ...]

    #: A single secret string. (Credentials made of several parts are a kind of their own.)
    kind: str = "secret"
    placeholder: str
    #: A hint for the form, never a reason to refuse a key.
    key_pattern: str
    #: Beginnings every key of this company may have; all that a stored hint may show of them.
    key_prefixes: tuple[str, ...]
    #: Keys of this company that cannot be used for calls, by their beginning, and why not.
    unfit_prefixes: Mapping[str, str] = field(default_factory=dict)
    #: Reached only by choosing its own prefixed model entry.
    direct: bool = False

    auth: Auth = BEARER
    auth_at: Mapping[Endpoint, Auth] = field(default_factory=dict)
    #: Sent unless the caller sent its own.
    default_headers: Mapping[str, str] = field(default_factory=dict)
    #: Which of a caller's headers go to this company, and to no other.
    forwards: tuple[str, ...] = ()
    #: Single names that stay behind although they are of a family that goes along.
    withholds: tuple[str, ...] = ()
    #: Which of its answer's headers go back to the caller: always, and about the caller's own key.
    returns: tuple[str, ...] = ()
    returns_to_key_owner: tuple[str, ...] = ()
    #: Whether a Chat stream reports usage only when asked with stream_options.include_usage.
    usage_option: bool = False
    #: Whether the list of models is refused to a bad key.
    list_proves_key: bool = True

    def address(self, path: str) -> str:
        """The URL of a path below the base URL, which only the operator can replace."""
        base: str = settings.MEGABRAIN_UPSTREAM_URLS.get(self.id, self.base_url)
        return base.rstrip("/") + path

    def request(
        self, secret: Secret, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]
    ) -> UpstreamRequest:
        """A call of a native endpoint, with those of the caller's headers that may go along.

        `headers` are the caller's, with lower-case names. Raises KeyError for an endpoint
        this provider does not have and UnusableSecret for a credential no header can carry.
        """
        return UpstreamRequest(
            "POST",
            self.address(self.endpoints[endpoint]),
            {
                **self.default_headers,
                **self.forwarded(headers),
                "content-type": "application/json",
                "user-agent": USER_AGENT,
                **self._credential(secret, self.auth_at.get(endpoint, self.auth)),
            },
            body,
        )

    def list_models(self, secret: Secret) -> UpstreamRequest:
        """The free call that lists the models this credential may use."""
        return UpstreamRequest(
            "GET",
            self.address(self.models_path),
            {
                **self.default_headers,
                "user-agent": USER_AGENT,
                **self._credential(secret, self.auth),
            },
        )

    def test_calls(self, secret: Secret) -> list[tuple[str, UpstreamRequest]]:
        """Upstream model id and smallest call, cheapest first; the others are for models gone."""
        return [
            (
                probe.model,
                self.request(
                    secret,
                    probe.endpoint,
                    json.dumps(
                        {
                            "model": probe.model,
                            "messages": [{"role": "user", "content": "ping"}],
                            **probe.options,
                        }
                    ).encode(),
                    {},
                ),
            )
            for probe in self.probes
        ]

    def answered(self, body: bytes) -> bool:
        """Whether the body of a 200 is an answer of a model; its text may well be empty."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return False
        return (
            isinstance(answer, dict)
            and not answer.get("error")
            and any(isinstance(answer.get(part), list) for part in ("choices", "content", "output"))
        )

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """What an error answer, or an error event of a stream, means. Never raises.

        `headers` have lower-case names; an error event comes with the status of its stream.
        """
        return errors.classify(self.error_rules, status, headers, body)

    def forwarded(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The part of a caller's headers that may go to this company."""
        return _sifted(headers, self.forwards, self.withholds)

    def returned(self, headers: Mapping[str, str], *, own_key: bool) -> dict[str, str]:
        """The part of this company's answer headers that may go to the caller.

        `own_key` says that the caller's own account is served: limits of MegaBrain's own
        keys are nobody else's business.
        """
        about_the_key = self.returns_to_key_owner if own_key else ()
        return _sifted(headers, self.returns + about_the_key)

    def clean(self, text: str) -> str:
        """The credential inside what was pasted; raises UnusableSecret with a helpful sentence."""
        return credentials.clean(text)

    def warnings(self, text: str) -> list[str]:
        """Doubts about a cleaned credential, each a sentence. Its owner may insist."""
        for prefix, reason in self.unfit_prefixes.items():
            if text.startswith(prefix):
                return [reason]
        ours, owner = credentials.a(self.name), credentials.owner_of(text)
        if text.startswith(credentials.OWN_TOKEN_PREFIX):
            doubt = "This looks like a MegaBrain API token, which is for your agents, not"
            return [f"{doubt} {ours} key."]
        if owner and owner != self.name:
            return [f"This looks like {credentials.a(owner)} key, not {ours} one."]
        if not re.search(self.key_pattern, text):
            doubt = f"This does not look like {ours} key: those read {self.placeholder}"
            return [f"{doubt} and are longer than 20 characters."]
        return []

    def _credential(self, secret: Secret, auth: Auth) -> dict[str, str]:
        text = secret.reveal()
        if not credentials.can_be_sent(text):
            raise UnusableSecret(f"The stored {self.name} key cannot be sent. Enter it again.")
        return {auth.header: auth.template.format(text)}


def _sifted(
    headers: Mapping[str, str], listed: tuple[str, ...], withheld: tuple[str, ...] = ()
) -> dict[str, str]:
    """The headers of the listed names and families that are safe to pass on."""
    names, families = _split(listed)
    return {
        name: value
        for name, value in headers.items()
        if (name in names or name.startswith(families))
        and name not in withheld
        and _safe(name, value)
    }


@lru_cache
def _split(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names, and the beginnings of families, of a list that is gone through with every call."""
    families = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    return frozenset(pattern for pattern in patterns if not pattern.endswith("*")), families


def _safe(name: str, value: str) -> bool:
    """Whether a header can be passed on without becoming something else on the way."""
    return (
        re.fullmatch(r"[a-z0-9_-]{1,128}", name) is not None
        and re.fullmatch(r"[\t\x20-\x7e]*", value) is not None
    )
