"""Staff set prices in dollars a million tokens, to the last place."""

from fractions import Fraction

import pytest
from django.urls import reverse

from byok.actions import PriceGone, change_price
from byok.catalogue import hours, refresh
from byok.models import Offering, Price, Source
from byok.providers import PROVIDERS
from tests.admin.conftest import ORIGIN, events, list_url, page_url, text_of
from tests.admin.test_catalogue import load_another_edition
from tests.admin.test_doors import a_while_ago
from tests.byok.publisher import novita, publishing

pytestmark = pytest.mark.django_db

MODEL = "openai/gpt-oss-20b"


@pytest.fixture
def offering() -> Offering:
    return Offering.objects.get(provider="novita", upstream_id=MODEL)


@pytest.fixture
def add(offering) -> str:
    return reverse("admin:byok_price_add", query={"offering": offering.pk})


def test_a_price_is_exact_and_outlives_list_and_edition(
    desk, offering, add, settings, platform, tmp_path
):
    before = len(events())
    typed = {
        "starts_at": "2026-03-01T00:00:00",
        "above_tokens": "128000",
        "hours": "Mon–Fri 01:00–04:00\nsat, sun 00:00-24:00",
        "input": "0.1",
        "output": "1234.000001",
        "cache_read": "0",
        "cache_write_long": "0.3",
    }
    page = desk.fill(add, **typed)
    price = offering.prices.get(source=Source.STAFF)
    assert Fraction(price.input, 10**12) == Fraction("0.1") / 10**6
    assert (price.output, price.cache_read) == (1_234_000_001, 0)
    assert (price.cache_write, price.cache_write_long) == (None, 300_000)
    assert price.hours == [
        {"days": [1, 2, 3, 4, 5], "from": "01:00", "to": "04:00"},
        {"days": [6, 7], "from": "00:00", "to": "24:00"},
    ]
    assert "From 2026-03-01 00:00 UTC" in page
    assert "$0.10 input, $1234.000001 output, $0.00 cache read, $0.30 cache write, 1 h" in page
    assert "prompts above 128,000 tokens, Mon–Fri 01:00–04:00; Sat, Sun 00:00–24:00 UTC" in page
    assert "$1234.000001" in text_of(desk.client.get(list_url("byok_price") + f"?q={MODEL}"))
    # What is saved as it was changes nothing, and a second of it is refused.
    shown = desk.shown(page_url(price))
    assert shown["output"] == ["1234.000001"]
    desk.fill(page_url(price))
    assert "There is a price from that moment" in desk.fill(
        add, **{**typed, "hours": "Wed 03:00–05:00"}
    )
    always = {**typed, "starts_at": "2026-01-01T00:00:00", "above_tokens": "0", "hours": ""}
    assert "There is a price from that moment" in desk.fill(add, **always)
    offering.refresh_from_db()
    assert offering.told_by == {"prices": "staff"}
    all_prices = list(offering.prices.order_by("pk").values())
    # Neither the list nor an edition changes any of them.
    with publishing() as publisher:
        settings.MEGABRAIN_UPSTREAM_URLS = dict.fromkeys(PROVIDERS, publisher.address)
        listed = novita()
        for entry in listed["data"]:
            entry["input_token_price_per_m"] += 100
        publisher.tells(listed)
        refresh.refresh("novita")
    load_another_edition(tmp_path)
    assert list(offering.prices.order_by("pk").values()) == all_prices
    told = ("catalogue.offering_changed", "staff@example.com", str(platform.pk))
    assert events()[before] == told


def test_prices_are_changed_removed_and_taken_back(desk, offering):
    bundled = list(offering.prices.order_by("pk").values_list("input", "output"))
    first = offering.prices.earliest("pk")
    desk.fill(page_url(first), output="7.5")
    first.refresh_from_db()
    assert (first.output, first.source) == (7_500_000, Source.STAFF)
    desk.do("remove", first)
    assert not offering.prices.filter(pk=first.pk).exists()
    # To take back one field of an offering takes back all its prices.
    assert desk.shown(page_url(offering))["pinned"] == ["prices"]
    desk.fill(page_url(offering), pinned=[])
    assert list(offering.prices.order_by("pk").values_list("input", "output")) == bundled
    offering.refresh_from_db()
    assert offering.told_by == {}


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ({"input": "0.0000001"}, "no more than 6 decimal places"),
        ({"input": "-1"}, "greater than or equal to 0"),
        ({"input": "NaN"}, "Enter a number."),
        ({"input": "1e30"}, "less than or equal to 1000000"),
        ({"input": ""}, "This field is required."),
        ({"hours": "Mon-Fri 04:00-01:00"}, "is none. Write them as"),
        ({"hours": "Fri-Mon 01:00-04:00"}, "is none. Write them as"),
        ({"hours": "Moonday 01:00-04:00"}, "is none. Write them as"),
        ({"hours": "Mon 1-4"}, "is none. Write them as"),
        ({"above_tokens": "-1"}, "greater than or equal to 0"),
    ],
)
def test_what_is_no_price_is_refused(desk, offering, add, typed, why):
    before = offering.prices.count()
    assert why in desk.send(add, **{"offering": offering.pk, "input": "1", "output": "2"} | typed)
    assert offering.prices.count() == before


def test_a_price_is_of_an_offering_that_is_there(desk, offering, staff):
    price = Price.objects.filter(offering=offering).earliest("pk")
    assert "Choose an offering" in text_of(
        desk.client.get(reverse("admin:byok_price_add"), follow=True)
    )
    Price.objects.filter(pk=price.pk).delete()
    with pytest.raises(PriceGone):
        change_price(actor=staff, price=price, values={"input": 1}, origin=ORIGIN)


def test_the_form_asks_for_a_fresh_sign_in_before_it_is_filled_in(add, staff_client):
    client = a_while_ago(staff_client)
    assert client.get(add)["Location"].startswith(reverse("account_reauthenticate"))


def test_hours_are_read_as_they_are_told():
    for price in Price.objects.exclude(hours=None):
        assert [hours.read(line) for line in hours.told(price.hours or [])] == price.hours
    assert hours.read("Daily 00:00–24:00")["days"] == [1, 2, 3, 4, 5, 6, 7]
