"""Which requests the Usage page shows or exports, as its address carries it."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import Value
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import cached_property

from billing.models import UsageRecord
from billing.selection import Place, Selection
from megabrain.site.overview import METRICS
from orgs.access import account_url
from orgs.models import Account, Membership, User
from orgs.permissions import Permission
from orgs.requests import SignedInRequest

DATES = "dates"
PERIODS = [
    ("1", "Today"),
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "365 days"),
    (DATES, "From … to …"),
]
DEFAULT = "30"
#: The longest that one looks at: three years and a little.
MOST_DAYS = 1100
#: Of an organization with more members than this, one types whom to look for.
SUGGESTED = 100
#: Whom nobody's calls are of.
NOBODY = uuid.UUID(int=0)

Choice = tuple[str, str]


class PlaceField(forms.CharField):
    """A place in the list, as an address has it: when the request was, and its id."""

    def to_python(self, value: Any) -> Any:  # Any: what a query string holds; a Place or None.
        text = super().to_python(value)
        if not text:
            return None
        at, _, id_ = text.partition("_")
        try:
            return datetime.strptime(at, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC), uuid.UUID(id_)
        except ValueError:
            raise forms.ValidationError("No place in the list.") from None


def written(place: Place) -> str:
    at, id_ = place
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%S%f}_{id_.hex}"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose calls there are to see, and by what one may look for them."""

    account: Account
    user: User
    sees_all: bool
    manages_keys: bool

    @classmethod
    def of(cls, request: SignedInRequest) -> "Viewer":
        return cls(
            request.account,
            request.user,
            Permission.SEE_ALL_USAGE in request.permissions,
            Permission.MANAGE_KEYS in request.permissions,
        )

    @property
    def names_members(self) -> bool:
        """Whether calls of several people are before them."""
        return self.sees_all and self.account.is_organization

    @property
    def user_id(self) -> uuid.UUID | None:
        """Whose calls alone they see, if not everybody's."""
        return None if self.sees_all else self.user.pk


