"""The sums by day are what the records say, however and how often these are written."""

import random
import uuid
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import AccountDay, UsageDay, UsageRecord
from billing.rollup import OF_ACCOUNT, count_waiting
from billing.tasks import count_usage
from billing.usage import record_usage
from tests.billing.calls import any_call, kept, of_everybody, record, summed, total
from tests.together import at_once

pytestmark = pytest.mark.django_db


def sums_are_right() -> None:
    records = list(UsageRecord.objects.all())
    assert kept() == summed(records)
    assert kept(AccountDay, OF_ACCOUNT) == of_everybody(summed(records))
    assert all(each.counted for each in records)


@pytest.mark.parametrize("seed", range(3))
def test_sums_equal_their_records_after_batches_that_were_stored_again(seed):
    chance = random.Random(seed)
    known: list[UsageRecord] = []
    for _ in range(6):
        new = [any_call(chance) for _ in range(chance.choice((1, 7, 130)))]
        again = chance.sample(known, min(len(known), 40))
        batch = [*new, *again, *chance.sample(new, len(new) // 3)]
        chance.shuffle(batch)
        assert record_usage(batch) == 0
        known += new
    assert UsageRecord.objects.count() == len(known)
    sums_are_right()


def test_a_batch_that_is_stored_again_counts_nothing_twice():
    batch = [any_call(random.Random(1)) for _ in range(5)]
    assert record_usage(batch) == record_usage(batch) == 0
    assert total() == 5


def test_a_record_that_is_refused_is_in_no_sum_and_keeps_nobody_out():
    good = [record(request_id=uuid.uuid4()) for _ in range(3)]
    bad = [
        record(output_tokens=2**70),
        record(account_id=None),
        record(created_at=None),
        record(request_id=None),
        record(reasoning_tokens="many"),
        record(market_micros=None),
    ]
    assert record_usage([good[0], *bad[:3], good[1], *bad[3:], good[2]]) == len(bad)
    assert UsageRecord.objects.count() == total() == 3
    sums_are_right()


def test_a_day_ends_at_midnight_of_utc():
    late = record(created_at=record().created_at.replace(hour=23, minute=59, second=59))
    early = record(created_at=late.created_at + timedelta(seconds=1))
    record_usage([late, early])
    assert UsageDay.objects.count() == 2
    sums_are_right()


def test_a_name_that_no_model_has_makes_no_row_of_its_own():
    record_usage(
        [
            record(model=f"made/up-{number}", outcome="model_not_found", status=404, provider="")
            for number in range(50)
        ]
    )
    assert UsageDay.objects.get().requests == 50
    assert UsageDay.objects.get().model == ""


def test_calls_that_are_alike_are_added_in_one_statement():
    with CaptureQueriesContext(connection) as queries:
        record_usage([record() for _ in range(50)])
    [written] = [query["sql"] for query in queries if "billing_usageday" in query["sql"]]
    assert written.startswith("1 times: ")
    assert UsageDay.objects.get().requests == 50


@pytest.mark.django_db(transaction=True)
def test_processes_that_write_at_the_same_time_add_up():
    """Batches with records of one another, in any order: nothing is lost, and nobody waits for
    somebody who waits for them."""
    chance = random.Random(5)
    known = [any_call(chance) for _ in range(240)]
    shares: list[list[list[UsageRecord]]] = []
    for _ in range(4):
        some = [copied(each) for each in chance.sample(known, 200)]
        shares.append([some[start : start + 40] for start in range(0, 200, 40)])
    missing = {each.request_id for each in known}
    for share in shares:
        missing -= {each.request_id for batch in share for each in batch}

    def write(share: list[list[UsageRecord]]) -> int:
        return sum(record_usage(batch) for batch in share)

    refused = at_once(*[lambda share=share: write(share) for share in shares])
    assert refused == [0] * 4
    assert UsageRecord.objects.count() == len(known) - len(missing)
    sums_are_right()


def copied(each: UsageRecord) -> UsageRecord:
    values = {
        field.attname: getattr(each, field.attname)
        for field in UsageRecord._meta.concrete_fields
        if not field.primary_key
    }
    return UsageRecord(**values)


# What was written without them --------------------------------------------------------------


def written_before(number: int) -> None:
    """By a release that knows of no sums: the column has the database's default."""
    chance = random.Random(number)
    UsageRecord.objects.bulk_create(any_call(chance) for _ in range(number))
    UsageRecord.objects.update(counted=False)


def test_what_was_there_before_is_counted_in_chunks_and_once():
    written_before(25)
    record_usage([any_call(random.Random(9))])
    assert count_waiting(most=10) == 10
    assert total() == 11
    assert count_waiting(most=10) == 10
    assert count_waiting(most=10) == 5
    assert count_waiting(most=10) == 0
    sums_are_right()


def test_a_worker_counts_what_the_release_before_goes_on_writing():
    written_before(12)
    count_usage()
    sums_are_right()
    assert total() == 12


def test_the_operator_can_have_it_done_at_once(capsys):
    written_before(7)
    call_command("usage", "count")
    assert capsys.readouterr().out == "Counted 7 records.\n"
    sums_are_right()


@pytest.mark.django_db(transaction=True)
def test_two_workers_count_nothing_twice():
    written_before(120)

    def count() -> int:
        counted = 0
        while now := count_waiting(most=15):
            counted += now
        return counted

    counted = at_once(count, count, count)
    assert sum(each for each in counted if isinstance(each, int)) == total() == 120
    sums_are_right()


def test_what_waits_is_found_by_an_index():
    with connection.cursor() as cursor:
        query = UsageRecord.objects.filter(counted=False).order_by("pk")[:10].query
        sql, parameters = query.sql_with_params()
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {sql}", parameters)
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        plan = str(cursor.fetchall())
    assert "billing_usage_uncounted" in plan
