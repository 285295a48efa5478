"""What a request carries once the middleware and `login_required` have seen it."""

from urllib.parse import urlsplit

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from orgs.models import Account, Membership, User
from orgs.permissions import Permission


class SignedInRequest(HttpRequest):
    user: User
    htmx: HtmxDetails
    request_id: str
    #: Whose page it is and what the visitor may do there, once `orgs.access` has let them in.
    account: Account
    permissions: set[Permission]
    membership: Membership


def path_on_screen(request: SignedInRequest) -> str:
    """The path of the page the visitor sees while htmx asks for a part of one."""
    return urlsplit(request.htmx.current_url_abs_path or "").path


def fragment(request: SignedInRequest, name: str) -> str:
    """The page, or for htmx only its dialog."""
    return f"{name}.html#dialog" if request.htmx else f"{name}.html"
