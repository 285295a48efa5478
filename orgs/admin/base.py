"""What every list and every page of the admin has in common.

Staff look things up, and change them through the same actions as everyone. So a page is read-only
unless it says otherwise, and whatever can be done to a row is one call of an action, which asks for
permission and writes its audit event. Nothing is logged in Django's own log beside it.

Lists stay quick however long they are: they are in the order of an index, count no further than
the rows one may leaf through, and are searched for whole values that an index finds.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import get_fields_from_path, quote
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import EmailField, Model, QuerySet, SlugField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from orgs.access import recent_login_required
from orgs.models import Account
from orgs.permissions import NotPermitted, assists
from orgs.requests import SignedInRequest

PAGE = 50
#: How many rows of a list one may leaf through; the others are searched for.
WITHIN_REACH = 1000
#: The addresses of a model; others only where a class says so.
ADDRESSES = ("changelist", "change")

Row = Any  # A row of whichever model an admin class is about.

#: For a method that shows a form: whoever is to sign in again does so before they fill it in.
fresh_sign_in = method_decorator(cast("Any", recent_login_required))  # Any: it takes each view.


class FirstRows(Paginator):  # type: ignore[type-arg]  # It takes none at run time.
    """The first rows of a list. How many there are beyond them is never asked."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Model]", self.object_list)
        return len(rows.order_by().values_list("pk")[:WITHIN_REACH])

    @property
    def is_cut_off(self) -> bool:
        return self.count == WITHIN_REACH


class Rows(ChangeList):
    """A list in the one order that an index gives, whatever its address asks for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = capfirst(str(self.opts.verbose_name_plural))

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Model]) -> list[Any]:
        self.params.pop(ORDER_VAR, None)
        return list(super().get_ordering(request, queryset))

    def get_results(self, request: HttpRequest) -> None:
        """The rows of the page, and in one query for all of them the accounts that they name."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        if "of_account" in self.list_display:
            find_accounts(cast("StaffAdmin", self.model_admin), self.result_list)


class StaffAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Nor does this.
    """A model in the admin, read-only, for staff.

    `fields` names what its page shows: every class lists them, so that a new column, which may
    hold a secret, is not shown by itself.
    """

    #: Columns that find a row by their whole value. Tried in turn: one that is found ends it.
    search_fields: ClassVar[list[str] | tuple[str, ...]] = ()
    #: The column with the account's id. Its id, its slug or its person's e-mail finds the rows.
    account_field: ClassVar[str] = ""
    #: The order of what a search found, where another index than that of the list has found it.
    ordering_found: ClassVar[Sequence[str]] = ()
    #: What an action may refuse, as a sentence about `{row}`; `{why}` is what the action said.
    refusals: ClassVar[Mapping[type[Exception], str]] = {}
    addresses: ClassVar[Sequence[str]] = ADDRESSES

    list_per_page = PAGE
    list_max_show_all = PAGE
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    view_on_site = False
    paginator = FirstRows

    # Who may ---------------------------------------------------------------------------------

    def has_module_permission(self, request: HttpRequest) -> bool:
        return assists(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Row = None) -> bool:
        return assists(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Row = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Row = None) -> bool:
        return False

    # Addresses -------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """None for what cannot be done here."""
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        names = {f"{prefix}{address}" for address in self.addresses}
        return [pattern for pattern in super().get_urls() if pattern.name in names]

    def address(self, name: str, *args: object) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}", args=args)

    def page_of(self, row: Row) -> str:
        return self.address("change", quote(row.pk))

    # Lists -----------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Rows

    # Django's signature has more types than its own calls use.
    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only the filters that the page offers: any other may have no index, or no meaning."""
        field, _, kind = lookup.partition("__")
        return field in self.list_filter and kind in {"", "exact"} and "\0" not in value

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Row], search_term: str
    ) -> tuple[QuerySet[Row], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        for lookup in self.look_ups(term):
            found = queryset.filter(**lookup)
            if found.order_by().exists():
                return found.order_by(*self.ordering_found or self.get_ordering(request)), False
        return queryset.none(), False

    def look_ups(self, term: str) -> Iterator[dict[str, object]]:
        """What `term` may mean, one column at a time: an index finds each, but not all at once."""
        for column in self.search_fields:
            value = self._meant(column, term)
            if value is not None:
                yield {column: value}
        if self.account_field:
            found = {"user__email": term.lower()} if "@" in term else {"slug": term.lower()}
            for account_id in Account.objects.filter(**found).values_list("pk", flat=True):
                yield {self.account_field: account_id}
            if _uuid(term):
                yield {self.account_field: _uuid(term)}

    def _meant(self, column: str, term: str) -> object:
        """`term` as a value of that column; None if it cannot be one."""
        field = get_fields_from_path(self.model, column.removesuffix("__startswith"))[-1]
        if isinstance(field, EmailField | SlugField):
            return term.lower()
        try:
            value: object = field.to_python(term)
        except ValidationError:
            return None
        return value

    def called(self, row: Row) -> str:
        """What a message about the row calls it."""
        return str(row)

    @admin.display(description="Account")
    def of_account(self, row: Row) -> SafeString:
        """The slug or the e-mail address that finds the account; of one that is gone its id."""
        if not hasattr(row, "named_account"):
            find_accounts(self, [row])
        return page_link("orgs_account", self.account_id_of(row), row.named_account)

    # Pages -----------------------------------------------------------------------------------

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Row:
        # PostgreSQL takes no NUL in a text, not even to look for it.
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    # Any: Django's own signature.
    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = kwargs.get("obj")
        if row is not None:
            context["trail"] = self.trail_of(row)
            context["row_actions"] = self.actions_on(request, row)
            context["actions_url"] = self.address("changelist")
            context["tools"] = self.tools_on(request, row)
        return super().render_change_form(request, context, *args, **kwargs)

    def account_id_of(self, row: Row) -> uuid.UUID | None:
        """The account to which the row belongs."""
        if not self.account_field:
            return None
        return cast("uuid.UUID", functools.reduce(getattr, self.account_field.split("__"), row))

    def trail_of(self, row: Row) -> str:
        """Where what happened to the row is told: in the audit log of its account."""
        account_id = self.account_id_of(row)
        return searched("orgs_auditevent", account_id) if account_id else ""

    def actions_on(self, request: HttpRequest, row: Row) -> list[tuple[str, str]]:
        """Name and label of the actions that its page offers: those that would change something."""
        return [
            (name, action.short_description)
            for name, action in self.row_actions(request).items()
            if action.sensible(row)
        ]

    def tools_on(self, request: HttpRequest, row: Row) -> list[tuple[str, str]]:
        """Address and label of what else can be done to it."""
        return []

    # Actions ---------------------------------------------------------------------------------

    # The types that are installed for Django know an argument of a later version.
    def response_action(  # type: ignore[override]
        self, request: HttpRequest, queryset: QuerySet[Row]
    ) -> HttpResponse | None:
        """Do what was chosen to the rows that were ticked, never to those of other pages.

        None when nothing was done: Django shows the list anew.
        """
        action = self.row_actions(request).get(request.POST.get("action", ""))
        if action is None:
            messages.warning(request, "Choose an action first. Nothing was changed.")
            return None
        ids = request.POST.getlist(ACTION_CHECKBOX_NAME)[:PAGE]
        rows = list(queryset.filter(pk__in=[id_ for id_ in ids if self._is_id(id_)]))
        if not rows:
            messages.warning(request, "What you chose is not there any more. Nothing was changed.")
            return None
        answer = action(self, cast("SignedInRequest", request), rows)
        if answer is not None:
            return answer
        if "page" in request.POST and queryset.filter(pk=rows[0].pk).exists():
            return HttpResponseRedirect(self.page_of(rows[0]))
        return HttpResponseRedirect(request.get_full_path())

    def row_actions(self, request: HttpRequest) -> dict[str, RowAction]:
        """By name; whatever else Django would offer is not among them."""
        offered: dict[str, Any] = self.get_actions(request) or {}
        return {
            name: action for name, (action, *_) in offered.items() if isinstance(action, RowAction)
        }

    def _is_id(self, text: str) -> bool:
        try:
            self.opts.pk.to_python(text)
        except ValidationError:
            return False
        return "\0" not in text

    # Django's own log: the audit log has it all, and it alone cannot be changed.

    def log_addition(self, *args: Any) -> None:  # type: ignore[override]
        pass

    def log_change(self, *args: Any) -> None:  # type: ignore[override]
        pass

    def log_deletions(self, *args: Any) -> None:  # type: ignore[override]
        pass


Act = Callable[[Any, SignedInRequest, Row], str]


@dataclass(frozen=True, slots=True)
class RowAction:
    """An action in the menu of a list and, where it is `sensible`, on a row's own page.

    `act` does it to one row, and says what it did in words that follow the row's name. With a
    `warning` it is asked for confirmation first.
    """

    act: Act
    short_description: str  # Django's word for the label.
    warning: str
    sensible: Callable[[Row], bool]

    def __call__(
        self, listed: StaffAdmin, request: SignedInRequest, rows: Sequence[Row]
    ) -> HttpResponse | None:
        if self.warning and "confirmed" not in request.POST:
            return self.ask(listed, request, rows)
        for row in rows:
            self.do(listed, request, row)
        return None

    def ask(
        self, listed: StaffAdmin, request: SignedInRequest, rows: Sequence[Row]
    ) -> HttpResponse:
        """Say what will be lost, and have it confirmed."""
        context = {
            **listed.admin_site.each_context(request),
            "title": f"{self.short_description}?",
            "opts": listed.opts,
            "rows": rows,
            "action": self.act.__name__,
            "label": self.short_description,
            "warning": self.warning,
            "list_url": listed.address("changelist"),
            "checkbox": ACTION_CHECKBOX_NAME,
            "from_page": "page" in request.POST,
        }
        return TemplateResponse(request, "admin/confirm.html", context)

    def do(self, listed: StaffAdmin, request: SignedInRequest, row: Row) -> None:
        """To one row, whatever comes of the others; and tell what came of it."""
        name = listed.called(row)
        try:
            messages.success(request, f"{name}: {self.act(listed, request, row)}.")
        except NotPermitted as refused:
            messages.error(request, f"{name}: not permitted. {refused}")
        except tuple(listed.refusals) as refused:
            sentence = next(
                words for kind, words in listed.refusals.items() if isinstance(refused, kind)
            )
            messages.error(request, sentence.format(row=name, why=refused))


def row_action(
    label: str, *, warning: str = "", sensible: Callable[[Row], bool] = lambda row: True
) -> Callable[[Act], RowAction]:
    """Make a method of a `StaffAdmin` a `RowAction`."""
    return lambda act: RowAction(act, label, warning, sensible)


def find_accounts(listed: StaffAdmin, rows: Sequence[Row]) -> None:
    """Give each row the name by which the account that it belongs to is looked up."""
    ids = [listed.account_id_of(row) for row in rows]
    wanted = {id_ for id_ in ids if id_ is not None}
    found = Account.objects.filter(pk__in=wanted).values_list("pk", "user__email", "slug")
    names = {id_: email or slug for id_, email, slug in found}
    for row, id_ in zip(rows, ids, strict=True):
        row.named_account = names.get(id_) if id_ else None


def searched(model: str, term: object) -> str:
    """The list of that model, searched for `term`."""
    return reverse(f"admin:{model}_changelist", query={"q": str(term)})


def page_link(model: str, id_: object, label: object = None) -> SafeString:
    """To the page of the row with that id, which may be gone."""
    url = reverse(f"admin:{model}_change", args=[id_])
    return links([(url, str(label or id_))])


def links(places: Sequence[tuple[str, str]]) -> SafeString:
    """Address and label of each, in one line."""
    return format_html_join(" · ", '<a href="{}">{}</a>', places)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
