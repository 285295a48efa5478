"""Usage of an account: chart, totals and every request, a page of one, and all as a file."""

import uuid
from datetime import date
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST, require_safe

from billing.models import UsageRecord
from billing.pruning import kept_since
from billing.selection import Selection, place_of, seen_values
from byok.providers import name_of
from megabrain.site.overview import METRICS, DayUsage, totals, usage_chart, usage_of
from megabrain.site.usage.export import export
from megabrain.site.usage.filters import ExportForm, FilterForm, Viewer, written
from megabrain.site.usage.rows import (
    Ending,
    attempts_of,
    keys_of,
    receipt_of,
    rows_of,
    tokens_named,
)
from orgs import keyset
from orgs.access import account_or_404, account_page, account_url
from orgs.exports import AT_ONCE, Slot, TooManyDownloads, download, in_pieces
from orgs.permissions import Permission
from orgs.requests import SignedInRequest

SHOWN = 25
#: As many models, providers and API tokens there are to choose from.
OFFERED = 200


@require_safe
@account_page
def usage(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    """What was used in a period, and each request. Members of an organization see their own."""
    account = account_or_404(request, slug, Permission.USE_ACCOUNT)
    viewer = Viewer.of(request)
    form = FilterForm(request.GET, viewer)
    selection = form.selection()
    found = usage_of(selection.days())
    page = page_of(form, selection, found)
    context: dict[str, Any] = {  # Any: a template's context.
        "account": account,
        "viewer": viewer,
        "form": form,
        "totals": totals(found),
        "chart": usage_chart(account, found, METRICS[form.shown], first=form.first, last=form.last),
        "metrics": [
            {"label": metric.label, "url": form.url(show=name), "current": name == form.shown}
            for name, metric in METRICS.items()
        ],
        "newer": form.url(after=written(place_of(page.rows[0]))) if page.before else "",
        "older": form.url(before=written(place_of(page.rows[-1]))) if page.after else "",
        "pruned": is_pruned(form.first),
    }
    token_ids = {record.token_id for record in page.rows}
    if request.htmx:
        context["rows"] = rows_of(page.rows, viewer, tokens_named(token_ids), keys_of(viewer))
        return render(request, "megabrain/usage/usage.html#answer", context)
    seen = seen_values(
        account.pk, ["model", "provider", "token_id"], user_id=viewer.user_id, most=OFFERED
    )
    tokens, keys = tokens_named({*token_ids, *seen["token_id"]}), keys_of(viewer)
    form.offer(
        models=[(model, model) for model in seen["model"]],
        providers=sorted(
            ((provider, name_of(provider)) for provider in seen["provider"]), key=_by_label
        ),
        tokens=sorted(
            (
                (str(id_), f"{token.name} · {token.email}" if viewer.names_members else token.name)
                for id_, token in tokens.items()
            ),
            key=_by_label,
        ),
        keys=sorted(
            ((str(id_), f"{name_of(key.provider)} {key.hint}") for id_, key in keys.items()),
            key=_by_label,
        ),
    )
    context["rows"] = rows_of(page.rows, viewer, tokens, keys)
    return render(request, "megabrain/usage/usage.html", context)


@require_safe
@account_page
def usage_request(
    request: SignedInRequest, request_id: uuid.UUID, slug: str | None = None
) -> HttpResponse:
    """All about one request: who served it, in how many attempts, what it took and cost."""
    account = account_or_404(request, slug, Permission.USE_ACCOUNT)
    viewer = Viewer.of(request)
    records = UsageRecord.objects.for_account(account)
    if viewer.user_id is not None:
        records = records.filter(user_id=viewer.user_id)
    record = get_object_or_404(records, request_id=request_id)
    attempts = attempts_of(record, viewer)
    context = {
        "account": account,
        "viewer": viewer,
        "record": record,
        "served_by": name_of(record.provider) if record.provider else "",
        "ending": Ending.of(record),
        "attempts": attempts,
        "last": attempts[-1] if attempts else None,
        "token": tokens_named([record.token_id]).get(record.token_id) if record.token_id else None,
        "receipt": receipt_of(record, account),
        "usage_url": account_url("usage", account),
    }
    return render(request, "megabrain/usage/request.html", context)


@require_POST
@account_page
def usage_export(request: SignedInRequest, slug: str | None = None) -> HttpResponseBase:
    """The requests that the filter lets through, as a file."""
    account = account_or_404(request, slug, Permission.USE_ACCOUNT)
    viewer = Viewer.of(request)
    form = ExportForm(request.POST, viewer)
    if not form.is_valid():
        raise BadRequest("An export with a filter that there is not.")
    try:
        slot = Slot(request.user.pk)
    except TooManyDownloads:
        messages.error(
            request,
            f"Nothing was exported: {AT_ONCE} exports of yours are still under way. "
            "Wait for one to finish, or stop it, then try again in a minute.",
        )
        return HttpResponseRedirect(form.url())
    with slot.unless_refused():
        lines = export(form.selection(), viewer)
    what = f"usage-{account.slug}" if account.is_organization else "usage"
    return download(
        request,
        slot.keep(in_pieces(lines)),
        name=f"{what}-{form.first:%Y-%m-%d}-{form.last:%Y-%m-%d}.csv",
        content_type="text/csv; charset=utf-8",
    )


def page_of(
    form: FilterForm, selection: Selection, found: list[DayUsage]
) -> keyset.Cut[UsageRecord]:
    """The requests of the page, newest first, of the days on which there are any."""
    counts: dict[date, int] = {}
    for each in found:
        counts[each.day] = counts.get(each.day, 0) + each.requests
    return keyset.cut(
        SHOWN,
        after=form.chosen("before"),
        before=form.chosen("after"),
        onwards=lambda older_than, most: selection.newest(most, counts, older_than),
        backwards=lambda newer_than, most: selection.next_newer(most, counts, newer_than),
    )


def is_pruned(first: date) -> bool:
    """Whether single requests of that day may no longer be kept."""
    since = kept_since()
    return since is not None and first <= since.date()


def _by_label(choice: tuple[str, str]) -> str:
    return choice[1].lower()
