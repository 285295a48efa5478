"""Where a person is signed in: the list of their sessions, and the end of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from orgs.audit import Event, record
from orgs.models import User
from orgs.origin import Origin

ACTIVITY_SECONDS = 300
SHOWN = 50

BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that still works. `device` says in words what it was opened with."""

    id: int
    device: str
    user_agent: str
    address: str
    signed_in_at: datetime
    seen_at: datetime
    current: bool


def note_activity(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Remember when and from where each session was last used, to the nearest five minutes."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        key = request.session.session_key
        # Only a session that exists already is worth loading the user for.
        if key and request.user.is_authenticated:
            digest = sha256(key.encode()).hexdigest()
            if cache.add(f"session-seen:{digest}", True, ACTIVITY_SECONDS):
                UserSession.objects.create_from_request(request)
        return get_response(request)

    return middleware


def open_sessions(user: User, current_key: str | None) -> list[OpenSession]:
    """The sessions in which `user` is signed in, this one first, then the last used."""
    known = UserSession.objects.filter(user=user).order_by("-last_seen_at")
    live = set(
        Session.objects.filter(
            session_key__in=known.values("session_key"), expire_date__gt=timezone.now()
        ).values_list("session_key", flat=True)
    )
    found = [
        OpenSession(
            id=session.pk,
            device=device(session.user_agent),
            user_agent=session.user_agent,
            address=session.ip,
            signed_in_at=session.created_at,
            seen_at=session.last_seen_at,
            current=session.session_key == current_key,
        )
        for session in known
        if session.session_key in live
    ]
    return sorted(found, key=lambda session: not session.current)[:SHOWN]


def device(user_agent: str) -> str:
    """A browser and a system, in words a person uses: "Firefox on Linux"."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or user_agent[:40] or "Unknown browser"


@transaction.atomic
def end_sessions(
    *, actor: User, origin: Origin, keep: str | None = None, only: int | None = None
) -> int:
    """Sign `actor` out everywhere but in the session `keep`, or only in the one with id `only`.

    Returns how many sessions ended.
    """
    ending = UserSession.objects.filter(user=actor).exclude(session_key=keep or "")
    if only is not None:
        ending = ending.filter(pk=only)
    ended = drop_sessions(ending)
    if ended:
        record(
            event=Event.SESSIONS_ENDED,
            account=actor.account,
            actor=actor,
            target=actor,
            origin=origin,
            details={"sessions": ended},
        )
    return ended


def drop_sessions(ending: QuerySet[UserSession]) -> int:
    """Sign people out where these sessions are; says how many of them still worked."""
    keys = list(ending.values_list("session_key", flat=True))
    ended, _ = Session.objects.filter(session_key__in=keys).delete()
    ending.delete()
    return ended
