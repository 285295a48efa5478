import pytest
from django.db import OperationalError, connection
from django.test import Client

from tests.vaults import entry


def test_a_live_process_says_so_without_asking_the_database(client: Client):
    response = client.get("/healthz")
    assert response.status_code == 200
    assert response.content == b"ok\n"
    assert "no-store" in response["Cache-Control"]


@pytest.mark.django_db
def test_readiness_names_what_it_checked(client: Client):
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"ready": True, "database": "ok", "vault": "ok"}


@pytest.mark.django_db
def test_a_database_that_does_not_answer_makes_it_not_ready(client: Client):
    def refuse(*args: object) -> None:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(refuse):
        response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "database": "failing", "vault": "failing"}


@pytest.mark.django_db
def test_the_status_page_says_it_in_words(client: Client):
    page = client.get("/status/").content.decode()
    assert "MegaBrain is working" in page
    assert "Database" in page
    assert "Vault" in page


@pytest.mark.django_db
def test_a_vault_key_that_is_not_the_one_makes_it_not_ready(client: Client, settings):
    client.get("/readyz")
    name = settings.MEGABRAIN_VAULT_KEYS.partition(":")[0]
    settings.MEGABRAIN_VAULT_KEYS = entry(name)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "database": "ok", "vault": "failing"}
