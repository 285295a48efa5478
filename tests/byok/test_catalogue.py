"""How the bundled catalogue gets into the database, and what of it stays there."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from billing.prices import price_in_force
from byok.actions import change_offering, reload_catalogue, set_offering_retired
from byok.catalogue import memory, version
from byok.catalogue.bundled import BUNDLED, load_bundled
from byok.models import CatalogModel, CatalogueSource, Offering, Price
from byok.providers.base import Endpoint
from orgs import changes
from orgs.catalogue import known_models
from orgs.origin import Origin
from tests.bundled import SERVED

ENTRIES = json.loads(BUNDLED.read_text())["models"]

#: What OpenAI alone serves, as `openai/gpt-4.1`.
LONE = "gpt-4.1"


def forget() -> None:
    """As if the bundled file were new to this database."""
    CatalogueSource.objects.update(edition="an earlier one")


def edition(
    tmp_path: Path,
    lacks: Callable[[dict[str, Any]], bool] = lambda offered: False,
    starts_at: datetime | None = None,
    ends: date | None = None,
) -> Path:
    """Another edition of the file: without some offerings, with prices from another moment, or with
    the day on which LONE ends."""
    found = json.loads(BUNDLED.read_text())
    for entry in found["models"]:
        entry["offerings"] = [each for each in entry["offerings"] if not lacks(each)]
        for offered in entry["offerings"]:
            if ends is not None and offered["upstream_id"] == LONE:
                offered["retires_on"] = ends.isoformat()
            if starts_at is not None:
                offered["prices"] = offered["prices"][:1]
                for price in offered["prices"]:
                    price["starts_at"] = starts_at.isoformat()
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps(found))
    return file


def everything() -> list[object]:
    """All rows, without the ids that the database gives them."""
    return [
        list(CatalogModel.objects.values().order_by("id")),
        list(
            Offering.objects.order_by("provider", "upstream_id").values_list(
                "provider",
                "upstream_id",
                "model",
                "endpoints",
                "context",
                "max_output",
                "enabled",
                "note",
                "confidence",
            )
        ),
        sorted(
            Price.objects.values_list(
                "offering__provider",
                "offering__upstream_id",
                "starts_at",
                "above_tokens",
                "input",
                "output",
                "cache_read",
                "cache_write",
                "cache_write_long",
            ),
            key=str,
        ),
    ]


@pytest.mark.django_db
def test_migrating_has_loaded_the_catalogue():
    assert CatalogModel.objects.count() == len(ENTRIES)
    assert Offering.objects.count() == sum(len(entry["offerings"]) for entry in ENTRIES)
    assert Offering.objects.get(provider="openai", upstream_id="gpt-5.3-codex").endpoints == [
        Endpoint.RESPONSES
    ]


@pytest.mark.django_db
def test_loading_again_is_one_query_and_changes_nothing(django_assert_num_queries):
    before = everything()

    with django_assert_num_queries(1):
        assert load_bundled() is False

    assert everything() == before


@pytest.mark.django_db
def test_a_new_edition_brings_the_database_up_to_the_file(django_assert_max_num_queries):
    before = everything()
    CatalogModel.objects.filter(pk="openai/gpt-6-sol").update(name="Old name")
    Offering.objects.get(provider="novita", upstream_id="openai/gpt-oss-20b").delete()
    Price.objects.filter(offering__provider="openai").update(input=1)
    retired = CatalogModel.objects.create(id="openai/retired", name="Retired")
    gone = Offering.objects.create(model=retired, provider="openai", upstream_id="retired")
    Price.objects.create(offering=gone, starts_at=timezone.now(), input=1, output=1)
    forget()

    with django_assert_max_num_queries(30):
        assert load_bundled() is True

    assert everything() == before


@pytest.mark.django_db
def test_what_staff_wrote_stays():
    CatalogModel.objects.filter(pk="openai/gpt-6-sol").update(
        name="Ours", max_output=1, told_by={"name": "staff"}
    )
    CatalogModel.objects.create(id="acme/own", name="Own", source="staff")
    Offering.objects.filter(provider="openai", model="openai/gpt-6-luna").update(enabled=False)
    Offering.objects.filter(provider="openai", model="openai/gpt-4.1").update(
        note="Ours", endpoints=["responses"], source="staff"
    )
    priced = Price.objects.filter(offering__upstream_id="gpt-6-astra").order_by("above_tokens")
    priced.filter(above_tokens=0).update(input=7, source="staff")
    Offering.objects.filter(upstream_id="gpt-6-astra").update(told_by={"prices": "staff"})
    own = Offering.objects.create(
        model_id="acme/own", provider="openai", upstream_id="own", source="staff"
    )
    forget()

    load_bundled()

    sol = CatalogModel.objects.get(pk="openai/gpt-6-sol")
    assert (sol.name, sol.max_output) == ("Ours", 128_000), "field by field"
    assert not Offering.objects.get(upstream_id="gpt-6-luna").enabled
    kept = Offering.objects.get(upstream_id="gpt-4.1")
    assert (kept.note, kept.endpoints) == ("Ours", ["responses"])
    assert priced.values_list("input", flat=True).first() == 7
    assert priced.count() == 2
    assert Offering.objects.filter(pk=own.pk).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("told_by", [{"enabled": "staff"}, {"context": "feed"}])
def test_what_left_the_file_stays_if_somebody_else_has_told_of_it(tmp_path, told_by):
    upstream_id = "gpt-6-astra"
    (kept,) = Offering.objects.filter(upstream_id=upstream_id)
    Offering.objects.filter(pk=kept.pk).update(enabled=False, told_by=told_by)
    CatalogModel.objects.filter(pk="openai/gpt-4.1").update(name="Ours", told_by={"name": "staff"})

    load_bundled(edition(tmp_path, lambda offered: offered["upstream_id"] in (upstream_id, LONE)))

    assert not Offering.objects.filter(upstream_id=LONE).exists()
    assert CatalogModel.objects.get(pk="openai/gpt-4.1").name == "Ours"
    load_bundled()
    again = Offering.objects.get(pk=kept.pk)
    assert (again.enabled, again.told_by) == (False, told_by)
    assert again.prices.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("told", ["feed", "listed"])
def test_a_price_that_a_source_told_is_not_undone_by_a_later_one_of_the_file(tmp_path, told):
    now = timezone.now()
    row = Offering.objects.get(provider="novita", upstream_id="openai/gpt-oss-20b")
    Price.objects.create(
        offering=row, starts_at=now - timedelta(days=2), input=7, output=7, source=told
    )
    Offering.objects.filter(pk=row.pk).update(told_by={"prices": told})

    load_bundled(edition(tmp_path, starts_at=now - timedelta(days=1)))

    price = price_in_force(row.prices.all(), now, 1)
    assert price is not None
    assert price.source == told


# What has ended.


def today() -> date:
    return timezone.now().date()


def lone() -> Offering:
    return Offering.objects.get(provider="openai", upstream_id=LONE)


def is_served() -> bool:
    return memory.catalogue().find(LONE) is not None


@pytest.mark.django_db
def test_an_offering_whose_day_is_over_is_loaded_as_retired():
    row = Offering.objects.get(provider="perplexity", upstream_id="sonar-pro")

    assert row.retires_on == date(2026, 9, 27)
    assert row.retired_at == datetime(2026, 9, 27, tzinfo=UTC)
    assert row.told_by == {}
    assert "perplexity/sonar-pro" not in memory.catalogue().models
    (offer,) = memory.catalogue().models["perplexity/sonar"].offers
    assert offer.upstream_id == "perplexity/sonar"


@pytest.mark.django_db
@pytest.mark.parametrize(("days", "is_over"), [(-1, True), (0, False), (1, False)])
def test_an_edition_that_tells_a_day_retires_what_is_over(tmp_path, days, is_over):
    day = today() + timedelta(days=days)

    load_bundled(edition(tmp_path, ends=day))

    assert lone().retires_on == day
    began = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert lone().retired_at == (began if is_over else None)
    assert is_served() != is_over
    # One that knows better takes it back.
    load_bundled()
    assert lone().retires_on is lone().retired_at is None
    assert is_served()


@pytest.mark.django_db
def test_a_day_that_came_since_retires_with_the_next_edition(tmp_path):
    load_bundled(edition(tmp_path, ends=today() - timedelta(days=1)))
    # As it was when its day was still ahead.
    Offering.objects.filter(upstream_id=LONE).update(retired_at=None)
    assert load_bundled(tmp_path / "catalogue.json") is False
    assert is_served()

    forget()
    load_bundled(tmp_path / "catalogue.json")

    assert not is_served()


@pytest.mark.django_db
def test_what_staff_bring_back_no_edition_retires(staff):
    row = Offering.objects.get(provider="perplexity", upstream_id="sonar-pro")

    set_offering_retired(actor=staff, offering=row, retired=False, origin=Origin())

    for _ in range(2):
        forget()
        load_bundled()
        assert "perplexity/sonar-pro" in memory.catalogue().models
    # Until they take that back.
    change_offering(
        actor=staff, offering=row, values={}, taken_back=["retired_at"], origin=Origin()
    )
    assert "perplexity/sonar-pro" not in memory.catalogue().models


@pytest.mark.django_db
@pytest.mark.parametrize(
    "others",
    [
        {"told_by": {"retires_on": "feed"}},
        {"told_by": {"retires_on": "staff"}},
        {"last_seen_at": timezone.now()},
        {"source": "feed"},
    ],
)
def test_what_others_have_told_of_no_edition_retires(tmp_path, others):
    ends = None if "retires_on" in others.get("told_by", {}) else today() - timedelta(days=1)
    Offering.objects.filter(upstream_id=LONE).update(**others)

    load_bundled(edition(tmp_path, ends=today() - timedelta(days=1)))

    assert (lone().retires_on, lone().retired_at) == (ends, None)
    assert is_served()


@pytest.mark.django_db
def test_a_failed_load_changes_nothing(tmp_path):
    before = everything()
    broken = json.loads(BUNDLED.read_text())
    priced = [o for entry in broken["models"] for o in entry["offerings"] if o["prices"]]
    priced[-1]["prices"][0]["input"] = None
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps(broken))

    with pytest.raises(IntegrityError):
        load_bundled(file)

    assert everything() == before


@pytest.mark.django_db(transaction=True)
def test_two_loads_at_once_leave_one_catalogue():
    before = everything()
    forget()
    results: list[object] = []

    def load() -> None:
        try:
            results.append(load_bundled())
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, results)) == ["False", "False", "False", "True"]
    assert everything() == before


@pytest.mark.django_db(transaction=True)
def test_a_load_and_staff_at_once_take_turns(staff):
    results: list[object] = []
    loading = threading.Event()

    def load() -> None:
        try:
            loading.set()
            results.append(load_bundled())
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            results.append(error)
        finally:
            connections.close_all()

    forget()
    thread = threading.Thread(target=load)
    with transaction.atomic():
        version.changed()
        thread.start()
        loading.wait()
        # Until it has come to where it waits.
        time.sleep(0.5)
        reload_catalogue(actor=staff, origin=Origin())
    thread.join()

    assert results == [False]


@pytest.mark.django_db(transaction=True)
def test_a_load_is_announced():
    heard: list[tuple[str, str]] = []
    forget()
    stop = changes.subscribe(lambda kind, changed: heard.append((kind, changed)))

    load_bundled()
    stop()

    # Redis brings our own word back, and says so once more when it begins to listen.
    assert set(heard) == {("catalogue", "")}


@pytest.mark.django_db
def test_tokens_can_be_limited_to_the_models_that_somebody_serves():
    Offering.objects.filter(model="openai/gpt-oss-20b").update(enabled=False)
    Offering.objects.filter(model="openai/gpt-oss-120b", provider="novita").update(enabled=False)
    Offering.objects.filter(model="openai/gpt-6-astra").update(retired_at=timezone.now())

    models = dict(known_models())

    assert "openai/gpt-oss-20b" not in models
    assert "openai/gpt-6-astra" not in models
    assert models["openai/gpt-oss-120b"] == "gpt-oss 120B"
    assert len(models) == len(SERVED) - 2
