"""Answers of a source that nobody should believe: they change nothing, and staff are told once."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from byok.catalogue import memory, refresh
from byok.models import CatalogModel, CatalogueSource, ChangeSet, Offering
from byok.tasks import tell_of_catalogue
from megabrain.simulator.faults import ListFault
from tests.byok.publisher import (
    MODEL,
    Publisher,
    asked_before,
    at_novita,
    entry_of,
    events,
    everything,
    novita,
    source,
    with_key,
)

pytestmark = pytest.mark.django_db

State = ChangeSet.State


PAGES: dict[str, Callable[[int], Any]] = {
    "endless pages": lambda call: page(call, last=f"claude-{call}"),
    "a cursor that leads back": lambda call: page(call % 3, last=f"claude-{call % 3}"),
    "two pages that contradict each other": lambda call: {
        "data": [{"id": "claude-haiku-5-5", "max_tokens": call}],
        "has_more": call % 2 == 1,
        "last_id": f"claude-{call}",
    },
}


def page(call: int, last: str) -> dict[str, Any]:
    return {"data": [{"id": f"claude-{call}"}], "has_more": True, "last_id": last}


def mistyped(listed: dict[str, Any]) -> Any:
    return {"data": [{**entry, "id": 5} for entry in listed["data"]]}


UNREADABLE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "nothing": lambda listed: {"content": b""},
    "no models": lambda listed: {"content": {"data": []}},
    "a page of HTML": lambda listed: {"content": b"<!doctype html><p>Models</p>"},
    "bad JSON": lambda listed: {"content": json.dumps(listed).encode()[:-1]},
    "a cut answer": lambda listed: {"content": b'{"data":[', "content_length": "5000"},
    "other types": lambda listed: {"content": mistyped(listed)},
    "no list": lambda listed: {"content": {"data": {"models": listed}}},
    "deep nesting": lambda listed: {"content": b"[" * 200_000},
    "33 MiB": lambda listed: {"content": json.dumps(listed).encode() + b" " * 33 * 1024 * 1024},
    "a redirect": lambda listed: {"content": listed, "status": 302, "location": "/elsewhere"},
    "a server error": lambda listed: {"content": listed, "status": 500},
}


def nothing_is_believed(
    publisher: Publisher, staff, mailoutbox, name: str = "novita", seconds: float = 60
) -> str:
    """The trouble with what it tells, which has changed nothing and was told once."""
    before = everything()
    for _ in range(4):
        if CatalogueSource.objects.filter(pk=name, away__in=(1, 2)).exists():
            assert mailoutbox == [], "it may be back the next time"
        outcome = refresh.refresh(name, seconds)
        assert outcome.trouble
        assert outcome.change_set is None
        tell_of_catalogue()
    assert everything() == before
    assert source(name).lease_until is None
    assert source(name).trouble == outcome.trouble
    (letter,) = mailoutbox
    assert letter.to == [staff.email]
    assert outcome.trouble in letter.body
    assert events() == []
    return outcome.trouble


@pytest.mark.parametrize("how", UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_that_cannot_be_read_changes_nothing(publisher, staff, mailoutbox, how):
    publisher.tells(**how(asked_before(publisher)))
    nothing_is_believed(publisher, staff, mailoutbox)
    assert "/elsewhere" not in publisher.asked


@pytest.mark.parametrize("pages", PAGES.values(), ids=PAGES)
def test_pages_that_cannot_be_read_change_nothing(publisher, staff, mailoutbox, pages):
    with_key("anthropic")
    publisher.tells_pages(pages)
    nothing_is_believed(publisher, staff, mailoutbox, "anthropic")
    assert len(publisher.asked) <= 4 * (50 if pages is PAGES["endless pages"] else 4)


def test_pages_make_one_list(publisher):
    with_key("anthropic")
    publisher.tells_pages(
        lambda call: {
            "data": [{"id": f"claude-page-{call}"}],
            "has_more": call < 3,
            "last_id": f"claude-page-{call}",
        }
    )
    refresh.refresh("anthropic")
    assert Offering.objects.filter(upstream_id__startswith="claude-page").count() == 3
    assert publisher.asked[2].endswith("after_id=claude-page-2")


@pytest.mark.parametrize("slowness", [Publisher.hangs, Publisher.drips, Publisher.drips_its_head])
def test_whoever_keeps_us_waiting_is_left(publisher, staff, mailoutbox, slowness):
    asked_before(publisher)
    slowness(publisher)
    assert "in time" in nothing_is_believed(publisher, staff, mailoutbox, seconds=0.3)
    assert publisher.is_at_it
    if slowness is Publisher.drips:
        # Nobody goes on reading what has no end.
        until = time.monotonic() + 5
        while any(thread.name == "call" for thread in threading.enumerate()):
            assert time.monotonic() < until
            time.sleep(0.02)


def test_a_company_that_is_away_changes_nothing(publisher, staff, mailoutbox, settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {"novita": "http://127.0.0.1:9"}
    nothing_is_believed(publisher, staff, mailoutbox)


def times(field: str, factor: int) -> Callable[[dict[str, Any]], None]:
    def change(listed: dict[str, Any]) -> None:
        for entry in listed["data"]:
            entry[field] *= factor

    return change


def one_price(factor: int) -> Callable[[dict[str, Any]], None]:
    def change(listed: dict[str, Any]) -> None:
        entry_of(listed, MODEL)["output_token_price_per_m"] *= factor

    return change


def a_tenth(listed: dict[str, Any]) -> None:
    del listed["data"][1:]


def dear(listed: dict[str, Any]) -> None:
    """A new model that costs ten thousand dollars a million."""
    price = {"input_token_price_per_m": 10**8, "output_token_price_per_m": 10**8}
    listed["data"].append({"id": "zai-org/glm-10", "model_type": "chat", **price})


IMPLAUSIBLE = {
    "a tenth of before": a_tenth,
    "all prices a hundred times": times("input_token_price_per_m", 100),
    "one price a hundred times": one_price(100),
    "one price of nothing": one_price(0),
    "a new model dearer than any": dear,
    "all limits ten times": times("context_size", 10),
}


@pytest.mark.parametrize("change", IMPLAUSIBLE.values(), ids=IMPLAUSIBLE)
def test_what_is_implausible_waits_for_staff(publisher, staff, mailoutbox, change):
    listed = asked_before(publisher)
    change(listed)
    # Not even what is plausible of it.
    listed["data"].append({"id": "zai-org/glm-9", "model_type": "chat"})
    publisher.tells(listed)
    before = everything()
    first, second = refresh.refresh("novita"), refresh.refresh("novita")
    assert everything()[:3] == before[:3]
    (waiting,) = ChangeSet.objects.all()
    assert waiting == first.change_set == second.change_set
    assert waiting.state == State.WAITING
    assert waiting.doubts
    tell_of_catalogue()
    tell_of_catalogue()
    (letter,) = mailoutbox
    assert letter.subject == "Changes of the catalogue wait for you: Novita"
    assert waiting.doubts[0] in letter.body
    # It tells what it told before: nothing waits any more, and nobody is bothered.
    publisher.tells(novita())
    assert refresh.refresh("novita") == refresh.Outcome("novita")
    waiting.refresh_from_db()
    assert (waiting.state, waiting.decided_by) == (State.DISMISSED, None)
    assert source("novita").trouble == ""
    assert events() == [("catalogue.dismissed", "MegaBrain")]


def test_staff_are_told_again_when_it_is_something_else(publisher, staff, mailoutbox):
    for answer in (b"{", b"{", b"[]", b"{"):
        publisher.tells(answer)
        refresh.refresh("novita")
        tell_of_catalogue()
    assert len(mailoutbox) == 3


def test_another_companys_model_is_left_out_and_told_of(publisher, staff, mailoutbox):
    with_key("moonshotai")
    publisher.tells({"data": [{"id": "gpt-6-luna"}, {"id": "kimi-k9"}]})
    outcome = refresh.refresh("moonshotai")
    tell_of_catalogue()
    assert "gpt-6-luna" in mailoutbox[0].body
    assert outcome.change_set is not None
    assert {change["model"] for change in outcome.change_set.changes} == {"moonshotai/kimi-k9"}
    found = memory.catalogue().find("gpt-6-luna")
    assert found is not None
    assert found.id == "openai/gpt-6-luna"


def test_a_price_told_only_partly_waits_and_the_rest_is_applied(publisher, staff, mailoutbox):
    listed = asked_before(publisher)
    tiered = "minimax/minimax-m3"
    entry_of(listed, tiered)["input_token_price_per_m"] += 100
    entry_of(listed, MODEL)["output_token_price_per_m"] += 100
    publisher.tells(listed)
    outcome = refresh.refresh("novita")
    assert outcome.change_set is not None
    assert outcome.change_set.state == State.WAITING
    assert [change["model"] for change in outcome.change_set.changes] == [tiered]
    assert at_novita().prices.count() == 2
    assert not at_novita(tiered).prices.filter(source="listed").exists()
    tell_of_catalogue()
    assert len(mailoutbox) == 1


def test_with_review_on_only_presence_is_applied(publisher, settings, staff, mailoutbox):
    settings.MEGABRAIN_CATALOGUE_REVIEW = True
    listed = asked_before(publisher)
    listed["data"].remove(entry_of(listed, MODEL))
    listed["data"].append({"id": "zai-org/glm-9", "model_type": "chat"})
    publisher.tells(listed)
    outcome = refresh.refresh("novita")
    assert outcome.change_set is not None
    assert outcome.change_set.state == State.WAITING
    assert len(outcome.change_set.changes) == 2
    assert at_novita().missing_since is not None
    assert not CatalogModel.objects.filter(pk="z-ai/glm-9").exists()
    tell_of_catalogue()
    assert len(mailoutbox) == 1


@pytest.mark.parametrize("fault", sorted(ListFault))
def test_no_fault_of_the_simulators_list_is_believed(simulator, fault):
    with_key("xai")
    refresh.refresh("xai")
    before = everything()
    simulator.application.list_faults["xai"] = fault
    outcome = refresh.refresh("xai", seconds=0.5 if fault in ("listhang", "listdrip") else 60)
    assert outcome.trouble or fault is ListFault.HUGE
    assert everything()[:3] == before[:3] or fault is ListFault.HUGE
