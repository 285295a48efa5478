"""Asking a source of the catalogue: what is believed is applied, and nothing else is."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.models import UsageRecord
from byok.actions import apply_change_set
from byok.catalogue import memory, refresh, version
from byok.catalogue.bundled import load_bundled
from byok.models import CatalogModel, CatalogueSource, ChangeSet, Offering, Price, Source
from byok.providers import PROVIDERS
from byok.providers.base import Endpoint
from byok.tasks import refresh_due_catalogue
from megabrain.celery import app
from orgs.origin import Origin
from tests.byok.publisher import (
    MODEL,
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


def test_what_is_as_it_was_changes_nothing_but_when_it_was_seen(publisher):
    before = version.current()
    asked_before(publisher)
    row = at_novita()
    assert row.first_seen_at == row.last_seen_at == source("novita").read_at
    assert source("novita").edition
    assert source("novita").lease_until is None
    assert version.current() == before
    assert ChangeSet.objects.count() == 0
    refresh.refresh("novita")
    again = at_novita()
    assert again.first_seen_at == row.first_seen_at
    assert again.last_seen_at == source("novita").read_at != row.last_seen_at


def test_a_new_model_can_be_called_at_once(publisher):
    listed = asked_before(publisher)
    new = {"status": 1, "model_type": "chat", "context_size": 9000, "features": ["reasoning"]}
    priced = {"input_token_price_per_m": 3000, "output_token_price_per_m": 7000}
    listed["data"] += [
        {**new, **priced, "id": "zai-org/glm-9"},
        # Of a model that others serve already.
        {
            **new,
            "id": "moonshotai/kimi-k2.7-code-highspeed",
            "input_token_price_per_m": 0,
            "output_token_price_per_m": 0,
        },
        # What draws, and what nobody knows the vendor of.
        {**new, "id": "zai-org/glm-9-image", "model_type": "image"},
        {**new, "id": "whoever/model-1"},
    ]
    publisher.tells(listed)
    outcome = refresh.refresh("novita")
    assert outcome.change_set is not None
    assert outcome.change_set.state == State.APPLIED
    assert [change["kind"] for change in outcome.change_set.changes] == [
        "model_added",
        "offering_added",
        "offering_added",
    ]
    model = memory.catalogue().models["z-ai/glm-9"]
    assert memory.catalogue().find("glm-9") == model
    assert (model.name, model.context, model.max_output) == ("glm-9", 9000, None)
    (offer,) = model.offers
    assert (offer.provider, offer.upstream_id) == ("novita", "zai-org/glm-9")
    (rate,) = offer.prices
    assert (rate.input, rate.output, rate.cache_read) == (300_000, 700_000, None)
    assert set(offer.endpoints) <= set(PROVIDERS["novita"].endpoints)
    row = CatalogModel.objects.get(pk="z-ai/glm-9")
    assert row.source == Source.LISTED
    assert row.told_by == {"name": "listed", "context": "listed"}
    also = at_novita("moonshotai/kimi-k2.7-code-highspeed")
    assert also.model_id == "moonshotai/kimi-k2.7-code-highspeed"
    # No price is known, which is not a price of nothing.
    assert not also.prices.exists()
    assert also.context == 9000
    assert not CatalogModel.objects.filter(pk__contains="image").exists()
    assert not CatalogModel.objects.filter(pk__contains="model-1").exists()
    assert events() == [("catalogue.refreshed", "MegaBrain")]


def test_a_new_model_has_the_endpoints_of_its_kind(publisher):
    with_key("openai")
    publisher.tells({"data": [{"id": "gpt-7-luna"}, {"id": "text-embedding-9"}]})
    refresh.refresh("openai")
    added = Offering.objects.get(provider="openai", model="openai/gpt-7-luna")
    assert added.endpoints == ["chat/completions", "responses"]
    assert not Offering.objects.filter(upstream_id="text-embedding-9").exists()


def test_a_new_model_is_asked_for_in_a_dialect_that_it_has(publisher):
    """Most of Perplexity's are limited to Chat, which no model of its list has."""
    publisher.tells({"data": [{"id": "perplexity/sonar"}, {"id": "perplexity/sonar-2"}]})
    refresh.refresh("perplexity")
    (offer,) = memory.catalogue().models["perplexity/sonar-2"].offers
    assert offer.endpoints == (Endpoint.RESPONSES,)


