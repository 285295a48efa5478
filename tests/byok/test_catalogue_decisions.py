"""What staff decide of changes that wait, and what they and operators ask for."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from byok.actions import (
    ChangesDecided,
    UnknownSource,
    apply_change_set,
    dismiss_change_set,
    refresh_source,
)
from byok.catalogue import memory, refresh, version
from byok.models import CatalogModel, ChangeSet, Offering, Price
from orgs.models import Account, AuditEvent
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.byok.publisher import everything, novita, source

pytestmark = pytest.mark.django_db

MODEL, OTHER = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
ORIGIN = Origin()


@pytest.fixture
def listed(publisher, settings):
    """Its list, in which two prices, a limit and a model are new; all wait for staff."""
    settings.MEGABRAIN_CATALOGUE_REVIEW = True
    listed = novita()
    publisher.tells(listed)
    refresh.refresh("novita")
    for entry in listed["data"]:
        if entry["id"] in (MODEL, OTHER):
            entry["input_token_price_per_m"] += 100
        if entry["id"] == MODEL:
            entry["context_size"] = 99_999
    listed["data"].append({"id": "zai-org/glm-9", "model_type": "chat"})
    publisher.tells(listed)
    return listed


@pytest.fixture
def waiting(listed) -> ChangeSet:
    found = refresh.refresh("novita").change_set
    assert found is not None
    assert found.state == ChangeSet.State.WAITING
    return found


def at_novita(id_: str) -> Offering:
    return Offering.objects.get(provider="novita", upstream_id=id_)


def events() -> list[tuple[str, str, str]]:
    rows = AuditEvent.objects.for_account(Account.objects.platform().pk)
    told = rows.filter(event__startswith="catalogue.").order_by("sequence")
    return [(row.event, row.actor_label, row.target_id) for row in told]


def test_staff_apply_what_waits(waiting, staff):
    apply_change_set(actor=staff, change_set=waiting, origin=ORIGIN)
    assert at_novita(MODEL).context == 99_999
    assert [at_novita(id_).prices.count() for id_ in (MODEL, OTHER)] == [2, 2]
    assert memory.catalogue().find("z-ai/glm-9") is not None
    waiting.refresh_from_db()
    assert (waiting.state, waiting.decided_by) == (ChangeSet.State.APPLIED, staff)
    assert waiting.decided_at is not None
    assert source("novita").trouble == ""
    assert events() == [("catalogue.applied", staff.email, str(waiting.pk))]
    # It was told by the list, and so is not proposed again.
    assert at_novita(MODEL).told_by == {"context": "listed", "prices": "listed"}
    assert refresh.refresh("novita").change_set is None


def test_what_was_overtaken_is_left_out(waiting, staff):
    Offering.objects.filter(pk=at_novita(MODEL).pk).update(context=5, told_by={"context": "staff"})
    at_novita(OTHER).prices.update(output=1)
    CatalogModel.objects.create(id="z-ai/glm-9", name="Ours", source="staff")
    version.changed()
    apply_change_set(actor=staff, change_set=waiting, origin=ORIGIN)
    assert at_novita(MODEL).context == 5
    assert at_novita(MODEL).prices.count() == 2
    assert at_novita(OTHER).prices.count() == 1
    assert CatalogModel.objects.get(pk="z-ai/glm-9").name == "Ours"
    assert at_novita("zai-org/glm-9").model_id == "z-ai/glm-9"


def test_what_staff_dismissed_is_not_proposed_again(waiting, staff, publisher, listed):
    before = everything()
    dismiss_change_set(actor=staff, change_set=waiting, origin=ORIGIN)
    assert everything()[:3] == before[:3]
    assert source("novita").trouble == ""
    assert events() == [("catalogue.dismissed", staff.email, str(waiting.pk))]
    assert refresh.refresh("novita").change_set is None
    # Something else is.
    listed["data"][-1]["id"] = "zai-org/glm-10"
    publisher.tells(listed)
    found = refresh.refresh("novita").change_set
    assert found is not None
    assert {change["model"] for change in found.changes} == {"z-ai/glm-10"}


def test_each_price_that_staff_dismissed_of_late_stays_so(waiting, staff, publisher, listed):
    entry = listed["data"][0]
    for price in (entry["output_token_price_per_m"] + 100, entry["output_token_price_per_m"] + 200):
        entry["output_token_price_per_m"] = price
        publisher.tells(listed)
        found = refresh.refresh("novita").change_set
        assert found is not None
        dismiss_change_set(actor=staff, change_set=found, origin=ORIGIN)
        assert refresh.refresh("novita").change_set is None


def test_nobody_is_said_to_serve_a_model_that_staff_dismissed(
    waiting, staff, publisher, listed, settings
):
    dismiss_change_set(actor=staff, change_set=waiting, origin=ORIGIN)
    listed["data"][-1] |= {"input_token_price_per_m": 3000, "output_token_price_per_m": 3000}
    publisher.tells(listed)
    settings.MEGABRAIN_CATALOGUE_REVIEW = False
    assert refresh.refresh("novita").change_set is None
    assert not Offering.objects.filter(model="z-ai/glm-9").exists()


def test_a_model_of_which_another_has_the_name_by_now_is_left_out(waiting, staff):
    CatalogModel.objects.filter(pk="z-ai/glm-5.2").update(aliases=["z-ai/glm-9"])
    version.changed()
    apply_change_set(actor=staff, change_set=waiting, origin=ORIGIN)
    named = memory.catalogue().find("z-ai/glm-9")
    assert named is not None
    assert named.id == "z-ai/glm-5.2"
    assert not Offering.objects.filter(model="z-ai/glm-9").exists()
    assert at_novita(MODEL).context == 99_999


def test_a_newer_answer_takes_the_place_of_what_waits(waiting, staff, publisher, listed):
    del listed["data"][-1]
    publisher.tells(listed)
    newer = refresh.refresh("novita").change_set
    assert newer is not None
    assert len(newer.changes) == len(waiting.changes) - 2
    for decide in (apply_change_set, dismiss_change_set):
        with pytest.raises(ChangesDecided):
            decide(actor=staff, change_set=waiting, origin=ORIGIN)
    apply_change_set(actor=staff, change_set=newer, origin=ORIGIN)
    with pytest.raises(ChangesDecided):
        apply_change_set(actor=staff, change_set=newer, origin=ORIGIN)


def test_nobody_but_staff_decides(waiting, owner):
    before = everything()
    for decide in (apply_change_set, dismiss_change_set):
        with pytest.raises(NotPermitted):
            decide(actor=owner, change_set=waiting, origin=ORIGIN)
    with pytest.raises(NotPermitted):
        refresh_source(actor=owner, source="novita", origin=ORIGIN)
    assert everything() == before
    assert events() == []


def test_staff_have_a_source_asked(publisher, staff, settings):
    settings.CELERY_TASK_ALWAYS_EAGER = True
    refresh_source(actor=staff, source="novita", origin=ORIGIN)
    with pytest.raises(UnknownSource):
        refresh_source(actor=staff, source="anthropic", origin=ORIGIN)
    assert events() == [("catalogue.asked", staff.email, "novita")]


def run(*args: str) -> str:
    out = StringIO()
    call_command("catalogue", *args, stdout=out)
    return out.getvalue()


def test_operators_see_what_would_change_and_have_it_changed(listed, settings):
    settings.MEGABRAIN_CATALOGUE_REVIEW = False
    before = everything()
    seen = run("diff", "novita")
    assert everything() == before
    for line in (
        "novita: 5 changes",
        "openai/gpt-oss-20b at Novita: context 131,072 → 99,999",
        "openai/gpt-oss-20b at Novita: price $0.04/$0.15 → $0.05/$0.15",
        "z-ai/glm-9: new model",
        "z-ai/glm-9 at Novita: newly offered as zai-org/glm-9, no price known",
    ):
        assert line in seen
    assert "novita: 5 changes, applied" in run("refresh", "novita")
    assert "novita: nothing changes" in run("refresh", "novita")
    shown = run("show", MODEL)
    assert "told by: context listed, prices listed" in shown
    assert "context 99,999" in shown


def test_operators_hear_what_could_not_be_read(publisher):
    publisher.tells(b"{")
    for action in ("diff", "refresh"):
        with pytest.raises(CommandError, match="novita"):
            run(action, "novita")
        with pytest.raises(CommandError, match="chutes, novita, perplexity, synthetic"):
            run(action, "nobody")


def test_the_command_shows_what_is_missing_and_retired(publisher):
    row = at_novita(MODEL)
    Price.objects.filter(offering=row).delete()
    for values, told in (
        ({"missing_since": "2026-11-01T00:00:00Z"}, "missing from the list since 2026-11-01"),
        ({"retired_at": "2026-11-08T00:00:00Z"}, "retired 2026-11-08"),
        ({"retires_on": "2026-12-01"}, "ends 2026-12-01"),
    ):
        Offering.objects.filter(pk=row.pk).update(**values)
        version.changed()
        assert told in run("show", MODEL)
