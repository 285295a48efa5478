"""What staff change of the catalogue: it stays, it is told, and it can be taken back."""

import pytest
from django.urls import reverse

from byok.catalogue.bundled import BUNDLED, load_bundled
from byok.models import CatalogModel, CatalogueSource, Offering, Price, Source
from orgs.changes import subscribe
from tests.admin.conftest import events, list_url, page_url, text_of

pytestmark = pytest.mark.django_db

MODEL = "anthropic/claude-haiku-4.5"


@pytest.fixture
def model() -> CatalogModel:
    return CatalogModel.objects.get(pk=MODEL)


def form_of(model: CatalogModel, **changed: str) -> dict[str, str]:
    return {
        "name": model.name,
        "context": str(model.context),
        "max_output": str(model.max_output),
        "capabilities": "\n".join(model.capabilities),
        "aliases": "\r\n".join(model.aliases),
        "released_on": f"{model.released_on or ''}",
        **changed,
    }


def load_another_edition(tmp_path) -> None:
    """As a later version of MegaBrain does when it migrates."""
    file = tmp_path / "catalogue.json"
    file.write_text(BUNDLED.read_text() + "\n")
    assert load_bundled(file)


def test_a_changed_model_is_told_and_outlives_the_next_edition(desk, model, platform, tmp_path):
    heard: list[str] = []
    unsubscribe = subscribe(lambda kind, changed: heard.append(kind))
    before = events()
    desk.send(
        page_url(model),
        **form_of(model, name="Haiku", aliases="haiku\r\nclaude-haiku\r\nhaiku\r\n"),
    )
    unsubscribe()
    load_another_edition(tmp_path)
    model.refresh_from_db()
    assert (model.name, model.aliases) == ("Haiku", ["haiku", "claude-haiku"])
    assert model.told_by == {"name": Source.STAFF, "aliases": Source.STAFF}
    assert events()[len(before) :] == [
        ("catalogue.model_changed", "staff@example.com", str(platform.pk))
    ]
    assert set(heard) == {"catalogue"}


def test_saving_it_as_it_was_changes_and_tells_nothing(desk, model):
    before = events()
    desk.send(page_url(model), **form_of(model))
    model.refresh_from_db()
    assert model.told_by == {}
    assert events() == before


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"context": "-1"},
        {"context": "many"},
        {"context": str(10**12)},
        {"aliases": "two words"},
        {"aliases": "x" * 121},
        {"aliases": "a\x07b"},
        {"capabilities": "a b"},
    ],
)
def test_what_makes_no_sense_is_refused(desk, model, changed):
    before = events()
    page = desk.send(page_url(model), **form_of(model, **changed))
    assert "Please correct the error" in page
    assert CatalogModel.objects.get(pk=MODEL).name == model.name
    assert events() == before


def test_other_columns_are_not_for_changing(desk, model):
    desk.send(page_url(model), **form_of(model, id="x", source="staff"))
    after = CatalogModel.objects.get(pk=MODEL)
    assert after.source == Source.BUNDLED
    assert not CatalogModel.objects.filter(pk="x").exists()


def test_the_bundled_values_come_back(desk, model):
    desk.send(page_url(model), **form_of(model, name="Haiku"))
    before = events()
    desk.do("restore", model)
    after = CatalogModel.objects.get(pk=MODEL)
    assert (after.name, after.source) == (model.name, Source.BUNDLED)
    assert [event for event, *_ in events()[len(before) :]] == ["catalogue.model_changed"]


def test_a_disabled_offering_stays_so_and_keeps_its_bundled_prices(desk, platform, tmp_path):
    offering = Offering.objects.filter(model_id=MODEL).first()
    assert offering is not None
    before = events()
    desk.do("disable", offering)
    load_another_edition(tmp_path)
    offering.refresh_from_db()
    assert (offering.enabled, offering.source) == (False, Source.BUNDLED)
    assert Price.objects.filter(offering=offering).exists()
    desk.do("enable", offering)
    offering.refresh_from_db()
    assert offering.enabled
    told = ("catalogue.offering_changed", "staff@example.com", str(platform.pk))
    assert events()[len(before) :] == [told, told]


def test_the_bundled_catalogue_is_loaded_again(desk, platform):
    CatalogModel.objects.filter(pk=MODEL).update(name="Broken")
    Price.objects.all().delete()
    before = events()
    page = desk.send(reverse("admin:byok_catalogmodel_reload"))
    assert "The bundled catalogue is loaded." in page
    assert CatalogModel.objects.get(pk=MODEL).name != "Broken"
    assert Price.objects.exists()
    assert events()[len(before) :] == [
        ("catalogue.reloaded", "staff@example.com", str(platform.pk))
    ]
    assert CatalogueSource.objects.get().edition


def test_loading_is_no_link(staff_client):
    assert staff_client.get(reverse("admin:byok_catalogmodel_reload")).status_code == 405
    page = text_of(staff_client.get(list_url("byok_catalogmodel")))
    assert "Load the bundled catalogue again" in page


def test_a_model_with_a_long_id_can_be_told_of(desk):
    model = CatalogModel.objects.create(id="vendor/" + "x" * 100, name="Long", context=1)
    desk.send(page_url(model), **{**form_of(model, name="Longer"), "max_output": ""})
    model.refresh_from_db()
    assert model.name == "Longer"
