"""Logging: one JSON object a line in production, readable lines elsewhere; never a secret.

Events are logged by name with fields (`log.info("relay.failed", provider=…)`). Prompts, answers,
credentials and request bodies are never fields.
"""

import logging
import re
from typing import Any

import structlog

SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


#: The addresses that letters lead to: whoever has one may do what the letter is for.
_LINKS = re.compile(r"((?<!/members)/invitations|/password/reset/key)/[^/\s]+")


def without_links(_logger: Any, _name: str, line: Any) -> Any:  # Any: structlog's signature.
    """Django logs the path of what it refuses, and so the secret part of a letter's link."""
    for name in ("event", "exception"):
        if isinstance(line.get(name), str):
            line[name] = _LINKS.sub(r"\1/***", line[name])
    return line


def without_traceback_of_refusals(record: logging.LogRecord) -> bool:
    """Django logs what it answered with 4xx as a warning, and as if something were broken."""
    if record.levelno < logging.ERROR:
        record.exc_info = None
    return True


def configuration(*, level: str, as_json: bool) -> dict[str, Any]:
    """The value of Django's LOGGING setting; also points structlog at it."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            # A traceback tells where, not what: local variables may hold a secret.
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    without_links,
                    renderer,
                ],
            }
        },
        "filters": {"refusals": {"()": lambda: without_traceback_of_refusals}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Paths can hold one-time codes of sign-in mails; the proxy in front keeps access logs.
            "uvicorn.access": {"level": "WARNING"},
            "django.server": {"level": "WARNING"},
            "django.request": {"filters": ["refusals"]},
        },
    }
