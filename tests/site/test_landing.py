import pytest
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db


def test_a_stranger_learns_what_it_is_and_where_to_go(client: Client):
    page = client.get(reverse("home")).content.decode()
    assert "One address for every coding agent." in page
    for name in ("account_signup", "account_login", "docs"):
        assert f'href="{reverse(name)}"' in page


def test_it_says_what_costs_something(client: Client):
    page = client.get(reverse("home")).content.decode()
    assert "Calls with your own keys cost nothing here" in page
    assert "can be paid from a prepaid balance" in page
    assert "Free of charge" not in page


def test_the_snippets_name_our_real_address(client: Client, settings):
    settings.MEGABRAIN_BASE_URL = "https://gateway.example"
    page = client.get(reverse("home")).content.decode()
    assert "ANTHROPIC_BASE_URL=https://gateway.example\n" in page
    assert "https://gateway.example/v1" in page


def test_whoever_is_signed_in_goes_to_the_dashboard(owner_client: Client):
    assert owner_client.get(reverse("home"))["Location"] == reverse("dashboard")


def test_a_stranger_costs_no_query(client: Client, django_assert_num_queries):
    with django_assert_num_queries(0):
        client.get(reverse("home"))
