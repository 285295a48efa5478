"""The pages of models: the list with its search, and a model's own page."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from byok.catalogue import version
from byok.models import CatalogModel, Coverage, Offering, Price, ProviderKey
from megabrain.site.templatetags.figures import price
from orgs.models import Account, User
from tests.conftest import signed_in
from tests.many_models import fill
from tests.site.conftest import MakeKey

pytestmark = pytest.mark.django_db

URL = "/models/"
HTMX = {"HX-Request": "true"}
HAIKU = "anthropic/claude-haiku-4.5"

Add = Callable[..., Offering]


@pytest.fixture
def add() -> Iterator[Add]:
    """Adds an offering of a model: `add("x/new", "novita", [{"input": 1, "output": 2}], …)`."""

    def add(id_: str, provider: str, prices: list[dict[str, Any]], **fields: Any) -> Offering:
        began = timezone.now() - timedelta(days=1)
        own = {name: fields.pop(name) for name in ("context", "retires_on") if name in fields}
        with transaction.atomic():
            version.changed()
            model, _ = CatalogModel.objects.get_or_create(
                id=id_, defaults={"name": id_.partition("/")[2].title(), **fields}
            )
            offering = Offering.objects.create(
                model=model, provider=provider, upstream_id=f"{provider}-{id_[2:]}", **own
            )
            for each in prices:
                Price.objects.create(offering=offering, **{"starts_at": began, **each})
        return offering

    return add  # type: ignore[return-value]


def text(answer: Any) -> str:
    """What a page says, with one space between words."""
    return told(answer.content.decode())


def told(html: str) -> str:
    return " ".join(unescape(strip_tags(html.replace("<", " <"))).split())


def listed(client: Client, **query: Any) -> list[str]:
    """Ids in the list, in its order."""
    return [row.card.model.id for row in client.get(URL, query).context["rows"]]


def row_of(client: Client, id_: str) -> str:
    """A model's line in the list."""
    page = client.get(URL, {"q": id_}).content.decode()
    [found] = [
        row
        for row in re.findall("<tr>.*?</tr>", page, re.DOTALL)
        if f"data-copy-text>{id_}<" in row
    ]
    return told(found)


# Searching -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("claude haiku 4.5", HAIKU),
        ("haiku-4-5", HAIKU),
        ("HAIKU4.5", HAIKU),
        (HAIKU, HAIKU),
        ("claude-haiku-4-5-20251001", HAIKU),
        ("gpt-6-luna", "openai/gpt-6-luna"),
        ("gpt 5.4", "openai/gpt-5.4"),
        ("gpt5.4", "openai/gpt-5.4"),
        ("codestral-latest", "mistralai/codestral-2508"),
        ("zai-coding/glm-4.7", "zai-coding/glm-4.7"),
        ("glm-4.7", "z-ai/glm-4.7"),
    ],
)
def test_what_is_typed_finds_the_model_that_is_meant_first(client: Client, typed: str, first: str):
    assert listed(client, q=typed)[0] == first


def test_a_provider_is_found_by_its_name_and_every_word_counts(client: Client):
    found = listed(client, q="bedrock claude")
    assert HAIKU in found
    assert all("claude" in id_ for id_ in found)
    offered = set(Offering.objects.filter(provider="bedrock").values_list("model_id", flat=True))
    assert set(found) <= offered
    assert listed(client, q="claude gpt") == []


def test_filters_narrow_together(client: Client):
    found = listed(client, provider="bedrock", capability=["tools", "vision"], context="1000000")
    assert found
    for model in CatalogModel.objects.filter(id__in=found):
        assert {"tools", "vision"} <= set(model.capabilities)
        assert model.offerings.filter(provider="bedrock").exists()
        assert (
            max(offering.context or model.context or 0 for offering in model.offerings.all())
            >= 1_000_000
        )
    assert set(found) < set(listed(client, provider="bedrock"))


