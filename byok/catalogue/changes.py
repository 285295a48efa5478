"""What a source would change, one by one, in words and as a change set keeps it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from byok.providers import name_of


class Kind(StrEnum):
    MODEL_ADDED = "model_added"
    MODEL_CHANGED = "model_changed"
    OFFERING_ADDED = "offering_added"
    OFFERING_CHANGED = "offering_changed"
    PRICE_CHANGED = "price_changed"
    #: The provider's list lacks it; after the grace period it is retired.
    MISSING = "missing"
    BACK = "back"
    RETIRED = "retired"


#: What these say nobody has to believe: a list has an offering, or has it not.
PRESENCE = frozenset({Kind.MISSING, Kind.BACK, Kind.RETIRED})

_WORDS: Mapping[Kind, str] = {
    Kind.MODEL_ADDED: "new model",
    Kind.OFFERING_ADDED: "newly offered",
    Kind.PRICE_CHANGED: "price",
    Kind.MISSING: "missing from the list",
    Kind.BACK: "listed again",
    Kind.RETIRED: "retired",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one field, or the beginning or end of a model or an offering.

    `provider` and `upstream_id` are empty for what concerns the model itself. `before` and `after`
    are JSON: a value, or for what is added an object of all its fields; prices are in 10⁻¹² dollars
    a token. Of a limit that an offering has from its model, `before` is that of the model.
    """

    kind: Kind
    model: str
    provider: str = ""
    upstream_id: str = ""
    field: str = ""
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        where = f"{self.model} at {name_of(self.provider)}" if self.provider else self.model
        word = _WORDS.get(self.kind) or self.field.replace("_", " ")
        match self.kind:
            case Kind.MODEL_CHANGED | Kind.OFFERING_CHANGED:
                return f"{where}: {word} {_shown(self.before)} → {_shown(self.after)}"
            case Kind.PRICE_CHANGED:
                return f"{where}: {word} {_priced(self.before)} → {_priced(self.after)}"
            case Kind.OFFERING_ADDED:
                return f"{where}: {word} as {self.upstream_id}, {_priced(self.after['prices'])}"
        return f"{where}: {word}"

    def as_json(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


def read(stored: Iterable[Mapping[str, Any]]) -> list[Change]:
    """The changes of a ChangeSet."""
    return [Change(**{**each, "kind": Kind(each["kind"])}) for each in stored]


def dollars_a_million(amount: int) -> str:
    """3 000 000 (of 10⁻¹² dollars a token) as $3.00, with as many places as it needs."""
    whole, rest = divmod(amount, 10**6)
    places = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"${whole}.{places}"


# Any: JSON, as the changes hold it.


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "unknown"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _priced(prices: Any) -> str:
    """Input and output of each price, a million tokens."""
    if not prices:
        return "no price known"
    return ", ".join(_price(price) for price in prices)


def _price(price: Mapping[str, Any]) -> str:
    amounts = f"{dollars_a_million(price['input'])}/{dollars_a_million(price['output'])}"
    if price["above_tokens"]:
        amounts += f" above {price['above_tokens']:,}"
    return f"{amounts} at its hours" if price["hours"] else amounts
