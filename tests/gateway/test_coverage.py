"""What a key covers decides where calls go: its list is heeded where it says something, and only
there. And models that only a key's own list has are called with that key."""

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.utils import timezone

from byok.actions import (
    add_key,
    set_enabled,
    set_offering_enabled,
    set_offering_retired,
    update_key,
)
from byok.catalogue import version
from byok.catalogue.own import MOST_OWN
from byok.models import CatalogModel, Coverage, Offering, ProviderKey
from byok.tasks import list_models_of_key
from byok.vault import Secret
from megabrain.simulator.providers import sample_keys
from orgs.changes import announce
from orgs.models import Account
from orgs.origin import Origin
from tests.gateway.dialect import CHAT, MESSAGES
from tests.guarantees.endpoint import MODEL as CUSTOM_MODEL
from tests.guarantees.endpoint import Endpoint, make_certificate

MODEL, AT_NOVITA = "openai/gpt-oss-120b", "openai/gpt-oss-120b"
AT_FIREWORKS = "accounts/fireworks/models/gpt-oss-120b"
#: The one that the simulator's Chutes has, by Chutes' own id.
OWN = "Qwen3-30B-A3B"

Cover = Callable[..., None]


@pytest.fixture
def cover() -> Cover:
    """Stores what a list had for a key."""

    def cover(
        key: ProviderKey, *ids: str, lacking: tuple[str, ...] = (), ago: timedelta = timedelta()
    ) -> None:
        Coverage.objects.update_or_create(
            key=key,
            defaults={
                "listed_at": timezone.now() - ago,
                "upstream_ids": list(ids),
                "lacking": list(lacking),
            },
        )
        announce("keys", str(key.account_id))

    return cover


@pytest.fixture
def unknown_to_the_catalogue(gateway) -> None:
    """Nobody has told of the model of Chutes."""
    CatalogModel.objects.filter(offerings__provider="chutes").delete()
    version.changed()


def test_a_key_that_lacks_the_model_is_passed_over_and_the_route_says_why(
    agent, key, cover, simulator
):
    novita = key("novita")
    key("fireworks")
    cover(novita, "something-else", lacking=(AT_NOVITA,))

    answer = agent.post(CHAT.path, CHAT.body(model=MODEL))
    told = agent.get(f"route?model={MODEL}").json()

    assert (answer.status_code, answer.headers["x-megabrain-provider"]) == (200, "fireworks")
    assert answer.headers["x-megabrain-attempts"] == "1"
    assert {call.provider for call in simulator.calls} == {"fireworks"}
    assert [each["provider"] for each in told["keys"]] == ["fireworks"]
    (skipped,) = told["skipped"]
    assert (skipped["code"], skipped["key"]) == ("not_listed", str(novita.pk))
    assert skipped["reason"] == (
        f"Novita does not list {MODEL} for this key. If that has changed there, test the key again."
    )
    assert agent.get(f"models/{MODEL}").json()["byok"]["providers"] == ["fireworks"]


def test_where_no_other_key_serves_it_the_error_says_what_to_do(agent, key, cover, settings):
    novita = key("novita")
    cover(novita, lacking=(AT_NOVITA,))

    for dialect in (MESSAGES, CHAT):
        answer = agent.post(dialect.path, dialect.body(model=MODEL))
        error = answer.json()["error"]
        assert answer.status_code == 403
        assert error["message"] == (
            f"Novita does not list {MODEL} for your key {str(novita.pk)[:8]}, so no call for it "
            "goes there. Let the key use it there and test it again, or add one of AWS Bedrock or "
            f"Fireworks at {settings.MEGABRAIN_BASE_URL}/account/byok/."
        )
    assert error["code"] == "byok_no_access"
    assert agent.get(f"models/{MODEL}").json()["byok"]["available"] is False


def test_a_list_that_is_missing_old_or_of_another_secret_keeps_no_key_from_being_tried(
    agent, key, cover, owner
):
    novita = key("novita")
    ProviderKey.objects.update(secret_changed_at=timezone.now() - timedelta(days=40))

    def serves() -> bool:
        answered: bool = agent.post(CHAT.path, CHAT.body(model=MODEL)).ok
        return answered

    assert serves()
    # A list that lacks it, where nobody knows that lists show it.
    cover(novita, "something-else")
    assert serves()
    cover(novita, lacking=(AT_NOVITA,))
    assert not serves()
    cover(novita, lacking=(AT_NOVITA,), ago=timedelta(days=31))
    assert serves()
    cover(novita, lacking=(AT_NOVITA,))
    update_key(actor=owner, key=novita, secret=Secret(sample_keys()["novita"]), origin=Origin())
    assert serves()