def test_it_is_sorted_with_what_nobody_knows_last(client: Client, add: Add):
    today = timezone.now().date()
    add("a/cheap", "novita", [{"input": 0, "output": 9}], context=5, released_on=today)
    add("a/dear", "novita", [{"input": 7, "output": 0}], context=10**9)
    add("a/unknown", "novita", [])
    for sort, first in {
        "name": "alibaba-token-plan/deepseek-v3.2",
        "newest": "a/cheap",
        "context": "a/dear",
        "input": "a/cheap",
        "output": "a/dear",
    }.items():
        names = [
            row.card.model.name.lower() if sort == "name" else row.card.model.id
            for row in client.get(URL, {"sort": sort}).context["rows"]
        ]
        assert names == sorted(names) if sort == "name" else names[0] == first, sort
    assert listed(client, q="novita", sort="input")[-1] == "a/unknown"


def test_the_address_holds_all_of_it_and_htmx_gets_the_list_alone(client: Client):
    query = "q=claude&provider=bedrock&context=200000&capability=tools&capability=vision&sort=input"
    page = client.get(f"{URL}?{query}")
    for control in (
        'value="claude"',
        '<option value="bedrock" selected>',
        '<option value="200000" selected>',
        '<option value="input" selected>',
    ):
        assert control in page.content.decode()
    assert page.content.decode().count(" checked>") == 2
    part = client.get(f"{URL}?{query}&mine=&page=", headers=HTMX)
    assert part["HX-Push-Url"] == f"{URL}?{query}"
    assert "<form" not in part.content.decode()
    ids = re.compile("data-copy-text>([^<]+)<")
    assert ids.findall(part.content.decode()) == ids.findall(page.content.decode())
    assert 'role="status" hx-swap-oob="innerHTML"' in part.content.decode()
    # A letter is no step to go back to.
    typed = client.get(f"{URL}?{query}", headers={**HTMX, "HX-Trigger": "typed"})
    assert typed["HX-Replace-Url"] == f"{URL}?{query}"
    assert "HX-Push-Url" not in typed
    # Nor is what is on the screen already; and what is no address is on no screen.
    for shown, header in ((f"http://testserver{URL}", "HX-Replace-Url"), ("//[", "HX-Push-Url")):
        assert client.get(URL, headers={**HTMX, "HX-Current-URL": shown})[header] == URL


@pytest.mark.parametrize(
    "query",
    [
        "page=abc",
        "page=0",
        "page=-1",
        "page=99999999999999999999",
        f"page={'9' * 5000}",
        "provider=nobody&context=7&sort=weight&capability=flying",
        "capability=tools&capability=%00",
        "q=%00",
        "q=%FF%FE",
        "q=" + "x" * 3000,
        "q=" + quote("🙂'\"><script>"),
        "mine=on",
        "q=---",
        "context=abc",
    ],
)
def test_nothing_that_is_sent_breaks_the_list(client: Client, query: str):
    answer = client.get(f"{URL}?{query}")
    assert answer.status_code == 200
    assert "\x00" not in answer.content.decode()
    assert "<script>" not in answer.content.decode()


def test_what_is_not_there_to_choose_is_not_chosen(client: Client):
    everything = listed(client)
    assert listed(client, provider="nobody", sort="weight", context="7", page="abc") == everything
    assert listed(client, mine="on") == []


def test_fifty_are_on_a_page_and_none_is_missed(client: Client):
    fill(260)
    pages = [listed(client, page=page, sort="name") for page in range(1, 7)]
    assert [len(page) for page in pages] == [50, 50, 50, 50, 50, 10]
    assert len({id_ for page in pages for id_ in page}) == 260
    assert listed(client, page=9_000, sort="name") == pages[-1]
    page = client.get(URL, {"page": "2", "q": "instruct"}).content.decode()
    assert f'rel="prev" href="{URL}?q=instruct"' in page
    assert f'rel="next" href="{URL}?q=instruct&amp;page=3"' in page


