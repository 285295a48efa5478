"""The list of models is current at once, quick however long it is, and not sent again unchanged."""

import asyncio
import gzip
import time
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from django.utils import timezone

from byok.actions import delete_key, set_enabled
from byok.catalogue import version
from byok.catalogue.memory import catalogue
from byok.models import CatalogModel, Coverage, Offering, Price
from megabrain.gateway import model_list
from megabrain.gateway.callers import load_grant
from megabrain.gateway.model_list import Held, Listing, ModelLists, Viewer, tagged
from megabrain.gateway.snapshot import load_keys
from orgs.changes import announce
from orgs.origin import Origin
from tests.gateway.test_without_a_database import unreadable
from tests.many_models import fill

VERSION = {"anthropic-version": "2023-06-01"}
PLAIN = {"accept-encoding": "identity"}
HAIKU = "anthropic/claude-haiku-5.5"


def listed(agent, **headers) -> dict[str, Any]:
    answer = agent.get("models", headers=headers)
    assert answer.status_code == 200, answer.text
    return {entry["id"]: entry for entry in answer.json()["data"]}


def soon(agent, holds, within: float = 10) -> dict[str, Any]:
    """The list once it says so."""
    until = time.monotonic() + within
    while not holds(found := listed(agent)):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def amount(entry: dict[str, Any]) -> int | None:
    """What a token of the prompt costs, in 10⁻¹² dollars."""
    pricing = entry.get("pricing")
    return int(Fraction(pricing["prompt"]) * 10**12) if pricing else None


def priced(agent, id_: str) -> int:
    found = amount(listed(agent)[id_])
    assert found is not None
    return found


# Not sent again ---------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["models", "models?limit=7", f"models/{HAIKU}"])
def test_what_has_not_changed_is_not_sent_again(agent, key, query):
    headers = {**PLAIN, **(VERSION if "?" in query else {})}
    first = agent.get(query, headers=headers)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    assert first.headers["cache-control"] == "private, no-cache"
    for has in (tag, "*", f"W/{tag}", f'"another", {tag}', f'W/"x",W/{tag}'):
        again = agent.get(query, headers={**headers, "if-none-match": has})
        assert (again.status_code, again.content) == (304, b""), has
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "private, no-cache"
        assert "content-length" not in again.headers
    for other in ("", '"another"', tag.strip('"'), tag[:-2] + '"'):
        assert agent.get(query, headers={**headers, "if-none-match": other}).status_code == 200

    key("anthropic")
    changed = agent.get(query, headers={**headers, "if-none-match": tag})
    assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)


def test_head_tells_all_but_the_list(agent):
    whole = agent.get("models", headers=PLAIN)
    head = agent.request("HEAD", "models", headers=PLAIN)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type", "vary", "cache-control"):
        assert head.headers[name] == whole.headers[name]
    has = {**PLAIN, "if-none-match": whole.headers["etag"]}
    assert agent.request("HEAD", "models", headers=has).status_code == 304


@pytest.mark.parametrize("headers", [{}, VERSION], ids=["openai", "anthropic"])
def test_it_is_compressed_for_whoever_takes_that(agent, headers):
    def sent(accepted: str) -> tuple[Any, bytes]:
        """The answer, and its body as it came."""
        answer = agent.get(
            "models?limit=1000", headers={**headers, "accept-encoding": accepted}, stream=True
        )
        return answer, answer.raw.read(decode_content=False)

    plain, plain_body = sent("identity")
    assert "content-encoding" not in plain.headers
    for accepted in ("gzip", "br;q=1.0, gzip;q=0.8", "deflate,GZIP", "x-gzip; q=0.001"):
        packed, body = sent(accepted)
        assert packed.headers["content-encoding"] == "gzip", accepted
        assert gzip.decompress(body) == plain_body
        assert len(body) * 5 < len(plain_body)
        # Other bytes have another tag, and either says that the caller has the list.
        assert packed.headers["etag"] != plain.headers["etag"]
        assert "accept-encoding" in packed.headers["vary"]
        has = {**headers, "accept-encoding": accepted, "if-none-match": plain.headers["etag"]}
        assert agent.get("models?limit=1000", headers=has).status_code == 304
    for refused in ("", "br, zstd", "gzip;q=0", "gzip; q=0.0", "gzipped"):
        assert "content-encoding" not in sent(refused)[0].headers, refused


