"""What people fill in on the pages of billing: which entries of the ledger they see, the alert, and
what they agree to."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from billing.models import LedgerEntry, Wallet
from billing.models.wallet import LedgerEntryQuerySet
from orgs.forms.audit import DATES, PERIODS, first_moment
from orgs.forms.fields import DollarsField
from orgs.models import Account


class LedgerForm(forms.Form):
    """Which entries to show. A value from elsewhere shows everything rather than an error."""

    kind = forms.ChoiceField(
        required=False, label="Kind", choices=[("", "Every kind"), *LedgerEntry.Kind.choices]
    )
    period = forms.ChoiceField(required=False, choices=PERIODS, label="Period")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(required=False, label="to", widget=forms.DateInput({"type": "date"}))
    before = forms.IntegerField(required=False, min_value=1)
    after = forms.IntegerField(required=False, min_value=0)

    def __init__(self, data: Any, account: Account) -> None:  # Any: what a request sent.
        super().__init__(data)
        self.account = account

    @property
    def choices(self) -> list[forms.BoundField]:
        return [self[name] for name in ("kind", "period")]

    @property
    def dates(self) -> list[forms.BoundField]:
        """What the last of the periods is made of."""
        return [self["since"], self["until"]]

    def chosen(self, name: str) -> Any:  # Any: text, number or date, None when absent or wrong.
        self.is_valid()
        return self.cleaned_data.get(name) or None

    @property
    def filters(self) -> dict[str, str]:
        """What narrows the list, as an address carries it."""
        names = ["kind", "period"]
        if self.chosen("period") == DATES:
            names += ["since", "until"]
        return {name: str(self.chosen(name)) for name in names if self.chosen(name)}

    @property
    def entries(self) -> LedgerEntryQuerySet:
        """The account's entries that it lets through, in no order."""
        entries = LedgerEntry.objects.for_account(self.account)
        if kind := self.chosen("kind"):
            entries = entries.filter(kind=kind)
        since, until = self._period()
        if since:
            entries = entries.filter(created_at__gte=since)
        if until:
            entries = entries.filter(created_at__lt=until)
        return entries

    def _period(self) -> tuple[datetime | None, datetime | None]:
        period = self.chosen("period")
        if period == DATES:
            return first_moment(self.chosen("since")), first_moment(self.chosen("until"), days=1)
        if period:
            return timezone.now() - timedelta(days=int(period)), None
        return None, None


class AlertForm(forms.Form):
    """Below which balance to tell those who manage billing; nothing for never."""

    below = DollarsField(label="Tell us below", placeholder="Never")

    def __init__(self, wallet: Wallet, data: Any = None) -> None:  # Any: as above.
        super().__init__(data, initial={"below": wallet.alert_below_micros})

    def clean_below(self) -> int | None:
        below: int | None = self.cleaned_data["below"]
        if below == 0:
            raise forms.ValidationError(
                "No balance is below $0. Leave this empty to be told of nothing."
            )
        return below


class AgreedForm(forms.Form):
    """The price and the period for which somebody subscribes: those of the page on which they said
    so."""

    price_micros = forms.IntegerField(min_value=1, widget=forms.HiddenInput)
    period_days = forms.IntegerField(min_value=1, widget=forms.HiddenInput)

    @property
    def agreed(self) -> dict[str, int]:
        """By name; nothing, which no plan costs or lasts, where it does not say."""
        self.is_valid()
        return {name: self.cleaned_data.get(name) or 0 for name in self.fields}