def test_who_finds_nothing_is_told_what_to_change(client: Client, owner_client: Client):
    filtered = client.get(URL, {"q": "claude", "capability": "embeddings"})
    assert "models are called claude without the filters" in text(filtered)
    assert f'href="{URL}?q=claude"' in filtered.content.decode()
    assert "openai/gpt-6-luna" in client.get(URL, {"q": "gpt6-lunna"}).content.decode()
    assert f'href="{URL}?q=claude+opus"' in client.get(URL, {"q": "claude opsu"}).content.decode()
    assert "No model is called" in text(client.get(URL, {"q": "zzzzzz"}))
    assert "No key serves a model" in text(owner_client.get(URL, {"mine": "on"}))


# Prices --------------------------------------------------------------------------------------


def test_prices_are_those_in_force_and_unknown_ones_are_never_nothing(client: Client, add: Add):
    add("a/flat", "novita", [{"input": 3_000_000, "output": 250_000}], context=131_072)
    add("a/free", "novita", [{"input": 0, "output": 0}])
    add("a/unknown", "novita", [])
    add(
        "a/tiers",
        "novita",
        [
            {"input": 1_000_000, "output": 2_000_000},
            {"input": 5_000_000, "output": 6_000_000, "above_tokens": 100_000},
        ],
    )
    before, later = timezone.now() - timedelta(days=9), timezone.now() + timedelta(days=9)
    add(
        "a/changing",
        "novita",
        [
            {"input": 9_000_000, "output": 9_000_000, "starts_at": before},
            {"input": 4_000_000, "output": 4_000_000},
            {"input": 8_000_000, "output": 8_000_000, "starts_at": later},
        ],
    )
    for provider, cost in (("novita", 2_000_000), ("fireworks", 1_500_000)):
        add("a/two", provider, [{"input": cost, "output": 7_000_000}])
    assert "131K $3 $0.25 – Novita" in row_of(client, "a/flat")
    assert "Free Free" in row_of(client, "a/free")
    assert "– – – – Novita" in row_of(client, "a/unknown")
    assert "from $1 from $2" in row_of(client, "a/tiers")
    assert "$4 $4" in row_of(client, "a/changing")
    assert "from $1.50 $7" in row_of(client, "a/two")
    assert "$0 " not in text(client.get(URL, {"q": "a/"}))
    tiers = text(client.get("/models/a/tiers"))
    assert "Prompts up to 100,000 tokens $1 $2 Prompts above 100,000 tokens $5 $6" in tiers
    changing = text(client.get("/models/a/changing"))
    assert f"All calls $4 $4 From {later:%-d %b %Y} $8 $8" in changing
    assert "$9" not in changing
    assert "No price a token is known" in text(client.get("/models/a/unknown"))


def test_hours_and_caches_are_written_out(client: Client, add: Add):
    peak = [{"days": [1, 2, 3, 4, 5], "from": "01:00", "to": "04:00"}]
    always = [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}]
    base = {"input": 1_000_000, "output": 2_000_000, "cache_read": 100_000}
    add("a/peak", "novita", [base, {**base, "input": 3_000_000, "hours": peak, "cache_read": None}])
    page = text(client.get("/models/a/peak"))
    assert "Cache read" in page
    assert "Cache write" not in page
    assert re.search(r"Mon–Fri 01:00–04:00 UTC (now )?\$3 \$2 as input", page)
    assert re.search(r"Other hours (now )?\$1 \$2 \$0\.10", page)
    assert page.count(" now ") == 1
    add("a/day", "novita", [base, {**base, "input": 3_000_000, "hours": always}])
    assert "Daily 00:00–24:00 UTC now $3" in text(client.get("/models/a/day"))
    assert "from $3" in row_of(client, "a/day")


