"""The Activity page: what happened in an account, from its audit log."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from orgs.access import account_or_404
from orgs.audit import link
from orgs.events import Event
from orgs.models import AuditEvent
from orgs.models.audit import AuditEventQuerySet
from orgs.permissions import Permission
from orgs.requests import SignedInRequest

SHOWN = 25
PERIODS = [("", "All time"), ("1", "24 hours"), ("7", "7 days"), ("30", "30 days")]
KINDS = {
    "account": "Account",
    "byok": "Provider keys",
    "token": "API tokens",
    "security": "Security",
}


class FilterForm(forms.Form):
    """Which events to show. A value from elsewhere shows everything rather than an error."""

    event = forms.ChoiceField(required=False)
    period = forms.ChoiceField(required=False, choices=PERIODS, label="Period")
    before = forms.IntegerField(required=False, min_value=1)
    after = forms.IntegerField(required=False, min_value=0)

    def __init__(self, data: Any) -> None:  # Any: what a request's query is.
        super().__init__(data)
        events = self.fields["event"]
        assert isinstance(events, forms.ChoiceField)
        events.choices = event_choices()
        events.label = "Event"

    def chosen(self, name: str) -> Any:  # Any: text or number, None when absent or wrong.
        self.is_valid()
        return self.cleaned_data.get(name) or None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of events, newest first, and the addresses of its neighbours."""

    events: list[AuditEvent]
    newer: str
    older: str


@require_safe
@login_required
def activity(request: SignedInRequest) -> HttpResponse:
    account = account_or_404(request.user, None, Permission.READ_AUDIT)
    form = FilterForm(request.GET)
    template = "orgs/activity.html#events" if request.htmx else "orgs/activity.html"
    context = {
        "page": page_of(AuditEvent.objects.for_account(account.pk), form),
        "form": form,
        "filtered": bool(form.chosen("event") or form.chosen("period")),
    }
    return render(request, template, context)


@require_safe
@login_required
def activity_event(request: SignedInRequest, sequence: int) -> HttpResponse:
    account = account_or_404(request.user, None, Permission.READ_AUDIT)
    event = get_object_or_404(AuditEvent.objects.for_account(account.pk), sequence=sequence)
    template = "orgs/activity_event.html#dialog" if request.htmx else "orgs/activity_event.html"
    context = {
        "event": event,
        "facts": [(name.replace("_", " ").capitalize(), told(fact)) for name, fact in facts(event)],
        "intact": link(event) == event.hash,
    }
    return render(request, template, context)


def facts(event: AuditEvent) -> list[tuple[str, Any]]:  # Any: what its details hold.
    """The details that say something."""
    return [(name, fact) for name, fact in sorted(event.details.items()) if fact not in (None, "")]


def told(fact: Any) -> str:  # Any: as above.
    if isinstance(fact, list):
        return ", ".join(str(each) for each in fact)
    return {True: "yes", False: "no"}.get(fact, str(fact)) if isinstance(fact, bool) else str(fact)


def page_of(events: AuditEventQuerySet, form: FilterForm) -> Page:
    """The events that the filter lets through, older than `before` or newer than `after`.

    Pages are cut at sequence numbers, so they neither shift while events arrive nor grow slower
    the further back one looks.
    """
    events = filtered(events, form)
    after, before = form.chosen("after"), form.chosen("before")
    if after:
        found = list(events.filter(sequence__gt=after).order_by("sequence")[: SHOWN + 1])
        if len(found) > SHOWN:
            return page(form, found[SHOWN - 1 :: -1], newer=True, older=True)
        before = None  # The newest page is always a full one.
    if before:
        events = events.filter(sequence__lt=before)
    found = list(events.newest_first()[: SHOWN + 1])
    return page(form, found[:SHOWN], newer=bool(before), older=len(found) > SHOWN)


def page(form: FilterForm, events: list[AuditEvent], *, newer: bool, older: bool) -> Page:
    first, last = (events[0].sequence, events[-1].sequence) if events else (0, 0)
    return Page(
        events,
        newer=address(form, after=first) if newer else "",
        older=address(form, before=last) if older else "",
    )


def filtered(events: AuditEventQuerySet, form: FilterForm) -> AuditEventQuerySet:
    event, period = form.chosen("event"), form.chosen("period")
    if event in KINDS:
        events = events.filter(event__in=[each.value for each in of_kind(event)])
    elif event:
        events = events.filter(event=event)
    if period:
        events = events.filter(created_at__gte=timezone.now() - timedelta(days=int(period)))
    return events


def address(form: FilterForm, **place: int) -> str:
    query = urlencode({**without_place(form), **place})
    return f"{reverse('orgs:activity')}?{query}" if query else reverse("orgs:activity")


def without_place(form: FilterForm) -> dict[str, str]:
    kept = {name: form.chosen(name) for name in ("event", "period")}
    return {name: value for name, value in kept.items() if value}


def event_choices() -> list[Any]:  # Any: plain choices and groups of them.
    """Everything, then for each kind all of it and each event."""
    groups = [
        (
            label,
            [(kind, f"{label}: all"), *((event.value, event.label) for event in of_kind(kind))],
        )
        for kind, label in KINDS.items()
    ]
    return [("", "Everything"), *groups]


def of_kind(kind: str) -> list[Event]:
    return [event for event in Event if event.startswith(f"{kind}.")]
