import pytest
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_chosen_theme_is_drawn_by_the_server(client: Client, theme: str):
    client.post(reverse("theme"), {"theme": theme})
    assert f'<html lang="en" data-theme="{theme}">' in client.get("/").content.decode()


def test_without_a_choice_the_system_decides(client: Client):
    assert '<html lang="en">' in client.get("/").content.decode()


def test_going_back_to_the_system_forgets_the_choice(client: Client):
    client.post(reverse("theme"), {"theme": "dark"})
    client.post(reverse("theme"), {"theme": "system"})
    assert '<html lang="en">' in client.get("/").content.decode()


def test_a_theme_nobody_knows_reaches_no_page(client: Client):
    client.cookies["theme"] = '"><script>'
    page = client.get("/").content.decode()
    assert "<script>" not in page
    assert '<html lang="en">' in page


def test_one_comes_back_to_where_one_was(client: Client):
    response = client.post(
        reverse("theme"), {"theme": "dark"}, headers={"referer": "http://testserver/docs/byok/"}
    )
    assert response["Location"] == "http://testserver/docs/byok/"


def test_one_is_not_sent_to_another_site(client: Client):
    response = client.post(
        reverse("theme"), {"theme": "dark"}, headers={"referer": "https://elsewhere.example/"}
    )
    assert response["Location"] == reverse("home")
