"""What a request carries once the middleware and a decorator have seen it."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from orgs.models import User


class SiteRequest(HttpRequest):
    """Any request of the site."""

    htmx: HtmxDetails
    request_id: str


class SignedInRequest(SiteRequest):
    """One that passed `login_required`."""

    user: User