def test_a_changed_price_holds_from_then_on_and_the_past_stays(publisher):
    listed = asked_before(publisher)
    (was,) = at_novita().prices.all()
    entry_of(listed, MODEL)["output_token_price_per_m"] += 500
    publisher.tells(listed)
    refresh.refresh("novita")
    old, new = at_novita().prices.order_by("starts_at")
    assert old == was
    assert old.output == was.output
    assert (new.input, new.output, new.source) == (was.input, was.output + 50_000, "listed")
    assert was.starts_at < new.starts_at <= timezone.now()
    assert at_novita().told_by == {"prices": "listed"}


def test_a_changed_limit_is_the_makers_to_tell_of_the_model(publisher):
    listed = asked_before(publisher)
    entry_of(listed, MODEL)["context_size"] = 99_999
    publisher.tells(listed)
    refresh.refresh("novita")
    assert (at_novita().context, at_novita().told_by) == (99_999, {"context": "listed"})
    assert CatalogModel.objects.get(pk=MODEL).context != 99_999
    with_key("moonshotai")
    publisher.tells({"data": [{"id": "kimi-k3", "context_length": 88_888}]})
    refresh.refresh("moonshotai")
    model = CatalogModel.objects.get(pk="moonshotai/kimi-k3")
    assert (model.context, model.told_by) == (88_888, {"context": "listed"})
    assert Offering.objects.get(provider="moonshotai", model=model).context is None


def test_what_staff_set_stays(publisher):
    listed = asked_before(publisher)
    Offering.objects.filter(pk=at_novita().pk).update(
        context=5, told_by={"context": "staff", "prices": "staff", "retired_at": "staff"}
    )
    # An offering that has its limit from a model has that of staff too.
    CatalogModel.objects.filter(pk="openai/gpt-oss-120b").update(
        context=7, told_by={"context": "staff"}
    )
    version.changed()
    before = everything()
    entry_of(listed, MODEL)["input_token_price_per_m"] += 1
    entry_of(listed, "openai/gpt-oss-120b")["context_size"] = 77_777
    listed["data"].remove(entry_of(listed, MODEL))
    publisher.tells(listed)
    assert refresh.refresh("novita").change_set is None
    assert everything()[0] == before[0]
    assert at_novita().missing_since is None


def test_what_a_list_lacks_is_retired_after_its_days_and_comes_back(publisher, settings):
    listed = asked_before(publisher)
    without = {"data": [entry for entry in listed["data"] if entry["id"] != MODEL]}
    publisher.tells(without)
    refresh.refresh("novita")
    assert at_novita().missing_since is not None
    # What no list ever had is not missed.
    assert not Offering.objects.filter(provider="openai").exclude(missing_since=None).exists()
    assert refresh.refresh("novita").change_set is None
    assert at_novita() in Offering.objects.routable()
    Offering.objects.filter(pk=at_novita().pk).update(
        missing_since=timezone.now() - timedelta(days=settings.MEGABRAIN_CATALOGUE_GRACE_DAYS)
    )
    refresh.refresh("novita")
    assert at_novita().retired_at is not None
    assert "novita" not in {offer.provider for offer in memory.catalogue().models[MODEL].offers}
    publisher.tells(listed)
    refresh.refresh("novita")
    assert at_novita().missing_since is at_novita().retired_at is None
    assert "novita" in {offer.provider for offer in memory.catalogue().models[MODEL].offers}
    kinds = [each.changes[0]["kind"] for each in ChangeSet.objects.order_by("created_at")]
    assert kinds == ["missing", "retired", "back"]


