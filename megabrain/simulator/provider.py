"""What a provider is to the simulator: mostly data, with a method overridden where it is odd."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from megabrain.simulator.refusals import Case, Refused
from megabrain.simulator.turn import Json, Model, Operation, Usage


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
    refuses_unknown_fields = False
    wants_version = False
    """Whether a call of Messages must say `anthropic-version`; others ignore it."""
    shows_reasoning = True
    usage_unasked = False
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

    def issued(self, key: str) -> bool:
        """Whether a key has the shape of this provider's, rather than of another one's."""
        return key.startswith(self.key_prefixes)

    def check(self, operation: Operation, body: Json, model: Model) -> None:
        """Rules of this house beyond those of the dialect. Raises Refused."""

    def thinks(self, operation: Operation, body: Json, model: Model) -> bool:
        """Whether a Chat or Responses request makes the model reason before it answers."""
        effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
        return model.reasoning and effort != "none"

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

    def list_models(self, query: Mapping[str, str]) -> Json:
        return {"object": "list", "data": [self.describe(model) for model in self.models]}

    def describe(self, model: Model) -> Json:
        return {"id": model.id, "object": "model", "created": 1_790_000_000, "owned_by": self.id}

    def balance(self) -> Json:
        raise Refused(Case.NO_SUCH_PATH)

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

    def headers(self, number: int) -> Mapping[str, str]:
        """Headers of every answer; some are the provider's own business with its customer."""
        return {"x-request-id": f"req_{number:024x}"}
