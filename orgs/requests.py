"""What a request carries once the middleware and `login_required` have seen it."""

from urllib.parse import urlsplit

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from orgs.models import User


class SignedInRequest(HttpRequest):
    user: User
    htmx: HtmxDetails

    request_id: str


def path_on_screen(request: SignedInRequest) -> str:
    """The path of the page the visitor sees while htmx asks for a part of one."""
    return urlsplit(request.htmx.current_url_abs_path or "").path
