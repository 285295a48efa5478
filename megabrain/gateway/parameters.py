"""Which parameters of a request reach a provider that serves a model.

Nobody keeps a table of that: such requests are written here as they would be for a call
(exchange.py), and what has become of them is looked at.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, cast
from uuid import UUID

import msgspec

from byok.catalogue.memory import Model, Offer
from byok.providers import PROVIDERS
from byok.providers.base import Endpoint, Inexpressible
from megabrain.gateway.dialects import CALLER_SIDES, DIALECTS, PROVIDER_SIDES
from megabrain.gateway.dialects.base import Ask, Unreadable, body_of
from megabrain.gateway.dialects.neutral import Origin
from megabrain.gateway.dialects.translation import Target
from megabrain.gateway.routing import Candidate
from megabrain.gateway.snapshot import Key

Json = dict[str, Any]  # A request body, or a part of one.

#: Of so many offerings it is remembered.
REMEMBERED = 16_384

_ENCODER = msgspec.json.Encoder()
_NOBODY = UUID(int=0)
_SCHEMA = {"type": "object", "properties": {"mb_field": {"type": "string"}}}
_TOOL = {"type": "function", "function": {"name": "mb_tool", "parameters": _SCHEMA}}
#: A schema is to constrain the answer; some providers are only told of it in words.
_SAID = ("messages", "input", "contents", "system", "systemInstruction")

#: Parameters by the endpoint that a model is made for, with values that show wherever they arrive,
#: whatever they are called there.
_MARKED: Mapping[Endpoint, Json] = {
    Endpoint.CHAT: {
        "max_tokens": 1031,
        "temperature": 0.73,
        "stop": ["mb-stop"],
        "seed": 918273,
        "frequency_penalty": 0.17,
        "presence_penalty": 0.19,
        "tools": [_TOOL],
    },
    Endpoint.FIM: {"max_tokens": 1031, "temperature": 0.73, "stop": ["mb-stop"], "seed": 918273},
    Endpoint.EMBEDDINGS: {"dimensions": 977},
}
#: Those that some models take instead of others.
_INSTEAD: Mapping[Endpoint, Json] = {
    Endpoint.CHAT: {"top_p": 0.87, "top_k": 977, "min_p": 0.13, "repetition_penalty": 1.13},
    Endpoint.FIM: {"top_p": 0.87},
}
#: Parameters without such a value: they change what is written, if they arrive.
_CHANGING: Json = {
    "response_format": {"type": "json_object"},
    "reasoning": {"effort": "high"},
    "reasoning_effort": "high",
    "tool_choice": "required",
    "parallel_tool_calls": False,
}
_HELD_TO_SCHEMA = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "mb_format", "schema": _SCHEMA},
    }
}
#: All that is not among the first, at once.
_MORE = {"tools": [_TOOL], **_INSTEAD[Endpoint.CHAT], **_CHANGING, **_HELD_TO_SCHEMA}
#: What only models with a capability understand.
_NEEDED = {
    "tools": "tools",
    "tool_choice": "tools",
    "parallel_tool_calls": "tools",
    "reasoning": "reasoning",
    "reasoning_effort": "reasoning",
}
_PLAIN: Mapping[Endpoint, Json] = {
    Endpoint.CHAT: {"messages": [{"role": "user", "content": "ping"}]},
    Endpoint.FIM: {"prompt": "ping", "suffix": "pong"},
    Endpoint.EMBEDDINGS: {"input": "ping"},
}


def taken(model: Model, offer: Offer) -> frozenset[str]:
    """Names of parameters, as OpenRouter calls them, that this provider is told and can heed."""
    return _taken(
        offer.provider,
        offer.upstream_id,
        offer.endpoints,
        offer.max_output,
        model.id,
        model.max_output,
        model.capabilities,
    )


@lru_cache(REMEMBERED)
def _taken(
    provider: str,
    upstream_id: str,
    endpoints: tuple[Endpoint, ...],
    offer_max_output: int | None,
    model: str,
    max_output: int | None,
    capabilities: tuple[str, ...],
) -> frozenset[str]:
    offer = Offer(provider, upstream_id, endpoints, (), max_output=offer_max_output)
    trial = _Trial(Model(model, "", None, max_output, capabilities, 0, ()), offer)
    if trial.spoken is None:
        return frozenset()
    likeness = trial.likeness()
    found = _known.get(likeness)
    if found is None:
        if len(_known) >= REMEMBERED:
            _known.clear()
        found = _known[likeness] = _tried(trial, capabilities, offer_max_output)
    return found


#: Models of which a provider is asked alike take the same: there are thousands of them, and few
#: ways to be asked.
_known: dict[object, frozenset[str]] = {}


def _tried(
    trial: "_Trial", capabilities: tuple[str, ...], max_output: int | None
) -> frozenset[str]:
    marked, instead = _MARKED[trial.asked], _INSTEAD.get(trial.asked, {})
    plain = trial.body("marked")
    found = {name for name in marked if _mark(name, marked[name], max_output) in plain}
    if instead:
        other = trial.body("instead")
        found |= {name for name in instead if _mark(name, instead[name], None) in other}
    if trial.asked is Endpoint.CHAT:
        wanted = [name for name in _CHANGING if _fits(name, capabilities)]
        found |= {name for name in wanted if trial.body(name) != plain}
        if trial.is_held_to_schema():
            found.add("structured_outputs")
        if "reasoning" in capabilities:
            found.add("include_reasoning")
    return frozenset(name for name in found if _fits(name, capabilities))


def _fits(name: str, capabilities: tuple[str, ...]) -> bool:
    return name not in _NEEDED or _NEEDED[name] in capabilities


def _mark(name: str, value: Any, max_output: int | None) -> bytes:
    """What shows in a body that the parameter with this value has arrived."""
    if name == "tools":
        return b'"mb_tool"'
    if name == "max_tokens" and max_output is not None:
        value = min(value, max_output)
    return _ENCODER.encode(value[0] if isinstance(value, list) else value)


@cache
def _asking(endpoint: Endpoint, what: str) -> Ask:
    """A request with the parameters in question; `what` may name one of _CHANGING."""
    match what:
        case "instead":
            parameters = _INSTEAD[endpoint]
        case "schema":
            parameters = _HELD_TO_SCHEMA
        case "much":
            parameters = {**_MARKED[endpoint], "response_format": {"type": "json_object"}}
        case "more":
            parameters = _MORE if endpoint is Endpoint.CHAT else _INSTEAD.get(endpoint, {})
        case _:
            changed = {what: _CHANGING[what]} if what in _CHANGING else {}
            parameters = {**_MARKED[endpoint], **changed}
    body = {"model": "", **_PLAIN[endpoint], **parameters}
    return DIALECTS[endpoint].read(_ENCODER.encode(body))


class _Trial:
    """Requests for one offering of a model, at the endpoint that it is made for."""

    def __init__(self, model: Model, offer: Offer) -> None:
        self._model = model
        self._offer = offer
        self._provider = PROVIDERS[offer.provider]
        self.asked, self.spoken = Endpoint.CHAT, self._spoken_for(Endpoint.CHAT)
        for asked in (Endpoint.FIM, Endpoint.EMBEDDINGS):
            if self.spoken is None:
                self.asked, self.spoken = asked, self._spoken_for(asked)

    def _spoken_for(self, asked: Endpoint) -> Endpoint | None:
        offer = self._offer
        return self._provider.spoken_for(asked, offer.upstream_id, offer.endpoints, with_tools=True)

    def body(self, what: str) -> bytes:
        """What the provider would be sent; b"" where nothing would be."""
        try:
            return self._written(_asking(self.asked, what))
        except (Unreadable, Inexpressible):
            return b""

    def likeness(self) -> object:
        """The same for two models only if this provider is asked of them in the same way."""
        id_ = _ENCODER.encode(self._offer.upstream_id)
        # Of one for which nothing would be sent, nothing is known but itself.
        asked = [self.body(what).replace(id_, b"") or id_ for what in ("much", "more")]
        return (self._provider.id, self.asked, self.spoken, self._model.capabilities, *asked)

    def is_held_to_schema(self) -> bool:
        body = msgspec.json.decode(self.body("schema") or b"{}", type=dict[str, msgspec.Raw])
        return any(b"mb_field" in bytes(body[name]) for name in body if name not in _SAID)

    def _written(self, ask: Ask) -> bytes:
        assert self.spoken is not None
        dialect, provider = DIALECTS[self.asked], self._provider
        candidate = Candidate(
            cast("Key", None),  # No body depends on whose key it goes with.
            provider,
            self._offer,
            self.spoken,
            self._offer.max_output,
        )
        alike = dialect.alike or {dialect.endpoint}
        if self.spoken in alike and dialect.passes(ask, provider):
            return dialect.at(provider).write(ask, candidate)
        target = Target(
            provider=provider,
            upstream_model=self._offer.upstream_id,
            model=self._model.id,
            origin=Origin(provider.id, "", self._offer.upstream_id),
            max_output=self._model.max_output,
            context=self._model.context,
            capabilities=self._model.capabilities,
        )
        prompt = CALLER_SIDES[self.asked].parse(ask, _NOBODY)
        written = PROVIDER_SIDES[self.spoken].request(prompt, target)
        fields = {name: msgspec.Raw(_ENCODER.encode(value)) for name, value in written.items()}
        return body_of(fields, candidate)
