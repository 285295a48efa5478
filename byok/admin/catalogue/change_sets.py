"""What sources have changed, and what of it waits for staff."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from byok.actions import ChangesDecided, apply_change_set, dismiss_change_set
from byok.admin.catalogue.base import CatalogueAdmin, label_of
from byok.admin.catalogue.dollars import priced
from byok.catalogue.changes import Change, Kind, read
from byok.models import CatalogueSource, ChangeSet
from byok.providers import PROVIDERS, name_of
from orgs.admin.base import Row, row_action
from orgs.origin import Origin
from orgs.requests import SignedInRequest

#: So many changes of a set are shown; the others are counted.
SHOWN = 500

#: What each kind is called, of one and of several; those that are to be judged come first.
KINDS: Mapping[Kind, tuple[str, str]] = {
    Kind.PRICE_CHANGED: ("price", "prices"),
    Kind.OFFERING_CHANGED: ("change of an offering", "changes of offerings"),
    Kind.MODEL_CHANGED: ("change of a model", "changes of models"),
    Kind.OFFERING_ADDED: ("new offering", "new offerings"),
    Kind.MODEL_ADDED: ("new model", "new models"),
    Kind.RETIRED: ("retired", "retired"),
    Kind.MISSING: ("missing", "missing"),
    Kind.BACK: ("listed again", "listed again"),
}
_ORDER = [str(kind) for kind in KINDS]


@dataclass(frozen=True, slots=True)
class Line:
    """A change as staff read it: what, and from what to what, in lines."""

    model: str
    place: str
    what: str
    before: Sequence[str]
    after: Sequence[str]


@admin.register(ChangeSet)
class ChangeSetAdmin(CatalogueAdmin):
    list_display = ["created_at", "of_source", "state", "counted", "decided_by"]
    list_filter = ["state", "source"]
    list_select_related = ["decided_by"]
    ordering = ["-created_at"]
    search_fields = ["id", "source"]
    search_help_text = "A source, such as “novita” or “feed”, or a change set's id."
    fields = ["of_source", "state", "counted", "created_at", "decided_at", "decided"]
    actions = ["apply", "dismiss"]
    refusals = {ChangesDecided: "{row}: was decided meanwhile, or gave way to newer changes."}
    change_form_template = "admin/byok/changeset/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChangeSet]:
        # A list reads none of the changes, of which one set may have thousands.
        return super().get_queryset(request).defer("changes", "doubts")

    @admin.display(description="Source", ordering="source")
    def of_source(self, change_set: ChangeSet) -> str:
        return source_name(change_set.source)

    @admin.display(description="Changes")
    def counted(self, change_set: ChangeSet) -> str:
        return ", ".join(
            f"{number:,} {words[number != 1]}"
            for kind, words in KINDS.items()
            if (number := change_set.counts.get(kind))
        )

    @admin.display(description="Decided by")
    def decided(self, change_set: ChangeSet) -> str:
        if change_set.decided_by:
            return str(change_set.decided_by.email)
        return "MegaBrain, by itself" if change_set.decided_at else "Nobody yet"

    # Any: Django's own signature.
    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row: ChangeSet = kwargs["obj"]
        stored = sorted(row.changes, key=lambda each: _ORDER.index(each["kind"]))
        context |= {
            "doubts": row.doubts,
            "lines": [_line(change) for change in read(stored[:SHOWN])],
            "changes": len(stored),
            "cut_off": len(stored) > SHOWN,
            "waits": row.state == ChangeSet.State.WAITING,
        }
        return super().render_change_form(request, context, *args, **kwargs)

    @row_action(
        "Apply",
        warning="What it says becomes true at once, but for what was changed since it was told.",
        sensible=lambda row: row.state == ChangeSet.State.WAITING,
    )
    def apply(self, request: SignedInRequest, row: ChangeSet) -> str:
        apply_change_set(actor=request.user, change_set=row, origin=Origin.of(request))
        return "applied"

    @row_action(
        "Dismiss",
        warning="The catalogue stays as it is, and the same is not proposed again for 30 days.",
        sensible=lambda row: row.state == ChangeSet.State.WAITING,
    )
    def dismiss(self, request: SignedInRequest, row: ChangeSet) -> str:
        dismiss_change_set(actor=request.user, change_set=row, origin=Origin.of(request))
        return "dismissed"

    def called(self, row: Row) -> str:
        return f"{source_name(row.source)}, {row.created_at:%Y-%m-%d %H:%M}"


def source_name(name: str) -> str:
    words = {CatalogueSource.BUNDLED: "Bundled edition", CatalogueSource.FEED: "Feed"}
    return name_of(name) if name in PROVIDERS else words.get(name, name)


def _line(change: Change) -> Line:
    one, _ = KINDS[change.kind]
    before, after = change.before, change.after
    if change.kind is Kind.PRICE_CHANGED:
        sides = priced(before or ()) or ["unknown"], priced(after)
    elif change.kind in (Kind.MODEL_CHANGED, Kind.OFFERING_CHANGED):
        one = label_of(change.field).lower()
        sides = [_shown(before)], [_shown(after)]
    else:
        sides = [], list(_described(after or {}))
    place = name_of(change.provider) if change.provider else ""
    if change.kind is Kind.OFFERING_ADDED:
        place += f", as {change.upstream_id}"
    return Line(change.model, place, one, *sides)


# Any: JSON, as changes hold it.


def _described(added: Mapping[str, Any]) -> Iterator[str]:
    """What is known of what is new."""
    for name, value in added.items():
        if name == "prices":
            yield from priced(value) or ["no price known"]
        elif value not in (None, [], False, ""):
            yield f"{label_of(name).lower()}: {_shown(value)}"


def _shown(value: Any) -> str:
    if value in (None, []):
        return "unknown"
    if value is True:
        return "yes"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
