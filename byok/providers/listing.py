"""What a provider's own list of models tells, in one form for all of them.

Pure: a provider's `read_list` turns one page of its answer into a `Page`. Where a list does not say
something, or says it in a way that cannot be, it is None, and what was known before stays. What has
no form of a list at all, or an entry without a usable id, makes the whole answer unreadable.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, DecimalException
from typing import Any

#: An answer that lists more is not believed.
MOST_MODELS = 20_000
#: Ends a name that moves from one model to the next.
POINTER = "-latest"
LONGEST_ID = 200
LONGEST_NAME = 120
LONGEST_CURSOR = 2048

#: The units in which prices are told, each as so many of 10⁻¹² dollars a token.
DOLLARS_A_TOKEN = 10**12
DOLLARS_A_MILLION = 10**6
#: Of xAI, a cent for a hundred million tokens; of Novita, a 10,000th of a dollar for a million.
TEN_THOUSANDTHS_A_MILLION = 10**2
#: A dollar a token. Nothing costs as much, and no column holds much more.
_HIGHEST_PRICE = DOLLARS_A_TOKEN
_FINEST = Decimal("1e-30")
_MOST_DIGITS = 60
_MOST_TOKENS = 2**31 - 1

_USABLE_ID = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_ID}}}")
_NUMBER = re.compile(r"\$?([0-9]{1,20}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,2})?)")
#: Parts of ids by which companies call what answers in vectors, pictures or sound.
_TEXTLESS = re.compile(
    r"(?<![a-z])(?:asr|audio|dall-e|embed[a-z]*|flux|image[ns]?|lyria|moderation|music|realtime"
    r"|rerank[a-z]*|sora|speech|stable-diffusion|transcri[a-z]*|tts|veo|video|voice|whisper)"
    r"(?![a-z])",
    re.IGNORECASE,
)

# Any: entries are JSON of other companies.
Entry = Mapping[str, Any]


class UnreadableList(ValueError):
    """The answer is no list of models; says why, for staff, without repeating the answer."""


@dataclass(frozen=True, slots=True)
class ListedRate:
    """A price that a list tells, in 10⁻¹² dollars a token, for prompts above so many tokens."""

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    above_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """One model of a list. `id` is what the provider calls it; limits are in tokens.

    Of what writes no text, neither a limit of output nor capabilities are told.
    """

    id: str
    name: str | None = None
    context: int | None = None
    max_output: int | None = None
    #: Of "tools", "vision", "reasoning", "fim" and "search", those that it has; None where the list
    #: leaves any of them open.
    capabilities: frozenset[str] | None = None
    #: Whether it answers in text, as opposed to pictures, sound or vectors.
    writes_text: bool | None = None
    #: The lowest tier first; none where the list has no prices.
    rates: tuple[ListedRate, ...] = ()
    released_on: date | None = None
    retires_on: date | None = None
    #: Other ids under which the same provider knows the same model.
    aliases: tuple[str, ...] = ()
    #: Our id of the model, where the source says it; otherwise the provider's `canonical` does.
    model: str | None = None

    def __post_init__(self) -> None:
        if self.writes_text is False:
            # These are of the answers in text.
            object.__setattr__(self, "capabilities", None)
            object.__setattr__(self, "max_output", None)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, and what asks for the next one: None after the last."""

    models: tuple[Listed, ...]
    after: str | None = None

    @property
    def ids(self) -> frozenset[str]:
        """Every id of this page, aliases among them."""
        return frozenset(id_ for model in self.models for id_ in (model.id, *model.aliases))


# The answer as a whole. Any: it is JSON.


def decoded(body: bytes) -> Any:
    """The body as JSON, its fractions as Decimal. Raises UnreadableList.

    NaN and the like, which some write although JSON has no such thing, are of no type that is read.
    """
    try:
        return json.loads(body, parse_float=_fraction)
    except (ValueError, RecursionError):
        raise UnreadableList("The answer is not JSON.") from None


def items(answer: Any, field: str = "data") -> list[Entry]:
    """The objects in a list of an answer. Raises UnreadableList."""
    found = answer.get(field) if isinstance(answer, dict) else answer
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise UnreadableList(f"The answer has no list of models under “{field}”.")
    if len(found) > MOST_MODELS:
        raise UnreadableList(f"The answer lists more than {MOST_MODELS:,} models.")
    return found


def read_each(entries: Iterable[Entry], read: Callable[[Entry], Listed | None]) -> Page:
    """The models that `read` finds in the entries, each id once: the first that has it counts.

    Raises UnreadableList as `read` does, which answers None for what is no model of its own.
    """
    found: dict[str, Listed] = {}
    for entry in entries:
        model = read(entry)
        if model is not None:
            found.setdefault(model.id, model)
    return Page(tuple(found.values()))


def cursor(value: Any) -> str | None:
    """What asks for the next page; None where there is none. Raises UnreadableList."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) <= LONGEST_CURSOR and value.isprintable():
        return value
    raise UnreadableList("The answer says there are more models and not how to ask for them.")


# The fields of an entry. Any: whatever JSON they hold.


def id_in(entry: Entry, field: str = "id") -> str:
    """The id of an entry. Raises UnreadableList for one that no request could name."""
    found = entry.get(field)
    if not is_usable(found):
        raise UnreadableList(f"An entry has no usable “{field}”.")
    return str(found)


def is_usable(id_: Any) -> bool:
    return isinstance(id_, str) and _USABLE_ID.fullmatch(id_) is not None


def ids_in(value: Any) -> tuple[str, ...]:
    """The usable ids in a list, each once."""
    return tuple(dict.fromkeys(id_ for id_ in strings(value) or () if is_usable(id_)))


def text(value: Any) -> str | None:
    """A name for people, or None for what is none."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not value.isprintable():
        return None
    return value.strip() or None


def flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def strings(value: Any) -> tuple[str, ...] | None:
    """The strings in a list, or None for what is no list of strings."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    return None


def below(value: Any, *path: str) -> Any:
    """What is below some objects, one in the other; None where it is missing."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def tokens(*values: Any) -> int | None:
    """The first of the values that is a number of tokens; None if none is."""
    for value in values:
        number = value
        if isinstance(value, Decimal) and 0 < value < _MOST_TOKENS:
            number = int(value) if value == value.to_integral_value() else 0
        if type(number) is int and 0 < number <= _MOST_TOKENS:
            return number
    return None


def day(value: Any) -> date | None:
    """The day of a time in ISO 8601; None for the first of all days, which means nobody knows."""
    try:
        found = datetime.fromisoformat(value).date() if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found and found.year > 2000 else None


def flags_as(has: Mapping[str, bool | None]) -> frozenset[str] | None:
    """Capabilities by their flags; None where any of these is not told."""
    if None in has.values():
        return None
    return frozenset(name for name, told in has.items() if told)


def textless(id_: str) -> bool:
    """Whether an id says that the model answers in vectors, pictures or sound."""
    return _TEXTLESS.search(id_) is not None


def written(id_: str, modalities: Any = None) -> bool | None:
    """Whether a model answers in text, by what it puts out or else by its id."""
    told = strings(modalities)
    if told:
        return any(each.lower() == "text" for each in told)
    return False if textless(id_) else None


# Prices.


def price(value: Any, unit: int) -> int | None:
    """A price in 10⁻¹² dollars a token, exactly; None for what is none, or is finer than that."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    if isinstance(value, str):
        number = _NUMBER.fullmatch(value.strip())
        if number is None:
            return None
        value = Decimal(number[1])
    # Compared before it is multiplied: a number can be larger, or finer, than arithmetic bears.
    if not 0 <= value <= Decimal(_HIGHEST_PRICE) / unit or 0 < value < _FINEST:
        return None
    numerator, denominator = value.as_integer_ratio()
    whole, rest = divmod(numerator * unit, denominator)
    return None if rest else whole


def rate(
    unit: int,
    *,
    input: Any,  # noqa: A002 - the word the whole project uses
    output: Any,
    cache_read: Any = None,
    cache_write: Any = None,
    above_tokens: int = 0,
) -> ListedRate | None:
    """A price made of its parts as a list tells them, or None where any of them cannot be.

    No price of the cache, or one of nothing where prompts cost something, means it is not told:
    lists that have a field for it fill it so.
    """
    paid, spent = price(input, unit), price(output, unit)
    if paid is None or spent is None:
        return None
    cached: list[int | None] = []
    for told in (cache_read, cache_write):
        found = None if told is None else price(told, unit)
        if told is not None and found is None:
            return None
        cached.append(None if found == 0 and paid else found)
    return ListedRate(paid, spent, cached[0], cached[1], above_tokens)


def rates(*found: ListedRate | None) -> tuple[ListedRate, ...]:
    """All of the tiers, or none where one of them could not be read."""
    return tuple(each for each in found if each) if all(found) else ()


# What copies of OpenAI's API tell beyond it, in the words of OpenRouter or of vLLM.


def openai_like(entry: Entry, price_unit: int | None = None) -> Listed:
    """An entry of a list in OpenAI's form, with what many tell beyond it.

    Their prices come in different units, so only those are read whose unit is known.
    Raises UnreadableList.
    """
    id_ = id_in(entry)
    takes = strings(_either(entry, "input_modalities"))
    features = strings(entry.get("supported_features"))
    names = {each.lower() for each in features or ()}
    return Listed(
        id_,
        name=text(entry.get("name")),
        context=tokens(
            *(entry.get(name) for name in ("context_length", "context_window", "max_model_len"))
        ),
        max_output=tokens(
            *(entry.get(name) for name in ("max_output_length", "max_output_tokens")),
            below(entry, "top_provider", "max_completion_tokens"),
        ),
        capabilities=flags_as(
            {
                "tools": None if features is None else "tools" in names,
                "reasoning": None if features is None else "reasoning" in names,
                "vision": None if takes is None else "image" in takes,
            }
        ),
        writes_text=written(id_, _either(entry, "output_modalities")),
        rates=() if price_unit is None else priced(entry.get("pricing"), price_unit),
    )


def priced(pricing: Any, unit: int) -> tuple[ListedRate, ...]:
    """The flat price in an object with `prompt` and `completion`."""
    if not isinstance(pricing, dict):
        return ()
    return rates(
        rate(
            unit,
            input=pricing.get("prompt"),
            output=pricing.get("completion"),
            cache_read=pricing.get("input_cache_read", pricing.get("input_cache_reads")),
            cache_write=pricing.get("input_cache_write", pricing.get("input_cache_writes")),
        )
    )


def _either(entry: Entry, name: str) -> Any:
    return entry.get(name, below(entry, "architecture", name))


def _fraction(digits: str) -> Decimal | None:
    try:
        return Decimal(digits) if len(digits) <= _MOST_DIGITS else None
    except DecimalException:
        return None
