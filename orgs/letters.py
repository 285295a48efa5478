"""Letters that MegaBrain writes by itself, in the dress of those about signing in."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from smtplib import SMTPException
from time import monotonic
from typing import TypeVar

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import F, Model, Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone

from orgs.models import User

log = structlog.get_logger(__name__)

#: In one run, and so many seconds of it. The next run takes the others.
AT_ONCE = 100
SECONDS = 60.0
#: Longer than a run can take: what was claimed before was left by one that was killed.
CLAIMED_FOR = timedelta(minutes=5)

Row = TypeVar("Row", bound=Model)


def send_letter(template: str, to: str, context: Mapping[str, object]) -> bool:
    """Send `<template>_subject.txt`, `_message.txt` and `_message.html`; say whether it went out.

    A mail server that is away is logged, not raised: what the letter tells of has been done.
    """
    told = {**context, "base_url": settings.MEGABRAIN_BASE_URL}
    subject = " ".join(render_to_string(f"{template}_subject.txt", told).split())
    letter = EmailMultiAlternatives(
        subject, render_to_string(f"{template}_message.txt", told).strip(), to=[to]
    )
    letter.attach_alternative(render_to_string(f"{template}_message.html", told), "text/html")
    try:
        letter.send()
    except (OSError, SMTPException, UnicodeError) as error:
        log.warning("letter.not_sent", template=template, error=type(error).__name__)
        return False
    return True


def send_letters(
    template: str, people: Iterable[User], context: Mapping[str, object], about: object
) -> bool:
    """The same letter to each of them. Says whether anybody was told, or there is nobody to tell;
    `about` is whose id the log names.
    """
    sent = [send_letter(template, person.email, context) for person in people]
    if any(sent):
        log.info("letters.sent", template=template, about=str(about), letters=sum(sent))
    return any(sent) or not sent


def unclaimed(claim: str) -> Q:
    """Of rows whose column `claim` says since when somebody writes of them: those that nobody
    does, or did but was killed over it."""
    return Q(**{claim: None}) | Q(**{f"{claim}__lt": timezone.now() - CLAIMED_FOR})


def tell_each(
    untold: QuerySet[Row],
    claim: str,
    write: Callable[[Row], bool],
    told: Callable[[datetime], Mapping[str, object]],
) -> int:
    """Write of each of these rows, the first ones first; say of how many.

    Safe to run twice at once: whoever sets its `claim` writes of a row, as it is then, and gives it
    the values of `told`. What makes another letter of it due takes the claim away. A process that
    was killed over it leaves the row to a later run: to be told twice is better than never.

    Where no letter could be sent the mail server may be away, and all others would wait for it as
    long: the run ends, and the next one begins with those that were not tried.
    """
    untold = untold.filter(unclaimed(claim))
    ordered = untold.order_by(F(claim).asc(nulls_first=True), *untold.query.order_by)
    count, until = 0, monotonic() + SECONDS
    for id_ in list(ordered.values_list("pk", flat=True)[:AT_ONCE]):
        if monotonic() > until:
            break
        now = timezone.now()
        if not untold.filter(pk=id_).order_by().update(**{claim: now}):
            continue
        claimed: QuerySet[Row] = QuerySet(untold.model).filter(pk=id_, **{claim: now})
        row = claimed.first()
        if row is None:
            continue
        if not write(row):
            claimed.update(**{claim: now - CLAIMED_FOR})
            break
        claimed.update(**{claim: None}, **told(now))
        count += 1
    return count
