"""Which events of the audit log to show or to export."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from orgs.audit import NOBODY
from orgs.audit.export import Format
from orgs.audit.selection import Selection
from orgs.events import KINDS, events_named
from orgs.models import Account

DATES = "dates"
PERIODS = [
    ("", "All time"),
    ("1", "24 hours"),
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    (DATES, "From … to …"),
]
OF_ORGANIZATIONS = ("org", "byok", "token", "billing", "subscription", "audit")
OF_PEOPLE = ("account", "byok", "token", "billing", "subscription", "security", "user", "audit")


class FilterForm(forms.Form):
    """Which events to show. A value from elsewhere shows everything rather than an error."""

    event = forms.ChoiceField(required=False, label="Event")
    actor = forms.CharField(
        required=False,
        max_length=254,
        label="Who",
        widget=forms.TextInput(
            {"list": "actors", "placeholder": "Anyone: an e-mail address", "autocomplete": "off"}
        ),
    )
    period = forms.ChoiceField(required=False, choices=PERIODS, label="Period")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(required=False, label="to", widget=forms.DateInput({"type": "date"}))
    before = forms.IntegerField(required=False, min_value=1)
    after = forms.IntegerField(required=False, min_value=0)

    def __init__(self, data: Any, account: Account) -> None:  # Any: what a request sent.
        super().__init__(data)
        self.account = account
        events = self.fields["event"]
        assert isinstance(events, forms.ChoiceField)
        events.choices = event_choices(OF_ORGANIZATIONS if account.is_organization else OF_PEOPLE)

    @property
    def choices(self) -> list[forms.BoundField]:
        return [self[name] for name in ("event", "actor", "period")]

    @property
    def dates(self) -> list[forms.BoundField]:
        """What the last of the periods is made of."""
        return [self["since"], self["until"]]

    def clean_actor(self) -> str:
        """Addresses are written in small letters, whoever types them."""
        actor: str = self.cleaned_data["actor"].strip()
        if actor.lower() == NOBODY.lower():
            return NOBODY
        return actor.lower() if "@" in actor else actor

    def chosen(self, name: str) -> Any:  # Any: text, number or date, None when absent or wrong.
        self.is_valid()
        return self.cleaned_data.get(name) or None

    @property
    def filters(self) -> dict[str, str]:
        """What narrows the list, as an address carries it."""
        names = ["event", "actor", "period"]
        if self.chosen("period") == DATES:
            names += ["since", "until"]
        return {name: str(self.chosen(name)) for name in names if self.chosen(name)}

    @property
    def selection(self) -> Selection:
        since, until = self._period()
        return Selection(
            account_id=self.account.pk,
            events=events_named(self.chosen("event") or ""),
            actor=self.chosen("actor") or "",
            since=since,
            until=until,
        )

    def _period(self) -> tuple[datetime | None, datetime | None]:
        period = self.chosen("period")
        if period == DATES:
            return first_moment(self.chosen("since")), first_moment(self.chosen("until"), days=1)
        if period:
            return timezone.now() - timedelta(days=int(period)), None
        return None, None


class ExportForm(FilterForm):
    """Which events to export, and how. Here a value from elsewhere is an error: nobody is to take
    a file for less than it holds, or for more."""

    format = forms.ChoiceField(choices=[(each.value, each.value) for each in Format])


def first_moment(day: date | None, *, days: int = 0) -> datetime | None:
    """When that day began, or so many days later; nothing for a day that no calendar has."""
    if day is None or (days and day == date.max):
        return None
    return datetime.combine(day + timedelta(days=days), time.min, UTC)


def event_choices(kinds: Iterable[str]) -> list[Any]:  # Any: plain choices and groups of them.
    """Everything, then for each kind all of it and each event."""
    groups = [
        (
            KINDS[kind],
            [
                (kind, f"{KINDS[kind]}: all"),
                *((event.value, event.label) for event in events_named(kind)),
            ],
        )
        for kind in kinds
    ]
    return [("", "Everything"), *groups]
