"""`manage.py doctor` names what is wrong and what to do, and changes nothing."""

import io
from datetime import timedelta

import pytest
from django.conf import settings as current
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from billing.actions import freeze
from billing.models import Hold, Reconciliation, Wallet
from billing.reconciling import reconcile, reconcile_on
from byok.models import CatalogModel, Offering
from megabrain import doctor
from orgs.origin import Origin
from tests.billing.wallets import Payer, credited
from tests.database.management.commands.flush import unprotected
from tests.vaults import entry, saved_key

pytestmark = pytest.mark.django_db


def finding(name: str) -> doctor.Finding:
    [found] = doctor.examine(name)
    return found


def test_all_is_well_but_for_the_worker_that_does_not_run(account):
    saved_key(account)
    found = {each.name: each.sound for each in doctor.examine()}
    assert found.pop("queue") is False
    assert all(found.values())
    assert list(found) == [name for name in doctor.CHECKS if name != "queue"]


def test_the_command_ends_with_an_error_and_says_how_to_start_a_worker():
    out = io.StringIO()
    with pytest.raises(CommandError, match="Needs attention: 1"):
        call_command("doctor", "database", "queue", stdout=out, no_color=True)
    assert "ok     database       " in out.getvalue()
    assert (
        "WRONG  queue          No worker answers, so key tests wait. Start one: celery"
        in out.getvalue()
    )


def test_secrets_that_do_not_open_are_counted(account, settings):
    settings.MEGABRAIN_VAULT_KEYS = entry("lost")
    saved_key(account)
    settings.MEGABRAIN_VAULT_KEYS = entry("kept")
    found = finding("vault")
    assert not found.sound
    assert "1 of 1 secrets under lost do not open." in found.sentence


def test_a_vault_key_that_is_not_the_one_is_named(account, settings):
    settings.MEGABRAIN_VAULT_KEYS = entry("a")
    saved_key(account)
    settings.MEGABRAIN_VAULT_KEYS = entry("a")
    found = finding("vault")
    assert not found.sound
    assert "key a is wrong" in found.sentence


def test_a_database_that_does_not_answer_is_one_finding_of_several():
    def refuse(*args: object) -> None:
        raise OperationalError("could not connect to postgres://somebody:password@host")

    with connection.execute_wrapper(refuse):
        found = list(doctor.examine("configuration", "database", "vault"))
    told = {each.name: each.sentence for each in found if not each.sound}
    assert "Check DATABASE_URL" in told["database"]
    assert "vault" in told
    assert "configuration" not in told
    assert "password" not in str(told)


def test_redis_that_does_not_answer_is_found(settings):
    settings.REDIS_URL = "redis://:hidden@127.0.0.1:1/0"
    found = finding("redis")
    assert not found.sound
    assert "correct REDIS_URL" in found.sentence
    assert "hidden" not in found.sentence


def test_an_event_of_the_future_is_found(owner):
    later = timezone.now() + timedelta(hours=1)
    with unprotected(connection), connection.cursor() as cursor:
        cursor.execute("UPDATE orgs_auditevent SET created_at = %s", [later])
    found = finding("clock")
    assert not found.sound
    assert "clock has been set back" in found.sentence


def test_an_empty_catalogue_is_found():
    Offering.objects.all().delete()
    CatalogModel.objects.all().delete()
    assert not finding("catalogue").sound


def test_money_that_stays_set_aside_is_found():
    payer = Payer()
    credited(payer.account_id, 100)
    late, _ = payer.reserve(10), payer.reserve(10)
    assert finding("balances").sound
    Hold.objects.filter(pk=late).update(lease_until=timezone.now() - timedelta(minutes=6))
    found = finding("balances")
    assert not found.sound
    assert found.sentence.startswith("1 calls whose process died still have money set aside.")


def test_a_frozen_balance_is_found():
    wallet = credited(Payer().account_id, 100)
    freeze(actor=None, account_id=wallet.pk, why="Drift.", origin=Origin())
    found = finding("balances")
    assert not found.sound
    assert "Nothing is paid from 1 frozen balances." in found.sentence


def test_books_that_nobody_compares_are_found():
    assert finding("balances").sound
    wallet = credited(Payer().account_id, 100)
    Wallet.objects.update(created_at=timezone.now() - timedelta(hours=37))
    assert "have not all been compared" in finding("balances").sentence
    reconcile_on(seconds=-1)
    assert not finding("balances").sound, "it has only begun"
    reconcile()
    assert finding("balances").sound
    assert wallet.frozen_at is None
    Reconciliation.objects.update(done_at=timezone.now() - timedelta(hours=37))
    assert not finding("balances").sound


def test_a_misspelt_provider_address_is_found(settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {**current.MEGABRAIN_UPSTREAM_URLS, "antropic": "http://x"}
    found = finding("providers")
    assert not found.sound
    assert "MEGABRAIN_UPSTREAM_ANTROPIC_URL" in found.sentence


def test_a_setting_that_a_check_warns_of_is_found(settings):
    settings.MEGABRAIN_VAULT_KEYS = "sample:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert not finding("configuration").sound