class FilterForm(forms.Form):
    """Which requests to show. A value from elsewhere shows everything rather than an error."""

    period = forms.ChoiceField(required=False, choices=PERIODS, label="Period")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(required=False, label="to", widget=forms.DateInput({"type": "date"}))
    model = forms.CharField(required=False, max_length=200, label="Model", widget=forms.Select)
    provider = forms.CharField(required=False, max_length=40, label="Provider", widget=forms.Select)
    payer = forms.ChoiceField(required=False, label="Paid by")
    status = forms.ChoiceField(
        required=False,
        label="Status",
        choices=[("", "Any status"), *UsageRecord.Result.choices],
    )
    token = forms.UUIDField(required=False, label="API token", widget=forms.Select)
    key = forms.UUIDField(required=False, label="Provider key", widget=forms.Select)
    member = forms.CharField(
        required=False,
        max_length=254,
        label="Member",
        widget=forms.TextInput(
            {"list": "members", "placeholder": "Anyone: an e-mail address", "autocomplete": "off"}
        ),
    )
    show = forms.ChoiceField(
        required=False, choices=[(name, metric.label) for name, metric in METRICS.items()]
    )
    before = PlaceField(required=False, max_length=80)
    after = PlaceField(required=False, max_length=80)

    def __init__(self, data: QueryDict, viewer: Viewer) -> None:
        shown = data.copy()
        super().__init__(shown, auto_id="filter_%s")
        self.viewer = viewer
        whose = "Your" if viewer.account.is_personal else "The organization's"
        payers = {str(UsageRecord.Payer.BYOK): f"{whose} provider keys"}
        self._offer(
            "payer",
            "Any payer",
            [(value, payers.get(value, label)) for value, label in UsageRecord.Payer.choices],
        )
        if not viewer.names_members:
            del self.fields["member"]
        if not viewer.manages_keys:
            del self.fields["key"]
        if not self.is_valid() or not self.chosen("period"):
            # The page shows as chosen what it goes by.
            shown["period"] = self.length
        self.today = timezone.now().date()
        self.first, self.last = self._days()

    def offer(
        self,
        *,
        models: Iterable[Choice],
        providers: Iterable[Choice],
        tokens: Iterable[Choice],
        keys: Iterable[Choice],
    ) -> None:
        """What there is to choose from. What is chosen already is there, too."""
        self._offer("model", "Any model", models)
        self._offer("provider", "Any provider", providers)
        self._offer("token", "Any API token", tokens)
        if "key" in self.fields:
            self._offer("key", "Any provider key", keys)

    def _offer(self, name: str, anything: str, choices: Iterable[Choice]) -> None:
        offered = [("", anything), *choices]
        chosen = str(self.chosen(name) or "") if hasattr(self, "cleaned_data") else ""
        if chosen not in dict(offered):
            offered.append((chosen, chosen))
        field: Any = self.fields[name]  # Any: a choice, or a text that has its widget.
        if isinstance(field, forms.ChoiceField):
            field.choices = offered
        else:
            field.widget.choices = offered

    @property
    def selects(self) -> list[forms.BoundField]:
        names = ("period", "model", "provider", "payer", "status", "token", "key", "member")
        return [self[name] for name in names if name in self.fields]

    @property
    def dates(self) -> list[forms.BoundField]:
        """What the last of the periods is made of."""
        return [self["since"], self["until"]]

    def chosen(self, name: str) -> Any:  # Any: as the field of that name has it, else None.
        return self.cleaned_data.get(name) or None

    @property
    def length(self) -> str:
        """Which of the periods."""
        return str(self.chosen("period") or DEFAULT)

    @property
    def shown(self) -> str:
        """Which figure the chart has."""
        return str(self.chosen("show") or "requests")

    @property
    def filters(self) -> dict[str, str]:
        """What narrows the list, as an address carries it."""
        names = ["period", "model", "provider", "payer", "status", "token", "key", "member"]
        if self.length == DATES:
            names += ["since", "until"]
        chosen = {name: self.chosen(name) for name in names}
        if chosen["period"] == DEFAULT:
            del chosen["period"]
        return {name: str(value) for name, value in chosen.items() if value}

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the period leaves requests out."""
        return bool(self.filters.keys() - {"period", "since", "until"})

    def url(self, **also: str) -> str:
        """The page with this filter, and what else it is to show."""
        show = {"show": self.shown} if self.shown != "requests" else {}
        query = urlencode({**self.filters, **show, **also})
        address = account_url("usage", self.viewer.account)
        return f"{address}?{query}" if query else address

    def selection(self) -> Selection:
        """The requests that are asked for, of those that the viewer may see."""
        return Selection(
            account_id=self.viewer.account.pk,
            first=self.first,
            last=self.last,
            user_id=self.viewer.user_id or self._people[1],
            token_id=self.chosen("token"),
            provider_key_id=self.chosen("key"),
            model=self.chosen("model") or "",
            provider=self.chosen("provider") or "",
            payer=self.chosen("payer") or "",
            result=self.chosen("status") or "",
        )

    @cached_property
    def _people(self) -> tuple[list[str], uuid.UUID | None]:
        """Whom one may look for, and whom one does look for."""
        if "member" not in self.fields:
            return [], None
        typed = (self.chosen("member") or "").strip().lower()
        members = Membership.objects.for_account(self.viewer.account)
        some = User.objects.filter(pk__in=members.values("user")[: SUGGESTED + 1])
        # Somebody who has left is found by their whole address, and offered to nobody.
        found = some.values_list("email", "pk", Value(1)).union(
            User.objects.filter(email=typed).values_list("email", "pk", Value(0)), all=True
        )
        rows = list(found)
        emails = sorted(email for email, _, is_member in rows if is_member)
        chosen = next((pk for email, pk, _ in rows if email == typed), NOBODY) if typed else None
        return emails if len(emails) <= SUGGESTED else [], chosen

    @property
    def members(self) -> list[str]:
        """The members' addresses, unless they are too many for a list."""
        return self._people[0]

    def _days(self) -> tuple[date, date]:
        """The first and the last day, at most MOST_DAYS of them and none that is to come."""
        if self.length != DATES:
            return self.today - timedelta(days=int(self.length) - 1), self.today
        last = min(self.chosen("until") or self.today, self.today)
        since = self.chosen("since") or _days_before(last, int(DEFAULT) - 1)
        return min(max(since, _days_before(last, MOST_DAYS - 1)), last), last


def _days_before(day: date, days: int) -> date:
    """So many days earlier, or the first day that there is."""
    return date.fromordinal(max(day.toordinal() - days, 1))


class ExportForm(FilterForm):
    """Which requests to export. Here a value from elsewhere is an error: nobody is to take a file
    for less than it holds, or for more."""
