"""What staff say of models and offerings outlives every source, until they take it back."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from byok.actions import ModelGone, apply_change_set, change_model
from byok.catalogue import memory, refresh, version
from byok.catalogue.spelling import all_spellings, resolve
from byok.models import CatalogModel, ChangeSet, Offering, Price, Source
from byok.providers import PROVIDERS
from tests.admin.conftest import ORIGIN, events, page_url
from tests.admin.test_catalogue import load_another_edition
from tests.byok.publisher import novita, publishing

pytestmark = pytest.mark.django_db

MODEL = "openai/gpt-oss-20b"


@pytest.fixture
def model() -> CatalogModel:
    return CatalogModel.objects.get(pk=MODEL)


@pytest.fixture
def offering() -> Offering:
    return Offering.objects.get(provider="novita", upstream_id=MODEL)


@pytest.fixture
def publisher(settings):
    """In the place of Novita, whose list is public."""
    with publishing() as publisher:
        settings.MEGABRAIN_UPSTREAM_URLS = dict.fromkeys(PROVIDERS, publisher.address)
        yield publisher


def named(before: int) -> list[str]:
    return [event for event, *_ in events()[before:]]


def test_any_field_of_a_model_is_set_pinned_and_taken_back(desk, model, tmp_path):
    page, before = page_url(model), len(events())
    desk.fill(page, context="9000", released_on="2024-02-29", pinned=["max_output"])
    load_another_edition(tmp_path)
    after = CatalogModel.objects.get(pk=MODEL)
    assert (after.context, f"{after.released_on}") == (9000, "2024-02-29")
    assert after.told_by == dict.fromkeys(["context", "max_output", "released_on"], "staff")
    # Unticked: one field is as the edition has it, the others stay.
    desk.fill(page, pinned=["max_output", "released_on"])
    after.refresh_from_db()
    assert (after.context, f"{after.released_on}") == (model.context, "2024-02-29")
    assert "context: either change it" not in desk.fill(page, context="1")
    refused = desk.fill(page, context="2", pinned=["max_output", "released_on"])
    assert "Context: either change it, or take it back." in refused
    desk.do("restore", after)
    after.refresh_from_db()
    assert (after.told_by, after.context) == ({}, model.context)
    assert named(before) == ["catalogue.model_changed"] * 4


def test_a_form_that_was_open_for_long_undoes_nothing(desk, model):
    page = page_url(model)
    shown = desk.shown(page)
    desk.fill(page, name="Theirs", pinned=["max_output"])
    desk.fill(page, shown, context="9000")
    after = CatalogModel.objects.get(pk=MODEL)
    assert (after.name, after.context) == ("Theirs", 9000)
    assert set(after.told_by) == {"name", "context", "max_output"}


def test_what_left_the_catalogue_meanwhile_is_said(desk, model, staff):
    model.offerings.all().delete()
    CatalogModel.objects.filter(pk=MODEL).delete()
    with pytest.raises(ModelGone):
        change_model(actor=staff, model=model, values={"name": "x"}, origin=ORIGIN)
    assert "doesn’t exist" in desk.send(page_url(model), name="x")


@pytest.mark.parametrize(
    ("alias", "why"),
    [
        ("openai/gpt-oss-120b", "means openai/gpt-oss-120b already"),
        # A provider's name for another, and another's in its other spelling.
        ("claude-haiku-4-5-20251001", "means anthropic/claude-haiku-4.5 already"),
        ("Claude-Haiku-4-5", "means anthropic/claude-haiku-4.5 already"),
        ("anthropic/mine", "would mean no model"),
    ],
)
def test_an_alias_takes_no_name_from_another_model(desk, model, alias, why):
    assert why in desk.fill(page_url(model), aliases=alias)
    assert CatalogModel.objects.get(pk=MODEL).aliases == model.aliases
    assert resolve(alias, all_spellings()) != MODEL


def test_an_offering_is_as_staff_say_whatever_its_list_says(desk, offering, publisher, tmp_path):
    listed = novita()
    publisher.tells(listed)
    refresh.refresh("novita")
    page, before = page_url(offering), len(events())
    desk.fill(
        page,
        context="9000",
        retires_on="2031-01-31",
        note="Slow.",
        confidence="verified",
        endpoints=["chat/completions"],
    )
    for entry in listed["data"]:
        if entry["id"] == MODEL:
            entry.update(context_size=7777, max_output_tokens=6666)
    publisher.tells(listed)
    refresh.refresh("novita")
    load_another_edition(tmp_path)
    after = Offering.objects.get(pk=offering.pk)
    assert (after.context, after.max_output) == (9000, 6666)
    assert (f"{after.retires_on}", after.note, after.confidence) == (
        "2031-01-31",
        "Slow.",
        "verified",
    )
    assert after.endpoints == ["chat/completions"]
    told = [name for name, by in after.told_by.items() if by == Source.STAFF]
    assert sorted(told) == ["confidence", "context", "endpoints", "note", "retires_on"]
    desk.do("restore", after)
    refresh.refresh("novita")
    after.refresh_from_db()
    assert (after.context, after.retires_on, after.note) == (7777, None, offering.note)
    assert after.endpoints == offering.endpoints
    assert [name for name in named(before) if "offering" in name] == [
        "catalogue.offering_changed"
    ] * 2


def test_no_list_retires_what_staff_brought_back_nor_brings_back_what_they_retired(
    desk, offering, publisher, staff
):
    listed = novita()
    publisher.tells(listed)
    refresh.refresh("novita")
    desk.do("retire", offering)
    refresh.refresh("novita")
    assert not any(offer.provider == "novita" for offer in memory.catalogue().models[MODEL].offers)
    # Nor does what waited from before.
    long_ago = timezone.now() - timedelta(days=30)
    change = {"model": MODEL, "provider": "novita", "upstream_id": MODEL, "field": ""}
    waiting = ChangeSet.objects.create(
        source="novita",
        state="waiting",
        changes=[{**change, "kind": "back", "before": None, "after": None}],
    )
    apply_change_set(actor=staff, change_set=waiting, origin=ORIGIN)
    offering.refresh_from_db()
    assert offering.retired_at is not None
    desk.do("bring_back", offering)
    Offering.objects.filter(pk=offering.pk).update(missing_since=long_ago)
    listed["data"] = [entry for entry in listed["data"] if entry["id"] != MODEL]
    publisher.tells(listed)
    refresh.refresh("novita")
    offering.refresh_from_db()
    assert offering.retired_at is None
    # Unless they take back that, too.
    kept = [name for name in desk.shown(page_url(offering))["pinned"] if name != "retired_at"]
    desk.fill(page_url(offering), pinned=kept)
    refresh.refresh("novita")
    offering.refresh_from_db()
    assert offering.retired_at is not None


def test_staff_add_a_model_of_their_own_with_an_offering(desk, tmp_path):
    before = len(events())
    add_model = reverse("admin:byok_catalogmodel_add")
    typed = {"name": "Mini", "context": "9000", "aliases": "mini-two\nacme-mini"}
    assert "means openai/gpt-oss-20b already" in desk.fill(
        add_model, id="openai/gpt-oss-20b-x", **{**typed, "aliases": "gpt-oss-20b"}
    )
    # Its prefix is what a provider calls another vendor by.
    assert "would not mean z-ai/glm" in desk.fill(add_model, id="zai-org/mini", **typed)
    assert "A vendor, a slash and a name" in desk.fill(add_model, id="Mini 2", **typed)
    desk.fill(add_model, id="acme/mini-2", **typed)
    add = reverse("admin:byok_offering_add", query={"model": "acme/mini-2"})
    assert "serves openai/gpt-oss-20b under this id already" in desk.fill(
        add, provider="novita", upstream_id=MODEL
    )
    assert "is called directly" in desk.fill(add, provider="zai-coding", upstream_id="mini")
    page = desk.fill(add, provider="novita", upstream_id="acme/mini-2", note="Ours")
    assert "None is known." in page
    offering = Offering.objects.get(upstream_id="acme/mini-2")
    assert (offering.source, offering.direct) == (Source.STAFF, False)
    desk.fill(
        reverse("admin:byok_price_add", query={"offering": offering.pk}), input="1", output="2"
    )
    load_another_edition(tmp_path)
    found = memory.catalogue().find("mini-two")
    assert found is not None
    assert (found.id, found.offers[0].prices[0].input) == ("acme/mini-2", 1_000_000)
    model = CatalogModel.objects.get(pk="acme/mini-2")
    assert "Remove its offerings first." in desk.do("remove", model)
    desk.do("remove", offering)
    desk.do("remove", model)
    assert not CatalogModel.objects.filter(pk="acme/mini-2").exists()
    assert not Price.objects.filter(offering_id=offering.pk).exists()
    assert named(before) == [
        "catalogue.model_added",
        "catalogue.offering_added",
        "catalogue.offering_changed",
        "catalogue.offering_removed",
        "catalogue.model_removed",
    ]


def test_a_later_edition_with_the_same_model_leaves_staff_s_own_alone(desk, tmp_path):
    CatalogModel.objects.filter(pk=MODEL).update(name="Ours", source=Source.STAFF)
    Offering.objects.filter(model=MODEL).update(note="Ours", source=Source.STAFF)
    version.changed()
    load_another_edition(tmp_path)
    assert CatalogModel.objects.get(pk=MODEL).name == "Ours"
    assert set(Offering.objects.filter(model=MODEL).values_list("note", flat=True)) == {"Ours"}


def test_what_sources_tell_is_not_removed(desk, model, offering):
    assert "cannot be removed" in desk.do("remove", model)
    assert "cannot be removed" in desk.do("remove", offering)
    assert Offering.objects.filter(pk=offering.pk).exists()
