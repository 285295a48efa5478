"""What workers do by the clock: verify and anchor the audit log, forget letters."""

from pathlib import Path

import structlog
from celery import shared_task
from django.conf import settings

from orgs.actions import invitations
from orgs.audit import anchors, verification

log = structlog.get_logger(__name__)


@shared_task(time_limit=60)
def verify_audit_chains() -> None:
    """Verify what was written since, and go on walking every chain once a day."""
    verification.verify_new_events(seconds=20)
    verification.walk_anew(seconds=20)


@shared_task(time_limit=60)
def forget_letters() -> None:
    invitations.forget_letters()


@shared_task(time_limit=600)
def anchor_audit() -> None:
    """Save the heads of all chains; the log, too, tells the digest of the file."""
    path, anchor = anchors.save_in(Path(settings.MEGABRAIN_AUDIT_ANCHORS))
    log.info("audit.anchored", file=path.name, chains=anchor.chains, digest=anchor.digest)
