"""A key that a plan manages: what its pages say before it is changed, and the Center afterwards."""

import pytest
from django.urls import reverse

from billing.subscriptions.actions import cancel
from billing.subscriptions.renewing import renew_due
from byok.actions import add_key, delete_key, update_key
from byok.models import ProviderKey
from byok.vault import Secret
from tests.billing.subscribing import (
    DAY,
    ORIGIN,
    START,
    sent,
    shown,
)

pytestmark = pytest.mark.django_db

OWN_SECRET = "sk-api-sim-ok-0123456789abcdefghijklmnop"
CENTER = "billing:subscriptions"


def test_a_managed_key_carries_a_badge_and_says_who_bills_for_it(owner_client, subscription):
    key = ProviderKey.objects.get()
    assert "MiniMax Token Plan Plus" in shown(owner_client, reverse("byok:keys"))
    details = shown(owner_client, reverse("byok:details", kwargs={"key_id": key.pk}))
    assert "Provisioned by Token Plan Plus, billed until cancelled" in details
    assert "Market cost $0.0000 paid by Token Plan Plus" in details
    listed = shown(owner_client, reverse("byok:keys"))
    assert "its provider bills you, or Token Plan Plus pays" in listed
    assert "MegaBrain charges nothing" not in listed


@pytest.mark.parametrize("name", ["update", "disable", "delete"])
def test_before_it_is_changed_the_page_says_that_billing_goes_on(owner_client, subscription, name):
    key = ProviderKey.objects.get()
    url = reverse(f"byok:{name}", kwargs={"key_id": key.pk})
    page = shown(owner_client, url)
    assert "The MiniMax key is provisioned by Token Plan Plus." in page
    assert "Billing goes on until you cancel in the Subscription Center" in page
    assert reverse(CENTER) in owner_client.get(url).content.decode()


@pytest.mark.parametrize("name", ["update", "disable", "delete", "details"])
def test_once_it_is_cancelled_no_page_of_the_key_says_that_billing_goes_on(
    owner, owner_client, subscription, name
):
    cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START)
    key = ProviderKey.objects.get()
    page = shown(owner_client, reverse(f"byok:{name}", kwargs={"key_id": key.pk}))
    assert "ends on 31 March 2026" in page
    assert "goes on until" not in page
    assert "billed until" not in page


@pytest.mark.parametrize(("name", "data"), [("delete", {}), ("update", {"secret": OWN_SECRET})])
def test_once_it_is_cancelled_a_change_of_the_key_is_said_to_leave_nothing_to_bill(
    owner, owner_client, subscription, name, data
):
    cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START)
    url = reverse(f"byok:{name}", kwargs={"key_id": ProviderKey.objects.get().pk})
    page = sent(owner_client, url, data)
    assert "Token Plan Plus is cancelled and ends on 31 March 2026." in page
    assert "is billed" not in page


@pytest.mark.parametrize("name", ["update", "delete"])
def test_of_a_key_of_ones_own_the_page_says_nothing_of_the_kind(owner, owner_client, account, name):
    key = add_key(
        actor=owner, account=account, provider="minimax", secret=Secret(OWN_SECRET), origin=ORIGIN
    )
    page = shown(owner_client, reverse(f"byok:{name}", kwargs={"key_id": key.pk}))
    assert "Subscription Center" not in page


def test_its_switch_asks_first_and_then_only_routing_changes(owner_client, subscription):
    key = ProviderKey.objects.get()
    url = reverse("byok:disable", kwargs={"key_id": key.pk})
    assert f'hx-get="{url}"' in owner_client.get(reverse("byok:keys")).content.decode()
    assert "The MiniMax key is off" in sent(owner_client, url)
    key.refresh_from_db()
    assert (key.enabled, key.managed_by) == (False, "token-plan-plus")
    page = shown(owner_client, reverse(CENTER))
    assert "which is off" in page
    assert "Next billing date" in page


def test_a_deleted_key_is_missed_in_the_center(owner, owner_client, subscription):
    delete = reverse("byok:delete", kwargs={"key_id": ProviderKey.objects.get().pk})
    said = "Token Plan Plus is billed until it is cancelled in the Subscription Center."
    assert said in sent(owner_client, delete)
    page = shown(owner_client, reverse(CENTER))
    assert "Billing goes on until you cancel." in page
    assert "Deleted under Bring Your Own Key" in page


def test_a_replaced_key_is_told_in_the_center(owner, owner_client, subscription):
    key = ProviderKey.objects.get()
    update_key(actor=owner, key=key, secret=Secret(OWN_SECRET), origin=ORIGIN)
    page = shown(owner_client, reverse(CENTER))
    assert "this plan manages no key any more" in page
    assert "Token Plan Plus" not in shown(owner_client, reverse("byok:keys"))
    cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START)
    renew_due(START + 30 * DAY)
    delete_key(actor=owner, key=key, origin=ORIGIN)
