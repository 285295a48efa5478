"""What pages may promise of the balance."""

from django import template

from byok.balance import own_keys_serve

register = template.Library()


@register.simple_tag
def balance_serves() -> bool:
    """Whether calls that no key of an account serves can draw on its balance, in one query."""
    return own_keys_serve()
