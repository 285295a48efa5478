"""What waits for staff: read, applied or dismissed; and where the catalogue comes from."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from byok.models import CatalogueSource, ChangeSet, Offering
from tests.admin.conftest import events, list_url, page_url, text_of
from tests.admin.test_lists import reads_it_all

pytestmark = pytest.mark.django_db

MODEL = "openai/gpt-oss-20b"
PLACE = {"model": MODEL, "provider": "novita", "upstream_id": MODEL, "field": ""}
UNKNOWN = {"cache_read": None, "cache_write": None, "cache_write_long": None}
FLAT = {"above_tokens": 0, "hours": None, **UNKNOWN}


def changes() -> list[dict[str, object]]:
    offering = Offering.objects.get(provider="novita", upstream_id=MODEL)
    (price,) = offering.prices.all()
    before = {**FLAT, "input": price.input, "output": price.output}
    after = {**before, "input": 50_000, "cache_read": 1}
    limit = {"field": "context", "before": 131_072, "after": 99_999}
    new = {
        "name": "GLM 9",
        "context": 9000,
        "max_output": None,
        "capabilities": ["tools"],
        "aliases": [],
        "released_on": None,
    }
    return [
        {**PLACE, "kind": "missing", "before": None, "after": None},
        {
            "kind": "model_added",
            "model": "z-ai/glm-9",
            "provider": "",
            "upstream_id": "",
            "field": "",
            "before": None,
            "after": new,
        },
        {**PLACE, "kind": "offering_changed", **limit},
        {**PLACE, "kind": "price_changed", "field": "prices", "before": [before], "after": [after]},
    ]


@pytest.fixture
def waiting(db) -> ChangeSet:
    CatalogueSource.objects.create(name="novita", trouble="It changes too much.")
    return ChangeSet.objects.create(
        source="novita",
        state="waiting",
        changes=changes(),
        counts={"price_changed": 1, "model_added": 1, "offering_changed": 1, "missing": 1},
        doubts=["It changes too much."],
    )


def told_on(page: str) -> str:
    """The words of a page."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_every_change_can_be_read_doubts_first(desk, waiting):
    words = told_on(text_of(desk.client.get(page_url(waiting))))
    told = [
        "Why it waits It changes too much.",
        "1 price, 1 change of an offering, 1 new model, 1 missing",
        "4 changes",
        (
            "openai/gpt-oss-20b at Novita price $0.04 input, $0.15 output "
            "$0.05 input, $0.15 output, $0.000001 cache read"
        ),
        "openai/gpt-oss-20b at Novita context 131,072 99,999",
        "z-ai/glm-9 new model name: GLM 9 context: 9,000 capabilities: tools",
        "openai/gpt-oss-20b at Novita missing",
    ]
    places = [words.find(sentence) for sentence in told]
    assert -1 not in places, words
    assert places == sorted(places)


def test_staff_apply_what_waits_once_they_confirm(desk, waiting, staff):
    before = len(events())
    asked = desk.send(
        list_url("byok_changeset"), action="apply", _selected_action=str(waiting.pk), index="0"
    )
    assert "becomes true at once" in asked
    waiting.refresh_from_db()
    assert waiting.state == ChangeSet.State.WAITING
    assert "Novita" in desk.do("apply", waiting)
    assert Offering.objects.get(provider="novita", upstream_id=MODEL).context == 99_999
    waiting.refresh_from_db()
    assert (waiting.state, waiting.decided_by) == (ChangeSet.State.APPLIED, staff)
    assert "was decided meanwhile" in desk.do("dismiss", waiting)
    assert [event for event, *_ in events()[before:]] == ["catalogue.applied"]
    words = told_on(text_of(desk.client.get(page_url(waiting))))
    assert f"Decided by: {staff.email}" in words
    assert "Apply" not in words


def test_staff_dismiss_what_waits(desk, waiting):
    before = len(events())
    desk.do("dismiss", waiting)
    waiting.refresh_from_db()
    assert waiting.state == ChangeSet.State.DISMISSED
    assert Offering.objects.get(provider="novita", upstream_id=MODEL).context != 99_999
    assert [event for event, *_ in events()[before:]] == ["catalogue.dismissed"]


def test_what_needs_staff_is_said_where_the_admin_begins_and_only_there(desk, waiting):
    CatalogueSource.objects.create(name="openai", trouble="It lists no models.")
    says = ("1 change set of the catalogue waits for staff.", "1 source of the catalogue is in")
    index, app = (
        told_on(text_of(desk.client.get(url)))
        for url in (reverse("admin:index"), reverse("admin:app_list", args=["byok"]))
    )
    assert all(sentence in index for sentence in says)
    assert not any(sentence in app for sentence in says)
    ChangeSet.objects.all().delete()
    CatalogueSource.objects.update(trouble="")
    assert "of the catalogue" not in told_on(text_of(desk.client.get(reverse("admin:index"))))


def test_a_set_of_ten_thousand_changes_is_cut_with_a_count(desk, waiting):
    waiting.changes = changes()[:1] * 10_000 + changes()[2:]
    waiting.save()
    page = text_of(desk.client.get(page_url(waiting)))
    words = told_on(page)
    assert "The first 500 of 10,002 changes" in words
    # What is to be judged comes first, so that nothing hides it.
    assert words.index("$0.05 input") < words.index("at Novita missing")
    assert len(page) < 400_000


def test_a_long_list_of_sets_reads_its_page_from_an_index(desk, waiting):
    now = timezone.now()
    ChangeSet.objects.bulk_create(
        ChangeSet(
            source=("novita", "openai", "feed")[number % 3],
            state="applied",
            changes=[],
            created_at=now - timedelta(minutes=number),
            decided_at=now,
        )
        for number in range(5_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE byok_changeset")
    for query in ("", "?state__exact=waiting", "?source=feed", "?state__exact=dismissed"):
        with CaptureQueriesContext(connection) as asked:
            assert desk.client.get(list_url("byok_changeset") + query).status_code == 200
        for each in (found["sql"] for found in asked):
            if 'FROM "byok_changeset"' in each and "LIMIT" in each:
                assert '"changes"' not in each
            if 'FROM "byok_changeset"' in each and "ORDER BY" in each and "DISTINCT" not in each:
                assert not reads_it_all(each, "byok_changeset"), each


def test_sources_tell_how_they_are_and_are_asked_at_once(desk, platform, settings):
    settings.MEGABRAIN_CATALOGUE_HOURS = 6
    now = timezone.now()
    for name, read_at, trouble in (
        ("novita", now, ""),
        ("feed", now - timedelta(days=2), ""),
        ("openai", None, "It answered with status 500."),
    ):
        CatalogueSource.objects.create(name=name, read_at=read_at, trouble=trouble)
    words = told_on(text_of(desk.client.get(list_url("byok_cataloguesource"))))
    for told in ("Novita Fine", "Feed Stale", "OpenAI In trouble, and stale", "status 500."):
        assert told in words
    before = len(events())
    novita = CatalogueSource.objects.get(name="novita")
    assert "is asked for its models" in desk.do("ask", novita)
    openai = CatalogueSource.objects.get(name="openai")
    assert "cannot be asked" in desk.do("ask", openai)
    assert events()[before:] == [("catalogue.asked", "staff@example.com", str(platform.pk))]
    assert "Novita" in desk.send(reverse("admin:byok_cataloguesource_refresh"))
    assert desk.client.get(reverse("admin:byok_cataloguesource_refresh")).status_code == 405
