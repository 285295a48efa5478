"""S1, on the site: whatever a person or a worker does with a key, its secret is nowhere to be seen.

The vault's own part, and the proof that the search finds what it looks for, is in
test_s01_the_vault_shows_no_secret.py.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from byok.key_tests import perform
from byok.models import KeyTest, ProviderKey
from byok.tasks import run_key_test
from orgs.models import User
from tests.guarantees.canary import Canary
from tests.guarantees.watch import Watch
from tests.simulator_fixture import RunningSimulator

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "/account/byok/add/"
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/account/byok/"}
FAULTS = ["ok", "401", "402", "403", "429", "500", "echo-401", "echo-400", "huge-500", "bad", "cut"]


@contextmanager
def a_database_that_breaks() -> Iterator[None]:
    """Every change fails in its middle, after the key was written and before its event is."""
    begin, end = {
        "sqlite": (
            """
            CREATE TRIGGER refuse_events BEFORE INSERT ON orgs_auditevent
            BEGIN SELECT RAISE(ABORT, 'no room'); END
            """,
            "DROP TRIGGER refuse_events",
        ),
        "postgresql": (
            "ALTER TABLE orgs_auditevent ADD CONSTRAINT refuse_events CHECK (id < 0) NOT VALID",
            "ALTER TABLE orgs_auditevent DROP CONSTRAINT refuse_events",
        ),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(begin)
    yield
    with connection.cursor() as cursor:
        cursor.execute(end)


def pages_of(client: Client, key: ProviderKey | None, htmx: bool = False) -> Iterator[Any]:
    """Every page that could show a key."""
    names = ["byok:keys", "byok:add", "dashboard", "orgs:activity", "orgs:tokens", "orgs:profile"]
    urls = [reverse(name) for name in names] + [f"{ADD}?provider=openai"]
    if key is not None:
        urls += [
            reverse(f"byok:{name}", kwargs={"key_id": key.pk})
            for name in ("details", "update", "delete", "row")
        ]
    for url in urls:
        yield client.get(url, headers=HTMX if htmx else {})


def by(client: Client, htmx: bool) -> Callable[..., Any]:
    return lambda url, data: client.post(url, data, headers=HTMX if htmx else {})


@pytest.mark.parametrize("htmx", [False, True])
def test_saving_updating_and_all_pages_afterwards(watch: Watch, owner_client: Client, htmx: bool):
    canary, second = Canary(), Canary()
    post = by(owner_client, htmx)
    watch.see(post(ADD, {"provider": "anthropic", "secret": canary.text}))
    key = ProviderKey.objects.get()
    for page in pages_of(owner_client, key, htmx):
        watch.see(page)
    update = reverse("byok:update", kwargs={"key_id": key.pk})
    watch.see(post(update, {"secret": canary.text}))
    watch.see(post(update, {"secret": second.text}))
    watch.see(post(reverse("byok:enabled", kwargs={"key_id": key.pk}), {"enabled": "false"}))
    for page in pages_of(owner_client, key, htmx):
        watch.see(page)
    watch.see(post(reverse("byok:delete", kwargs={"key_id": key.pk}), {}))
    for page in pages_of(owner_client, None, htmx):
        watch.see(page)
    assert watch.sightings(canary, second) == []


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(
    "typed",
    [
        "Bearer {}",
        "{} {}",
        "{}\n{}",
        "{}\x00",
        "é{}",
        "ANTHROPIC_API_KEY={}",
        "x-api-key: {}",
        "{}…",
        "{}" * 100,
    ],
)
def test_a_refused_save(watch: Watch, owner_client: Client, typed: str, htmx: bool):
    canary = Canary()
    text = typed.replace("{}", canary.text)
    post = by(owner_client, htmx)
    answer = watch.see(post(ADD, {"provider": "anthropic", "secret": text}))
    assert answer.status_code == 422
    assert watch.sightings(canary) == []


@pytest.mark.parametrize("htmx", [False, True])
def test_a_doubted_save_a_second_key_and_a_form_gone_wrong(
    watch: Watch, owner_client: Client, htmx: bool
):
    canary = Canary("sk-proj-")
    post = by(owner_client, htmx)
    assert watch.see(post(ADD, {"provider": "anthropic", "secret": canary.text})).status_code == 422
    insisted = {"provider": "anthropic", "secret": canary.text, "insist": "on"}
    watch.see(post(ADD, insisted))
    assert ProviderKey.objects.count() == 1
    assert watch.see(post(ADD, insisted)).status_code == 422
    watch.see(post(ADD, {"provider": "openai", "secret": canary.text}))
    watch.see(post(ADD, {"provider": canary.text, "secret": canary.text}))
    key = ProviderKey.objects.get()
    enabled = reverse("byok:enabled", kwargs={"key_id": key.pk})
    watch.see(post(enabled, {"enabled": canary.text}))
    watch.see(post(reverse("byok:reminder", kwargs={"key_id": key.pk}), {"secret": canary.text}))
    assert watch.sightings(canary) == []


def test_a_save_by_someone_who_has_to_sign_in_again(watch: Watch, owner: User):
    canary = Canary()
    client = Client()
    client.force_login(owner)
    for htmx in (False, True):
        watch.see(by(client, htmx)(ADD, {"provider": "anthropic", "secret": canary.text}))
    watch.see(by(Client(), False)(ADD, {"provider": "anthropic", "secret": canary.text}))
    assert not ProviderKey.objects.exists()
    assert watch.sightings(canary) == []


def test_a_save_without_the_csrf_token(watch: Watch, owner: User):
    canary = Canary()
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    answer = watch.see(client.post(ADD, {"provider": "anthropic", "secret": canary.text}))
    assert answer.status_code == 403
    assert watch.sightings(canary) == []


@pytest.mark.parametrize("htmx", [False, True])
def test_a_crash_in_the_middle_of_saving_and_updating(
    watch: Watch, owner_client: Client, htmx: bool
):
    canary, second = Canary(), Canary()
    owner_client.raise_request_exception = False
    post = by(owner_client, htmx)
    post(ADD, {"provider": "anthropic", "secret": canary.text})
    key = ProviderKey.objects.get()
    with a_database_that_breaks():
        answer = watch.see(post(ADD, {"provider": "openai", "secret": second.text, "insist": "on"}))
        assert answer.status_code == 500
        update = reverse("byok:update", kwargs={"key_id": key.pk})
        assert watch.see(post(update, {"secret": second.text})).status_code == 500
    assert "Traceback" in watch.caplog.text
    assert watch.sightings(canary, second) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_test_of_the_key_however_the_provider_answers(
    watch: Watch, owner_client: Client, fault: str, simulator: RunningSimulator
):
    canary = Canary(f"sk-ant-api03-sim-{fault}-")
    post = by(owner_client, True)
    post(ADD, {"provider": "anthropic", "secret": canary.text})
    key = ProviderKey.objects.get()
    watch.see(post(reverse("byok:test", kwargs={"key_id": key.pk}), {}))
    test = KeyTest.objects.get()
    assert watch.sightings(canary) == []  # While it waits in the queue.
    run_key_test(str(test.pk))
    assert simulator.calls
    row = reverse("byok:row", kwargs={"key_id": key.pk})
    watch.see(owner_client.get(f"{row}?test={test.pk}", headers=HTMX))
    for page in pages_of(owner_client, key):
        watch.see(page)
    assert watch.sightings(canary) == []


def test_a_test_that_cannot_reach_the_provider(watch: Watch, owner_client: Client, settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {"anthropic": "http://127.0.0.1:1"}
    canary = Canary()
    post = by(owner_client, False)
    post(ADD, {"provider": "anthropic", "secret": canary.text})
    key = ProviderKey.objects.get()
    post(reverse("byok:test", kwargs={"key_id": key.pk}), {})
    perform(KeyTest.objects.get().pk)
    assert KeyTest.objects.get().code == "unreachable"
    for page in pages_of(owner_client, key):
        watch.see(page)
    assert watch.sightings(canary) == []


def test_the_commands(watch: Watch, owner: User, monkeypatch):
    canary, refused = Canary(), Canary("Bearer sk-ant-")
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(canary.text))
    options = ("--account", owner.email, "--provider", "anthropic")
    call_command("add_key", *options, stdout=out, stderr=out)
    monkeypatch.setattr("sys.stdin", io.StringIO(refused.text))
    with pytest.raises(CommandError) as error:
        call_command("add_key", *options, stdout=out, stderr=out)
    call_command("vault", "status", stdout=out)
    call_command("audit", "verify", stdout=out)
    told = out.getvalue() + str(error.value)
    assert canary.sightings(told=told) + refused.sightings(told=told) == []
    assert watch.sightings(canary, refused) == []
