"""Prices as staff read and write them: dollars a million tokens, exact to the last place."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms

from byok.catalogue import hours
from byok.catalogue.changes import dollars_a_million
from byok.models import Price

#: $3 a million tokens are 3 000 000 of 10⁻¹² dollars a token.
PLACES = 6
#: Of dollars a million tokens; nobody takes as much.
MOST_DOLLARS = 1_000_000

_PARTS = (
    ("input", "input"),
    ("output", "output"),
    ("cache_read", "cache read"),
    ("cache_write", "cache write"),
    ("cache_write_long", "cache write, 1 h"),
)


class DollarsField(forms.DecimalField):
    """Dollars a million tokens; its value is as stored, in 10⁻¹² dollars a token."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "size": 14})
        super().__init__(
            min_value=0, max_value=MOST_DOLLARS, decimal_places=PLACES, widget=widget, **kwargs
        )

    # Any: Django's own signatures.
    def prepare_value(self, value: Any) -> Any:
        return dollars_a_million(value)[1:] if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        amount: Decimal | None = super().clean(value)
        return None if amount is None else int(amount.scaleb(PLACES))

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != initial)
        except forms.ValidationError:
            return True


class HoursField(forms.CharField):
    """Spans of hours, one a line; empty for always."""

    widget = forms.Textarea(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(hours.told(value)) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        lines = [line for line in super().clean(value).splitlines() if line.strip()]
        try:
            return [hours.read(line) for line in lines] or None
        except ValueError as wrong:
            raise forms.ValidationError(
                f"“{wrong}” is none. Write them as “Mon–Fri 01:00–04:00”, “Sat, Sun 00:00–24:00” "
                "or “Daily 06:00–10:00”; a night that passes midnight as two."
            ) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != initial)
        except forms.ValidationError:
            return True


# Any: a price as JSON, as changes hold it.


def amounts(price: Mapping[str, Any]) -> str:
    """`$3.00 input, $15.00 output, $0.30 cache read`, a million tokens each."""
    return ", ".join(
        f"{dollars_a_million(price[part])} {word}"
        for part, word in _PARTS
        if price.get(part) is not None
    )


def applies_to(price: Mapping[str, Any]) -> str:
    """Which calls it is for; empty for all."""
    words = []
    if price["above_tokens"]:
        words.append(f"prompts above {price['above_tokens']:,} tokens")
    if price["hours"]:
        words.append("; ".join(hours.told(price["hours"])) + " UTC")
    return ", ".join(words)


def priced(prices: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each price."""
    return [": ".join(filter(None, (applies_to(price), amounts(price)))) for price in prices]


def as_mapping(price: Price) -> dict[str, Any]:
    names = ("above_tokens", "hours", *(part for part, _ in _PARTS))
    return {name: getattr(price, name) for name in names}
