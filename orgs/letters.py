"""Letters that MegaBrain writes by itself, in the dress of those about signing in."""

from collections.abc import Mapping
from smtplib import SMTPException

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

log = structlog.get_logger(__name__)


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