def test_a_price_that_begins_is_shown_without_any_change_of_the_catalogue(client: Client, add: Add):
    begins = timezone.now() + timedelta(seconds=1)
    add(
        "a/soon",
        "novita",
        [
            {"input": 4_000_000, "output": 4_000_000},
            {"input": 8_000_000, "output": 8_000_000, "starts_at": begins},
        ],
    )
    before = row_of(client, "a/soon")
    # On a machine that is slow the moment may have come meanwhile.
    assert "$4 $4" in before or timezone.now() >= begins
    while timezone.now() < begins:
        time.sleep(0.05)
    assert "$8 $8" in row_of(client, "a/soon")


# A model's own page --------------------------------------------------------------------------


def test_a_model_has_a_page_with_all_that_is_known_of_it(client: Client, settings):
    settings.MEGABRAIN_BASE_URL = "https://gateway.example"
    model = CatalogModel.objects.get(pk=HAIKU)
    with transaction.atomic():
        version.changed()
        model.offerings.update(retires_on=timezone.now().date() + timedelta(days=9))
    answer = client.get(f"/models/{HAIKU}")
    page = text(answer)
    for words in (model.name, HAIKU, "200,000 tokens", "Tools, Vision, Reasoning", *model.aliases):
        assert words in page
    for offering in model.offerings.all():
        assert offering.upstream_id.removeprefix("{geo}.") in page
        assert offering.get_confidence_display() in page
        assert offering.note in page
        for each in offering.prices.all():
            assert price(each.input) in page
    ends = timezone.now().date() + timedelta(days=9)
    assert page.count(f"Ends {ends:%-d %b %Y}") == 3
    assert f"Ends {ends:%-d %b %Y}" in row_of(client, HAIKU)
    code = answer.content.decode()
    for call in (
        "https://gateway.example/v1/chat/completions",
        'base_url="https://gateway.example"',
    ):
        assert call in code.replace("&quot;", '"')
    assert "anthropic/claude-sonnet-5.5" not in code
    assert "Which of my keys" not in page


@pytest.mark.parametrize(
    ("id_", "shown", "hidden"),
    [
        ("openai/text-embedding-3-small", "/v1/embeddings", "/v1/chat/completions"),
        ("inception/mercury-edit-2", "/v1/fim/completions", "/v1/embeddings"),
    ],
)
def test_the_call_to_copy_is_one_that_the_model_answers(
    client: Client, id_: str, shown: str, hidden: str
):
    page = client.get(f"/models/{id_}").content.decode()
    assert shown in page
    assert hidden not in page
    # Vectors are no tokens, neither free nor for a price.
    assert (">Output<" in page) == ("embed" not in id_)
    assert "Free" not in page
    assert "Free" not in row_of(client, id_)


@pytest.mark.parametrize(
    "spelt",
    ["claude-haiku-4-5", "anthropic/Claude-Haiku-4.5", "claude-haiku-4-5-20251001", f"{HAIKU}/"],
)
def test_another_spelling_leads_to_the_page(client: Client, spelt: str):
    answer = client.get(f"/models/{spelt}")
    assert (answer.status_code, answer["Location"]) == (302, f"/models/{HAIKU}")


def test_every_model_of_the_list_has_its_page(client: Client):
    for id_ in set(Offering.objects.routable().values_list("model", flat=True)):
        assert client.get(reverse("model", kwargs={"id": id_})).status_code == 200, id_


def test_an_unknown_model_is_not_found_and_near_ones_are_named(
    client: Client, owner_client: Client
):
    for visitor in (client, owner_client):
        answer = visitor.get("/models/anthropic/claude-hiaku-4.5")
        assert answer.status_code == 404
        assert f'href="/models/{HAIKU}"' in answer.content.decode()
    for odd in ("%00", "x" * 3000, "%F0%9F%99%82", "a//b", "../etc", "%0A", "%3Cscript%3E"):
        answer = client.get(f"/models/{odd}")
        assert answer.status_code == 404
        assert "<script>" not in answer.content.decode()


