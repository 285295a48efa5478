"""Whose provider keys serve a call, as its messages say it, and who looks after them."""

from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from django.urls import reverse

from megabrain.gateway.callers import Caller, Organization
from orgs.permissions import Permission


@dataclass(frozen=True, slots=True)
class Keyholder:
    """The account of a caller: `organization` None for the personal one, `page` None for members
    who may not manage its keys."""

    organization: Organization | None
    page: str | None

    @property
    def whose(self) -> str:
        return f"{self.organization.name}'s" if self.organization else "your"

    def advise(self, what: str) -> str:
        """The sentence that sends the caller to where `what` is done, or to those who may do it."""
        if self.page is not None:
            return f"{what[0].upper()}{what[1:]} at {self.page}."
        assert self.organization is not None
        return f"Ask an owner or billing manager of {self.organization.name} to {what}."


def keyholder(caller: Caller) -> Keyholder:
    organization = caller.organization
    may_manage = organization is None or Permission.MANAGE_KEYS in caller.permissions
    return Keyholder(organization, _page("byok:keys", organization) if may_manage else None)


def settings_page(organization: Organization) -> str:
    """Where owners decide what members may do."""
    return _page("orgs:settings", organization)


def billing_page(organization: Organization | None) -> str:
    """Where credit is added."""
    return _page("billing:balance", organization)


def _page(name: str, organization: Organization | None) -> str:
    path = _path(name, organization.slug if organization else None)
    return f"{settings.MEGABRAIN_BASE_URL}{path}"


@lru_cache(maxsize=4096)
def _path(name: str, slug: str | None) -> str:
    """Looked up once: it would take longer than the rest of the answer."""
    return reverse(name, kwargs={"slug": slug} if slug else None)
