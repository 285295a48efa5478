"""What must be right before MegaBrain serves.

The system check covers every `manage.py` command that runs checks, without a database. Servers and
workers also call `refuse_bad_vault_keys`, which compares the keys with the database.
"""

import sys
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

from byok.vault import KeyringError, verify_keyring
from byok.vault.keyring import examine


@checks.register(checks.Tags.security)
def check_vault_keys(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Every fault in MEGABRAIN_VAULT_KEYS: an error where it stops this process."""
    _, faults = examine(settings.MEGABRAIN_VAULT_KEYS)
    return [
        checks.Error(fault.message, id="byok.E001")
        if settings.MEGABRAIN_PRODUCTION or not fault.usable
        else checks.Warning(fault.message, id="byok.W001")
        for fault in faults
    ]


def refuse_bad_vault_keys(**_: object) -> None:
    """End the process with a sentence on standard error unless the vault keys are good."""
    try:
        verify_keyring()
    except KeyringError as fault:
        sys.exit(f"MegaBrain does not start. {fault}")
