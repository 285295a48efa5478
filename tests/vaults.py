"""Vault keys and sealed rows for tests."""

import base64
import os
import secrets
from urllib.parse import quote

from django.db import connection

from byok.models import ProviderKey
from byok.vault import Context, Secret
from byok.vault.keyring import Keyring
from orgs.models import Account

SECRET = "sk-ant-api03-Zq3x8Kw0vR7nT2mB5yJ9"


def entry(key_id: str) -> str:
    """A new random key, as MEGABRAIN_VAULT_KEYS lists it."""
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def ring(*entries: str) -> Keyring:
    return Keyring.parse(",".join(entries or (entry("2026a"),)))


def context(**changes: str) -> Context:
    values = {
        "table": "byok_providerkey",
        "column": "secret",
        "row_id": "8a1c8f0e-4f6a-4c56-9d7c-2f0d5f1f6a01",
        "account_id": "0b7f8a52-92c4-4f2b-8a43-5a2d1d0c9e02",
        "provider": "anthropic",
    }
    return Context(**{**values, **changes})


def saved_key(
    account: Account, provider: str = "anthropic", secret: str | None = None
) -> ProviderKey:
    """A provider key in the database, written without the action's audit trail."""
    return ProviderKey.objects.create(
        account=account, provider=provider, secret=Secret(secret or SECRET)
    )


def many_keys(account: Account, count: int) -> list[ProviderKey]:
    """As many keys of one account, each at a provider of its own."""
    return ProviderKey.objects.bulk_create(
        ProviderKey(account=account, provider=f"p{number}", secret=Secret(f"{SECRET}-{number}"))
        for number in range(count)
    )


def reloaded(key: ProviderKey) -> ProviderKey:
    return ProviderKey.objects.get(pk=key.pk)


def raw_update(column: str, value: str | bytes, row: ProviderKey) -> None:
    """What somebody with the database, and without the vault keys, could do."""
    ident = ProviderKey._meta.pk.get_db_prep_value(row.pk, connection)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE byok_providerkey SET {column} = %s WHERE id = %s", [value, ident])


def count_from(name: str, default: int) -> int:
    """How often to repeat something: a little by default, MEGABRAIN_<name> times in a soak."""
    return int(os.environ.get(f"MEGABRAIN_{name}", default))


def database_url() -> str:
    """The database of the tests, for another process."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    login = quote(database["USER"]) + (
        f":{quote(database['PASSWORD'])}" if database["PASSWORD"] else ""
    )
    return f"postgres://{login}@{database['HOST']}:{database['PORT'] or 5432}/{database['NAME']}"
