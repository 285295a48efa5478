"""Tags for the components that wrap content, and for icons.

A component without content is a plain include (`components/badge.html`). One that wraps
content is a block tag, because a Django include cannot take a slot: the tag's signature is
the component's list of arguments, so a misspelt one is a template error.
"""

from collections.abc import Sequence
from typing import Any

from django import template
from django.middleware.csrf import get_token
from django.template.context import Context
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

#: So many names are said before the others are only counted.
NAMED = 3


@register.filter
def listed(names: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B and C`; of more than four, `A, B, C and 2 other`."""
    if len(names) > NAMED + 1:
        names = [*names[:NAMED], f"{len(names) - NAMED} other"]
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Draw `name` from the sprite; decorative unless a `label` says what it means."""
    sprite = static("icons.svg")
    if label:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><use href="{}#{}"></use></svg>',
            label,
            sprite,
            name,
        )
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', sprite, name
    )


@register.simple_tag(takes_context=True)
def csrf_field(context: Context) -> SafeString:
    """The CSRF input, also inside an `include … only`, where `{% csrf_token %}` is empty."""
    request = getattr(context, "request", None) or context.get("request")
    if request is None:
        return SafeString("")
    return format_html(
        '<input type="hidden" name="csrfmiddlewaretoken" value="{}">', get_token(request)
    )


@register.simple_block_tag
def card(
    content: str,
    title: str = "",
    text: str = "",
    level: int = 2,
    flush: bool = False,
    id: str = "",  # noqa: A002
) -> SafeString:
    """A panel with an optional heading; `flush` lets a table reach its edges."""
    return render_to_string(
        "components/card.html",
        {
            "content": content,
            "title": title,
            "text": text,
            "level": level,
            "flush": flush,
            "id": id,
        },
    )


@register.simple_block_tag
def table(content: str, caption: str, stack: bool = False, id: str = "") -> SafeString:  # noqa: A002
    """A table in its own scroll area; `stack` turns rows into small cards on a phone."""
    return render_to_string(
        "components/table.html", {"content": content, "caption": caption, "stack": stack, "id": id}
    )


@register.simple_block_tag(takes_context=True)
def dialog(
    context: Context,
    content: str,
    title: str,
    close: str,
    text: str = "",
    wide: bool = False,
    keep: bool = False,
) -> SafeString:
    """A modal for htmx, a card on a page of its own otherwise; `close` is where leaving leads.

    With `keep` only its buttons close it, not the Escape key: for what cannot be shown again.
    """
    request = getattr(context, "request", None) or context.get("request")
    modal = bool(getattr(request, "htmx", False))
    return render_to_string(
        "components/dialog.html",
        {
            "content": content,
            "title": title,
            "close": close,
            "text": text,
            "wide": wide,
            "keep": keep,
            "modal": modal,
        },
    )


@register.simple_block_tag
def disclosure(content: str, summary: str, open: bool = False, note: str = "") -> SafeString:  # noqa: A002
    """A native `<details>`: a summary that opens to show the rest."""
    return render_to_string(
        "components/disclosure.html",
        {"content": content, "summary": summary, "open": open, "note": note},
    )


@register.filter
def widget(field: Any) -> str:
    """Which kind of control a bound field has: `text`, `select`, `checkbox`, `textarea` …"""
    return str(getattr(field, "widget_type", "text"))


@register.simple_block_tag
def snippet(content: str, title: str = "Shell") -> SafeString:
    """A block of code with a copy button, written between the tags."""
    return render_to_string("components/code.html", {"title": title, "code": content.strip("\n")})
