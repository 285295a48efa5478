"""Keys in stock are sealed, bound, rotated and looked after like every provider key."""

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from billing.models import PlanKey
from billing.subscriptions.stock import InStockAlready, withdraw_plan_key
from byok.vault import Reason, Unsealable, rotation
from megabrain import doctor
from tests.billing.subscribing import ORIGIN, START, fund, plan_secret, stock, subscribed
from tests.vaults import entry

pytestmark = pytest.mark.django_db

OLD, NEW = entry("old"), entry("new")


@pytest.fixture
def keys(settings, staff) -> list[PlanKey]:
    settings.MEGABRAIN_VAULT_KEYS = OLD
    return stock(staff, 1, 2)


def secrets() -> set[str]:
    return {key.secret.unseal().reveal() for key in PlanKey.objects.available()}


def set_column(column: str, value: str | bytes, key: PlanKey) -> None:
    """What somebody with the database, and without the vault keys, could do."""
    id_ = str(PlanKey._meta.pk.get_db_prep_value(key.pk, connection))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE billing_plankey SET {column} = %s WHERE id = %s", [value, id_])


@pytest.mark.parametrize("command", [rotation.rewrap_all, rotation.reencrypt_all])
def test_a_rotation_brings_them_under_the_new_key(keys, settings, command):
    settings.MEGABRAIN_VAULT_KEYS = f"{NEW},{OLD}"
    tally = command()
    assert (tally.written, tally.closed, tally.unfinished) == (2, [], 0)
    settings.MEGABRAIN_VAULT_KEYS = NEW
    assert secrets() == {plan_secret(1), plan_secret(2)}


def test_after_reencryption_a_key_is_still_known_to_be_in_stock(keys, settings, staff):
    settings.MEGABRAIN_VAULT_KEYS = f"{NEW},{OLD}"
    rotation.reencrypt_all()
    with pytest.raises(InStockAlready):
        stock(staff, 1)


def test_a_blob_opens_in_its_own_row_only(keys):
    one, two = keys
    set_column("secret", bytes(one.secret.blob), two)
    with pytest.raises(Unsealable) as refused:
        PlanKey.objects.get(pk=two.pk).secret.unseal()
    assert refused.value.reason is Reason.NOT_AUTHENTIC


def test_the_doctor_opens_them_too(keys, settings):
    [finding] = doctor.examine("vault")
    assert finding.sentence == "All 2 secrets open; old seals what is saved."
    set_column("secret", b"nothing", keys[0])
    [finding] = doctor.examine("vault")
    assert not finding.sound


def test_a_vault_key_that_they_need_is_not_retired(keys, settings):
    settings.MEGABRAIN_VAULT_KEYS = f"{NEW},{OLD}"
    with pytest.raises(CommandError, match="needed by 2 sealed values"):
        call_command("vault", "retire", "old")


def test_what_is_nobodys_any_more_is_forgotten(keys, staff):
    withdraw_plan_key(actor=staff, key=keys[0], origin=ORIGIN, now=START)
    assert PlanKey.objects.get(pk=keys[0].pk).secret is None
    with pytest.raises(IntegrityError), transaction.atomic():
        set_column("secret", b"again", keys[0])


def test_the_copy_of_a_subscriber_is_sealed_for_its_own_row(keys, owner, account):
    fund(account, 20)
    subscription = subscribed(owner, account)
    key = account.provider_keys.get()
    assert bytes(key.secret.blob) != bytes(subscription.plan_key.secret.blob)
    assert key.fingerprint != subscription.plan_key.fingerprint
    assert key.secret.unseal().reveal() in {plan_secret(1), plan_secret(2)}
