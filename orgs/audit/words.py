"""What an event holds, in words for the person who reads it: fields, values and kinds of things.

Of an event that somebody has altered, any of it may be of any shape.
"""

from datetime import UTC, datetime
from typing import Any

from django.apps import apps

from orgs.models import AuditEvent, Membership
from orgs.money import dollars

NOTHING = (None, "")
PREVIOUS = "previous_"
#: How the names of amounts end that are in micro-dollars.
MICROS = "_micros"

#: Those whose name in the log does not read as words once its underscores are spaces.
FIELDS = {
    "allowed_models": "models allowed",
    "by_staff": "as MegaBrain's staff",
    "expires_at": "expires",
    "is_active": "may sign in",
    "member_daily_limit_micros": "daily limit for each member",
    "member_requests_per_minute": "requests a minute for each member",
    "remind_on": "day of the reminder",
    "requests_per_minute": "requests a minute",
    "token_requests_per_minute": "requests a minute for each API token",
    "tokens": "API tokens",
    "tokens_revoked": "API tokens revoked",
    "was_a_member": "was a member already",
}
MOMENTS = {"expires_at", "since", "until"}


def facts_of(event: AuditEvent) -> list[tuple[str, str]]:
    """Name and value of each detail that says something, a former value after the one it had."""
    details = event.details if isinstance(event.details, dict) else {"details": event.details}
    return [
        (_capitalised(field(name)), in_words(name, details[name]))
        for name in sorted(details, key=_beside_its_former)
        # Nothing is a value of a field that was changed: a limit was lifted, or there was none.
        if details[name] not in NOTHING or name.removeprefix(PREVIOUS) in _changed(event)
    ]


def changed_of(event: AuditEvent) -> str:
    return ", ".join(field(name) for name in _changed(event))


def kind_of(event: AuditEvent) -> str:
    """What the event's target is; of a kind that is no more, the name it had."""
    kinds = {str(model._meta.model_name): model._meta.verbose_name for model in apps.get_models()}
    return str(kinds.get(event.target_kind, event.target_kind))


def field(name: str) -> str:
    if name.startswith(PREVIOUS):
        return f"previous {field(name.removeprefix(PREVIOUS))}"
    return FIELDS.get(name, name.removesuffix(MICROS).replace("_", " "))


def in_words(name: str, fact: Any) -> str:  # Any: what details hold.
    name = name.removeprefix(PREVIOUS)
    if isinstance(fact, list):
        return ", ".join(in_words(name, each) for each in fact)
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    if fact in NOTHING:
        return "none"
    if name == "role":
        return dict(Membership.Role.choices).get(str(fact), str(fact))
    if name in MOMENTS:
        return _moment(str(fact))
    if not isinstance(fact, int):
        return str(fact)
    is_money = name.endswith(MICROS) or name == "monthly_limit"
    return dollars(fact) if is_money else f"{fact:,}"


def _changed(event: AuditEvent) -> list[str]:
    return [str(name) for name in event.changed] if isinstance(event.changed, list) else []


def _moment(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError):
        return text


def _beside_its_former(name: str) -> tuple[str, bool]:
    return name.removeprefix(PREVIOUS), name.startswith(PREVIOUS)


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:]
