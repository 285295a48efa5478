"""What happened in an account: an organization's audit log, one's own Activity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpResponseRedirect
from django.http.response import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from orgs import keyset
from orgs.access import account_or_404, account_page, account_url
from orgs.audit.chain import matches
from orgs.audit.export import Format, export
from orgs.audit.verification import fault_of, is_behind, note_altered
from orgs.audit.words import changed_of, facts_of, kind_of
from orgs.exports import AT_ONCE, Slot, TooManyDownloads, download, in_pieces
from orgs.forms.audit import ExportForm, FilterForm
from orgs.models import Account, AuditCheck, AuditEvent, Membership
from orgs.models.audit import Place
from orgs.origin import Origin
from orgs.permissions import Permission
from orgs.requests import SignedInRequest

SHOWN = 25
#: Of an organization with more members than this, one types whom to look for.
SUGGESTED = 100


@dataclass(frozen=True, slots=True)
class Row:
    """An event of the list, with the addresses of its details and of all that its actor did."""

    event: AuditEvent
    url: str
    all_by_actor: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of events, newest first, and the addresses of its neighbours."""

    events: list[AuditEvent]
    newer: str
    older: str


@require_safe
@account_page
def activity(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    account = account_or_404(request, slug, Permission.READ_AUDIT)
    form = FilterForm(request.GET, account)
    page = page_of(form)
    template = "orgs/activity.html#events" if request.htmx else "orgs/activity.html"
    check = AuditCheck.objects.filter(pk=account.pk, checked_at__isnull=False).first()
    context = {
        **named(account),
        "page": page,
        "rows": rows(form, page.events),
        "form": form,
        "filters": form.filters,
        "actors": [] if request.htmx else suggested(account),
        "check": check,
        "fault": fault_of(check) if check else "",
        "behind": check is not None and is_behind(check),
    }
    return render(request, template, context)


@require_safe
@account_page
def activity_event(
    request: SignedInRequest, sequence: int, slug: str | None = None
) -> HttpResponse:
    account = account_or_404(request, slug, Permission.READ_AUDIT)
    event = get_object_or_404(AuditEvent.objects.for_account(account.pk), sequence=sequence)
    intact = matches(event)
    if not intact:
        note_altered(event)
    template = "orgs/activity_event.html#dialog" if request.htmx else "orgs/activity_event.html"
    context = {
        **named(account),
        "event": event,
        "kind": kind_of(event),
        "changed": changed_of(event),
        "facts": facts_of(event),
        "intact": intact,
        "close": address(FilterForm(request.GET, account)),
    }
    return render(request, template, context)


@require_POST
@account_page
def activity_export(request: SignedInRequest, slug: str | None = None) -> HttpResponseBase:
    """The selected events as a file; the export is in the log before the first of them leaves."""
    account = account_or_404(request, slug, Permission.READ_AUDIT)
    form = ExportForm(request.POST, account)
    if not form.is_valid():
        raise BadRequest("An export with a filter that there is not.")
    chosen = Format(form.cleaned_data["format"])
    try:
        slot = Slot(request.user.pk)
    except TooManyDownloads:
        messages.error(
            request,
            f"Nothing was exported: {AT_ONCE} exports of yours are still under way. "
            "Wait for one to finish, or stop it, then try again in a minute.",
        )
        return HttpResponseRedirect(address(form))
    with slot.unless_refused():
        lines = export(
            actor=request.user,
            account=account,
            selection=form.selection,
            format=chosen,
            origin=Origin.of(request),
        )
    what = f"audit-log-{account.slug}" if account.is_organization else "activity"
    return download(
        request,
        slot.keep(in_pieces(lines)),
        name=f"{what}-{timezone.now():%Y-%m-%d}.{chosen.suffix}",
        content_type=chosen.content_type,
    )


def named(account: Account) -> dict[str, Any]:  # Any: a template's context.
    """What the log of this account is called."""
    return {"account": account, "name": "Audit log" if account.is_organization else "Activity"}


def suggested(account: Account) -> list[str]:
    """Whom one may look for: the members, unless they are too many for a list."""
    members = Membership.objects.for_account(account).values_list("user__email", flat=True)
    emails = list(members[: SUGGESTED + 1])
    return sorted(emails) if len(emails) <= SUGGESTED else []


def page_of(form: FilterForm) -> Page:
    """The events that the filter lets through, older than `before` or newer than `after`."""
    selection = form.selection
    cut = keyset.cut(
        SHOWN,
        after=place(form, "before"),
        before=place(form, "after"),
        onwards=lambda older_than, most: selection.newest(most, older_than),
        backwards=lambda newer_than, most: selection.next_newer(most, newer_than),
    )
    return Page(
        cut.rows,
        newer=address(form, after=cut.rows[0].sequence) if cut.before else "",
        older=address(form, before=cut.rows[-1].sequence) if cut.after else "",
    )


def place(form: FilterForm, name: str) -> Place | None:
    """Where the event of that number stands."""
    sequence = form.chosen(name)
    if sequence is None:
        return None
    events = AuditEvent.objects.for_account(form.account.pk).order_by("sequence")
    return events.filter(sequence=sequence).values_list("created_at", "sequence").first()


def rows(form: FilterForm, events: list[AuditEvent]) -> list[Row]:
    return [
        Row(
            event,
            url=with_query(
                account_url("orgs:activity_event", form.account, sequence=event.sequence),
                form.filters,
            ),
            all_by_actor=address(form, actor=event.actor_label),
        )
        for event in events
    ]


def address(form: FilterForm, **also: int | str) -> str:
    """The list with this filter, and what else narrows it or says where it begins."""
    return with_query(account_url("orgs:activity", form.account), {**form.filters, **also})


def with_query(url: str, query: Mapping[str, int | str]) -> str:
    return f"{url}?{urlencode(query)}" if query else url