def test_the_tag_is_the_same_in_every_process(agent, key):
    key("openai")
    before = agent.get("models", headers=PLAIN).headers["etag"]
    version.changed()
    assert agent.get("models", headers=PLAIN).headers["etag"] == before
    # Another process begins with nothing but the database.
    assert tagged(made(agent).openai, packed=False) == before


def test_an_entry_is_written_once_for_all_lists_that_have_it(agent, key):
    """Thousands of them are megabytes, and hundreds of lists are kept."""
    lists = ModelLists()
    ours = made(agent, lists).entries
    key("zai-coding")
    theirs = made(agent, lists).entries
    assert {id(entry) for entry in ours} < {id(entry) for entry in theirs}
    assert len(theirs) == len(ours) + 1


def made(agent, lists: ModelLists | None = None) -> Listing:
    """The agent's list as a process makes it that has no other, or these."""
    grant = load_grant(agent.record.digest)
    assert grant is not None
    viewer = Viewer.of(load_keys(agent.record.account_id), grant.own)
    return asyncio.run((lists or ModelLists()).listing(catalogue(), viewer))


# Current ----------------------------------------------------------------------------------------


def test_a_change_by_staff_is_in_the_next_fetch(agent):
    assert listed(agent)[HAIKU]["name"] != "Haiku of ours"
    version.changed()
    CatalogModel.objects.filter(pk=HAIKU).update(name="Haiku of ours", context=123_456)
    Offering.objects.filter(model=HAIKU).update(retires_on="2031-05-06")
    entry = listed(agent)[HAIKU]
    assert (entry["name"], entry["display_name"]) == ("Haiku of ours", "Haiku of ours")
    assert entry["context_length"] == 123_456
    # OpenRouter's readers, OpenAI's SDK and Anthropic's each have a word for it.
    assert entry["expiration_date"] == entry["shutdown_date"] == "2031-05-06"
    assert entry["lifecycle"] == "deprecated"
    version.changed()
    Offering.objects.filter(model=HAIKU).update(enabled=False)
    assert HAIKU not in listed(agent)


def test_direct_entries_are_listed_for_those_who_hold_their_key(agent, key, owner):
    def entries() -> set[str]:
        return {id_ for id_ in listed(agent) if id_.startswith(("zai-coding/", "chutes/"))}

    assert entries() == set()
    stored = key("zai-coding")
    assert entries() == {"zai-coding/glm-4.7"}
    assert listed(agent)["zai-coding/glm-4.7"]["byok"]["available"] is True
    set_enabled(actor=owner, key=stored, enabled=False, origin=Origin())
    assert entries() == set()
    answer = agent.get("models/zai-coding/glm-4.7")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "byok_key_required")
    assert "is disabled" in answer.json()["error"]["message"]
    set_enabled(actor=owner, key=stored, enabled=True, origin=Origin())
    assert entries() == {"zai-coding/glm-4.7"}
    delete_key(actor=owner, key=stored, origin=Origin())
    assert entries() == set()
    answer = agent.get("models/zai-coding%2Fglm-4.7", headers=VERSION)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")


def test_a_key_says_itself_which_models_it_has(agent, key, make_agent):
    """What it lacks is not available with it; what it alone knows is listed for its account."""
    stored, plan = key("anthropic"), key("chutes")
    assert listed(agent)[HAIKU]["byok"] == {"available": True, "providers": ["anthropic"]}
    for each, ids, lacking in (
        (stored, ["claude-sonnet-5-5"], ["claude-haiku-5-5"]),
        (plan, ["Qwen3-30B-A3B", "zai-org/GLM-9"], []),
    ):
        Coverage.objects.create(
            key=each, upstream_ids=ids, lacking=lacking, listed_at=timezone.now()
        )
    announce("keys", str(stored.account_id))
    found = soon(agent, lambda entries: "chutes/zai-org/GLM-9" in entries)
    assert found[HAIKU]["byok"] == {"available": False, "providers": []}
    own = found["chutes/zai-org/GLM-9"]
    assert own["byok"] == {"available": True, "providers": ["chutes"]}
    # Nobody knows what it can do, so nothing is said of that: readers try.
    assert "supported_parameters" not in own
    assert "pricing" not in own
    assert agent.get("models/chutes/zai-org%2FGLM-9").json()["offerings"][0]["byok"]["available"]
    assert set(listed(make_agent(allowed_models=[HAIKU]))) == {HAIKU}


