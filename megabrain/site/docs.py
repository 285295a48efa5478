"""The documentation: plain templates, one a page, in the order a newcomer needs them."""

from dataclasses import dataclass

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from byok.forms import iam_policy
from byok.providers import PROVIDERS, custom
from byok.providers.base import Endpoint, Provider
from megabrain.site.error_codes import ERROR_CODES
from megabrain.site.requests import SiteRequest


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the documentation; its template is `megabrain/docs/<slug>.html`."""

    slug: str
    title: str
    summary: str
    icon: str


PAGES = [
    Page(
        "byok",
        "Bring Your Own Key",
        "Add, test and manage provider keys, and see which one a request uses.",
        "key",
    ),
    Page(
        "models",
        "Models",
        "What there is, under which names, what it costs, and which your keys serve.",
        "cube",
    ),
    Page(
        "agents",
        "Connect an agent",
        "Set-up for curl, the SDKs, Claude Code, Codex and four more.",
        "terminal",
    ),
    Page(
        "organizations",
        "Organizations",
        "Share provider keys with a team: roles, invitations, limits and the audit log.",
        "users",
    ),
    Page(
        "billing",
        "Balance and limits",
        "What the balance pays for, its ledger, the low-balance alert and spending limits.",
        "card",
    ),
    Page(
        "subscriptions",
        "Subscriptions",
        "Plans with a provider key that MegaBrain has bought: subscribe, renew, cancel.",
        "calendar",
    ),
    Page("errors", "Errors", "Every error code: what it means and what to do about it.", "warning"),
    Page("api", "API reference", "Endpoints, sign-in, headers, limits and receipts.", "server"),
]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A dialect for people: where its clients point, and whose keys serve it."""

    name: str
    endpoint: Endpoint
    base_path: str

    @property
    def providers(self) -> list[str]:
        """Those whose models go by the vendor's name, which is what an agent is set up with."""
        serving = (each for each in PROVIDERS.values() if self.endpoint in each.endpoints)
        return [each.name for each in serving if not each.direct]


@dataclass(frozen=True, slots=True)
class Listed:
    """A provider in the guide, with the dialects it is asked in."""

    provider: Provider

    @property
    def dialects(self) -> list[str]:
        spoken = self.provider.endpoints
        return [each.label for each in spoken if each is not Endpoint.COUNT_TOKENS]


DIALECTS = [
    Dialect("Chat Completions", Endpoint.CHAT, "/v1"),
    Dialect("Responses", Endpoint.RESPONSES, "/v1"),
    Dialect("Messages", Endpoint.MESSAGES, ""),
]


@require_safe
def docs(request: SiteRequest) -> HttpResponse:
    """The table of contents, with the way from nothing to a first answer."""
    return render(request, "megabrain/docs/index.html", shared(""))


@require_safe
def docs_page(request: SiteRequest, slug: str) -> HttpResponse:
    """One page by its slug."""
    page = next((page for page in PAGES if page.slug == slug), None)
    if page is None:
        raise Http404
    return render(request, f"megabrain/docs/{slug}.html", {**shared(slug), "page": page})


def shared(slug: str) -> dict[str, object]:
    """What every page of the documentation may name."""
    place = next((index for index, page in enumerate(PAGES) if page.slug == slug), -1)
    return {
        "pages": PAGES,
        "current": slug,
        "following": PAGES[place + 1] if place + 1 < len(PAGES) else None,
        "base_url": settings.MEGABRAIN_BASE_URL,
        "providers": [Listed(each) for each in PROVIDERS.values() if not each.direct],
        "direct_providers": [Listed(each) for each in PROVIDERS.values() if each.direct],
        "iam_policy": iam_policy(PROVIDERS["bedrock"].permissions),
        "custom_endpoints": settings.MEGABRAIN_CUSTOM_ENDPOINTS,
        "custom_name": custom.PROVIDER.name,
        "key_old_days": settings.MEGABRAIN_KEY_OLD_DAYS,
        "key_unused_days": settings.MEGABRAIN_KEY_UNUSED_DAYS,
        "dialects": DIALECTS,
        "errors": ERROR_CODES,
        "limits": {
            "requests": settings.MEGABRAIN_REQUESTS_PER_MINUTE,
            "calls": settings.MEGABRAIN_CONCURRENT_CALLS,
            "first_byte": int(settings.MEGABRAIN_FIRST_BYTE_SECONDS),
            "idle": int(settings.MEGABRAIN_IDLE_SECONDS),
            "total": int(settings.MEGABRAIN_TOTAL_SECONDS // 60),
        },
    }
