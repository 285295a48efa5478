"""What every view of these pages begins and ends with."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from byok.actions import KeyGone
from byok.forms import FailureForm, ReminderForm
from byok.models import KeyTest, ProviderKey
from byok.views.covered import covered
from byok.views.rows import KeyRow, Pages, key_rows
from orgs.access import account_or_404, account_page
from orgs.models import Account, AuditEvent
from orgs.permissions import Permission
from orgs.requests import SignedInRequest, path_on_screen

EVENTS_SHOWN = 8

P = ParamSpec("P")


def page(
    view: Callable[Concatenate[SignedInRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """A page of an account; a key that somebody deletes meanwhile is not found."""

    @account_page
    @wraps(view)
    def guarded(request: SignedInRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (KeyGone, ProviderKey.DoesNotExist):
            raise Http404 from None

    return guarded


def account_of(request: SignedInRequest, slug: str | None, *, to_change: bool = False) -> Account:
    """The account whose keys the page is about, if the visitor may manage them.

    `to_change` them one has to have signed in a moment ago.
    """
    return account_or_404(request, slug, Permission.MANAGE_KEYS, recent_login=to_change)


def key_of(
    request: SignedInRequest, slug: str | None, key_id: UUID, *, to_change: bool = False
) -> ProviderKey:
    """That key of that account; any other account's is not found."""
    account = account_of(request, slug, to_change=to_change)
    keys = ProviderKey.objects.for_account(account).with_coverage()
    keys = keys.select_related("account", "created_by")
    return get_object_or_404(keys, pk=key_id)


def template(request: SignedInRequest, name: str, fragment: str) -> str:
    """The page, or for htmx only the named part of it."""
    return f"{name}#{fragment}" if request.htmx else name


def answer_with_list(
    request: SignedInRequest, account: Account, saved: ProviderKey | None = None
) -> HttpResponse:
    """After a change: the list anew where it is on the screen, else the way to it.

    `saved` is a key whose secret is new: the list offers to test it.
    """
    pages = Pages(account)
    fresh = str(saved.pk) if saved else ""
    if request.htmx and path_on_screen(request) == pages.keys:
        rows = key_rows(account, fresh)
        return render(request, "byok/keys.html#keys", {"rows": rows, "pages": pages, "oob": True})
    return redirect(f"{pages.keys}?saved={fresh}#key-{fresh}" if saved else pages.keys)


def answer_with_key(request: SignedInRequest, shown: KeyRow) -> HttpResponse:
    """After a change of one key: the part of the screen that tells it, else the way to the list."""
    if request.htmx and request.htmx.target == "about":
        return render(request, "byok/details.html#about", details_context(shown))
    if request.htmx and request.htmx.target:
        row = replace(shown, covers=covered([shown.key])[shown.key.pk])
        return render(request, "byok/keys.html#changed_row", {"row": row})
    return redirect(f"{shown.pages.keys}#key-{shown.key.pk}")


def details_context(
    shown: KeyRow, form: ReminderForm | None = None, failure: FailureForm | None = None
) -> dict[str, Any]:
    """What the page of one key shows. Any: it goes to a template."""
    key = shown.key
    events = AuditEvent.objects.for_account(key.account_id).filter(
        target_kind="providerkey", target_id=str(key.pk)
    )
    return {
        "row": shown,
        "pages": shown.pages,
        "form": form or ReminderForm(initial={"remind_on": key.remind_on}),
        "failure": failure or FailureForm(initial={"on_failure": key.on_failure}),
        "events": events.newest_first()[:EVENTS_SHOWN],
    }


def tell_result(request: SignedInRequest, test: KeyTest) -> None:
    """A toast with what came of a test that is over."""
    passed = test.state == KeyTest.State.PASSED
    messages.add_message(request, messages.SUCCESS if passed else messages.ERROR, test.message)
