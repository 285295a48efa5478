"""What a request carries once the middleware and `login_required` have seen it."""

from urllib.parse import SplitResult, urlsplit

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


def on_screen(htmx: HtmxDetails) -> SplitResult:
    """Path and query of the page the visitor sees while htmx asks for a part of one, if it says."""
    try:
        return urlsplit(htmx.current_url_abs_path or "")
    except ValueError:  # Whatever it sent, it is no address.
        return urlsplit("")


def path_on_screen(request: SignedInRequest) -> str:
    """The path of that page."""
    return on_screen(request.htmx).path


def fragment(request: SignedInRequest, name: str) -> str:
    """The page, or for htmx only its dialog."""
    return f"{name}.html#dialog" if request.htmx else f"{name}.html"