def test_a_key_serves_a_model_by_the_id_that_is_listed_for_it(agent, key, cover, simulator):
    novita = key("novita")
    # First, and so preferred, where a key has both.
    Offering.objects.filter(provider="novita", upstream_id="openai/gpt-oss-20b").update(
        model=CatalogModel.objects.get(pk=MODEL)
    )
    version.changed()
    cover(novita, lacking=("openai/gpt-oss-20b",))
    assert agent.post(CHAT.path, CHAT.body(model=MODEL)).ok
    assert simulator.calls[-1].json["model"] == AT_NOVITA
    cover(novita, lacking=(AT_NOVITA,))
    assert agent.post(CHAT.path, CHAT.body(model=MODEL)).ok
    assert simulator.calls[-1].json["model"] == "openai/gpt-oss-20b"


@pytest.mark.usefixtures("unknown_to_the_catalogue")
def test_a_model_of_the_keys_own_list_is_called_and_listed_at_once(
    agent, make_agent, key, simulator, stranger, usage_row
):
    chutes = key("chutes")
    entry = f"chutes/{OWN}"
    before = agent.get("models")
    assert entry not in {each["id"] for each in before.json()["data"]}
    error = agent.post(CHAT.path, CHAT.body(model=entry)).json()["error"]
    assert error["code"] == "model_not_found"
    assert (
        "Which other models Chutes has for your key is not known. Test the key at"
        in (error["message"])
    )

    list_models_of_key(str(chutes.pk))

    after = agent.get("models", headers={"if-none-match": before.headers["etag"]})
    assert after.status_code == 200
    (listed,) = [each for each in after.json()["data"] if each["id"] == entry]
    assert listed["byok"] == {"available": True, "providers": ["chutes"]}
    assert listed["name"] == OWN
    assert agent.get(f"models/{entry}").json()["id"] == entry
    assert entry in {model.id for model in agent.anthropic.models.list(limit=1000)}
    # In letters of any case.
    answer = agent.post(CHAT.path, CHAT.body(model=f" Chutes/{OWN.lower()} "))
    assert (answer.status_code, answer.headers["x-megabrain-provider"]) == (200, "chutes")
    assert answer.headers["x-megabrain-payer"] == "byok"
    assert simulator.calls[-1].json["model"] == OWN
    assert usage_row(answer.headers["x-request-id"]).model == entry
    told = agent.get(f"route?model={entry}").json()
    assert [each["upstream_model"] for each in told["keys"]] == [OWN]
    unknown = agent.post(CHAT.path, CHAT.body(model="chutes/no-such")).json()["error"]
    assert "is not known" not in unknown["message"]
    # Nobody else has it.
    other = make_agent(stranger)
    assert entry not in {each["id"] for each in other.get("models").json()["data"]}
    assert other.get(f"models/{entry}").status_code == 404
    assert other.post(CHAT.path, CHAT.body(model=entry)).status_code == 404


@pytest.mark.usefixtures("unknown_to_the_catalogue")
def test_what_may_be_called_at_all_holds_for_a_keys_own_models(
    agent, make_agent, key, cover, owner, organization
):
    entry = f"chutes/{OWN}"
    cover(key("chutes", account=organization), OWN)
    member = {"x-megabrain-organization": "acme"}
    assert agent.post(CHAT.path, CHAT.body(model=entry), headers=member).ok

    limited = make_agent(allowed_models=["openai/gpt-6-luna"])
    answer = limited.post(CHAT.path, CHAT.body(model=entry), headers=member)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
    Account.objects.filter(pk=organization.pk).update(allowed_models=["openai/gpt-6-luna"])
    announce("account", str(organization.pk))
    answer = agent.post(CHAT.path, CHAT.body(model=entry), headers=member)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
    assert entry not in agent.get("models", headers=member).text


