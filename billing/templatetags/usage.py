"""Usage for templates of apps that may not import this one."""

import uuid

from django import template

from billing.key_usage import KeyUsage, usage_of_key

register = template.Library()


@register.simple_tag
def key_usage(key_id: uuid.UUID) -> KeyUsage:
    """What a provider key did in the last 24 hours."""
    return usage_of_key(key_id)
