"""Mail for a machine without a mail server: printed where MegaBrain was started."""

import sys
from collections.abc import Sequence

from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import EmailMessage

LINE = "─" * 72


class EmailBackend(BaseEmailBackend):
    """Print the plain text of each letter, framed, so that its code or link is easy to find."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            sys.stdout.write(letter(message))
            sys.stdout.flush()
        return len(email_messages)


def letter(message: EmailMessage) -> str:
    head = f"E-mail to {', '.join(message.to)}\nSubject: {message.subject}"
    return f"\n{LINE}\n{head}\n\n{str(message.body).strip()}\n{LINE}\n"
