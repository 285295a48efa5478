"""Which key would be used: the route of a call, as far as everybody knows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from byok.balance import sold, when
from byok.catalogue.held import served_models
from byok.catalogue.memory import Catalogue, Offer, catalogue
from byok.catalogue.own import find_own, own_entries, own_ids
from byok.catalogue.spelling import near_matches
from byok.forms import RouteForm
from byok.models import ProviderKey
from byok.models.keys import ProviderKeyQuerySet
from byok.providers import PROVIDERS, name_of
from byok.providers.bedrock.regions import GEO
from byok.providers.endpoints import ALIKE, Endpoint
from byok.routing import Skip, Standing, plan, why_here, why_skipped
from byok.routing import Stop as Planned
from byok.views.page import account_of, page, template
from byok.views.rows import Pages
from orgs.models import Account
from orgs.requests import SignedInRequest


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A stored key as routing sees it."""

    row: ProviderKey
    trouble: object | None
    lacking: frozenset[str]
    own: tuple[str, ...]

    @property
    def id(self) -> UUID:
        return self.row.pk

    @property
    def provider(self) -> str:
        return self.row.provider

    @property
    def host(self) -> str:
        return self.row.host

    @property
    def enabled(self) -> bool:
        return self.row.enabled

    @property
    def falls_back(self) -> bool:
        return self.row.falls_back

    @property
    def health(self) -> str:
        return self.row.health

    @property
    def health_at(self) -> datetime | None:
        return self.row.health_at


@dataclass(frozen=True, slots=True)
class Line:
    """A key of the answer, tried or skipped, and why."""

    name: str
    hint: str
    details_url: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop(Line):
    """A key that is tried: its place, and how its provider is asked."""

    position: int
    standing: str
    tone: str
    dialect: str
    upstream_id: str
    as_sent: bool


#: How a key stands, for its badge.
STANDINGS = {
    Standing.READY: ("Ready", "success"),
    Standing.PAUSING: ("Pausing", "warning"),
    Standing.FAILING: ("Failing", "danger"),
    Standing.LACKING: ("No access", "danger"),
}
#: So many models are named before one is chosen.
EXAMPLES = 4


@require_safe
@page
def route(request: SignedInRequest, slug: str | None = None) -> HttpResponse:
    """The keys that a call of a model would try, in their order, and why each other one is not."""
    account = account_of(request, slug)
    asked = bool(request.GET.get("model"))
    keys, models = _held_keys(account), catalogue()
    form = RouteForm(request.GET if asked else None, models=_callable_models(models, keys))
    context: dict[str, Any] = {"pages": Pages(account), "form": form}
    if not asked:
        context["examples"] = served_models(account).get(Endpoint.CHAT, [])[:EXAMPLES]
    elif form.is_valid():
        context |= _answer(account, form, models, keys)
    status = 422 if form.errors else 200
    return render(request, template(request, "byok/route.html", "answer"), context, status=status)


def _answer(
    account: Account, form: RouteForm, models: Catalogue, keys: Sequence[HeldKey]
) -> dict[str, Any]:
    """What the template tells. Any: it goes to a template."""
    name, endpoint = form.cleaned_data["model"], Endpoint(form.cleaned_data["endpoint"])
    model = models.find(name) or find_own(name, keys, models)
    if model is None:
        return {"unknown": name, "near": near_matches(name, models.known, models.direct)}
    if account.allowed_models is not None and model.id not in account.allowed_models:
        return {"not_allowed": model.id}
    now, with_tools = timezone.now(), form.cleaned_data["tools"]
    found = plan(model.id, model.offers, keys, endpoint, now, with_tools=with_tools)
    pages = Pages(account)
    if offers := sold(model, models, now):
        own = _held(ProviderKey.objects.of_megabrain().enabled())
        paid = bool(plan(model.id, offers, own, endpoint, now, with_tools=with_tools).stops)
    else:
        paid = False
    return {
        "balance": when(found, endpoint, served=paid)[0],
        "model": model.id,
        "has_page": model.id in models.models,
        "stops": [_stop(pages, stop, place, endpoint) for place, stop in enumerate(found.stops, 1)],
        "held_back": [
            _skipped(pages, key, skip, model.id)
            for key, skip in found.skipped
            if skip is not Skip.OTHER_MODELS
        ],
        "others": [
            _skipped(pages, key, skip, model.id)
            for key, skip in found.skipped
            if skip is Skip.OTHER_MODELS
        ],
        "wanted": _wanted(
            {offer.provider for offer in model.offers}, {key.provider for key in keys}
        ),
    }


def _stop(pages: Pages, stop: Planned[HeldKey, Offer], position: int, asked: Endpoint) -> Stop:
    standing, tone = STANDINGS[stop.standing]
    return Stop(
        name_of(stop.key.provider),
        stop.key.row.hint,
        pages.to("details", key_id=stop.key.id),
        why_here(stop, position),
        position,
        standing,
        tone,
        stop.endpoint.label,
        # Of which part of the world the profile is, the region in the key decides.
        stop.offer.upstream_id.removeprefix(GEO),
        as_sent=stop.endpoint is asked or (asked, stop.endpoint) in ALIKE,
    )


def _skipped(pages: Pages, key: HeldKey, skip: Skip, model_id: str) -> Line:
    return Line(
        name_of(key.provider),
        key.row.hint,
        pages.to("details", key_id=key.id),
        why_skipped(key, skip, model_id),
    )


def _wanted(offering: set[str], held: set[str]) -> list[tuple[str, str]]:
    """Ids and names of the providers of which a key would serve the model, and none is there."""
    return sorted(
        ((id_, name_of(id_)) for id_ in offering - held), key=lambda each: each[1].lower()
    )


def _held_keys(account: Account) -> list[HeldKey]:
    """The account's keys in the order in which they were added."""
    return _held(ProviderKey.objects.for_account(account).order_by("created_at", "id"))


def _held(keys: ProviderKeyQuerySet) -> list[HeldKey]:
    return [
        HeldKey(row, _trouble(row), row.lacking, own_ids(row))
        for row in keys.with_coverage()
        if row.provider in PROVIDERS
    ]


def _trouble(row: ProviderKey) -> object | None:
    sealed = row.secret
    # A stored key is sealed; a Secret is one that was just put in, and nothing is wrong with it.
    return sealed.trouble() if hasattr(sealed, "trouble") and row.enabled else None


def _callable_models(models: Catalogue, keys: Sequence[HeldKey]) -> list[str]:
    """Ids to choose from: of what the account's keys can serve."""
    lacking = {key.provider: key.lacking for key in keys}
    served = [
        model.id
        for model in models.by_id
        if any(
            offer.provider in lacking and offer.upstream_id not in lacking[offer.provider]
            for offer in model.offers
        )
    ]
    return [*served, *(model.id for model in own_entries(keys, models))]
