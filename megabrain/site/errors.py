"""Error pages: in the usual frame, with the request id that finds them in the log."""

import sys
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from megabrain.site.context import chosen_theme


def _page(request: HttpRequest, status: int) -> HttpResponse:
    user = getattr(request, "user", None)
    signed_in = user is not None and user.is_authenticated
    context = {
        "layout": "site.html" if signed_in else "public.html",
        "request_id": getattr(request, "request_id", ""),
    }
    return render(request, f"{status}.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 404)


def wrong_method(request: HttpRequest, refused: HttpResponse) -> HttpResponse:
    """In place of Django's empty answer, for instance to a reload of where a form was sent."""
    page = _page(request, 405)
    page["Allow"] = refused["Allow"]
    return page


def too_many_requests(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 429)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form from another site, or one left open so long that its protection ran out."""
    return render(
        request,
        "403_csrf.html",
        {"layout": "public.html", "request_id": getattr(request, "request_id", "")},
        status=403,
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Nothing here may need the database or a context processor: they may be what broke."""
    if isinstance(sys.exception(), OperationalError):
        return unavailable(request)
    return _bare(request, 500)


def unavailable(request: HttpRequest) -> HttpResponse:
    """We know that we cannot answer now; another moment may do."""
    answer = _bare(request, 503)
    answer["Retry-After"] = "5"
    return answer


def _bare(request: HttpRequest, status: int) -> HttpResponse:
    context: dict[str, Any] = {
        "request_id": getattr(request, "request_id", ""),
        "theme": chosen_theme(request),
    }
    return HttpResponse(render_to_string(f"{status}.html", context), status=status)
