"""The seam between MegaBrain and the companies whose API it calls.

A provider is one instance of Provider in its own file: mostly data, with a method
overridden where that company is odd. It does no I/O. It turns a credential and a request
into method, URL, headers and body, and a company's error into an Outcome; the gateway
sends it with aiohttp and the key test with requests, so a test proves what routing uses.
"""

import json
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec
from django.conf import settings

from byok.providers import credentials, errors
from byok.providers.calls import (
    API_KEY,
    BEARER,
    USER_AGENT,
    Auth,
    Probe,
    UpstreamRequest,
    asking,
)
from byok.providers.credentials import UnusableSecret
from byok.providers.endpoints import TRANSLATED, Endpoint
from byok.providers.errors import Failure, Outcome, Rule
from byok.providers.headers import sifted
from byok.providers.listing import (
    POINTER,
    Entry,
    Listed,
    Page,
    decoded,
    id_in,
    items,
    read_each,
    written,
)
from byok.vault import Secret

__all__ = [
    "API_KEY",
    "BEARER",
    "USER_AGENT",
    "Auth",
    "Endpoint",
    "Failure",
    "Fields",
    "Inexpressible",
    "Outcome",
    "Probe",
    "Provider",
    "Rule",
    "UnusableSecret",
    "UpstreamRequest",
]

#: What an id of the catalogue can hold.
_LONGEST_MODEL = 120

#: Begins the path of an endpoint that is not below the base URL but beside its last part.
BESIDE = "/.."

#: The top-level fields of a request body, their values undecoded.
Fields = dict[str, msgspec.Raw]


