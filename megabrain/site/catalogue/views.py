"""The list of models, and a model's own page: for anybody, and with one's own keys in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from itertools import chain
from typing import Any, cast

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_htmx.http import push_url, replace_url

from byok.balance import served_by_megabrain
from byok.catalogue.held import OwnKey, held, own_keys
from byok.catalogue.own import own_entries
from byok.catalogue.spelling import near_matches
from byok.models import CatalogModel
from megabrain.site.catalogue.cards import Card, Shelf, card_of, shelf
from megabrain.site.catalogue.details import details, routes
from megabrain.site.catalogue.search import SearchForm, found, likely_meant
from megabrain.site.requests import SiteRequest
from orgs.access import account_url, enter_last
from orgs.models import Account
from orgs.permissions import Permission
from orgs.requests import SignedInRequest

PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: the account whose keys count, if any, and what they may know of these."""

    account: Account | None = None
    keys: tuple[OwnKey, ...] = ()
    #: Models that only keys of this account know.
    own: tuple[Card, ...] = ()
    manages_keys: bool = False

    @property
    def badge_title(self) -> str:
        whose = f"A key of {self.account}" if self.of_organization else "One of your keys"
        return f"{whose} serves it."

    @property
    def of_organization(self) -> bool:
        return self.account is not None and self.account.is_organization

    @property
    def keys_url(self) -> str:
        return account_url("byok:keys", self.account) if self.account else ""

    @property
    def tokens_url(self) -> str:
        return account_url("orgs:tokens", self.account) if self.account else ""

    def served(self, kept: Shelf) -> Mapping[str, tuple[str, ...]]:
        """By model, the providers whose key of this account would serve it."""
        if self.account is None or not self.keys:
            return {}
        allowed = self.account.allowed_models
        models = chain(kept.catalogue.by_id, (card.model for card in self.own))
        return held(
            (model for model in models if allowed is None or model.id in allowed), self.keys
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A model in the list; `served_by` are the providers of the viewer's keys that serve it."""

    card: Card
    served_by: tuple[str, ...]


@require_safe
def models(request: SiteRequest) -> HttpResponse:
    """Models that somebody serves, searched, filtered and sorted; all of it is in the address.

    What is typed replaces the address, so that going back undoes a choice and not a letter.
    """
    kept = shelf()
    viewer = _viewer(request, kept)
    form, served = SearchForm(request.GET, kept), viewer.served(kept)
    own = [card for card in viewer.own if card.model.id in served]
    cards = found(kept, form, own, served)
    last = max(1, -(-len(cards) // PER_PAGE))
    page = min(form.chosen("page") or 1, last)
    first = (page - 1) * PER_PAGE
    context = {
        **_frame(viewer),
        "form": form,
        "viewer": viewer,
        "total": len(kept.cards) + len(own),
        "count": len(cards),
        "rows": [
            Row(card, served.get(card.model.id, ())) for card in cards[first : first + PER_PAGE]
        ],
        "span": f"{first + 1:,}–{min(first + PER_PAGE, len(cards)):,} of {len(cards):,}",
        "previous": form.url(page=page - 1) if page > 1 else "",
        "next": form.url(page=page + 1) if page < last else "",
    }
    if not cards:
        context |= _what_to_change(kept, form, own, served)
    if not request.htmx:
        return render(request, "megabrain/models/list.html", context)
    answer = render(request, "megabrain/models/list.html#answer", {**context, "beside": True})
    address = form.url(page=1)
    same = request.htmx.current_url == request.build_absolute_uri(address)
    if same or request.htmx.trigger == "typed":
        return replace_url(answer, address)
    return push_url(answer, address)


def _what_to_change(
    kept: Shelf, form: SearchForm, own: list[Card], served: Mapping[str, Any]
) -> dict[str, Any]:
    """Why nothing is shown, and the way out of it. Any: it goes to a template."""
    typed = form.chosen("q") or ""
    if not kept.cards:
        return {"why": "none"}
    if form.chosen("mine") and not served:
        return {"why": "no_keys"}
    wide = SearchForm({"q": typed}, kept)
    if form.narrowed and (without := len(found(kept, wide, own))):
        them = "One model is" if without == 1 else f"{without:,} models are"
        about = f"called {typed}" if typed else "here"
        return {
            "why": "filters",
            "without": f"{them} {about} without the filters. Drop some of them.",
            "wider": wide.url(),
        }
    known, meant = kept.catalogue, likely_meant(kept, typed)
    return {
        "why": "words",
        "typed": typed,
        "near": near_matches(typed, known.known, known.direct),
        "meant": meant,
        "meant_url": SearchForm({"q": meant}, kept).url(),
    }


@require_safe
def model(request: SiteRequest, id: str) -> HttpResponseBase:  # noqa: A002 - as the address has it
    """All about one model. Another spelling of it leads here; an unknown one names near ones."""
    kept = shelf()
    viewer = _viewer(request, kept)
    known = kept.catalogue.models.get(id) or kept.catalogue.find(id.strip("/"))
    own = {card.model.id: card for card in viewer.own}
    card = kept.cards[known.id] if known is not None else own.get(id)
    if card is None:
        return _unknown(request, kept, viewer, id)
    known = card.model
    if known.id != id:
        return redirect("model", id=known.id)
    now = timezone.now()
    return render(
        request,
        "megabrain/models/model.html",
        {
            **_frame(viewer),
            "card": card,
            "model": known,
            "viewer": viewer,
            "served_by": viewer.served(kept).get(known.id, ()),
            "base_url": settings.MEGABRAIN_BASE_URL,
            **details(card, now),
            **(routes(known, viewer.account, viewer.keys) if viewer.account else {}),
            "on_balance": viewer.account is not None
            and bool(served_by_megabrain([known], kept.catalogue, now)),
        },
    )


def _unknown(request: SiteRequest, kept: Shelf, viewer: Viewer, name: str) -> HttpResponse:
    """Nobody serves it: whether somebody did, and what else may have been meant."""
    known = kept.catalogue
    short = "".join(letter for letter in name.strip("/") if letter.isprintable())[:120]
    ended = CatalogModel.objects.filter(pk=short).first() if short == name else None
    context = {
        **_frame(viewer),
        "name": short,
        "ended": ended,
        "near": [kept.cards[id_] for id_ in near_matches(short, known.known, known.direct)],
    }
    return render(request, "megabrain/models/unknown.html", context, status=404)


def _viewer(request: SiteRequest, kept: Shelf) -> Viewer:
    """Keys count of the account that a signed-in visitor was in last, as the frame shows it."""
    if not request.user.is_authenticated:
        return Viewer()
    visitor = cast("SignedInRequest", request)
    enter_last(visitor)
    keys, now = own_keys(visitor.account), timezone.now().astimezone(UTC)
    own = own_entries(keys, kept.catalogue)
    return Viewer(
        visitor.account,
        tuple(keys),
        tuple(card_of(model, now, direct=True, own=True) for model in own),
        manages_keys=Permission.MANAGE_KEYS in visitor.permissions,
    )


def _frame(viewer: Viewer) -> dict[str, str]:
    return {"layout": "site.html" if viewer.account is not None else "public.html"}