@pytest.mark.usefixtures("unknown_to_the_catalogue")
def test_a_keys_own_models_go_with_it(agent, key, cover, owner):
    chutes, entry = key("chutes"), f"chutes/{OWN}"
    cover(chutes, OWN, "image-gen", "Twin", "twin", ago=timedelta(days=400))
    # Without a new secret its list is the only one that there is, however old.
    ProviderKey.objects.update(secret_changed_at=timezone.now() - timedelta(days=500))
    announce("keys", str(chutes.account_id))
    ids = {each["id"] for each in agent.get("models").json()["data"]}
    assert {entry, "chutes/Twin", "chutes/twin"} < ids
    # What answers in pictures cannot be asked here.
    assert "chutes/image-gen" not in ids
    assert agent.get("models/chutes/Twin").json()["id"] == "chutes/Twin"
    assert agent.get("models/chutes/TWIN").status_code == 404

    set_enabled(actor=owner, key=chutes, enabled=False, origin=Origin())
    assert entry not in agent.get("models").text
    error = agent.post(CHAT.path, CHAT.body(model=entry)).json()["error"]
    assert error["code"] == "byok_key_required"
    assert "is disabled" in error["message"]

    set_enabled(actor=owner, key=chutes, enabled=True, origin=Origin())
    update_key(actor=owner, key=chutes, secret=Secret(sample_keys()["chutes"]), origin=Origin())
    assert agent.post(CHAT.path, CHAT.body(model=entry)).status_code == 404


def test_what_the_catalogue_has_or_staff_switched_off_is_nobodys_own(agent, key, cover):
    chutes = key("chutes")
    # The second is, by the catalogue's names, the same.
    cover(chutes, OWN, OWN.lower())
    entry = CatalogModel.objects.get(offerings__provider="chutes").pk
    assert agent.get("models").text.lower().count(f'"id":"{entry}"') == 1
    cover(chutes, OWN)
    Offering.objects.filter(provider="chutes").update(enabled=False)
    version.changed()
    assert agent.post(CHAT.path, CHAT.body(model=f"chutes/{OWN}")).status_code == 404
    assert OWN.lower() not in agent.get("models").text.lower()


@pytest.mark.parametrize("also_disabled", [False, True])
def test_what_staff_retired_or_disabled_no_list_brings_back(
    agent, key, cover, staff, also_disabled
):
    cover(key("chutes"), OWN)
    offering = Offering.objects.get(provider="chutes")
    if also_disabled:
        set_offering_enabled(actor=staff, offering=offering, enabled=False, origin=Origin())
        version.changed()
        Offering.objects.filter(pk=offering.pk).update(retired_at=timezone.now())
    else:
        set_offering_retired(actor=staff, offering=offering, retired=True, origin=Origin())
    assert agent.post(CHAT.path, CHAT.body(model=f"chutes/{OWN}")).status_code == 404


def test_a_standard_provider_has_no_entries_beside_the_catalogue(agent, key, cover):
    cover(key("openai"), "gpt-nobody-told-us-of")
    assert "gpt-nobody-told-us-of" not in agent.get("models").text
    answer = agent.post(CHAT.path, CHAT.body(model="openai/gpt-nobody-told-us-of"))
    assert answer.status_code == 404


def test_a_custom_endpoint_lists_what_it_has(
    agent, owner, account, settings, tmp_path, monkeypatch
):
    settings.MEGABRAIN_CUSTOM_ENDPOINTS = True
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = (ip_network("127.0.0.1/32"),)
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Endpoint(certificate) as endpoint:
        place = f'{{"base_url":"https://localhost:{endpoint.port}/v1","api_key":"own-key-0123456"}}'
        key = add_key(
            actor=owner,
            account=account,
            provider="custom",
            secret=Secret(place),
            origin=Origin(),
        )
        list_models_of_key(str(key.pk))

    assert Coverage.objects.get().upstream_ids == [CUSTOM_MODEL]
    listed = agent.get(f"models/custom/{CUSTOM_MODEL.lower()}").json()
    assert listed["id"] == f"custom/{CUSTOM_MODEL}"
    assert "/v1/embeddings" in listed["endpoints"]
    # Others can be called, too, as they are written.
    told = agent.get("route?model=custom/Another-One").json()
    assert [each["upstream_model"] for each in told["keys"]] == ["Another-One"]


def test_the_lists_come_with_the_keys_in_one_query_and_only_where_they_are_needed(
    gateway, account, key, cover, django_assert_num_queries
):
    from megabrain.gateway.snapshot import load_keys

    cover(key("openai"), "one", "two", lacking=("three",))
    cover(key("chutes"), *(f"own-{number:04}" for number in range(MOST_OWN + 1)))
    with django_assert_num_queries(1) as asked:
        openai, chutes = load_keys(account.pk)
    assert (openai.own, openai.lacking) == ((), frozenset({"three"}))
    assert len(chutes.own) == MOST_OWN
    # The list of a provider that has no own entries stays in the database.
    assert asked.captured_queries[0]["sql"].count("upstream_ids") == 1
