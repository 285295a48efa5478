"""Everything that could show a secret, collected while it is in use, and searched at the end."""

import logging
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from django.conf import settings
from django.core import mail

from tests.guarantees.canary import Canary, database_contents, files_under


class Watch:
    """Keeps what was answered, logged and printed since it was made."""

    def __init__(self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if isinstance(logger, logging.Logger) and logger.level > logging.DEBUG:
                caplog.set_level(logging.DEBUG, logger=name)
        # Its lines are the names of missing variables, each with a traceback that takes its time.
        caplog.set_level(logging.INFO, logger="django.template")
        # At last, for each of these also sets the level of what is kept.
        caplog.set_level(logging.DEBUG)
        self.caplog = caplog
        self.answers: list[bytes] = []
        self._capfd = capfd
        self._printed = ""

    def see(self, page: Any) -> Any:
        """A page of the site. Any, as django-stubs' own type of a test answer is private."""
        self.answers.append(page.serialize_headers() + b"\n" + page.content)
        return page

    def hear(self, answer: requests.Response) -> requests.Response:
        """An answer of the gateway."""
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.answers.append(headers.encode() + b"\n" + answer.content)
        return answer

    def sightings(self, *canaries: Canary, in_answers: bool = True) -> list[str]:
        """Where one of them is to be seen; prompts and answers may be, in answers."""
        records = "".join(repr(record.__dict__) for record in self.caplog.records)
        self._printed += "".join(self._capfd.readouterr())
        places: dict[str, bytes | str] = {
            "log": self.caplog.text + records,
            "printed": self._printed,
            "mail": "".join(message.message().as_string() for message in mail.outbox),
            "redis": redis_contents(),
            **database_contents(),
            **files_under(Path(settings.MEGABRAIN_HOME)),
        }
        if in_answers:
            places["answers"] = b"\n".join(self.answers)
        return [sighting for canary in canaries for sighting in canary.sightings(**places)]


def redis_contents() -> bytes:
    """Every key and value there, when Redis is in use."""
    if not settings.REDIS_URL:
        return b""
    client = redis.Redis.from_url(settings.REDIS_URL)
    with client:
        return b"\n".join(key + b" " + (client.dump(key) or b"") for key in client.scan_iter())
