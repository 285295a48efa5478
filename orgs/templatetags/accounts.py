"""A tag for addresses within the account that a page is about."""

from django import template
from django.template.context import Context

from orgs import access

register = template.Library()


@register.simple_tag(takes_context=True)
def account_url(context: Context, name: str, **values: object) -> str:
    """The account's page of that name: `{% account_url "orgs:tokens" as tokens_url %}`."""
    request = getattr(context, "request", None) or context["request"]
    return access.account_url(name, request.account, **values)