def test_what_a_list_still_has_no_edition_retires(publisher, staff):
    """Whether the list is believed at once, or staff apply it."""
    listed = [{"id": id_} for id_ in ("perplexity/sonar", "sonar-pro")]
    publisher.tells({"data": listed})
    refresh.refresh("perplexity")
    change = {"model": "perplexity/sonar-reasoning-pro", "provider": "perplexity", "field": ""}
    waiting = ChangeSet.objects.create(
        source="perplexity",
        state="waiting",
        changes=[
            {
                **change,
                "kind": "back",
                "upstream_id": "sonar-reasoning-pro",
                "before": None,
                "after": None,
            }
        ],
    )
    apply_change_set(actor=staff, change_set=waiting, origin=Origin())
    back = {"perplexity/sonar-pro", "perplexity/sonar-reasoning-pro"}
    assert back <= memory.catalogue().models.keys()
    CatalogueSource.objects.filter(pk="bundled").update(edition="an earlier one")
    assert load_bundled()
    assert back <= memory.catalogue().models.keys()
    assert "perplexity/sonar-deep-research" not in memory.catalogue().models


@pytest.mark.parametrize(("days", "retires"), [(1, False), (8, True)])
def test_what_answers_customers_is_not_retired(publisher, anthropic_key, days, retires):
    with_key("anthropic")
    now = timezone.now()
    long_ago = now - timedelta(days=9)
    row = Offering.objects.get(provider="anthropic", model="anthropic/claude-haiku-4.5")
    Offering.objects.filter(pk=row.pk).update(first_seen_at=long_ago, missing_since=long_ago)
    UsageRecord.objects.create(
        account_id=anthropic_key.account_id,
        endpoint="messages",
        model=row.model_id,
        provider=row.provider,
        provider_key_id=anthropic_key.pk,
        payer=UsageRecord.Payer.BYOK,
        status=200,
        outcome="ok",
        latency_ms=900,
        created_at=now - timedelta(days=days),
    )
    publisher.tells({"data": [{"id": "claude-haiku-5-5"}], "has_more": False})
    refresh.refresh("anthropic")
    row.refresh_from_db()
    assert (row.retired_at is not None) == retires


# Who is asked, and when.


def test_a_provider_is_asked_that_can_be(settings):
    public = {"chutes", "novita", "perplexity", "synthetic"}
    assert set(refresh.sources()) == public
    with_key("openai")
    settings.MEGABRAIN_CUSTOM_ENDPOINTS = True
    settings.MEGABRAIN_CATALOGUE_FEED = "https://feed.example/api.json"
    assert set(refresh.sources()) == {*public, "openai", "feed"}
    assert refresh.refresh("anthropic").trouble


def test_a_source_is_due_when_its_time_has_come_or_its_asking_was_broken_off(publisher, settings):
    assert "novita" in refresh.due()
    asked_before(publisher)
    assert "novita" not in refresh.due()
    rows, now = CatalogueSource.objects.filter(pk="novita"), timezone.now()
    rows.update(asked_at=now - timedelta(hours=6))
    assert "novita" in refresh.due()
    rows.update(asked_at=now, lease_until=now + timedelta(seconds=9))
    assert "novita" not in refresh.due()
    assert refresh.refresh("novita").busy
    rows.update(lease_until=now)
    assert "novita" in refresh.due()
    settings.MEGABRAIN_CATALOGUE_HOURS = 0
    assert refresh.due() == []


def test_each_source_that_is_due_is_asked_by_a_task_of_its_own(publisher):
    publisher.tells(novita())
    app.conf.task_always_eager = True
    refresh_due_catalogue()
    refresh_due_catalogue()
    app.conf.task_always_eager = False
    assert set(CatalogueSource.objects.exclude(asked_at=None).values_list("name", flat=True)) == {
        "bundled",
        *refresh.sources(),
    }
    assert len(publisher.asked) == len(refresh.sources())


def test_five_thousand_models_take_few_queries(publisher, django_assert_max_num_queries):
    with_key("moonshotai")
    entries = [{"id": f"kimi-t{number}", "context_length": 9000} for number in range(5000)]
    publisher.tells({"data": entries})
    with django_assert_max_num_queries(180):
        refresh.refresh("moonshotai")
    assert Offering.objects.filter(provider="moonshotai", source="listed").count() == 5000
    with django_assert_max_num_queries(25):
        assert refresh.refresh("moonshotai").change_set is None
    for entry in entries[:500]:
        entry["context_length"] = 10_000
    publisher.tells({"data": entries})
    with django_assert_max_num_queries(45):
        assert not refresh.refresh("moonshotai").trouble
    assert CatalogModel.objects.filter(context=10_000).count() == 500
    assert Price.objects.filter(source="listed").count() == 0
