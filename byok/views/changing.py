"""Switching a key on and off, its reminder, deleting it, testing it."""

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from byok.actions import (
    TESTS_A_MINUTE,
    TooManyTests,
    delete_key,
    request_test,
    set_enabled,
    set_on_failure,
    set_reminder,
)
from byok.balance import served_by_megabrain
from byok.catalogue.memory import catalogue
from byok.forms import FailureForm, ReminderForm
from byok.models import ProviderKey
from byok.providers import name_of
from byok.views.covered import Covered, covered
from byok.views.page import (
    answer_with_key,
    answer_with_list,
    details_context,
    key_of,
    page,
    tell_result,
    template,
)
from byok.views.rows import bare_row, key_row, still_billed
from orgs.origin import Origin
from orgs.requests import SignedInRequest


@require_POST
@page
def enabled(request: SignedInRequest, key_id: UUID, slug: str | None = None) -> HttpResponse:
    """Let routing use the key, or not."""
    key = key_of(request, slug, key_id, to_change=True)
    wanted = request.POST.get("enabled")
    if wanted not in ("true", "false"):
        raise BadRequest("`enabled` is true or false.")
    on = wanted == "true"
    if set_enabled(actor=request.user, key=key, enabled=on, origin=Origin.of(request)):
        name = name_of(key.provider)
        messages.success(
            request,
            f"The {name} key is on: calls it can serve use it again."
            if on
            else f"The {name} key is off: no call uses it until it is switched on again.",
        )
    key.refresh_from_db()
    return answer_with_key(request, key_row(key))


@require_http_methods(["GET", "HEAD", "POST"])
@page
def disable(request: SignedInRequest, key_id: UUID, slug: str | None = None) -> HttpResponse:
    """Say what switching the key off does, and what it does not, then do it."""
    key = key_of(request, slug, key_id, to_change=True)
    shown = bare_row(key)
    if request.method != "POST":
        context = {"pages": shown.pages, "row": shown, "consequences": Consequences.of(key)}
        return render(request, template(request, "byok/disable.html", "dialog"), context)
    if set_enabled(actor=request.user, key=key, enabled=False, origin=Origin.of(request)):
        messages.success(
            request, f"The {shown.name} key is off: no call uses it until it is switched on again."
        )
    return answer_with_list(request, key.account)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def reminder(request: SignedInRequest, key_id: UUID, slug: str | None = None) -> HttpResponse:
    """Set or clear the day from which the key is marked for replacement."""
    key = key_of(request, slug, key_id, to_change=True)
    shown = key_row(key)
    if request.method != "POST":
        # Where a form that was wrong is shown again; reloaded, it is the page with the form.
        return redirect(shown.details_url)
    form = ReminderForm(request.POST)
    if not form.is_valid():
        return render(request, "byok/details.html", details_context(shown, form), status=422)
    day = form.cleaned_data["remind_on"]
    if set_reminder(actor=request.user, key=key, remind_on=day, origin=Origin.of(request)):
        messages.success(
            request,
            f"The {shown.name} key will be marked for replacement on {day:%-d %B %Y}."
            if day
            else f"The reminder of the {shown.name} key is gone.",
        )
    return redirect(shown.details_url)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def failure(request: SignedInRequest, key_id: UUID, slug: str | None = None) -> HttpResponse:
    """Choose what a call does once every key that could serve it has failed."""
    key = key_of(request, slug, key_id, to_change=True)
    shown = key_row(key)
    if request.method != "POST":
        return redirect(shown.details_url)
    form = FailureForm(request.POST)
    if not form.is_valid():
        context = details_context(shown, failure=form)
        return render(request, "byok/details.html", context, status=422)
    choice = ProviderKey.OnFailure(form.cleaned_data["on_failure"])
    whose = "the organization's" if key.account.is_organization else "your"
    if set_on_failure(actor=request.user, key=key, on_failure=choice, origin=Origin.of(request)):
        messages.success(
            request,
            f"When the {shown.name} key fails and no other key serves the call, "
            + (
                f"it may go on to {whose} MegaBrain balance."
                if choice is ProviderKey.OnFailure.BALANCE
                else "the agent gets the error."
            ),
        )
    return redirect(shown.details_url)


@dataclass(frozen=True, slots=True)
class Consequences:
    """What deleting a key, or switching it off, does to the models it serves: nothing serves them
    any more, the balance pays for them, or a key of the `heirs` serves them still."""

    lost: Covered
    paid: Covered
    kept: Covered
    heirs: list[str]

    @classmethod
    def of(cls, key: ProviderKey) -> "Consequences":
        keys = ProviderKey.objects.for_account(key.account).enabled().with_coverage()
        others = list(keys.exclude(pk=key.pk))
        covers = covered([key, *others])
        served = {key_id: {entry.id for entry in each.served} for key_id, each in covers.items()}
        own = served.pop(key.pk)
        kept = own.intersection(set().union(*served.values()))
        known, gone = catalogue(), own - kept
        models = [known.models[id_] for id_ in gone if id_ in known.models]
        paid = served_by_megabrain(models, known, timezone.now())
        return cls(
            lost=covers[key.pk].among(gone - paid),
            paid=covers[key.pk].among(paid),
            kept=covers[key.pk].among(kept),
            heirs=sorted(name_of(other.provider) for other in others if served[other.pk] & own),
        )


@require_http_methods(["GET", "HEAD", "POST"])
@page
def delete(request: SignedInRequest, key_id: UUID, slug: str | None = None) -> HttpResponse:
    """Say what will be lost, then delete the key for good."""
    key = key_of(request, slug, key_id, to_change=True)
    shown = bare_row(key)
    if request.method != "POST":
        context = {"pages": shown.pages, "row": shown, "consequences": Consequences.of(key)}
        return render(request, template(request, "byok/delete.html", "dialog"), context)
    delete_key(actor=request.user, key=key, origin=Origin.of(request))
    messages.success(
        request,
        f"The {shown.name} key is deleted. "
        + (
            still_billed(shown.manager)
            if shown.manager
            else f"It stays valid at {shown.name} until you revoke it there."
        ),
    )
    return answer_with_list(request, key.account)


@require_POST
@page
def try_key(request: SignedInRequest, key_id: UUID, slug: str | None = None) -> HttpResponse:
    """Have a worker try the key; the page then asks `row` for the result."""
    key = key_of(request, slug, key_id)
    name = name_of(key.provider)
    try:
        request_test(actor=request.user, key=key, origin=Origin.of(request))
    except TooManyTests as too_many:
        messages.error(
            request,
            f"The {name} key was tested {TESTS_A_MINUTE} times within a minute. "
            f"Test it again in {too_many.seconds} s.",
        )
        return answer_with_key(request, key_row(key))
    shown = key_row(key)
    if shown.test is not None and shown.test.is_finished:
        # It could not even be queued, or a worker was as quick as this.
        tell_result(request, shown.test)
    elif not request.htmx:
        messages.info(
            request, f"Testing the {name} key. Reload the page in a moment to see the result."
        )
    return answer_with_key(request, shown)
