"""The provider key pages of an account: the list, a key's own page, and every change of a key.

Each view takes the slug of an organization, or None for the personal account, and asks first
whether the visitor may manage its keys. Each works as a page and as an htmx fragment.
"""

from byok.views.adding import add, update
from byok.views.changing import delete, disable, enabled, failure, reminder, try_key
from byok.views.reading import details, keys, models, row
from byok.views.routes import route

__all__ = [
    "add",
    "delete",
    "details",
    "disable",
    "enabled",
    "failure",
    "keys",
    "models",
    "reminder",
    "route",
    "row",
    "try_key",
    "update",
]