def test_an_organizations_list_is_made_of_its_own_keys(agent, key, organization):
    key("chutes", account=organization)
    entries = {"chutes/qwen3-30b-a3b"}
    assert not entries & set(listed(agent))
    theirs = listed(agent, **{"x-megabrain-organization": "acme"})
    assert entries <= set(theirs)
    organization.allowed_models = [HAIKU]
    organization.save()
    announce("account", str(organization.pk))
    assert set(listed(agent, **{"x-megabrain-organization": "acme"})) == {HAIKU}
    assert len(listed(agent)) > 50


def test_a_price_that_begins_is_shown_without_anybody_saying_so(agent):
    """As it is with an hour that begins: nothing is written, and nobody announces it."""
    offering = Offering.objects.get(model=HAIKU, provider="anthropic")
    known = priced(agent, HAIKU)
    begins = timezone.now() + timedelta(seconds=2)
    version.changed()
    Price.objects.create(offering=offering, starts_at=begins, input=7 * known, output=9)
    first = agent.get("models")
    coming = agent.get(f"models/{HAIKU}").json()["offerings"][0]["prices"][-1]
    assert Fraction(coming["prompt"]) * 10**12 == 7 * known
    remembered = catalogue()
    soon(agent, lambda entries: amount(entries[HAIKU]) != known)
    assert timezone.now() >= begins
    assert priced(agent, HAIKU) == 7 * known
    # It is the same catalogue, and another list.
    assert catalogue() is remembered
    assert agent.get("models").headers["etag"] != first.headers["etag"]


def test_the_price_is_that_of_the_hour_and_of_a_short_prompt(agent):
    offering = Offering.objects.get(model=HAIKU, provider="anthropic")
    now = timezone.now()
    days = list(range(1, 8))
    version.changed()
    offering.prices.all().delete()
    began = now - timedelta(days=1)
    for above, hours, amount in (
        (0, None, 11),
        (1000, None, 13),
        (0, [{"days": days, "from": "00:00", "to": "24:00"}], 17),
    ):
        Price.objects.create(
            offering=offering,
            starts_at=began,
            above_tokens=above,
            hours=hours,
            input=amount,
            output=0,
        )
    assert priced(agent, HAIKU) == 17
    # What costs nothing says so; what nobody knows the price of says nothing.
    assert listed(agent)[HAIKU]["pricing"]["completion"] == "0"
    version.changed()
    Price.objects.filter(offering__model=HAIKU).delete()
    assert "pricing" not in listed(agent)[HAIKU]


# Long -------------------------------------------------------------------------------------------


def test_what_many_accounts_alone_have_fills_no_memory(db, monkeypatch):
    known, lists = catalogue(), ModelLists()
    viewers = [
        Viewer(
            frozenset({Held("chutes", "", frozenset(), tuple(f"{n}-{i}" for i in range(20)))}), None
        )
        for n in range(9)
    ]
    monkeypatch.setattr(model_list, "MAX_APART", 0)
    first = asyncio.run(lists.listing(known, viewers[0]))
    assert asyncio.run(lists.listing(known, viewers[0])) is not first, "it alone is too much"
    monkeypatch.setattr(model_list, "MAX_APART", 3 * first.apart)
    made = [asyncio.run(lists.listing(known, viewer)) for viewer in viewers]
    again = [asyncio.run(lists.listing(known, viewer)) for viewer in reversed(viewers)]
    kept = [a is b for a, b in zip(made, reversed(again), strict=True)]
    assert kept == [False] * 6 + [True] * 3


def test_thousands_of_models_are_listed_from_memory(agent, key):
    fill(5_000)
    key("openai")
    ids = sorted(id_ for id_ in catalogue().models if id_ not in catalogue().direct)
    assert len(ids) > 4_900
    # Other tests take their share of the machine.
    first = agent.get("models", timeout=120)
    with unreadable(Price):
        assert list(listed(agent)) == ids
        has = {"if-none-match": first.headers["etag"]}
        assert agent.get("models", headers=has).status_code == 304
        assert [model.id for model in agent.anthropic.models.list(limit=1000)] == ids
