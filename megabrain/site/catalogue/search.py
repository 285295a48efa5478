"""What somebody looks for in the list, and the cards that it finds, best first."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.urls import reverse

from megabrain.site.catalogue.cards import Card, Shelf, spaced, squeezed

LONGEST_SEARCH = 200
MOST_PAGES = 10_000
CONTEXTS = (
    (32_000, "32K"),
    (128_000, "128K"),
    (200_000, "200K"),
    (400_000, "400K"),
    (1_000_000, "1M"),
)
SORTS = (
    ("", "Best match first"),
    ("name", "By name"),
    ("newest", "Newest first"),
    ("context", "Longest context first"),
    ("input", "Cheapest input first"),
    ("output", "Cheapest output first"),
)


class SearchField(forms.CharField):
    """What was typed, without what nobody can type, and no more of it than is searched for."""

    def to_python(self, value: Any) -> str:  # Any: what a query string holds.
        printable = "".join(letter for letter in str(value or "") if letter.isprintable())
        return printable.strip()[:LONGEST_SEARCH]

    def bound_data(self, data: Any, initial: Any) -> str:
        """What the page shows as typed is what was searched for."""
        return self.to_python(data)


class SearchForm(forms.Form):
    """What to show of the list. A value from elsewhere shows everything rather than an error."""

    q = SearchField(
        required=False,
        label="Search models",
        widget=forms.TextInput(
            attrs={
                "type": "search",
                "placeholder": "Name, id, alias or provider",
                "maxlength": LONGEST_SEARCH,
                "spellcheck": "false",
                "autocapitalize": "none",
            }
        ),
    )
    provider = forms.ChoiceField(required=False, label="Provider")
    context = forms.ChoiceField(
        required=False,
        label="Context",
        choices=[
            ("", "Any context"),
            *((str(size), f"At least {name} context") for size, name in CONTEXTS),
        ],
    )
    capability = forms.MultipleChoiceField(
        required=False, label="Can", widget=forms.CheckboxSelectMultiple
    )
    mine = forms.BooleanField(required=False)
    sort = forms.ChoiceField(required=False, label="Sort by", choices=SORTS)
    page = forms.IntegerField(required=False, min_value=1, max_value=MOST_PAGES)

    def __init__(self, data: Any, shelf: Shelf) -> None:  # Any: what a request's query is.
        super().__init__(data, auto_id="filter_%s")
        self._field("provider").choices = [("", "Any provider"), *shelf.providers]
        self._field("capability").choices = shelf.capabilities
        self.is_valid()

    def _field(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        return field

    def chosen(self, name: str) -> Any:  # Any: as the field of that name has it.
        return self.cleaned_data.get(name)

    @property
    def selects(self) -> list[forms.BoundField]:
        return [self[name] for name in ("provider", "context", "sort")]

    @property
    def narrowed(self) -> bool:
        """Whether more than what is typed decides what is shown."""
        return any(map(self.chosen, ("provider", "context", "capability", "mine")))

    @property
    def asked(self) -> bool:
        return bool(self.chosen("q")) or self.narrowed

    def url(self, **changes: object) -> str:
        """The address that shows this, with nothing in it that says nothing; page 1 is none."""
        names = ("q", "provider", "context", "capability", "mine", "sort", "page")
        chosen = {name: self.chosen(name) for name in names} | changes
        chosen["mine"] = "on" if chosen["mine"] else ""
        chosen["page"] = "" if chosen["page"] == 1 else chosen["page"]
        query = urlencode({name: value for name, value in chosen.items() if value}, doseq=True)
        address = reverse("models")
        return f"{address}?{query}" if query else address


def found(
    shelf: Shelf, form: SearchForm, own: Iterable[Card] = (), mine: Container[str] = ()
) -> list[Card]:
    """The cards that the form asks for, of the shelf and of the visitor's own.

    `mine` are ids of models that the visitor's keys serve.
    """
    cards = searched(shelf, form.chosen("q") or "", own)
    if provider := form.chosen("provider"):
        cards = [card for card in cards if provider in card.providers]
    for capability in form.chosen("capability") or ():
        cards = [card for card in cards if capability in card.capabilities]
    if least := int(form.chosen("context") or 0):
        cards = [card for card in cards if card.context is not None and card.context >= least]
    if form.chosen("mine"):
        cards = [card for card in cards if card.model.id in mine]
    if order := _ORDERS.get(form.chosen("sort") or ""):
        cards.sort(key=order)
    return cards


def searched(shelf: Shelf, typed: str, own: Iterable[Card] = ()) -> list[Card]:
    """The cards with every word that was typed, the likeliest meant first.

    What is offered only directly comes behind its equals: it takes a key of its own.
    """
    words = [_Word.of(word) for word in typed.lower().split()]
    named = shelf.catalogue.find(typed) if typed else None
    whole = spaced(typed)
    ranked: list[tuple[int, Card]] = []
    for card in chain(shelf.cards.values(), own):
        if named is not None and card.model.id == named.id:
            ranked.append((-2, card))
        elif (place := _place(card, words)) is not None:
            ranked.append((-1 if words and _is_called(card, whole) else place, card))
    ranked.sort(key=lambda each: (each[0], each[1].direct, each[1].model.name.lower()))
    return [card for _, card in ranked]


@dataclass(frozen=True, slots=True)
class _Word:
    """A word that was typed, in the forms in which cards have theirs."""

    begins: str
    tight: str
    #: Whether it has letters that no model has in its name; a dash alone says nothing.
    foreign: bool

    @classmethod
    def of(cls, word: str) -> "_Word":
        return cls(spaced(word).rstrip(), squeezed(word), not word.isascii())


def _is_called(card: Card, whole: str) -> bool:
    return card.called.startswith(f"{whole} ") or card.called.endswith(f" {whole}")


def _place(card: Card, words: Iterable[_Word]) -> int | None:
    """How far from the top the card belongs: 0 is best, None not at all."""
    total = 0
    for word in words:
        place = _of_word(card, word)
        if place is None:
            return None
        total += place
    return total


def _of_word(card: Card, word: _Word) -> int | None:
    if not word.tight:
        return None if word.foreign else 0
    if f"{word.begins} " in card.called:
        return 0
    if word.begins in card.called:
        return 1
    if word.begins in card.also_called:
        return 2
    if word.tight in card.tight:
        return 3
    return 4 if word.begins in card.served_by else None


def likely_meant(shelf: Shelf, typed: str) -> str:
    """What was typed with each word that no model has as the nearest one that some do, or ""."""
    words = typed.lower().split()
    meant = [_likely(shelf, word) for word in words]
    corrected = " ".join(meant)
    return corrected if all(meant) and corrected != " ".join(words) else ""


def _likely(shelf: Shelf, word: str) -> str:
    form = _Word.of(word)
    if any(_of_word(card, form) is not None for card in shelf.cards.values()):
        return word
    return next(iter(get_close_matches(word, shelf.words, n=1, cutoff=0.7)), "")


def _last_unless(known: int | None) -> tuple[bool, int]:
    return known is None, known or 0


#: What is alike, and what nobody knows, stays as it was ranked.
_ORDERS: dict[str, Callable[[Card], Any]] = {  # Any: whatever can be compared.
    "name": lambda card: card.model.name.lower(),
    "newest": lambda card: -card.model.created,
    "context": lambda card: -(card.context or 0),
    "input": lambda card: _last_unless(card.input.amount),
    "output": lambda card: _last_unless(card.output.amount),
}
