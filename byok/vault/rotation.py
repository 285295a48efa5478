"""Changing vault keys while everything keeps running.

Every write here is `UPDATE … WHERE secret = <what was read>`: if somebody has saved another secret
meanwhile, theirs stays. Rows are taken in small batches in the order of their primary keys, and
what is finished is visible in the rows, so a run that was killed is simply started again.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import BinaryField, Count, F, QuerySet, Value
from django.db.models.functions import Coalesce, Substr
from django.utils import timezone

from byok.fields import EncryptedField, Sealed, SealedAs
from byok.models import VaultKey
from byok.vault.envelope import rewrap, seal
from byok.vault.errors import KeyInUse, Reason, Unsealable
from byok.vault.keyring import Keyring, current_keyring
from byok.vault.register import certified_root, fingerprint_under
from byok.vault.secret import Secret
from byok.vault.wrapping import HEADER, SHORT_ID, short_id

BATCH = 200
PASSES = 20


@dataclass(frozen=True, slots=True)
class Closed:
    """A row whose secret does not open."""

    table: str
    row_id: str
    header: bytes
    reason: Reason


@dataclass(slots=True)
class Tally:
    """What a rotation did: values written anew, and those it had to leave as they are."""

    written: int = 0
    closed: list[Closed] = field(default_factory=list)
    unfinished: int = 0


def encrypted_fields() -> list[EncryptedField]:
    """Every encrypted field of every model, by table and column."""
    fields = [
        field
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.local_fields
        if isinstance(field, EncryptedField)
    ]
    return sorted(fields, key=lambda field: (field.model._meta.db_table, field.column or ""))


def rows_by_key() -> Counter[str]:
    """How many sealed values need each vault key."""
    rows: Counter[str] = Counter()
    names = key_names()
    for field_ in encrypted_fields():
        counted = with_header(field_).values_list("blob_header").annotate(rows=Count("pk"))
        for header, count in counted.order_by():
            rows[key_name(bytes(header), names)] += count
    return rows


def closed_rows() -> Iterator[Closed]:
    """Every row whose secret does not open, found by opening each."""
    for field_ in encrypted_fields():
        for rows in batches(with_header(field_), BATCH):
            for row in rows:
                if reason := getattr(row, field_.attname).trouble():
                    yield closed(field_, row, reason)


def rewrap_all(*, batch: int = BATCH) -> Tally:
    """Bring every value under the primary key. Its data key is kept and its secret stays sealed.

    Rows that other processes write meanwhile under the old key are picked up by further passes.
    """
    certified_root()
    keyring = current_keyring()
    tally = Tally()
    for _ in range(PASSES):
        tally.closed.clear()
        for field_ in encrypted_fields():
            stale = with_header(field_).exclude(blob_header=keyring.primary.header)
            for rows in batches(stale, batch):
                _rewrap_batch(field_, rows, tally)
        tally.unfinished = _stale(keyring, tally)
        if not tally.unfinished:
            break
    return tally


def reencrypt_all(*, batch: int = BATCH) -> Tally:
    """Seal every secret afresh under the primary key, and compute its fingerprint anew.

    For use after a suspected leak. The register remembers how far a run has got.
    """
    root = certified_root()
    keyring = current_keyring()
    progress = VaultKey.objects.get(key_id=keyring.primary.id)
    done_column, _, done_row = progress.reencrypted_up_to.partition(" ")
    tally = Tally()
    for field_ in encrypted_fields():
        column = f"{field_.model._meta.db_table}.{field_.column}"
        if column < done_column:
            continue
        rest = with_header(field_)
        if column == done_column:
            rest = rest.filter(pk__gt=done_row)
        for rows in batches(rest, batch):
            _reencrypt_batch(field_, rows, root, tally)
            progress.reencrypted_up_to = f"{column} {rows[-1].pk}"
            progress.save(update_fields=["reencrypted_up_to"])
    progress.reencrypted_up_to = ""
    progress.save(update_fields=["reencrypted_up_to"])
    tally.unfinished = _stale(keyring, tally)
    return tally


def retire(key_id: str) -> None:
    """Mark a vault key as no longer used, so that it can be removed from the configuration.

    From then on nothing is sealed under it. Raises `KeyInUse` while anything still needs it, and
    `VaultKey.DoesNotExist` for a key that was never in use.
    """
    primary = current_keyring().primary
    entry = VaultKey.objects.get(key_id=key_id)
    if key_id == primary.id:
        raise KeyInUse(f"Key {key_id} is the first of the configuration: it seals what is saved.")
    # Marked before counting: a process that still has it as its first key must not add a row now.
    entry.retired_at = entry.retired_at or timezone.now()
    entry.save(update_fields=["retired_at"])
    if rows := rows_by_key()[key_id]:
        entry.retired_at = None
        entry.save(update_fields=["retired_at"])
        raise KeyInUse(f"Key {key_id} is needed by {rows} sealed values: run vault rewrap first.")


def key_names() -> dict[bytes, str]:
    """The key ids that are configured or registered, by the short form that blobs carry."""
    known = [key.id for key in current_keyring().keys]
    known += VaultKey.objects.values_list("key_id", flat=True)
    return {short_id(key_id): key_id for key_id in known}


def key_name(header: bytes, names: dict[bytes, str]) -> str:
    """The id of the key that a blob was sealed under, as far as it is known."""
    short = header[-SHORT_ID:]
    return names.get(short) or f"unknown key {short.hex()}"


def with_header(field_: EncryptedField) -> QuerySet[Any]:
    """The rows that hold something, each with the `blob_header` of its sealed value."""
    # SQLite takes a part of nothing for NULL, and NULL is neither equal nor unequal to a header.
    start = Substr(F(field_.name), 1, HEADER, output_field=BinaryField())
    header = Coalesce(start, Value(b""), output_field=BinaryField())
    rows: QuerySet[Any] = field_.model._base_manager.annotate(blob_header=header)
    return rows.exclude(**{f"{field_.name}__isnull": True})


def batches(rows: QuerySet[Any], size: int) -> Iterator[list[models.Model]]:
    """The rows by primary key, each batch read when the one before it is done."""
    batch = list(rows.order_by("pk")[:size])
    while batch:
        yield batch
        batch = list(rows.filter(pk__gt=batch[-1].pk).order_by("pk")[:size])


def _rewrap_batch(field_: EncryptedField, rows: list[models.Model], tally: Tally) -> None:
    renewed = []
    for row in rows:
        sealed: Sealed = getattr(row, field_.attname)
        try:
            renewed.append((row, {field_.attname: rewrap(sealed.blob, field_.context_of(row))}))
        except Unsealable as failure:
            tally.closed.append(closed(field_, row, failure.reason))
    _write(field_, renewed, tally)


def _reencrypt_batch(
    field_: EncryptedField, rows: list[models.Model], root: Secret, tally: Tally
) -> None:
    renewed = []
    for row in rows:
        context = field_.context_of(row)
        try:
            secret = getattr(row, field_.attname).unseal()
        except Unsealable as failure:
            tally.closed.append(closed(field_, row, failure.reason))
            continue
        values: dict[str, Any] = {field_.attname: seal(secret, context)}
        if field_.fingerprint:
            values[field_.fingerprint] = fingerprint_under(root, secret, context.account_id)
        renewed.append((row, values))
    _write(field_, renewed, tally)


def _write(
    field_: EncryptedField, renewed: list[tuple[models.Model, dict[str, Any]]], tally: Tally
) -> None:
    with transaction.atomic():
        for row, values in renewed:
            read = Sealed(getattr(row, field_.attname).blob)
            unchanged = {"pk": row.pk, f"{field_.name}__{SealedAs.lookup_name}": read}
            values[field_.attname] = Sealed(values[field_.attname])
            tally.written += field_.model._base_manager.filter(**unchanged).update(**values)


def _stale(keyring: Keyring, tally: Tally) -> int:
    """How many values are not under the primary key, though they could be."""
    stale = sum(
        with_header(field_).exclude(blob_header=keyring.primary.header).count()
        for field_ in encrypted_fields()
    )
    return stale - sum(row.header != keyring.primary.header for row in tally.closed)


def closed(field_: EncryptedField, row: models.Model, reason: Reason) -> Closed:
    header = getattr(row, field_.attname).blob[:HEADER]
    return Closed(field_.model._meta.db_table, str(row.pk), header, reason)
