"""What of the catalogue needs staff."""

from dataclasses import dataclass

from django import template

from byok.models import CatalogueSource, ChangeSet

register = template.Library()


@dataclass(frozen=True, slots=True)
class Attention:
    """How many change sets wait, and how many other sources are in trouble."""

    waiting: int
    troubled: int


@register.simple_tag
def catalogue_attention() -> Attention:
    waiting = list(
        ChangeSet.objects.filter(state=ChangeSet.State.WAITING).values_list("source", flat=True)
    )
    troubled = CatalogueSource.objects.exclude(trouble="").exclude(name__in=waiting)
    return Attention(len(waiting), troubled.count())
