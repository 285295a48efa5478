"""S1, as far as the vault: a provider secret is in clear only in memory.

The search itself is tested first: a search that finds nothing proves nothing otherwise.
"""

import base64
import json
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings as configured
from django.core import serializers
from django.db import IntegrityError, connection, transaction

from byok.models import ProviderKey
from byok.vault import CannotSeal, Secret, Unsealable, fingerprint, rotation, unseal
from tests.guarantees.canary import Canary, database_contents, files_under
from tests.vaults import context, entry, saved_key


@pytest.fixture
def canary() -> Canary:
    return Canary()


@pytest.mark.parametrize(
    "leak",
    [
        lambda text: text,
        lambda text: f'{{"api_key": "{text}"}}',
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.b64encode(f"Bearer {text} and more".encode()).decode(),
        lambda text: base64.b64encode(f"?{text}!".encode()).decode(),
        lambda text: base64.b64encode(f"??{text}".encode()).decode(),
        lambda text: base64.urlsafe_b64encode(f"token {text}".encode()).decode(),
        lambda text: text.encode().hex(),
        lambda text: text.encode().hex().upper(),
        lambda text: quote(text, safe=""),
        lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
        lambda text: text[::-1],
        lambda text: f"starts with {text[13:21]}",
        lambda text: f"ends with {text[-12:]}",
        lambda text: repr(Secret(text).reveal()),
    ],
)
def test_the_search_finds_a_secret_however_it_is_written(leak, canary):
    assert canary.sightings(log=leak(canary.text))
    assert canary.sightings(log=b"\0" + leak(canary.text).encode() + b"\xff")


def test_the_search_lets_a_hint_pass(canary):
    assert canary.sightings(page=f"sk-ant-api03-…{canary.text[-4:]}") == []


def test_the_search_reads_every_table_and_file(canary, account, tmp_path):
    saved_key(account)
    ProviderKey.objects.update(health_message=canary.text)
    assert [place for place in canary.sightings(**database_contents()) if "providerkey" in place]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "queue.msg").write_text(canary.text)
    assert canary.sightings(**files_under(tmp_path))


@pytest.mark.django_db(transaction=True)
def test_a_secret_leaves_no_trace_in_database_files_logs_or_errors(
    canary, account, settings, caplog, capfd
):
    caplog.set_level("DEBUG")
    told: list[str] = []
    old, new = entry("old"), entry("new")
    settings.MEGABRAIN_VAULT_KEYS = old

    def tell(error: Exception) -> None:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
        told.extend([*report.format(), str(error), repr(error), repr(error.args)])

    # Saved, saved again, and refused: a second key for the same provider.
    secret = Secret(canary.text)
    key = saved_key(account, secret=canary.text)
    key.secret, key.fingerprint = secret, fingerprint(secret, account.pk)
    key.save()
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        ProviderKey.objects.create(account=account, provider="anthropic", secret=secret)
    tell(refused.value)

    # Refused by the field and by the vault.
    with pytest.raises(TypeError) as refused_update, transaction.atomic():
        ProviderKey.objects.update(secret=secret)
    tell(refused_update.value)
    settings.MEGABRAIN_VAULT_KEYS = entry("old")
    with pytest.raises(CannotSeal) as unsealed:
        ProviderKey.objects.create(account=account, provider="openai", secret=secret)
    tell(unsealed.value)
    settings.MEGABRAIN_VAULT_KEYS = f"{new},{old}"

    # Rotated, opened, and not opened.
    rotation.rewrap_all()
    rotation.reencrypt_all()
    key = ProviderKey.objects.get()
    assert key.secret.unseal().reveal() == canary.text
    with pytest.raises(Unsealable) as closed:
        unseal(key.secret.blob, context())
    tell(closed.value)

    # Exported.
    told += [serializers.serialize("json", [key]), json.dumps(key.__dict__, default=str)]

    folders = [Path(configured.MEGABRAIN_HOME)]
    if connection.vendor == "sqlite":
        folders.append(Path(connection.settings_dict["NAME"]).parent)
    assert (
        canary.sightings(
            errors="\n".join(told),
            log=caplog.text + "".join(map(repr, (record.__dict__ for record in caplog.records))),
            printed="".join(capfd.readouterr()),
            **database_contents(),
            **files_under(*folders),
        )
        == []
    )
