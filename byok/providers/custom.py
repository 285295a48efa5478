"""A customer's own endpoint with OpenAI's API, where the operator allows such.

Its credential is three things sealed together as one JSON object: base URL, API key and, if its
owner likes, ids of models. Its models are asked for as `custom/<id>`, and are in no catalogue.
Where it may be is checked twice: here, what was typed; and by whoever opens the connection, whom
`guarded` tells to, where that leads (byok/addresses.py).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from django.conf import settings

from byok.addresses import is_public
from byok.providers import credentials
from byok.providers.base import USER_AGENT, Endpoint, UnusableSecret, UpstreamRequest
from byok.providers.openai_compatible import OpenAICompatible
from byok.vault import Secret

PREFIX = "custom/"
MAX_URL = 500
MAX_MODELS = 50
MAX_MODEL = 200
#: Models that a test tries at most.
PROBED = 3

#: Only what every program reads alike: no user name, no escapes in a host, no query.
_URL = re.compile(
    r"(?i:https)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]*)*)",
    re.ASCII,
)
_MODEL = re.compile(rf"[\x21-\x7e]{{1,{MAX_MODEL}}}")
#: What people paste along with the base URL.
_OPERATIONS = ("/chat/completions", "/completions", "/embeddings", "/models")
#: Ends of names that are of no use on the internet.
_LOCAL = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".corp", ".home")

Field = Literal["base_url", "secret", "models"]


class Unusable(UnusableSecret):
    """What was typed into one of the fields cannot be used; the message does not repeat it."""

    def __init__(self, field: Field, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Place:
    """An endpoint with its key."""

    base_url: str
    api_key: str = field(repr=False)
    models: tuple[str, ...] = ()

    @classmethod
    def of(cls, base_url: str, api_key: str, models: list[str]) -> "Place":
        """From what was typed. Raises Unusable."""
        try:
            key = credentials.clean(api_key)
        except UnusableSecret as unusable:
            reason = str(unusable)
        else:
            return cls(clean_url(base_url), key, clean_models(models))
        # Without its cause, whose frames hold what was pasted.
        raise Unusable("secret", reason)

    @classmethod
    def read(cls, text: str) -> "Place":
        """From the sealed JSON, or from JSON that an operator wrote. Raises UnusableSecret."""
        try:
            parts = json.loads(text)
        except (ValueError, RecursionError):
            parts = None
        if not (
            isinstance(parts, dict)
            and isinstance(parts.get("base_url"), str)
            and isinstance(parts.get("api_key"), str)
            and isinstance(models := parts.get("models", []), list)
            and all(isinstance(model, str) for model in models)
        ):
            raise UnusableSecret(
                "An endpoint of your own is a JSON object with base_url, api_key and, if you like, "
                "models: a list of their ids."
            )
        return cls.of(parts["base_url"], parts["api_key"], models)

    def sealed(self) -> str:
        """As one text, the same for the same endpoint."""
        parts = {"base_url": self.base_url, "api_key": self.api_key, "models": self.models}
        return json.dumps(parts, sort_keys=True, separators=(",", ":"))


def clean_url(text: str) -> str:
    """The base URL in what was typed, in one form. Raises Unusable.

    Nothing is looked up: what a name leads to is judged whenever a connection is made.
    """
    url = text.strip().rstrip("/")
    for operation in _OPERATIONS:
        url = url.removesuffix(operation)
    if url.lower().startswith("http://"):
        raise Unusable("base_url", "The address has to begin with https://: keys go there.")
    found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
    if found is None or int(found["port"] or 443) not in range(1, 65536):
        raise Unusable(
            "base_url",
            "Write the address as https://host/path, without user name, question mark or fragment.",
        )
    host = found["host"].lower()
    if ".." in host or any(part in (".", "..") for part in found["path"].split("/")):
        raise Unusable("base_url", "Between two dots, or two slashes, there has to be a name.")
    _check_host(host)
    port = f":{found['port']}" if found["port"] else ""
    return f"https://{host}{port}{found['path'].rstrip('/')}"


def _check_host(host: str) -> None:
    """Tell early what would be refused at every call."""
    if host.startswith("[") or re.fullmatch(
        r"[0-9.]+|.*\.(?:[0-9]+|0x[0-9a-f]*)|0x[0-9a-f]+", host
    ):
        if not is_public(host.strip("[]")):
            raise Unusable(
                "base_url",
                "Only public addresses can be reached from here, written in the usual form.",
            )
    elif not settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS and (
        "." not in host or host.endswith(_LOCAL)
    ):
        raise Unusable(
            "base_url",
            "This is a name inside a network. Only public ones can be reached from here.",
        )


def clean_models(models: list[str]) -> tuple[str, ...]:
    """Ids of models, each once. Raises Unusable."""
    found = tuple(dict.fromkeys(filter(None, (model.strip() for model in models))))
    if len(found) > MAX_MODELS:
        raise Unusable("models", f"Name at most {MAX_MODELS} models; others can be called, too.")
    if not all(_MODEL.fullmatch(model) for model in found):
        raise Unusable("models", "The id of a model has no spaces and no more than 200 characters.")
    return found


def upstream_model(name: str) -> str | None:
    """The endpoint's own id in `custom/<id>`; None for the name of any other model."""
    name = name.strip()
    own = name[len(PREFIX) :] if name[: len(PREFIX)].lower() == PREFIX else ""
    return own if _MODEL.fullmatch(own) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class CustomEndpoint(OpenAICompatible):
    """Reads from its credential where it is."""

    @property
    def allowed(self) -> bool:
        # While providers are simulated, no call leaves the machine.
        return settings.MEGABRAIN_CUSTOM_ENDPOINTS and not settings.MEGABRAIN_SIMULATOR

    def clean(self, text: str) -> str:
        return Place.read(text).sealed()

    def hinted(self, text: str) -> str:
        return Place.read(text).api_key

    def warnings(self, text: str) -> list[str]:
        return super().warnings(Place.read(text).api_key)

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
        path = self.path(endpoint, model, stream=stream)
        sent = {**self.forwarded(headers), "content-type": "application/json"}
        return self._to(secret, "POST", path, sent, body)

    def list_models(
        self, secret: Secret, host: str = "", after: str | None = None
    ) -> UpstreamRequest:
        return self._to(secret, "GET", self.models_path, {}, None)

    def canonical(self, upstream_id: str) -> str | None:
        """None: what a customer calls his models says nothing of anybody else's."""
        return None

    def _to(
        self, secret: Secret, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> UpstreamRequest:
        if not self.allowed:
            raise UnusableSecret("The operator does not allow endpoints of one's own.")
        place = Place.read(secret.reveal())
        return UpstreamRequest(
            method,
            place.base_url + path,
            {
                "user-agent": USER_AGENT,
                **headers,
                **self._credential(Secret(place.api_key), self.auth),
            },
            body,
            guarded=True,
        )

    def test_calls(self, secret: Secret, host: str = "") -> list[tuple[str, UpstreamRequest]]:
        return self._probing(secret, Place.read(secret.reveal()).models)

    def listed_calls(self, secret: Secret, listed: bytes) -> list[tuple[str, UpstreamRequest]]:
        return self._probing(secret, _ids(listed))

    def _probing(
        self, secret: Secret, models: tuple[str, ...]
    ) -> list[tuple[str, UpstreamRequest]]:
        asking = {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}
        return [
            (
                model,
                self.request(
                    secret,
                    Endpoint.CHAT,
                    json.dumps({"model": model, **asking}).encode(),
                    {},
                ),
            )
            for model in models[:PROBED]
        ]


def _ids(listed: bytes) -> tuple[str, ...]:
    """The models in a list as OpenAI answers it; none if it is anything else."""
    try:
        answer: Any = json.loads(listed)  # Any: whatever the other side sent.
    except (ValueError, RecursionError):
        return ()
    items = answer.get("data") if isinstance(answer, dict) else None
    ids = [item.get("id") for item in items if isinstance(item, dict)] if items else []
    return tuple(id_ for id_ in ids if isinstance(id_, str) and _MODEL.fullmatch(id_))


PROVIDER = CustomEndpoint(
    id="custom",
    name="Custom endpoint",
    kind="endpoint",
    base_url="",
    console_url="",
    endpoints={
        Endpoint.CHAT: "/chat/completions",
        Endpoint.COMPLETIONS: "/completions",
        Endpoint.EMBEDDINGS: "/embeddings",
    },
    probes=(),
)
