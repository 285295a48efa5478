"""What a request of the site carries once the middleware has seen it."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


class SiteRequest(HttpRequest):
    htmx: HtmxDetails
    request_id: str
