"""What companies have in common that copied OpenAI's API and are called directly.

Their base URLs and test models come from what other gateways ship, and change: the operator can
replace an address, and staff an entry of the catalogue. What is known of no such company in
particular is said here; a file of its own says the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from byok.providers import chat_fields, quirks
from byok.providers.base import Endpoint, Fields, Outcome, Provider, Rule
from byok.providers.listing import Entry, Listed, openai_like

CHAT_ONLY: Mapping[Endpoint, str] = {Endpoint.CHAT: "/chat/completions"}
#: Companies that resell models of many vendors often speak all three.
ALL_THREE: Mapping[Endpoint, str] = {
    Endpoint.CHAT: "/chat/completions",
    Endpoint.RESPONSES: "/responses",
    Endpoint.MESSAGES: "/messages",
}

#: What clients of OpenRouter add. Several of these companies know `thinking`.
_UNKNOWN = chat_fields.EXTRAS - {"thinking"}

#: Wordings that say more than the status they come with. Codes are read everywhere alike.
ERROR_RULES = (
    Rule(Outcome.MODEL_MISSING, 400, contains="model not found"),
    Rule(Outcome.MODEL_MISSING, 400, contains="unknown model"),
    Rule(Outcome.MODEL_MISSING, 400, contains="not supported model"),
    Rule(Outcome.MODEL_MISSING, 400, contains="invalid model"),
    Rule(Outcome.REJECTED, 400, contains="invalid api key"),
    Rule(Outcome.REJECTED, 403, contains="invalid api key"),
    # A window of days is not over when a call is tried again in a minute.
    Rule(Outcome.NO_CREDIT, 429, contains="weekly"),
    Rule(Outcome.NO_CREDIT, 429, contains="monthly"),
    Rule(Outcome.NO_CREDIT, 403, contains="balance"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenAICompatible(Provider):
    """A company with OpenAI's API, reached only by choosing its prefixed entry."""

    endpoints: Mapping[Endpoint, str] = field(default_factory=lambda: CHAT_ONLY)
    models_path: str = "/models"
    # Uncertain for all of them; some show it to anyone.
    list_proves_key: bool = False
    #: How much of 10⁻¹² dollars a token a price of its list counts, where that is known.
    price_unit: int | None = None
    error_rules: tuple[Rule, ...] = ERROR_RULES
    returns: tuple[str, ...] = ("x-request-id", "retry-after")
    returns_to_key_owner: tuple[str, ...] = ("x-ratelimit-*",)
    usage_option: bool = True
    direct: bool = True

    # No shape is known, so none is doubted, and a hint shows the last four characters alone.
    placeholder: str = "Paste the key"
    key_pattern: str = r"."
    key_prefixes: tuple[str, ...] = ("",)

    def read_entry(self, entry: Entry) -> Listed:
        return openai_like(entry, self.price_unit)

    def adapt(
        self, endpoint: Endpoint, model: str, fields: Fields, max_output: int | None
    ) -> Fields:
        """What is younger than most copies of OpenAI's API goes under its older name."""
        if endpoint is not Endpoint.CHAT:
            return fields
        fields = quirks.without(fields, *_UNKNOWN)
        fields = chat_fields.limit_as(fields, "max_tokens", max_output)
        return quirks.no_developer(fields)
