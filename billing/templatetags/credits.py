"""How credits are added where no payments are taken."""

from typing import Any
from urllib.parse import urlsplit

from django import template
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.template.context import Context

register = template.Library()


@register.inclusion_tag("billing/credits_help.html", takes_context=True)
def credits_help(context: Context) -> dict[str, Any]:  # Any: a template's context.
    """What the operator has set, as what it is: an address, an e-mail address or a sentence."""
    text = settings.MEGABRAIN_CREDITS_HELP
    is_url = urlsplit(text).scheme in {"http", "https"}
    kind = "url" if is_url else "email" if _is_email(text) else ""
    return {"request": context["request"], "help": text, "kind": kind}


def _is_email(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True