def test_of_a_model_that_has_ended_the_page_says_so(client: Client):
    with transaction.atomic():
        version.changed()
        Offering.objects.filter(model=HAIKU).update(retired_at=timezone.now())
    answer = client.get(f"/models/{HAIKU}")
    assert answer.status_code == 404
    assert "Nobody serves Claude Haiku 4.5 any more" in text(answer)
    assert HAIKU not in listed(client, q="haiku")


# With keys -----------------------------------------------------------------------------------


def served_to(client: Client, **query: Any) -> set[str]:
    return set(listed(client, mine="on", q="claude", **query))


def test_ones_keys_mark_what_they_serve(
    client: Client, owner_client: Client, stranger_client: Client, make_key: MakeKey
):
    key = make_key("anthropic")
    make_key("zai", enabled=False)
    assert "BYOK" in row_of(owner_client, HAIKU)
    for other in (client, stranger_client):
        assert "BYOK" not in row_of(other, HAIKU)
    offered = Offering.objects.filter(provider="anthropic").values_list("model_id", flat=True)
    assert set(listed(owner_client, mine="on")) == set(offered)
    assert "BYOK" not in row_of(owner_client, "z-ai/glm-4.7")
    page = owner_client.get(f"/models/{HAIKU}")
    assert "Anthropic sk-…cdef Would serve it" in text(page)
    assert "Add AWS Bedrock key" in text(page)
    route = f"{reverse('byok:route')}?model={quote(HAIKU, safe='')}&amp;endpoint=chat%2Fcompletions"
    assert route in page.content.decode()
    assert "Nothing is called" in text(owner_client.get(route.replace("&amp;", "&")))
    assert f'href="{reverse("byok:details", args=[key.pk])}"' in page.content.decode()
    assert "Z.ai Switched off" not in text(page)
    off = text(owner_client.get("/models/z-ai/glm-4.7"))
    assert "Enabled, it would serve the model. Switched off" in off
    assert "sk-…cdef" not in text(stranger_client.get(f"/models/{HAIKU}"))


def test_a_key_does_not_serve_what_its_own_list_lacks(owner_client: Client, make_key: MakeKey):
    key = make_key("anthropic")
    upstream = Offering.objects.get(model=HAIKU, provider="anthropic").upstream_id
    listing = Coverage.objects.create(
        key=key, listed_at=timezone.now(), upstream_ids=[], lacking=[upstream]
    )
    assert HAIKU not in served_to(owner_client)
    assert "does not list it for this key. No access" in text(owner_client.get(f"/models/{HAIKU}"))
    # An old list, and one of the secret before, tell nothing.
    for listed_at in (
        timezone.now() - timedelta(days=31),
        key.secret_changed_at - timedelta(seconds=1),
    ):
        Coverage.objects.filter(pk=listing.pk).update(listed_at=listed_at)
        assert HAIKU in served_to(owner_client)


def test_without_a_key_the_balance_is_named_only_where_it_would_pay(
    owner_client: Client, platform_key: Any
):
    url = f"{URL}{HAIKU}"
    platform_key("novita")
    assert "None: it takes a key of" in text(owner_client.get(url))
    platform_key("anthropic")
    page = text(owner_client.get(url))
    assert "None, so calls for it draw on the balance, or fail. A key of" in page
    ProviderKey.objects.filter(provider="anthropic").update(enabled=False)
    assert "None: it takes a key of" in text(owner_client.get(url))


def test_keys_of_another_kind_are_no_keys_for_it(owner_client: Client, make_key: MakeKey):
    make_key("mistral", host="codestral")
    found = listed(owner_client, mine="on")
    assert "mistralai/codestral-2508" in found
    assert "mistralai/mistral-large-2512" not in found
    assert "Keys of this kind do not serve it at Mistral AI" in text(
        owner_client.get("/models/mistralai/mistral-large-2512")
    )


