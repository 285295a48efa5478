"""What every answer of the site carries: an id, strict headers, and its messages as toasts."""

import uuid
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.contrib.messages import get_messages
from django.http import HttpResponse, HttpResponseNotAllowed, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from structlog.contextvars import bound_contextvars

from megabrain.site.errors import wrong_method
from megabrain.site.requests import SiteRequest
from orgs.requests import on_screen

Handler = Callable[[SiteRequest], HttpResponseBase]

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)
PERMISSIONS_POLICY = ", ".join(
    (
        "clipboard-write=(self)",
        "publickey-credentials-create=(self)",
        "publickey-credentials-get=(self)",
        *(
            f"{feature}=()"
            for feature in (
                "accelerometer",
                "browsing-topics",
                "camera",
                "display-capture",
                "geolocation",
                "gyroscope",
                "magnetometer",
                "microphone",
                "midi",
                "payment",
                "usb",
            )
        ),
    )
)


def request_id(get_response: Handler) -> Handler:
    """Give each request an id: in the answer, in every log line, in audit rows, on error pages.

    It is always ours. One sent by the client would let a stranger choose what our logs say.
    """

    def middleware(request: SiteRequest) -> HttpResponseBase:
        request.request_id = str(uuid.uuid4())
        with bound_contextvars(request_id=request.request_id):
            response = get_response(request)
        response["X-Request-Id"] = request.request_id
        return response

    return middleware


def browser_security(get_response: Handler) -> Handler:
    """A Content-Security-Policy without exceptions, and no copy of a private page in any cache."""

    def middleware(request: SiteRequest) -> HttpResponseBase:
        response = get_response(request)
        response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response["Permissions-Policy"] = PERMISSIONS_POLICY
        if is_private(request) and not response.has_header("Cache-Control"):
            add_never_cache_headers(response)
        return response

    return middleware


def is_private(request: SiteRequest) -> bool:
    """Whether the answer may hold something of a person: a session was read, or a form shown."""
    session = getattr(request, "session", None)
    return bool(session is not None and session.accessed) or "CSRF_COOKIE" in request.META


def htmx_answers(get_response: Handler) -> Handler:
    """Messages leave as out-of-band toasts; a redirect becomes a navigation of the whole page.

    htmx would follow a redirect itself and put the page it finds (a sign-in form, say) into the
    fragment's place.
    """

    def middleware(request: SiteRequest) -> HttpResponseBase:
        response = get_response(request)
        patch_vary_headers(response, ["HX-Request"])
        if not request.htmx:
            return response
        if response.status_code in (301, 302, 303, 307, 308):
            return navigation(request, response)
        if isinstance(response, HttpResponse) and takes_toasts(response):
            messages = list(get_messages(request))
            if messages:
                response.write(
                    render_to_string("components/toasts_oob.html", {"messages": messages})
                )
                if response.has_header("Content-Length"):
                    del response["Content-Length"]
        return response

    return middleware


def wrong_methods(get_response: Handler) -> Handler:
    """Say in a page that an address only takes another method; Django's answer is empty."""

    def middleware(request: SiteRequest) -> HttpResponseBase:
        response = get_response(request)
        if isinstance(response, HttpResponseNotAllowed):
            return wrong_method(request, response)
        return response

    return middleware


def takes_toasts(response: HttpResponse) -> bool:
    """Whether htmx will swap this answer: only then do toasts in it arrive."""
    swapped = response.status_code == 422 or 200 <= response.status_code < 300
    html = response.get("Content-Type", "").startswith("text/html")
    leaves = response.has_header("HX-Redirect") or response.has_header("HX-Refresh")
    return swapped and response.status_code != 204 and html and not leaves


def navigation(request: SiteRequest, redirect: HttpResponseBase) -> HttpResponse:
    """The redirect as HX-Redirect.

    One that leads to signing in, and then back, comes back to the page on the screen: the address
    that was asked for may only be a fragment of it, or may only take a POST. A dialog that asks
    for a fresh sign-in is a page of its own, so that one is come back to.
    """
    url = urlsplit(redirect["Location"])
    query = QueryDict(url.query, mutable=True)
    signing_in = url.path == resolve_url(settings.LOGIN_URL) or request.method != "GET"
    if "next" in query and signing_in:
        query["next"] = urlunsplit(on_screen(request.htmx)) or "/"
    location = urlunsplit((url.scheme, url.netloc, url.path, query.urlencode(safe="/"), ""))
    answer = HttpResponse(headers={"HX-Redirect": location})
    answer.cookies = redirect.cookies
    return answer
