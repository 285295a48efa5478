"""Old records go in chunks, their sums stay."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import UsageRecord
from billing.pruning import prune_usage
from billing.tasks import prune_usage as by_the_clock
from billing.usage import record_usage
from tests.billing.calls import kept, record, total

pytestmark = pytest.mark.django_db


def write(*days_ago: int) -> None:
    now = timezone.now()
    record_usage([record(created_at=now - timedelta(days=days)) for days in days_ago])


def ages() -> list[int]:
    now = timezone.now()
    return sorted(
        (now - at).days for at in UsageRecord.objects.values_list("created_at", flat=True)
    )


def test_records_older_than_the_setting_go_and_their_sums_stay(settings):
    settings.MEGABRAIN_USAGE_DAYS = 40
    write(100, 41, 40, 39, 0)
    before = kept()
    by_the_clock()
    assert ages() == [0, 39]
    assert kept() == before
    assert total() == 5


def test_they_go_in_chunks_however_they_lie():
    write(*[500] * 7, 3, *[450] * 6, 2, 1)
    with CaptureQueriesContext(connection) as queries:
        assert prune_usage(seconds=60, chunk=4) == 13
    assert ages() == [1, 2, 3]
    removed = [query["sql"] for query in queries if query["sql"].startswith("DELETE")]
    assert len(removed) == 4


def test_without_time_one_chunk_goes_and_the_next_call_goes_on():
    write(*[500] * 10)
    assert [prune_usage(seconds=0, chunk=4) for _ in range(4)] == [4, 4, 2, 0]


def test_a_record_that_is_in_no_sum_yet_stays():
    write(500, 500)
    UsageRecord.objects.filter(pk=UsageRecord.objects.earliest("pk").pk).update(counted=False)
    assert prune_usage(seconds=60) == 1
    assert UsageRecord.objects.get().counted is False


def test_all_are_kept_if_the_operator_says_so(settings, capsys):
    settings.MEGABRAIN_USAGE_DAYS = 0
    write(5000)
    call_command("usage", "prune")
    assert capsys.readouterr().out == "Removed 0 records.\n"
    assert UsageRecord.objects.count() == 1
