"""Which key would be used: the route of a call, as far as everybody knows it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from byok.catalogue import direct_entries, near_matches, resolve, served_models, spellings
from byok.forms import RouteForm
from byok.models import CatalogModel, Offering, ProviderKey
from byok.providers import PROVIDERS, custom, name_of
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
    def health(self) -> str:
        return self.row.health

    @property
    def health_at(self) -> datetime | None:
        return self.row.health_at


@dataclass(frozen=True, slots=True)
class Served:
    """An offering as routing sees it."""

    provider: str
    upstream_id: str
    endpoints: tuple[Endpoint, ...]


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
    form = RouteForm(request.GET if asked else None, models=_callable_models(account))
    context: dict[str, Any] = {"pages": Pages(account), "form": form}
    if not asked:
        context["examples"] = served_models(account).get(Endpoint.CHAT, [])[:EXAMPLES]
    elif form.is_valid():
        context |= _answer(account, form)
    status = 422 if form.errors else 200
    return render(request, template(request, "byok/route.html", "answer"), context, status=status)


def _answer(account: Account, form: RouteForm) -> dict[str, Any]:
    """What the template tells. Any: it goes to a template."""
    name, endpoint = form.cleaned_data["model"], Endpoint(form.cleaned_data["endpoint"])
    direct = direct_entries()
    known = spellings(CatalogModel.objects.values_list("pk", "aliases"), direct)
    model_id = resolve(name, known) or _of_custom_endpoint(name)
    if model_id is None:
        return {"unknown": name, "near": near_matches(name, known, direct)}
    if account.allowed_models is not None and model_id not in account.allowed_models:
        return {"not_allowed": model_id}
    rows = ProviderKey.objects.for_account(account).order_by("created_at", "id")
    keys = [HeldKey(row, _trouble(row)) for row in rows if row.provider in PROVIDERS]
    offerings = Offering.objects.serving().filter(model=model_id).order_by("provider", "pk")
    offers = [
        Served(offering.provider, offering.upstream_id, offering.served_at)
        for offering in offerings
        if offering.provider in PROVIDERS
    ]
    if not offers and (own := custom.upstream_model(model_id)) is not None:
        offers = [Served("custom", own, tuple(PROVIDERS["custom"].endpoints))]
    found = plan(
        model_id,
        offers,
        keys,
        endpoint,
        timezone.now(),
        with_tools=form.cleaned_data["tools"],
    )
    pages = Pages(account)
    return {
        "model": model_id,
        "stops": [_stop(pages, stop, place, endpoint) for place, stop in enumerate(found.stops, 1)],
        "held_back": [
            _skipped(pages, key, skip, model_id)
            for key, skip in found.skipped
            if skip is not Skip.OTHER_MODELS
        ],
        "others": [
            _skipped(pages, key, skip, model_id)
            for key, skip in found.skipped
            if skip is Skip.OTHER_MODELS
        ],
        "wanted": _wanted({offer.provider for offer in offers}, {key.provider for key in keys}),
    }


def _stop(pages: Pages, stop: Planned[HeldKey, Served], position: int, asked: Endpoint) -> Stop:
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


def _of_custom_endpoint(name: str) -> str | None:
    """The id of a model that only the account's own endpoint knows."""
    own = custom.upstream_model(name)
    return f"custom/{own}" if own is not None and "custom" in PROVIDERS else None


def _trouble(row: ProviderKey) -> object | None:
    sealed = row.secret
    # A stored key is sealed; a Secret is one that was just put in, and nothing is wrong with it.
    return sealed.trouble() if hasattr(sealed, "trouble") and row.enabled else None


def _callable_models(account: Account) -> list[str]:
    """Ids to choose from: of what the account's keys can serve."""
    providers = ProviderKey.objects.for_account(account).values("provider")
    offerings = Offering.objects.serving().filter(provider__in=providers)
    return list(offerings.order_by("model_id").values_list("model_id", flat=True).distinct())
