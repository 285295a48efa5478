"""The table of what was used."""

import uuid

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import UsageRecord


@pytest.mark.django_db
def test_a_process_that_does_not_know_of_long_cache_writes_can_still_write_rows():
    """While a release is rolled out, processes of the one before settle calls too."""
    row = UsageRecord.objects.create(
        account_id=uuid.uuid4(), status=200, outcome="ok", latency_ms=1, created_at=timezone.now()
    )
    names = {str(field.column) for field in UsageRecord._meta.concrete_fields}
    known = ", ".join(names - {"id", "request_id", "cache_write_long_tokens"})
    table = UsageRecord._meta.db_table
    other = UsageRecord._meta.get_field("request_id").get_db_prep_value(uuid.uuid4(), connection)

    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (request_id, {known}) SELECT %s, {known} FROM {table}", [other]
        )

    assert UsageRecord.objects.exclude(pk=row.pk).get().cache_write_long_tokens == 0