class Inexpressible(ValueError):
    """What is asked for means something and cannot be said upstream; names field and reason."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


#: One of these lists is in every answer of a model, whatever the dialect.
_ANSWER_PARTS = ("choices", "content", "output", "candidates")


@dataclass(frozen=True, kw_only=True, eq=False)
class Provider:
    """One company's API. Header names are lower-case here; `*` at an end stands for a family."""

    id: str
    name: str
    base_url: str
    console_url: str
    #: Native dialects and where they are below the base URL. The first that can express a request
    #: is spoken where the caller's own is not among them.
    endpoints: Mapping[Endpoint, str]
    #: Other hosts of the company that take keys of their own, by the name under which the operator
    #: can replace them; a test finds out which of them a key belongs to. "" is `base_url`.
    hosts: Mapping[str, str] = field(default_factory=dict)
    models_path: str
    #: The parameter that asks for the page behind another; "" where the list has one page.
    after_parameter: str = ""
    #: Whether anybody is shown the list, without a key.
    list_is_public: bool = False
    probes: tuple[Probe, ...]
    #: Those of hosts whose keys do not serve the models of `probes`.
    host_probes: Mapping[str, tuple[Probe, ...]] = field(default_factory=dict)
    error_rules: tuple[Rule, ...]

    #: A single secret string. (Credentials made of several parts are a kind of their own.)
    kind: str = "secret"
    placeholder: str
    #: A hint for the form, never a reason to refuse a key.
    key_pattern: str
    #: Beginnings every key of this company may have; all that a stored hint may show of them.
    key_prefixes: tuple[str, ...]
    #: What somebody choosing a key has to know of the kinds there are, in a sentence or two.
    key_note: str = ""
    #: The usual shape of each field of a credential in JSON, one mapping for each form it can have.
    key_fields: tuple[Mapping[str, str], ...] = ()
    #: What a key must be allowed to do, where its owner decides that there.
    permissions: tuple[str, ...] = ()
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
    #: Whether it is told which client asks in Claude Code's way, by a line in the system prompt.
    #: For any other company that is a piece of prompt which changes with every request.
    takes_attribution: bool = False
    #: Whether a Chat stream reports usage only when asked with stream_options.include_usage.
    usage_option: bool = False
    #: Whether the output that a Chat answer counts leaves out what was spent on reasoning.
    reasoning_apart: bool = False
    #: At which endpoints a call costs more than its tokens, whatever it asks for.
    fees: frozenset[Endpoint] = frozenset()
    #: Whether a Chat turn with tool calls must come back with the reasoning that led to them.
    wants_reasoning: bool = False
    #: Whether OpenAI's newer tools are known there: custom ones, and lists of those allowed.
    custom_tools: bool = False
    #: Whether the list of models is refused to a bad key.
    list_proves_key: bool = True
    #: The prefix of our ids for the models that it makes itself; "" where it makes none.
    vendor: str = ""

    @property
    def allowed(self) -> bool:
        """Whether keys of it can be used in this installation."""
        return True

    def address(self, path: str, host: str = "") -> str:
        """The URL of a path below the base URL, which only the operator can replace.

        A path that begins with BESIDE is beside the `/v1` at the end of the base URL; below an
        address of the operator's that does not end so.
        """
        own = self.hosts[host] if host else self.base_url
        base: str = settings.MEGABRAIN_UPSTREAM_URLS.get(host or self.id, own)
        base = base.rstrip("/")
        if path.startswith(BESIDE):
            return base.removesuffix("/v1") + path.removeprefix(BESIDE)
        return base + path

    def path(self, endpoint: Endpoint, model: str, *, stream: bool) -> str:
        """Where an endpoint is below the base URL. Raises KeyError for one it does not have."""
        return self.endpoints[endpoint]

    def spoken_for(
        self,
        asked: Endpoint,
        model: str,
        endpoints: Iterable[Endpoint],
        *,
        with_tools: bool = False,
    ) -> Endpoint | None:
        """Which of an offering's endpoints a request for `asked` goes to: the same where it can,
        else the first that it can be translated to."""
        able = [
            endpoint
            for endpoint in endpoints
            if (endpoint is asked or endpoint in TRANSLATED.get(asked, ()))
            and self.speaks(model, endpoint, with_tools=with_tools)
        ]
        return asked if asked in able else next(iter(able), None)

    def serves(self, model: str, host: str) -> bool:
        """Whether keys of this host serve the model; the others' ways are in the catalogue."""
        return True

    def speaks(self, model: str, endpoint: Endpoint, *, with_tools: bool) -> bool:
        """Whether a request for this model can go to an endpoint the catalogue says it has."""
        return True

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        """The fields of a body as this company takes them.

        A request that is valid in its dialect is not to be refused for a field that this company
        does not know or takes differently: such a field is renamed, limited or left out. What
        carries meaning is left as it is. `model` is the company's id for it, `max_output` its
        limit of output tokens where that is known. Returns `fields` itself, or a changed copy.
        Raises Inexpressible for what means something and cannot be said to this company.
        """
        return fields

    def request(
        self,
        secret: Secret,
        endpoint: Endpoint,
        body: bytes,
        headers: Mapping[str, str],
        *,
        model: str = "",
        stream: bool = False,
        host: str = "",
    ) -> UpstreamRequest:
        """A call of a native endpoint, with those of the caller's headers that may go along.

        `headers` are the caller's, with lower-case names; `model` is this company's id and `host`
        one of `hosts`. Raises KeyError for an endpoint this provider does not have and
        UnusableSecret for a credential no header can carry.
        """
        return UpstreamRequest(
            "POST",
            self.address(self.path(endpoint, model, stream=stream), host),
            {
                "user-agent": USER_AGENT,
                **self.default_headers,
                **self.forwarded(headers),
                "content-type": "application/json",
                **self._credential(secret, self.auth_at.get(endpoint, self.auth)),
            },
            body,
        )

    def list_models(
        self, secret: Secret, host: str = "", after: str | None = None
    ) -> UpstreamRequest:
        """The free call that lists the models this credential may use: the page behind `after`,
        which comes from the page before."""
        return UpstreamRequest(
            "GET",
            self.address(self._page(after), host),
            {
                **self.default_headers,
                "user-agent": USER_AGENT,
                **self._credential(secret, self.auth),
            },
        )

    def public_list(self, after: str | None = None) -> UpstreamRequest | None:
        """The same for whoever has no credential, or None where nobody else is told."""
        if not self.list_is_public:
            return None
        headers = {**self.default_headers, "user-agent": USER_AGENT}
        return UpstreamRequest("GET", self.address(self._page(after)), headers)

    def read_list(self, body: bytes) -> Page:
        """What one page of the answer to `list_models` tells. Raises UnreadableList.

        An id is there once a page; one that is on two pages is the caller's to notice.
        """
        return read_each(items(decoded(body)), self.read_entry)

    def read_entry(self, entry: Entry) -> Listed | None:
        """The model of one entry of a list; None for what is no model of its own.

        Raises UnreadableList.
        """
        id_ = id_in(entry)
        return Listed(id_, writes_text=written(id_))

    def makes(self, model: str) -> bool:
        """Whether the model of this id of ours is its own, so that its list knows best about it.

        What a reseller tells of another's model it tells of its own offering.
        """
        prefix = self.id if self.direct else self.vendor
        return bool(prefix) and model.startswith(f"{prefix}/")

    def canonical(self, upstream_id: str) -> str | None:
        """Our id for a model that only its list has told of, or None where that would be a guess.

        Never that of another vendor's model. A direct provider's entries have its own prefix.
        """
        prefix = self.id if self.direct else self.vendor
        # What a customer has tuned is between him and the company.
        private = not self.direct and (":" in upstream_id or upstream_id.endswith(POINTER))
        if not prefix or private:
            return None
        model = f"{prefix}/{upstream_id.lower()}"
        return model if len(model) <= _LONGEST_MODEL else None

    def lists(self, upstream_id: str, listed: Container[str]) -> bool:
        """Whether an offering's upstream id is among those that a list has."""
        return upstream_id in listed

    def test_hosts(self, secret: Secret) -> tuple[str, ...]:
        """The hosts a test tries one after the other, until one does not reject the key.

        Where the operator has put an address in place of the company's, its other hosts are only
        tried at addresses of the operator's: no key goes round an egress proxy.
        """
        replaced = settings.MEGABRAIN_UPSTREAM_URLS
        return ("", *(host for host in self.hosts if host in replaced or self.id not in replaced))

    def test_calls(self, secret: Secret, host: str = "") -> list[tuple[str, UpstreamRequest]]:
        """Upstream model id and smallest call, cheapest first; the others are for models gone."""
        return [
            (
                probe.model,
                self.request(
                    secret,
                    probe.endpoint,
                    json.dumps(self.probe_body(probe)).encode(),
                    {},
                    model=probe.model,
                    host=host,
                ),
            )
            for probe in self.host_probes.get(host, self.probes)
        ]

    def listed_calls(self, secret: Secret, listed: bytes) -> list[tuple[str, UpstreamRequest]]:
        """The test calls where no model is known but from the list of models, given here."""
        return []

    def probe_body(self, probe: Probe) -> Mapping[str, Any]:
        """What the test of a key asks of a model, in the dialect of the probe's endpoint."""
        return {"model": probe.model, **asking(probe), **probe.options}

    def answered(self, body: bytes) -> bool:
        """Whether the body of a 200 is an answer of a model; its text may well be empty."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return False
        return (
            isinstance(answer, dict)
            and not errors.failed_within(answer)
            and any(isinstance(answer.get(part), list) for part in _ANSWER_PARTS)
        )

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """What an error answer, or an error event of a stream, means. Never raises.

        `headers` have lower-case names; an error event comes with the status of its stream.
        """
        return errors.classify(self.error_rules, status, headers, body)

    def forwarded(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The part of a caller's headers that may go to this company."""
        return sifted(headers, self.forwards, self.withholds)

    def returned(self, headers: Mapping[str, str], *, own_key: bool) -> dict[str, str]:
        """The part of this company's answer headers that may go to the caller.

        `own_key` says that the caller's own account is served: limits of MegaBrain's own
        keys are nobody else's business.
        """
        about_the_key = self.returns_to_key_owner if own_key else ()
        return sifted(headers, self.returns + about_the_key)

    def remark(self, secret: Secret, host: str) -> str:
        """What the owner of a key that a host knows should be told of its kind: a sentence, or
        "" where there is only one kind."""
        return ""

    def clean(self, text: str) -> str:
        """The credential inside what was pasted; raises UnusableSecret with a helpful sentence."""
        return credentials.clean(text)

    def hinted(self, text: str) -> str:
        """The part of a cleaned credential that its hint is made of."""
        return text

    def warnings(self, text: str) -> list[str]:
        """Doubts about a cleaned credential, each a sentence. Its owner may insist."""
        for prefix, reason in self.unfit_prefixes.items():
            if text.startswith(prefix):
                return [reason]
        ours, owner = credentials.a(self.name), credentials.owner_of(text)
        if text.startswith(credentials.OWN_TOKEN_PREFIX):
            doubt = "This looks like a MegaBrain API token, which is for your agents, not"
            return [f"{doubt} {ours} key."]
        # A plan of the same company is called after it: NVIDIA NIM, AWS Bedrock.
        if owner and not self.name.startswith(owner):
            return [f"This looks like {credentials.a(owner)} key, not {ours} one."]
        if not re.search(self.key_pattern, text):
            shape = f"are {self.placeholder}"
            if "…" in self.placeholder:
                shape = f"read {self.placeholder} and are longer than 20 characters"
            return [f"This does not look like {ours} key: those {shape}."]
        return []

    def _page(self, after: str | None) -> str:
        if not after or not self.after_parameter:
            return self.models_path
        begun = "&" if "?" in self.models_path else "?"
        return f"{self.models_path}{begun}{self.after_parameter}={quote(after, safe='')}"

    def _credential(self, secret: Secret, auth: Auth) -> dict[str, str]:
        text = secret.reveal()
        if not credentials.can_be_sent(text):
            raise UnusableSecret(f"The stored {self.name} key cannot be sent. Enter it again.")
        return {auth.header: auth.template.format(text)}
