"""Money as staff read it: to the last micro-dollar."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import Model

from orgs.money import dollars


def dollars_of(field: str, label: str) -> Callable[[Any, Model], str]:
    """A column or line of the admin with that field, in dollars; a dash for none."""

    @admin.display(description=label)
    def shown(listed: Any, row: Model) -> str:  # Any: the class that it becomes a method of.
        micros: int | None = getattr(row, field)
        return "–" if micros is None else dollars(micros)

    return shown
