"""Usage for templates of apps that may not import this one."""

import uuid

from django import template

from billing.key_usage import (
    KeyUsage,
    RecentUsage,
    recent_usage_of_member,
    usage_of_key,
)

register = template.Library()


@register.simple_tag
def key_usage(key_id: uuid.UUID) -> KeyUsage:
    """What a provider key did in the last 24 hours."""
    return usage_of_key(key_id)


@register.simple_tag
def recent_member_usage(account_id: uuid.UUID, user_id: uuid.UUID) -> RecentUsage:
    """What a member called in the account in the last 30 days."""
    return recent_usage_of_member(account_id, user_id)
