"""What a provider is to the simulator: mostly data, with a method overridden where it is odd."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from megabrain.simulator.connection import Call
from megabrain.simulator.refusals import Case, Refused
from megabrain.simulator.turn import Json, Model, Operation, Reply, Turn, Usage


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wording:
    """How a provider says that something is wrong; `{model}` and `{key}` are filled in."""

    status: int
    type: str
    code: str | int | None = None
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


#: What clients of OpenRouter add to a request. Hardly anybody else knows it.
OPENROUTERS = frozenset(
    """cache_control include_reasoning min_p models plugins provider reasoning repetition_penalty
    route top_a top_k transforms usage""".split()  # noqa: SIM905 (one name a line would fill the page)
)


class UsageAt(Enum):
    """Where a Chat stream tells what the answer used."""

    OWN_EVENT = "in an event without choices, after the last one"
    FINISH = "on the event that ends the answer"
    CHOICE = "in the choice of the event that ends the answer"


class Provider:
    """A provider in the style of OpenAI; each file says where its own differs."""

    id: str
    name: str
    path: str
    """Where it is on the simulator: what replaces the base URL of the real one."""
    routes: Mapping[tuple[str, str], Operation]
    """Method and path below the simulator's folder for this provider."""
    models: tuple[Model, ...]
    wordings: Mapping[Case, Wording]
    sample_key: str
    key_prefixes: tuple[str, ...]
    hosts: Mapping[str, str] = {}
    """Where its other hosts are on the simulator, by the name of the address each replaces."""
    key_marks: Mapping[str, str] = {}
    """What is in the keys of those hosts, and in no other's."""
    refuses_unknown_fields = False
    refused_fields: frozenset[str] = OPENROUTERS
    """Fields of a Chat request that are refused, where not all unknown ones are."""
    wants_version = False
    """Whether a call of Messages must say `anthropic-version`; others ignore it."""
    usual_output: int | None = None
    """How many tokens a Chat answer has at most where the caller sets no limit."""
    shows_reasoning = True
    usage_unasked = False
    usage_at = UsageAt.OWN_EVENT
    fim_is_text = False
    """Whether fill-in-the-middle is answered as a text completion, rather than as a chat."""
    list_is_public = False
    keep_alive = b""
    """What a stream carries while the caller waits; nothing where the headers themselves wait."""

    def __init__(self) -> None:
        self._models = {name: model for model in self.models for name in (model.id, *model.aliases)}

    @property
    def folder(self) -> str:
        """`openai` of `/openai/v1`: where everything of this provider is."""
        return self.path.split("/")[1]

    def model(self, name: object) -> Model:
        if isinstance(name, str) and name in self._models:
            return self._models[name]
        raise Refused(Case.MODEL_MISSING, self.words(Case.MODEL_MISSING).format(model=name))

    def words(self, case: Case) -> str:
        return self.wordings[case].message

    def key(self, operation: Operation, headers: Mapping[str, str]) -> str:
        """The credential as this provider wants it sent; anything else is as good as none."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refused(Case.NO_KEY)
        return key.strip()

    def caller(self, operation: Operation, call: Call) -> str:
        """The credential that a call comes with, or what stands for it. Raises Refused."""
        return self.key(operation, call.headers)

    def model_for(self, call: Call, name: str) -> Model:
        """The model that is named in the path of a call. Raises Refused."""
        return self.model(name)

    def key_that(self, word: str) -> str:
        """A key of this provider with a word of faults.py in it, as its owner stores it."""
        return f"{self.key_prefixes[0]}sim-{word}-x"

    def issued(self, key: str) -> bool:
        """Whether a key has the shape of this provider's, rather than of another one's."""
        return key.startswith(self.key_prefixes)

    def takes(self, key: str, path: str) -> bool:
        """Whether the host that this path is of takes the key; each takes its own alone."""
        roots = {host: base.removesuffix("/v1") + "/" for host, base in self.hosts.items()}
        at = next((host for host, root in roots.items() if path.startswith(root)), "")
        belongs = next((host for host, mark in self.key_marks.items() if mark in key), "")
        return at == belongs and self.issued(key)

    def admit(self, key: str, model: Model) -> None:
        """Raises Refused where this key does not serve the model."""

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        """Rules of this house beyond those of the dialect. Raises Refused."""

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        """Whether a Chat or Responses request makes the model reason before it answers."""
        effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
        return model.reasoning and effort != "none"

    def voiced(self, operation: Operation, turn: Turn, reply: Reply) -> Reply:
        """A reply as this provider has it said."""
        return reply

    def reasoning(self, text: str) -> Json:
        """The part of a Chat message, or of a delta, that holds reasoning."""
        return {"reasoning_content": text}

    def call_id(self, number: int, index: int) -> str:
        return f"call_{number:016x}{index:04x}"

    def error(self, operation: Operation, refused: Refused) -> Answer:
        """An error as this provider answers it."""
        wording = self.wordings[refused.case]
        body = self.error_body(operation, wording, refused)
        return Answer(wording.status, msgspec.json.encode(body), wording.headers)

    def error_body(self, operation: Operation, wording: Wording, refused: Refused) -> Json:
        return {
            "error": {
                "message": refused.message or wording.message,
                "type": wording.type,
                "param": refused.param,
                "code": refused.code or wording.code,
            }
        }

    def list_models(self, call: Call) -> Json:
        """The page of its list that a call asks for. Raises Refused."""
        listed = [self.describe(model) for model in self.models if model.listed]
        return {"object": "list", "data": listed}

    def describe(self, model: Model) -> Json:
        return {"id": model.id, "object": "model", "created": 1_790_000_000, "owned_by": self.id}

    def balance(self) -> Json:
        raise Refused(Case.NO_SUCH_PATH)

    def chat_extras(self) -> Json:
        """What a Chat answer, and each event of one, has beside what OpenAI's have."""
        return {}

    def chat_usage(self, usage: Usage) -> Json:
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def responses_usage(self, usage: Usage) -> Json:
        return {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": 0},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        }

    def event(self, written: bytes) -> bytes:
        """An event of a stream as this provider sends it."""
        return written

    def headers(self, number: int) -> Mapping[str, str]:
        """Headers of every answer; some are the provider's own business with its customer."""
        return {"x-request-id": f"req_{number:024x}"}
