"""Is this process up, and can it do its work: for load balancers, and as a page for people."""

from collections.abc import Callable

import structlog
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from byok.vault.errors import KeyringError, VaultError
from byok.vault.register import certified_root

log = structlog.get_logger(__name__)


def database() -> bool:
    """Whether the database answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("health.database_down", error=type(error).__name__)
        return False
    return True


def vault() -> bool:
    """Whether the vault's primary key is the one this database knows, so that keys open."""
    try:
        certified_root()
    except (VaultError, KeyringError, DatabaseError) as error:
        log.warning("health.vault_closed", error=type(error).__name__)
        return False
    return True


CHECKS: dict[str, Callable[[], bool]] = {"database": database, "vault": vault}


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process is up and answers; nothing else is asked."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """503 while something this process cannot work without is missing, naming it."""
    found = {name: check() for name, check in CHECKS.items()}
    ready = all(found.values())
    words = {name: "ok" if works else "failing" for name, works in found.items()}
    return JsonResponse({"ready": ready, **words}, status=200 if ready else 503)


@require_safe
@never_cache
def status(request: HttpRequest) -> HttpResponse:
    """The same for people."""
    found = {name: check() for name, check in CHECKS.items()}
    return render(request, "megabrain/status.html", {"parts": found, "ready": all(found.values())})