@pytest.mark.parametrize("who", ["owner", "billing_manager", "member"])
def test_in_an_organization_its_keys_count(
    request: pytest.FixtureRequest, organization: Account, owner: User, make_key: MakeKey, who: str
):
    key = make_key("anthropic")
    ProviderKey.objects.filter(pk=key.pk).update(account=organization)
    client = signed_in(request.getfixturevalue(who))
    assert HAIKU not in served_to(client)
    client.get("/orgs/acme/")
    assert HAIKU in served_to(client)
    assert "Keys of Acme can serve it" in text(client.get(URL))
    page = client.get(f"/models/{HAIKU}")
    manages = who != "member"
    assert ("sk-…cdef" in text(page)) == manages
    assert ("/orgs/acme/byok/" in page.content.decode().partition("<h1>")[2]) == manages
    assert "Anthropic" in text(page)
    assert "Would serve it" in text(page)
    gpt = text(client.get("/models/openai/gpt-6-luna"))
    assert ("An owner or billing manager of Acme can add one" in gpt) != manages


def test_what_an_organization_does_not_allow_is_not_served(
    owner: User, owner_client: Client, organization: Account, make_key: MakeKey
):
    key = make_key("anthropic")
    ProviderKey.objects.filter(pk=key.pk).update(account=organization)
    Account.objects.filter(pk=organization.pk).update(
        allowed_models=["anthropic/claude-sonnet-5.5"]
    )
    owner_client.get("/orgs/acme/")
    assert served_to(owner_client) == {"anthropic/claude-sonnet-5.5"}
    page = text(owner_client.get(f"/models/{HAIKU}"))
    assert "Acme does not allow its members this model" in page


def test_what_ones_own_key_alone_knows_is_listed_to_its_owner(
    client: Client, owner_client: Client, stranger_client: Client, make_key: MakeKey
):
    key = make_key("chutes")
    Coverage.objects.create(
        key=key, listed_at=timezone.now(), upstream_ids=["org/Model-9", "odd?id#"], lacking=[]
    )
    own = "chutes/org/Model-9"
    assert {own, "chutes/odd?id#"} <= set(listed(owner_client, mine="on"))
    assert "Own" in row_of(owner_client, own)
    page = text(owner_client.get(f"/models/{own}"))
    assert f"Choose {own} in your agent" in page
    assert "Would serve it" in page
    assert owner_client.get(reverse("model", args=["chutes/odd?id#"])).status_code == 200
    for other in (client, stranger_client):
        assert own not in listed(other, q="chutes")
        assert other.get(f"/models/{own}").status_code == 404
    ProviderKey.objects.filter(pk=key.pk).update(enabled=False)
    assert own not in listed(owner_client, q="chutes")
    assert "Switched off" in text(owner_client.get(f"/models/{own}"))


def test_where_a_model_is_named_its_page_is_near(owner_client: Client, make_key: MakeKey):
    make_key("anthropic")
    for url in ("/account/byok/", f"/account/byok/route/?model={HAIKU}&endpoint=messages"):
        assert f'href="/models/{HAIKU}"' in owner_client.get(url).content.decode()
    # Not beside what was just pasted.
    form = owner_client.get("/account/byok/add/?provider=openai").content.decode()
    assert "openai/gpt-6-luna" in form
    assert 'href="/models/openai' not in form


# Size ----------------------------------------------------------------------------------------


def queries(client: Client, url: str) -> int:
    client.get(url)
    with CaptureQueriesContext(connection) as made:
        assert client.get(url).status_code == 200
    return len(made)


def test_two_thousand_models_cost_no_more_queries(
    client: Client, owner_client: Client, make_key: MakeKey
):
    make_key("anthropic")
    urls = (URL, f"{URL}?q=claude&sort=input&mine=on&page=2", f"/models/{HAIKU}")
    before = [(queries(client, url), queries(owner_client, url)) for url in urls]
    fill()
    for provider in ("openai", "novita", "mistral"):
        make_key(provider)
    assert [(queries(client, url), queries(owner_client, url)) for url in urls] == before
    assert all(of_stranger <= 2 and of_owner <= 12 for of_stranger, of_owner in before)
    assert "2,000 models" in text(client.get(URL))
